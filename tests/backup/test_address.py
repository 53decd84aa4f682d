"""Where backups go: which URLs of a remote are a repository on GitHub, and which are not."""

from __future__ import annotations

import shutil

import pytest

from gitlumo import SimpleExperiment
from gitlumo.backup import address
from gitlumo.cli import main
from gitlumo.cli.opening import open_here
from gitlumo.errors import LumoError


@pytest.fixture
def remote(git, repo):
    """``remote(url)``: the repository on GitHub that a remote at a URL is, as ``owner/name``."""

    def find(url: str) -> str:
        git("config", "remote.origin.url", url)
        return address.find(open_here()).repo

    return find


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ada/digits",
        "https://github.com/ada/digits.git",
        "https://ada:secret@github.com/ada/digits.git/",
        "https://www.GitHub.com/ada/digits",
        "git@github.com:ada/digits.git",
        "github.com:ada/digits",
        "ssh://git@github.com/ada/digits.git",
        "ssh://git@ssh.github.com:443/ada/digits.git",
        "git://github.com/ada/digits",
    ],
)
def test_urls_of_a_repository_on_github(remote, url):
    assert remote(url) == "ada/digits"


@pytest.mark.parametrize(
    "url",
    [
        "https://gitlab.com/ada/digits",
        "https://github.com.evil.org/ada/digits",
        "https://evil.org/github.com/ada/digits",
        "git@gitlab.com:ada/digits.git",
        "git@server:ada/digits.git",
        "-oProxyCommand=x:ada/digits",
        "https://github.com/ada",
        "https://github.com/ada/digits/tree/main",
        "https://github.com/../digits",
        "/srv/ada/digits.git",
        "../ada/digits",
    ],
)
def test_urls_of_something_else(remote, url):
    with pytest.raises(LumoError, match=r"(?s)no repository on github.com.*--repo OWNER/NAME"):
        remote(url)


def test_a_name_of_insteadof(git, remote):
    git("config", "url.git@github.com:.insteadOf", "gh:")
    assert remote("gh:ada/digits") == "ada/digits"


def test_a_name_of_sshs_configuration(remote, tmp_path, monkeypatch):
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed")
    program = tmp_path / "bin/ssh"  # ssh itself looks for the home folder in the system's list of users
    program.parent.mkdir()
    config = tmp_path / "config"
    config.write_text("Host gh-work\n  HostName github.com\n  User git\n")
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert remote("gh-work:ada/digits") == "ada/digits"
    assert remote("ssh://gh-work/ada/digits") == "ada/digits"
    with pytest.raises(LumoError, match="no repository"):
        remote("another:ada/digits")


def test_a_server_of_ones_own(git, remote):
    git("config", "lumo.githubUrl", "https://git.lab.org/api/v3")
    assert remote("git@git.lab.org:ada/digits.git") == "ada/digits"
    assert remote("https://git.lab.org/ada/digits") == "ada/digits"
    with pytest.raises(LumoError, match=r"no repository on git.lab.org"):
        remote("https://github.com/ada/digits")


@pytest.mark.parametrize(
    ("name", "said"), [("foo", "as in octocat/digits"), ("a/b/c", "OWNER/NAME"), ("", "no remote")]
)
def test_names_that_are_none(repo, capfd, name, said):
    with SimpleExperiment("digits"):
        pass
    assert main(["backup", "@", "--repo", name]) in (128, 129)
    assert said in capfd.readouterr().err
