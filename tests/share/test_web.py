"""git over TLS with an authority of one's own, and behind nginx, as on a server that one looks after oneself."""

from __future__ import annotations

import os
import shutil

import pytest

from gitlumo import Experiment
from gitlumo.git import refusal
from gitlumo.git.process import Result
from tests.share import servers


@pytest.fixture
def certificates(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return servers.certificates(tmp_path / "certificates")


def first_line(answer) -> str:
    status, _, err = answer
    assert status == 128
    return err.partition("\n")[0]


def test_an_authority_of_ones_own(shared, certificates, clone, record, lumo, ok, git, tip, tmp_path, fsck):
    authority, certificate = certificates
    one = clone(shared, "one")
    record(one, "mine")
    with servers.http_server(shared.parent, certificate) as server:
        url = server.url("shared.git")
        git("remote", "set-url", "origin", url, cwd=one)
        for verb in ("push", "pull", "fetch"):
            status, _, err = lumo(one, verb, "-q")
            assert status == 128
            lines = err.splitlines()
            assert lines[0] == "fatal: origin: the connection is not safe: its certificate is not trusted"
            assert lines[-1].startswith("if the authority is your own: git config http.sslCAInfo FILE;")
            assert servers.PASSWORD not in err
        said = lumo(tmp_path, "clone", url, "two")
        assert first_line(said).endswith(": the connection is not safe: its certificate is not trusted")
        assert not (tmp_path / "two").exists()
        assert (tip(shared), len(server.requests)) == ("", 0)
        git("config", "http.sslCAInfo", authority, cwd=one)
        ok(one, "push")
        assert tip(shared) == tip(one)
        git("config", "--global", "http.sslCAInfo", authority)
        try:
            ok(tmp_path, "clone", url, "two")
            record(tmp_path / "two", "theirs")
            ok(tmp_path / "two", "push")
        finally:
            git("config", "--global", "--unset", "http.sslCAInfo")
        ok(one, "pull")
        assert tip(one) == tip(tmp_path / "two") == tip(shared)
    for path in (one, tmp_path / "two", shared):
        fsck(path)


def test_cut_within_tls(shared, certificates, clone, record, lumo, ok, git, tip):
    """That is no matter of trust."""
    authority, certificate = certificates
    one = clone(shared, "one")
    record(one, "mine")
    git("config", "http.sslCAInfo", authority, cwd=one)
    with servers.http_server(shared.parent, certificate) as server:
        git("remote", "set-url", "origin", server.url("shared.git"), cwd=one)
        for cut in ({"cut": 0}, {"cut": 200}, {"cut_answer": 0}, {"cut_answer": 12}):
            server.cut = server.cut_answer = None
            vars(server).update(cut)
            assert first_line(lumo(one, "push", "-q")) == "fatal: origin: the connection broke off", cut
        server.cut = server.cut_answer = None
        ok(one, "push")
        assert tip(shared) == tip(one)


def test_another_hosts_certificate(shared, tmp_path, clone, record, lumo, git):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    authority, certificate = servers.certificates(tmp_path / "certificates", "DNS:elsewhere.invalid")
    one = clone(shared, "one")
    record(one, "mine")
    git("config", "http.sslCAInfo", authority, cwd=one)
    with servers.http_server(shared.parent, certificate) as server:
        git("remote", "set-url", "origin", server.url("shared.git"), cwd=one)
        said = "fatal: origin: the connection is not safe: the certificate there is for another host"
        assert first_line(lumo(one, "push", "-q")) == said
        git("config", "http.sslCAInfo", tmp_path / "none.pem", cwd=one)
        status, _, err = lumo(one, "push", "-q")
        assert status == 128
        assert err.startswith("fatal: origin: the connection is not safe: its certificate is not trusted\n")
    with servers.http_server(shared.parent) as server:
        git("remote", "set-url", "origin", server.url("shared.git").replace("http:", "https:"), cwd=one)
        git("config", "http.sslCAInfo", authority, cwd=one)
        said = "fatal: origin: a safe connection (TLS) could not be made"
        assert first_line(lumo(one, "push", "-q")) == said


# What git says where it is built with OpenSSL (macOS, Fedora, ...); Debian's, which the tests above run, has GnuTLS.
OPENSSL = {
    "SSL certificate problem: unable to get local issuer certificate": "its certificate is not trusted",
    "SSL certificate problem: self-signed certificate in certificate chain": "its certificate is not trusted",
    "SSL: no alternative certificate subject name matches target host name 'x'": "is for another host",
    "error setting certificate file: /none.pem": "its certificate is not trusted",
    "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to x:443": "the connection broke off",
    "OpenSSL SSL_read: OpenSSL/3.0.2: error:0A000126::unexpected eof while reading": "the connection broke off",
    "LibreSSL SSL_read: LibreSSL/3.3.6: error:1404C3FC: read:reason(1020), errno 54": "the connection broke off",
    "OpenSSL/3.0.2: error:0A00010B:SSL routines::wrong version number": "a safe connection (TLS) could not be made",
}  # fmt: skip


@pytest.mark.parametrize("words", OPENSSL)
def test_what_openssl_says(words):
    err = f"fatal: unable to access 'https://x/r.git/': {words}\n"
    first = str(refusal.error_of(Result(128, b"", err.encode()), "origin", (), "fetch from")).partition("\n")[0]
    assert first.startswith("origin: ")
    assert first.endswith(OPENSSL[words])


# ------------------------------------------------------------------------------------------------------------- nginx


@pytest.fixture
def nginx(shared, tmp_path):
    """``nginx(more="")``: a context that yields the shared repository's address behind nginx."""
    programs = servers.nginx_programs()
    if programs is None:
        pytest.skip("nginx and fcgiwrap are not installed")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return lambda more="": servers.nginx(programs, tmp_path / "nginx", shared.parent, more)


def test_behind_nginx(shared, nginx, clone, record, ok, lumo, git, tip, hook, tmp_path, fsck):
    with nginx("client_max_body_size 0;") as server:
        url = f"{server}/shared.git"
        one, two = clone(url, "one"), clone(url, "two")
        record(one, "mine")
        with Experiment("digits", "large", repo=one) as exp:  # more than http.postBuffer: it comes in pieces
            exp.dump_string("noise", os.urandom(1_000_000).hex())
        hook("echo 'GH006: Protected branch update failed' >&2; exit 1")
        said = "fatal: origin does not take it: a rule or a hook there refuses the branch"
        assert first_line(lumo(one, "push", "-q")) == said
        hook("exit 0")
        ok(one, "push")
        record(two, "theirs")
        ok(two, "push")
        ok(one, "pull")
        assert tip(one) == tip(two) == tip(shared)
        git("remote", "set-url", "origin", url.replace(servers.PASSWORD, "wrong"), cwd=two)
        said = "fatal: origin does not accept the user name or the password"
        assert first_line(lumo(two, "push", "-q")) == said
        ok(tmp_path, "clone", url, "three")
        assert tip(tmp_path / "three") == tip(shared)
        for path in (one, two, shared, tmp_path / "three"):
            fsck(path)


def test_nginx_takes_only_so_much(shared, nginx, clone, record, ok, lumo, git, tip):
    """1 MB, unless it is told otherwise: then some runs at a time go through."""
    with nginx("client_max_body_size 300k;") as server:
        one = clone(f"{server}/shared.git", "one")
        for n in range(3):
            with Experiment("digits", f"large{n}", repo=one) as exp:
                exp.dump_string("noise", os.urandom(200_000).hex())
        status, _, err = lumo(one, "push", "-q")
        assert status == 128
        lines = err.splitlines()
        assert lines[0] == "fatal: origin does not take so much at once"
        assert lines[-1].endswith("or share some runs at a time:  git lumo push EXP...")
        assert tip(shared) == ""
        for n in range(3):
            ok(one, "push", f"large{n}")
        ok(one, "push")
        assert tip(shared) == tip(one)


NO_ANSWERS = {
    502: ": the server there has failed",
    503: ": the server there has failed",
    429: " takes no more for the moment",
}


@pytest.mark.parametrize("status", NO_ANSWERS)
def test_nginx_has_no_answer(shared, nginx, clone, record, ok, lumo, git, tip, status):
    one = clone(shared, "one")
    record(one, "mine")
    with nginx(f"return {status};") as server:
        git("remote", "set-url", "origin", f"{server}/shared.git", cwd=one)
        for verb in ("push", "pull"):
            assert first_line(lumo(one, verb, "-q")) == f"fatal: origin{NO_ANSWERS[status]}"
    with nginx() as server:
        git("remote", "set-url", "origin", f"{server}/shared.git", cwd=one)
        ok(one, "push")
    assert tip(shared) == tip(one)


# What hosts say in their hooks' names: https://docs.github.com, "Troubleshooting rules", "About large files".
HOSTS = {
    "remote: error: GH013: Repository rule violations found for refs/heads/x.\nremote: - Push cannot contain secrets\n"
    " ! [remote rejected] x -> x (push declined due to repository rule violations)": "refuses a secret",
    "remote: error: File big.bin is 120.00 MB; this exceeds GitHub's file size limit of 100.00 MB\n"
    " ! [remote rejected] x -> x (pre-receive hook declined)": "does not take so much at once",
    "remote: error: GH006: Protected branch update failed for refs/heads/x.\n"
    " ! [remote rejected] x -> x (protected branch hook declined)": "does not take it: a rule or a hook there",
}


@pytest.mark.parametrize("words", HOSTS)
def test_what_hosts_say(words):
    first = str(refusal.error_of(Result(1, b"", words.encode()), "origin", (), "push to")).partition("\n")[0]
    assert first.startswith(f"origin {HOSTS[words]}")
