"""Which repository on GitHub is meant, and with which token."""

from __future__ import annotations

import os

import pytest

from gitlumo.backup import address
from gitlumo.backup.address import Address
from gitlumo.cli import main
from gitlumo.cli.opening import open_here
from gitlumo.errors import LumoError, UsageError
from tests.backup import backups
from tests.backup.parcels import PUBLIC

ENTERPRISE, PORT = "https://ghe.corp/api/v3", "https://ghe.corp:8443/api/v3"


@pytest.fixture(autouse=True)
def ssh(tmp_path, monkeypatch):
    """An ssh that knows two names of hosts, as ``ssh -G`` tells them, and writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(f"""#!/bin/sh
echo "$@" >>'{tmp_path}/asked'
[ "$1 $2" = "-G --" ] || exit 9
case "$3" in
work) host=github.com ;;
github.com-work) host=ssh.github.com ;;
corp) host=ghe.corp ;;
*) host=$3 ;;
esac
echo "user git"
echo "hostname $host"
""")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "asked"


def find(git, url, api=PUBLIC, repo=None):
    git("remote", "add", "origin", url)
    git("config", "lumo.githubUrl", api)
    return address.find(open_here(), repo)


HERE = [
    "https://github.com/ada/digits",
    "https://github.com/ada/digits.git",
    "https://github.com/ada/digits/",
    "https://github.com/ada/digits.git/",
    "https://GitHub.com/ada/digits",
    "https://www.github.com/ada/digits",
    "https://github.com:443/ada/digits",
    "https://ada@github.com/ada/digits.git",
    "https://ada:secret@github.com/ada/digits.git",
    "http://github.com/ada/digits",
    "git://github.com/ada/digits.git",
    "ssh://git@github.com/ada/digits.git",
    "ssh://github.com:22/ada/digits",
    "ssh://git@ssh.github.com:443/ada/digits.git",
    "git+ssh://git@github.com/ada/digits.git",
    "git@github.com:ada/digits.git",
    "git@github.com:ada/digits",
    "git@github.com:/ada/digits.git",
    "git@github.com:ada/digits/",
    "github.com:ada/digits.git",
    "org-12@github.com:ada/digits.git",
    "git@GitHub.com:ada/digits.git",
    "work:ada/digits.git",
    "git@github.com-work:ada/digits",
    "ssh://work/ada/digits",
]


@pytest.mark.parametrize("url", HERE)
def test_remotes_on_github(git, repo, url):
    found = find(git, url)
    assert found == Address(PUBLIC, "ada/digits")
    assert (found.host, found.web) == ("github.com", "https://github.com/ada/digits")


@pytest.mark.parametrize(
    ("url", "api", "web"),
    [
        ("https://ghe.corp/lab/d.x", ENTERPRISE, "https://ghe.corp/lab/d.x"),
        ("git@ghe.corp:lab/d.x.git", ENTERPRISE, "https://ghe.corp/lab/d.x"),
        ("ssh://git@ghe.corp:122/lab/d.x.git", ENTERPRISE, "https://ghe.corp/lab/d.x"),
        ("corp:lab/d.x", ENTERPRISE, "https://ghe.corp/lab/d.x"),
        ("https://ghe.corp:8443/lab/d.x", PORT, "https://ghe.corp:8443/lab/d.x"),
        ("git@ghe.corp:lab/d.x", PORT, "https://ghe.corp:8443/lab/d.x"),
        ("https://lab.ghe.com/lab/d.x", "https://api.lab.ghe.com", "https://lab.ghe.com/lab/d.x"),
        ("https://ghe.corp/lab_x/d.x", f"{ENTERPRISE}/", "https://ghe.corp/lab_x/d.x"),
    ],
)
def test_a_github_of_ones_own(git, repo, url, api, web):
    found = find(git, url, api)
    assert (found.api, found.web) == (api.rstrip("/"), web)


ELSEWHERE = [
    "https://gitlab.com/ada/digits.git",
    "git@gitlab.com:ada/digits.git",
    "lab:ada/digits.git",
    "https://github.com.evil.example/ada/digits",
    "https://evilgithub.com/ada/digits",
    "https://github.com@evil.example/ada/digits",
    "https://evil.example/github.com/ada/digits",
    "https://github.com:8443/ada/digits",
    "https://work/ada/digits",
    "https://github.com/ada",
    "https://github.com/ada/digits/tree",
    "https://github.com/ada/..",
    "https://github.com/-ada/digits",
    "https://github.com/a d/digits",
    "https://[github.com/ada/digits",
    "ssh://git@github.com:port/ada/digits",
    "ssh://-oProxyCommand=x/ada/digits",
    "-oProxyCommand=x:ada/digits",
    "/srv/ada/digits.git",
    "./ada/digits",
    "../github.com:ada/digits",
    "file:///github.com/ada/digits",
    "ext::sh -c github.com:ada/digits",
]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_remotes_elsewhere(git, repo, url, ssh):
    git("config", "remote.origin.url", url)
    with pytest.raises(LumoError, match=r"is no repository on github.com\nsay where .*--repo OWNER/NAME"):
        address.find(open_here())
    assert not ssh.exists() or " -- " in ssh.read_text()


def test_passwords_are_not_shown(git, repo):
    with pytest.raises(LumoError) as caught:
        find(git, "https://ada:hunter2@gitlab.com/ada/digits")
    assert "hunter2" not in str(caught.value)


def test_without_ssh_a_name_of_its_configuration_is_no_host(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert address._of_url("work:ada/digits", "github.com") is None
    assert address._of_url("git@github.com:ada/digits", "github.com") == "ada/digits"


def test_what_git_puts_in_place_of_urls(git, repo):
    git("config", "url.git@github.com:.insteadOf", "gh:")
    git("config", "url.https://gitlab.com/.pushInsteadOf", "gh:")
    assert find(git, "gh:ada/digits").repo == "ada/digits"


def test_which_remote(git, repo):
    with pytest.raises(LumoError, match="this repository has no remote\nso say where the issues go:"):
        address.find(open_here())
    git("remote", "add", "one", "https://github.com/ada/one")
    assert address.find(open_here()).repo == "ada/one"
    git("remote", "add", "two", "https://github.com/ada/two")
    with pytest.raises(LumoError, match="there are several remotes: one, two\nso say where the issues go:"):
        address.find(open_here())
    git("config", "lumo.remote", "two")
    assert address.find(open_here()).repo == "ada/two"
    git("config", "lumo.githubRepo", "ada/three")
    assert address.find(open_here()).repo == "ada/three"
    assert address.find(open_here(), "ada/four").repo == "ada/four"
    assert address.find(open_here(), "https://github.com/ada/five.git").repo == "ada/five"


@pytest.mark.parametrize(
    "name",
    ["digits", "ada/", "/digits", "ada/digits/x", "ada/..", "ada/.", "a da/x", "https://gitlab.com/a/b", "-a/b", "ä/b"],
)
def test_wrong_names(git, repo, name):
    with pytest.raises(UsageError, match=r"--repo is .*; it can be OWNER/NAME"):
        address.find(open_here(), name)
    git("config", "lumo.githubRepo", name)
    with pytest.raises(UsageError, match=r"lumo.githubRepo is .*; it can be OWNER/NAME"):
        address.find(open_here())


@pytest.mark.parametrize(
    "url", ["github.com", "ftp://x/y", "https://ada@ghe.corp/api/v3", "https:///x", "https://x/?y"]
)
def test_wrong_apis(git, repo, url, capfd):
    backups.record()
    git("config", "lumo.githubUrl", url)
    assert main(["backup", "@"]) == 129
    assert "lumo.githubUrl is" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("github:ada/digits#12", ("ada/digits", 12)),
        ("ada/digits#12", ("ada/digits", 12)),
        ("https://github.com/ada/digits/issues/12", ("ada/digits", 12)),
        ("https://github.com/ada/digits/issues/12/", ("ada/digits", 12)),
        ("https://www.GitHub.com/ada/digits/issues/12#issuecomment-1", ("ada/digits", 12)),
        ("https://github.com/ada/digits/issues/12?x=y", ("ada/digits", 12)),
        ("github:ada/digits", None),
        ("github:ada/digits#", None),
        ("github:ada/digits#0", None),
        ("github:ada/digits#-1", None),
        ("github:ada/digits#\u0661", None),
        ("github:ada/digits#" + "9" * 5000, None),
        ("github:ada/..#1", None),
        ("github:digits#1", None),
        ("github:ada/digits/x#1", None),
        ("gitlab:ada/digits#1", None),
        ("https://gitlab.com/ada/digits/issues/12", None),
        ("https://github.com/ada/digits/pull/12", None),
        ("https://github.com/ada/digits/issues", None),
        ("https://github.com/ada/digits/issues/12/x", None),
        ("https://github.com/ada/../issues/12", None),
        ("https://github.com/ada/digits/issues/" + "9" * 5000, None),
        ("https://[github.com/ada/digits/issues/12", None),
        ("file:///ada/digits/issues/12", None),
        ("", None),
    ],
)
def test_issues(text, found):
    assert address.parse(text, PUBLIC) == found


def test_issues_of_a_github_of_ones_own():
    assert address.parse("https://ghe.corp:8443/ada/digits/issues/12", PORT) == ("ada/digits", 12)
    assert address.parse("https://github.com/ada/digits/issues/12", PORT) is None
    assert address.parse("https://api.github.com/ada/digits/issues/12", PUBLIC) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [("github:ada/digits", "ada/digits"), ("ada/digits", None), ("github:ada/digits#1", None), ("github:ada/..", None)],
)
def test_repositories(text, found):
    assert address.parse_repo(text) == found


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["github:ada/digits"], "is a whole repository; name an issue, github:ada/digits#NUMBER, or say --all"),
        (["--all", "github:ada/digits#3"], "it can be github:OWNER/REPO with --all"),
        (["github:nonsense"], "'github:nonsense' is no backup; it can be"),
    ],
)
def test_wrong_sources(repo, args, said, capfd):
    assert main(["restore", *args]) == 129
    assert said in capfd.readouterr().err


PLACE = Address(PUBLIC, "ada/digits")


def test_tokens_of_the_environment(repo, monkeypatch):
    monkeypatch.setenv("GH_TOKEN", "second")
    assert address.token(open_here(), PLACE) == "second"
    monkeypatch.setenv("GITHUB_TOKEN", " first\n")
    assert address.token(open_here(), PLACE) == "first"
    monkeypatch.setenv("GITHUB_TOKEN", " ")
    assert address.token(open_here(), PLACE) == "second"


HELPER = """!f() { test "$1" = get && cat >asked && echo username=ada && echo password=kept; }; f"""


def test_a_token_of_a_credential_helper(git, repo):
    git("config", "credential.helper", HELPER)
    git("config", "credential.useHttpPath", "true")
    assert address.token(open_here(), PLACE) == "kept"
    asked = (repo / "asked").read_text()
    assert {"protocol=https", "host=github.com", "path=ada/digits.git"} <= set(asked.splitlines())
    assert address.token(open_here(), Address(PORT, "lab/d")) == "kept"
    assert "host=ghe.corp:8443" in (repo / "asked").read_text()


@pytest.mark.parametrize("helper", ["", "!true", "!echo password=", "!false", "!sleep 9", "!echo quit=1", "nonsense"])
def test_no_token(git, repo, helper, monkeypatch, tmp_path):
    monkeypatch.setattr(address, "_ANSWERS", 0.5)
    askpass = tmp_path / "askpass"
    askpass.write_text(f"#!/bin/sh\ntouch '{tmp_path}/shown'\necho x\n")
    askpass.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(askpass))
    git("config", "core.askPass", askpass)
    git("config", "credential.helper", helper)
    with pytest.raises(
        LumoError, match=r"(?s)there is no token for github.com: neither .*issues of ada/digits.*export"
    ):
        address.token(open_here(), PLACE)
    assert not (tmp_path / "shown").exists()
