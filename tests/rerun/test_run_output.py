"""What a command prints: passed on byte by byte; its beginning and end are recorded in the ledger, all of it beside."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo.rerun.output import HEAD, TAIL, Output

PYTHON = sys.executable


def text_of(run, name="stdout"):
    return run.files[f"text/{name}.txt"]


def blobs(repo):
    return [path for path in (repo / ".git/lumo/blob").rglob("*") if path.is_file()]


# ------------------------------------------------------------------------------------------------ real commands


@pytest.mark.parametrize("size", [0, 1, HEAD, HEAD + TAIL, HEAD + TAIL + 1, 10_000_000])
def test_bytes_pass_unchanged_whatever_their_number(repo, lumo_run, runs, size):
    data = b"".join(b"line %d\n" % n for n in range(size // 7 + 1))[:size]
    Path("data.bin").write_bytes(data)
    done = lumo_run("cat", "data.bin")
    assert done.stdout == data
    run = runs()["cat"]
    if size == 0:
        assert "text/stdout.txt" not in run.files
    elif size <= HEAD + TAIL:
        assert text_of(run) == data
        assert not (repo / ".git/lumo/blob").exists() or not blobs(repo)
    else:
        (whole,) = blobs(repo)
        assert whole.read_bytes() == data
        head, _, tail = text_of(run).partition(b"[... ")
        mark, _, tail = tail.partition(b"]\n")
        assert data.startswith(head)
        assert data.endswith(tail)
        assert head.endswith(b"\n")
        assert data[-len(tail) - 1 : -len(tail)] == b"\n"  # it begins with a line
        assert HEAD - 20 < len(head) <= HEAD
        assert TAIL - 20 < len(tail) <= TAIL
        left = size - len(head) - len(tail)
        assert mark == b"%d bytes left out; all %d are in blob_dir: stdout.txt" % (left, size)


def test_bytes_that_are_no_text(repo, lumo_run, runs):
    data = bytes(range(256)) + b"\n"
    Path("data.bin").write_bytes(data)
    assert lumo_run("cat", "data.bin").stdout == data
    assert text_of(runs()["cat"]) == data.decode("utf-8", "backslashreplace").encode()


def test_secrets_stay_here(repo, lumo_run, runs):
    token = "ghp_" + "a" * 36
    done = lumo_run("echo", f"pushing to https://me:word@example.org with {token}")
    assert token.encode() in done.stdout
    assert text_of(runs()["echo"]) == b"pushing to https://***@example.org with ***\n"
    assert token.encode() not in b"".join(b"".join(run.files.values()) for run in runs().values())


ORDER = "import os\nfor n in range(300): os.write(1 + n % 2, b'%d\\n' % n)"


def test_one_place_for_both_keeps_the_order(repo, lumo_run, runs):
    done = lumo_run(PYTHON, "-c", ORDER, options=["-n", "d"], stderr=subprocess.STDOUT)
    assert done.stdout == b"".join(b"%d\n" % n for n in range(300))
    assert text_of(runs()["d"]) == done.stdout
    assert "text/stderr.txt" not in runs()["d"].files


def test_two_files(repo, lumo_run, runs):
    with open("out.log", "wb") as out, open("err.log", "wb") as err:
        lumo_run(PYTHON, "-c", ORDER, options=["-n", "d"], stdout=out, stderr=err)
    for name, part in (("stdout", 0), ("stderr", 1)):
        data = b"".join(b"%d\n" % n for n in range(part, 300, 2))
        assert Path(f"{name[3:]}.log").read_bytes() == data
        assert text_of(runs()["d"], name) == data


WRITES = """
import os, sys
for fd in (1, 2):
    try: os.write(fd, b'said\\n')
    except OSError as error: open(f'{fd}.log', 'w').write(str(error.errno))
sys.exit(7)
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr", "both"])
def test_a_closed_stream_stays_closed(repo, runs, stream, fsck):
    """And no file of ours is taken for it."""
    fds = {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&- <&-"}[stream]
    line = f'git-lumo run -q -n d -- "$0" -c "$1" {fds}'
    done = subprocess.run(["sh", "-c", line, PYTHON, WRITES], capture_output=True, check=False, timeout=60)
    assert done.returncode == 7
    closed = {"stdout": [1], "stderr": [2], "both": [1, 2]}[stream]
    for fd in (1, 2):
        assert Path(f"{fd}.log").exists() == (fd in closed)
        if fd in closed:
            assert Path(f"{fd}.log").read_text() == str(errno.EBADF)
    assert runs()["d"].end_code == 7
    assert sorted(path for path in runs()["d"].files if path.startswith("text/")) == sorted(
        f"text/{name}.txt" for fd, name in ((1, "stdout"), (2, "stderr")) if fd not in closed
    )
    fsck(repo)


def test_a_reader_that_goes(repo, runs, nothing_left):
    """The command dies as it would without us; we die by it, too, and the run is whole."""
    words = ["git-lumo", "run", "-q", "-n", "d", "--", "sh", "-c", 'while :; do echo "$$"; done']
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline().strip().isdigit()
        child.stdout.close()
        assert child.wait(60) == -13
    assert (runs()["d"].end_code, runs()["d"].info["usage"]["signal"]) == (141, "SIGPIPE")
    nothing_left()


def test_a_pipe_that_does_not_block(repo, runs):
    """As node leaves behind: what it does not take at once is written when it does."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    words = ["git-lumo", "run", "-q", "-n", "d", "--", "head", "-c", "3000000", "/dev/zero"]
    with subprocess.Popen(words, stdout=writer) as child:
        os.close(writer)
        size = 0
        while piece := os.read(reader, 100_000):
            size += len(piece)
    os.close(reader)
    assert (child.returncode, size) == (0, 3_000_000)


def test_a_hundred_megabytes(repo, runs):
    """Counted, not timed; and no more of it in memory than a part."""
    line = "git-lumo run -q -n d -- head -c 100000000 /dev/zero | wc -c"
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert done.stdout.strip() == b"100000000"
    (whole,) = blobs(repo)
    assert whole.stat().st_size == 100_000_000
    assert len(text_of(runs()["d"])) < HEAD + TAIL + 200
    whole.unlink()


# --------------------------------------------------------------------------------------- disks that take no more


def test_a_target_that_is_full_does_not_stop_the_command(repo, lumo_run, runs):
    with open("/dev/full", "wb") as full:
        done = lumo_run("sh", "-c", "echo said; touch ran; exit 5", stdout=full)
    assert (done.returncode, Path("ran").exists()) == (5, True)
    assert text_of(runs()["sh"]) == b"said\n"
    warning = b"did not all get where it belongs: No space left on device\n"
    assert warning in done.stderr
    with open("/dev/full", "wb") as full:  # a shell would go on after it, as if a file were whole
        done = lumo_run("echo", "said", stdout=full)
    assert (done.returncode, warning in done.stderr) == (1, True)
    assert runs()["echo"].end_code == 0
    with open("/dev/full", "wb") as full:
        done = lumo_run("echo", "said", stdout=full, env={"LUMO_DISABLED": "1"})
    assert done.returncode == 1


def test_no_space_for_the_recording(repo, lumo_run, runs, nothing_left):
    """The command and its own output go on; what was recorded is said to be less than all."""
    limit = 400_000
    done = lumo_run(
        *("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' 'x'; echo; echo end >&2; exit 6"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 6
    assert len(done.stdout) == 1_000_001
    assert b"warning: sh/" in done.stderr
    assert b"LumoWarning" not in done.stderr
    run = runs()["sh"]
    assert run.info["hooks"]["Output"]["loaded"] is False
    assert text_of(run, "stderr") == b"end\n"
    said, mark = text_of(run).split(b"[... the rest could not be recorded: ")
    assert said == b"x" * HEAD
    assert mark.startswith(b"[Errno 27]")
    nothing_left()


def test_a_full_disk(repo, git, tmp_path, lumo_run, runs, fsck):
    """As root, on a small file system of its own: the command goes on, and its end is published."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("needs root: mount")
    try:
        git("clone", "--quiet", repo, disk / "r")
        done = lumo_run("sh", "-c", "head -c 20000000 /dev/zero; exit 6", cwd=disk / "r")
        assert (done.returncode, len(done.stdout)) == (6, 20_000_000)
        assert b"Traceback" not in done.stderr
        assert runs(disk / "r")["sh"].end_code == 6
        fsck(disk / "r")
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("command", ["rm $FILLER; echo hi", "echo hi"])
def test_a_disk_that_is_full_when_a_run_begins(repo, git, small_disk, lumo_run, runs, fsck, monkeypatch, command):
    git("config", "lumo.infoRoot", small_disk / "info")
    filler = small_disk / "filler"
    monkeypatch.setenv("FILLER", str(filler))
    with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as out:
        while out.write(bytes(4096)):
            pass
    done = lumo_run("sh", "-c", command)
    assert (done.returncode, done.stdout) == (0, b"hi\n")
    said = done.stderr.decode()
    assert "No space left on device" in said
    assert "None" not in said, said
    if "rm" in command:
        assert runs()["sh"].info["progress"]["finished"] is True
    else:
        assert "could not be recorded: the disk did not take them" in said
    fsck(repo)


# -------------------------------------------------------------------------------------------------- the parts


def record(tmp_path, pieces):
    text, whole = tmp_path / "r/text/stdout.txt", tmp_path / "b/e/t/text/stdout.txt"
    output = Output(lambda: (str(text), str(whole)), nullcontext, lambda text: text)
    for piece in pieces:
        output.feed(piece)
    left = text.read_bytes() if text.exists() else None
    found = output.finish(str(whole))
    assert output.trouble is None
    for path in (text, whole):
        path.unlink(missing_ok=True)
    return left, found


LINES = st.lists(st.binary(max_size=30).map(lambda b: b.decode("utf-8", "replace").encode()), max_size=40)


@given(lines=LINES, cuts=st.lists(st.integers(0, 1500), max_size=8))
def test_small_pieces_are_kept_whole_and_their_lines_at_once(tmp_path_factory, lines, cuts):
    data = b"\n".join(lines)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(places)]
    left, found = record(tmp_path_factory.mktemp("o"), pieces)
    assert (found or b"") == data
    end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    assert (left or b"") == data[:end]


def test_files_are_made_where_the_run_lies_once_nobody_moves_it(tmp_path):
    """Made a moment before, they would bring its former folder back."""
    place = tmp_path / "former"

    @contextmanager
    def guard():
        nonlocal place
        place = tmp_path / "moved"
        yield

    output = Output(lambda: (str(place / "text"), str(place / "whole")), guard, lambda text: text)
    output.feed(b"said\n")
    assert output.finish(str(place / "whole")) == b"said\n"
    assert not (tmp_path / "former").exists()


@pytest.mark.parametrize(
    ("data", "head", "tail"),
    [
        (b"x" * 300_000, b"x" * HEAD, b"x" * TAIL),  # one line
        (b"a " + b"x" * 300_000 + b" b", b"a ", b"b"),  # a word is not cut: it may be a secret
        (b"one\rtwo\r" + b"x" * 300_000 + b"\rlast", b"one\rtwo\r", b"last"),  # a bar that overwrites itself
        (b"a\r\n" * 100_000, b"a\r\n" * (HEAD // 3), b"a\r\n" * (TAIL // 3)),
        (b"x" * 300_000 + b"\n", b"x" * HEAD, b"x" * (TAIL - 1) + b"\n"),
    ],
    ids=["one line", "words", "overwritten", "crlf", "one line with its end"],
)
def test_where_it_is_cut(tmp_path, data, head, tail):
    _, found = record(tmp_path, [data])
    a, _, b = found.partition(b"[... ")
    assert (a, b.partition(b"]\n")[2]) == (head, tail)
    left = len(data) - len(head) - len(tail)
    assert b.startswith(b"%d bytes left out; all %d " % (left, len(data)))
    assert os.listdir(tmp_path)
