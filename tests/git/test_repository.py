"""Finding a repository, wherever one stands, and what it says of itself."""

import os
import re
import time

import pytest

from gitlumo.errors import NotARepository
from gitlumo.git.repository import Location, locate, open_repository, timestamp

root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="not root")


@pytest.fixture
def place(git, repo, tmp_path):
    """``place(kind)``: (folder to look from, git_dir, common_dir, work_tree)."""

    def make(kind):
        plain = repo / ".git"
        if kind == "plain":
            return repo, plain, plain, repo
        if kind == "subfolder":
            (repo / "a/b").mkdir(parents=True)
            return repo / "a/b", plain, plain, repo
        if kind == "git folder":
            return plain, plain, plain, None
        if kind == "below the git folder":
            return plain / "refs", plain, plain, None
        if kind == "symlink":
            (tmp_path / "link").symlink_to(repo)
            return tmp_path / "link", plain, plain, repo
        if kind == "bare":
            git("clone", "--quiet", "--bare", repo, tmp_path / "x.git")
            return (tmp_path / "x.git",) * 3 + (None,)
        if kind == "worktree":
            git("worktree", "add", "--quiet", tmp_path / "side", cwd=repo)
            (tmp_path / "side/a").mkdir()
            return tmp_path / "side/a", plain / "worktrees/side", plain, tmp_path / "side"
        if kind == "worktree of a bare one":
            git("clone", "--quiet", "--bare", repo, tmp_path / "x.git")
            git("worktree", "add", "--quiet", tmp_path / "side", cwd=tmp_path / "x.git")
            return tmp_path / "side", tmp_path / "x.git/worktrees/side", tmp_path / "x.git", tmp_path / "side"
        if kind == "submodule":
            git("clone", "--quiet", repo, tmp_path / "other")
            git("submodule", "--quiet", "add", tmp_path / "other", "sub", cwd=repo)
            return (repo / "sub", *[plain / "modules/sub"] * 2, repo / "sub")
        if kind == "separate":
            git("init", "--quiet", "--separate-git-dir", tmp_path / "apart", tmp_path / "top")
            return tmp_path / "top", tmp_path / "apart", tmp_path / "apart", tmp_path / "top"
        name = {"newline": "new\nline\n", "not UTF-8": "\udcff", "spaces": " a\tb "}[kind.removeprefix("bare, ")]
        bare = ["--bare"] if kind.startswith("bare, ") else []
        top = tmp_path / name
        git("init", "--quiet", *bare, top)
        return (top, top, top, None) if bare else (top, top / ".git", top / ".git", top)

    return make


KINDS = [
    "plain",
    "subfolder",
    "git folder",
    "below the git folder",
    "symlink",
    "bare",
    "worktree",
    "worktree of a bare one",
    "submodule",
]
KINDS += ["separate", "newline", "not UTF-8", "spaces", "bare, newline", "bare, not UTF-8"]


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_lies(place, kind, monkeypatch):
    folder, git_dir, common_dir, work_tree = place(kind)
    expected = Location(str(git_dir), str(common_dir), str(work_tree) if work_tree else None, "sha1", "files")
    monkeypatch.chdir(folder)
    assert locate(folder) == locate(str(folder)) == locate(".") == locate() == expected
    assert (expected.objects_dir, expected.lumo_dir) == (f"{common_dir}/objects", f"{common_dir}/lumo")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("separate", "newline", "not UTF-8", "spaces")])
def test_both_doors_open_everywhere(place, kind):
    repository = open_repository(place(kind)[0])
    for _ in range(2):  # also after closing
        head = repository.refs.read("HEAD")
        if head:
            assert repository.objects.read(head)[0] == "commit"
        assert repository.refs.symbolic("HEAD").startswith("refs/heads/")
        repository.close()
    assert head or kind.startswith("bare, ")


def test_git_dir_is_obeyed_only_without_a_path(repo, git, tmp_path, monkeypatch):
    git("init", "--quiet", tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert locate().work_tree == str(tmp_path / "other")
    assert locate(repo).work_tree == locate(".").work_tree == str(repo)
    assert open_repository().refs.read("refs/heads/main") is None
    assert open_repository(repo).config["core.bare"] == ["false"]


def test_no_repository(tmp_path):
    for path in (tmp_path, None):
        with pytest.raises(NotARepository, match=r"not a git repository(?s:.*)'git init'") as caught:
            locate(path)
        assert str(tmp_path) in str(caught.value)
        assert caught.value.status == 128


@pytest.mark.parametrize("name", ["missing", "file", "repo/train.py"])
def test_no_folder(repo, tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(NotARepository, match=f"{name} is not a folder"):
        locate(tmp_path / name)


def test_a_git_dir_that_leads_nowhere(repo, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(repo / "nowhere"))
    with pytest.raises(NotARepository, match="nowhere"):
        locate()


def test_a_current_folder_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NotARepository):
        locate()


def test_a_broken_configuration_is_said(repo):
    (repo / ".git/config").write_text("[broken\n")
    with pytest.raises(NotARepository, match="bad config line 1"):
        locate(repo)


@root
def test_owned_by_someone_else(repo, git, monkeypatch):
    for path in (repo, repo / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(NotARepository, match="dubious ownership") as caught:
        locate(repo)
    assert "safe.directory" in str(caught.value)
    assert "git init" not in str(caught.value)
    for name, value in (("COUNT", "1"), ("KEY_0", "safe.directory"), ("VALUE_0", str(repo))):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    repository = open_repository(repo)  # what git trusts, both doors trust
    assert repository.objects.has(repository.refs.read("HEAD"))


@pytest.mark.parametrize("words", [["--object-format=sha256"], ["--ref-format=reftable"]], ids=["sha256", "reftable"])
def test_other_formats(git, tmp_path, words):
    try:
        git("init", "--quiet", *words, tmp_path / "x")
    except AssertionError:
        pytest.skip("git is too old for reftable")
    git("commit", "--quiet", "--allow-empty", "--message", "1", cwd=tmp_path / "x")
    repository = open_repository(tmp_path / "x")
    head = repository.refs.read("HEAD")
    assert head == git("rev-parse", "HEAD", cwd=tmp_path / "x")
    location = repository.location
    assert (location.ref_store, location.hash_name) == (
        ("reftable", "sha1") if words == ["--ref-format=reftable"] else ("files", "sha256")
    )
    assert repository.objects.has(head)
    repository.close()


@pytest.mark.parametrize("extension", ["worktreeConfig=true", "preciousObjects=true", "noop=1", "partialClone=origin"])
def test_extensions_that_git_knows(repo, git, extension):
    name, _, value = extension.partition("=")
    git("config", "core.repositoryFormatVersion", "1", cwd=repo)
    git("config", f"extensions.{name}", value, cwd=repo)
    repository = open_repository(repo)
    assert repository.objects.has(repository.refs.read("refs/heads/main"))


# --- what it says of itself ---


def test_configuration(repo, git):
    for name, value in (("lumo.env", "A"), ("lumo.env", "B"), ("lumo.snapshotMaxFile", "two\nlines = x")):
        git("config", "--add", name, value, cwd=repo)
    with open(repo / ".git/config", "a") as config:
        config.write("[lumo]\n\tsnapshot\n[other]\n\tx = 1\n")
    config = open_repository(repo).config
    assert config["lumo.env"] == ["A", "B"]
    assert config["lumo.snapshotmaxfile"] == ["two\nlines = x"]
    assert config["lumo.snapshot"] == ["true"]  # a name alone is true
    assert config["user.name"] == ["Ada Lovelace"]
    assert "other.x" not in config


ADA = "Ada Lovelace <ada@example.org>"


@pytest.mark.parametrize(
    ("config", "env", "identity", "own"),
    [
        ({}, {}, ADA, True),
        ({"user.name": "Bob"}, {}, "Bob <ada@example.org>", True),
        ({"user.name": "Bob", "author.name": "Cy", "author.email": "c@y"}, {}, "Cy <c@y>", True),
        ({"user.name": "Bob"}, {"GIT_AUTHOR_NAME": "Eve", "GIT_AUTHOR_EMAIL": "e@v"}, "Eve <e@v>", True),
        ({"user.name": "Größe 数"}, {}, "Größe 数 <ada@example.org>", True),
        ({"user.useConfigOnly": "true"}, {"GIT_CONFIG_GLOBAL": os.devnull}, "gitlumo user <user@localhost>", False),
        ({"user.name": "N"}, {"GIT_CONFIG_GLOBAL": os.devnull, "EMAIL": "n@m"}, "N <n@m>", True),
    ],
)
def test_identity(repo, git, monkeypatch, config, env, identity, own):
    for name, value in config.items():
        git("config", name, value, cwd=repo)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert open_repository(repo).identity == (identity, own)
    said = git("var", "GIT_AUTHOR_IDENT", cwd=repo, check=False).rsplit(" ", 2)[0]
    assert said == (identity if own else "")


@pytest.mark.parametrize(
    "name", ["A. U. Thor", " a ", "a<b>c", "a\nb", "\tx", '"q"', "x\\", "\\x", "'", "a\tb", ";x,", "数。"]
)
def test_a_name_as_git_would_write_it(repo, git, name):
    git("config", "user.name", name, cwd=repo)
    said = git("var", "GIT_AUTHOR_IDENT", cwd=repo, check=False).rsplit(" ", 2)[0]
    identity, own = open_repository(repo).identity
    assert identity == (said or "gitlumo user <user@localhost>")
    assert own is bool(said)


def test_remotes(repo, git):
    for name in ("origin", "a.b.c", "größe", "UPPER"):
        git("remote", "add", name, f"https://host/{name}.git", cwd=repo)
    git("config", "remote.pushDefault", "origin", cwd=repo)
    git("config", "--add", "remote.origin.url", "https://second/url", cwd=repo)
    git("config", "remote.no-url.prune", "true", cwd=repo)
    repository = open_repository(repo)
    assert repository.remote_names() == ["UPPER", "a.b.c", "größe", "no-url", "origin"]
    names = ("UPPER", "a.b.c", "größe", "origin")
    assert repository.remote_urls() == {name: git("remote", "get-url", name, cwd=repo) for name in names}


def test_no_remotes(repo):
    assert open_repository(repo).remote_names() == []
    assert open_repository(repo).remote_urls() == {}


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "+0000"),
        ("EST5", "-0500"),
        ("IST-5:30", "+0530"),
        ("NST3:30", "-0330"),
        ("XXX-14", "+1400"),
        ("XXX0:45", "-0045"),
    ],
)
def test_timestamps(repo, git, monkeypatch, zone, text):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert timestamp(1700000000.9) == f"1700000000 {text}"
        now = timestamp()
        git("commit", "--quiet", "--allow-empty", "--message", "x", cwd=repo)
    time.tzset()
    assert re.fullmatch(rf"\d+ {re.escape(text)}", now)
    assert git("log", "-1", "--format=%ad", "--date=format:%z", cwd=repo) == text
