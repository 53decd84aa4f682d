"""Children of ours: what they see, and what we hear of them."""

import os
import subprocess
import sys
import time

import pytest

from gitlumo.errors import GitError
from gitlumo.git import process


@pytest.mark.parametrize(
    "name",
    [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_COMMON_DIR",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_PREFIX",
        "GIT_NAMESPACE",
        "GIT_QUARANTINE_PATH",
        "GIT_REFLOG_ACTION",
        "GIT_LITERAL_PATHSPECS",
        "GIT_REPLACE_REF_BASE",
    ],
)
def test_what_would_mislead_a_child(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert name not in process.environment()
    assert (name in process.environment(keep_where=True)) is (name in process.WHERE)


@pytest.mark.parametrize(
    "name",
    [
        "GIT_CONFIG_PARAMETERS",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_KEY_0",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_TRACE",
        "GIT_SSH_COMMAND",
        "GIT_SSL_NO_VERIFY",
        "GIT_HTTP_USER_AGENT",
        "GIT_PROXY_COMMAND",
        "GIT_ASKPASS",
        "GIT_EXEC_PATH",
        "GIT_AUTHOR_NAME",
        "GIT_COMMITTER_DATE",
        "GIT_CEILING_DIRECTORIES",
        "PATH",
        "HOME",
        "GITHUB_TOKEN",
    ],
)
def test_what_a_child_needs(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert process.environment()[name] == "x"


def test_nobody_is_asked_and_words_are_gits_own(monkeypatch):
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    child = process.environment({"X": "1"})
    assert (child["GIT_TERMINAL_PROMPT"], child["GIT_OPTIONAL_LOCKS"], child["LC_ALL"], child["X"]) == (
        "0",
        "0",
        "C",
        "1",
    )
    assert "X" not in os.environ


def test_a_child_works_where_it_is_told(repo, tmp_path, monkeypatch, git):
    other = tmp_path / "other"
    git("init", "--quiet", other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / "index"))
    assert process.run(["rev-parse", "--show-toplevel"], cwd=str(repo)).out == f"{repo}\n".encode()
    assert process.run(["ls-files", "-z"], cwd=str(repo)).out.startswith(b".gitignore\0")


def test_configuration_from_the_command_line(repo):
    script = "from gitlumo.git.repository import open_repository; print(open_repository().config['lumo.branch'])"
    alias = f'alias.x=!"{sys.executable}" -c "{script}"'
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["git", "-c", "lumo.branch=mine", "-c", alias, "x"]
    assert subprocess.run(command, cwd=repo, env=env, capture_output=True, text=True, check=True).stdout == "['mine']\n"


def test_what_comes_back(repo):
    got = process.run(["hash-object", "--stdin"], cwd=str(repo), stdin=b"\0\xff")
    assert (got.status, len(got.out), got.err) == (0, 41, b"")
    assert process.run(["cat-file", "--batch"], cwd=str(repo)).out == b""  # without stdin nothing is read


def test_a_failure(repo):
    with pytest.raises(GitError, match=r"^ambiguous argument 'none'"):
        process.run(["rev-parse", "none"], cwd=str(repo))
    got = process.run(["rev-parse", "--verify", "none"], cwd=str(repo), check=False)
    assert (got.status, got.message) == (128, "Needed a single revision")
    assert process.run(["show-ref", "--quiet", "none"], cwd=str(repo), check=False).message == "git ended with status 1"


def test_words_that_are_not_utf8(repo):
    with pytest.raises(GitError):
        process.run(["rev-parse", "\udcff"], cwd=str(repo))


def test_no_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match=r"no git program on the PATH; install git 2\.39"):
        process.run(["version"])


@pytest.mark.parametrize("cwd", ["missing", "file"])
def test_no_such_folder_is_not_a_missing_git(tmp_path, cwd):
    (tmp_path / "file").touch()
    with pytest.raises(GitError, match=cwd):
        process.run(["version"], cwd=str(tmp_path / cwd))


def test_too_slow(repo):
    with pytest.raises(TimeoutError, match=r"git wait took longer than 0\.05 s"):
        process.run(["-c", "alias.wait=!exec sleep 60", "wait"], cwd=str(repo), timeout=0.05)


def test_a_detached_child_outlives_its_parent(repo, tmp_path):
    """It does its work after the parent has gone, and holds none of the parent's pipes."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    word = f"alias.late=!echo >'{fifo}'; git tag late"
    script = (
        f"from gitlumo.git.process import start_detached; start_detached(['-c', {word!r}, 'late'], cwd={str(repo)!r})"
    )
    command = [sys.executable, "-W", "error", "-c", script]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    fifo.read_text()  # only now it goes on
    until = time.monotonic() + 20
    while process.run(["tag"], cwd=str(repo)).out != b"late\n":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_detached_child_brings_no_warning(repo):
    """pytest makes a warning of a Popen that was dropped while it ran an error of this test."""
    for _ in range(3):
        process.start_detached(["version"], cwd=str(repo))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_an_end_is_waited_for_and_not_looked_for(monkeypatch):
    monkeypatch.setattr(subprocess.time, "sleep", lambda seconds: pytest.fail("it sleeps, and looks again"))
    late = [sys.executable, "-c", "import os, time; os.close(1); os.close(2); time.sleep(0.05)"]
    child = process.Child(late, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.communicate(timeout=30) == (b"", b"")
    assert child.returncode == 0


def test_a_child_that_does_not_end_is_not_waited_for_longer():
    with process.Child([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.01)
        child.kill()


def test_piped(repo, git):
    blob = git("hash-object", "-w", "--stdin", input="text", cwd=repo)
    names = ["-C", str(repo), "show", "-s", f"--format={blob}%n{blob}"]
    with process.piped(names, ["-C", str(repo), "cat-file", "--batch-check=%(objecttype) %(objectsize)"]) as out:
        assert out.read() == b"blob 4\n" * 2


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (["rev-list", "--objects", "nobody"], ["cat-file", "--batch"], "unknown revision"),
        (["rev-parse", "HEAD"], ["cat-file", "--nothing"], "ended with status"),
    ],
)
def test_a_pipe_that_breaks(repo, first, second, words):
    with pytest.raises(GitError, match=words), process.piped(first, second) as out:
        assert out.read() == b""
