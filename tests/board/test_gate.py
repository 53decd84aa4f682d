"""Who may ask a live board, and what it says to all others."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from gitlumo.board import gate
from gitlumo.board.showing import check_installed
from gitlumo.errors import UsageError
from tests.board.serving import Served

UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_WebSocket_Version": "13",
}


@pytest.fixture(scope="module")
def board(trained, serve) -> Served:
    return serve(trained)


def test_the_token_is_let_in_once_and_then_a_cookie_has_it(board):
    answer = board.ask(f"/?token={board.token}&q=lr+%3C+0.1")
    assert (answer.status, answer.headers["Location"]) == (302, "/?q=lr+%3C+0.1")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"gitlumo-board-{board.port}={board.token};")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert board.ask("/", **board.cookie).status == 200


@pytest.mark.parametrize("path", ["/", "/open", "/ready", "/colours.css", "/static/js/bokeh.min.js", "/app/ws", "/app"])
def test_without_a_token_nothing_is_said(board, path):
    answer = board.ask(path)
    assert answer.status == 403
    assert b"git lumo board" in answer.body
    assert board.ask(path, Cookie=f"gitlumo-board-{board.port}={'0' * 48}").status == 403


def test_a_wrong_token_is_refused_even_beside_a_cookie(board):
    assert board.ask("/?token=wrong").status == 403
    assert board.ask("/?token=wrong", **board.cookie).status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost."])
def test_a_foreign_host_is_refused(board, host):
    assert board.ask("/", host=host.format(port=board.port), **board.cookie).status in (400, 403)
    assert board.ask("/", host=f"localhost:{board.port}", **board.cookie).status == 200


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
def test_a_websocket_of_another_origin_is_refused(board, origin):
    said = {} if origin is None else {"Origin": origin.format(port=board.port)}
    assert board.ask("/app/ws", **UPGRADE, **board.cookie, **said).status == 403


def test_what_other_pages_of_this_machine_ask_for_is_refused(board):
    for site in ("same-site", "cross-site"):
        assert board.ask("/open", Sec_Fetch_Site=site, **board.cookie).status == 403
    assert board.ask("/", Sec_Fetch_Site="cross-site", **board.cookie).status == 200  # a link to it is followed
    assert board.ask("/ready", Origin="http://127.0.0.1:1", **board.cookie).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_is_only_read(board, method):
    assert board.ask("/open", method=method, **board.cookie).status == 405


def test_only_scripts_of_ours_run_and_none_is_made_of_a_string(board):
    policies = [board.ask("/", **board.cookie).headers["Content-Security-Policy"] for _ in range(2)]
    assert len({re.search("'nonce-([^']+)'", policy)[1] for policy in policies}) == 2
    assert "unsafe-eval" not in policies[0]
    assert "default-src 'none'" in policies[0]
    assert re.search(r"script-src 'nonce-[\w-]+' 'strict-dynamic';", policies[0])


@pytest.mark.parametrize(
    "path", ["/app", "/app/autoload.js", "/app/metadata", "/static/../../etc/passwd", "/image/ab/x"]
)
def test_nothing_else_of_panel_is_there(board, path):
    assert board.ask("/open?query=", **board.cookie).status == 200  # panel is there
    assert board.ask(path, **board.cookie).status in (403, 404)


def test_it_listens_on_this_machine_only(board):
    listening = subprocess.run(["ss", "-Hltn", f"sport = :{board.port}"], capture_output=True, text=True, check=True)
    assert listening.stdout.split()[3] == f"127.0.0.1:{board.port}"


def test_the_token_stays_and_only_its_owner_can_read_it(tmp_path):
    token = gate.token_of(str(tmp_path))
    kept = tmp_path / gate.TOKEN_FILE
    assert kept.stat().st_mode & 0o777 == 0o600
    assert gate.token_of(str(tmp_path)) == token
    kept.chmod(0o644)
    assert gate.token_of(str(tmp_path)) != token
    kept.write_text("short")
    kept.chmod(0o600)
    assert len(gate.token_of(str(tmp_path))) == len(token)


def test_a_token_that_cannot_be_kept(tmp_path):
    (tmp_path / "a file").write_text("")
    assert len(gate.token_of(str(tmp_path / "a file"))) == 48


def run(*words, **more):
    command = [sys.executable, "-m", "gitlumo", "board", "--no-open", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **more)


def test_a_port_in_use(repo):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("--port", str(port))
    assert done.returncode == 128
    assert done.stderr.startswith(f"fatal: port {port} cannot be used: Address already in use\nleave out --port")


def test_outside_of_a_repository(tmp_path):
    done = run(env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (128, "")
    assert done.stderr.startswith("fatal: ")


def test_options_that_do_not_go_together(repo):
    for words in (["--points", "100"], ["--all"], ["--html", "x.html", "--port", "1"]):
        done = run(*words)
        assert done.returncode == 129, words
        assert "--html" in done.stderr


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(UsageError, match=r"the board needs panel.*\ntype: pip install 'gitlumo\[board\]'"):
        check_installed()
