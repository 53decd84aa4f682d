"""The main job over every engine, object format and ref store; engines side by side; an install without pygit2."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from gitlumo.git import process
from gitlumo.git.engines import choose
from tests.test_stranger import check_repository

REF = "refs/heads/lumo_experiments"
PAIRS = [
    ("pygit2", "sha1", "files"),
    ("pygit2", "sha1", "reftable"),
    ("dulwich", "sha1", "files"),
    ("dulwich", "sha1", "reftable"),
    ("dulwich", "sha256", "files"),
    ("dulwich", "sha256", "reftable"),
]


@pytest.fixture(scope="session")
def without_pygit2(sealed, tmp_path_factory):
    """A folder of all that is installed but pygit2, for a Python that looks nowhere else (``python -S``)."""
    farm = tmp_path_factory.mktemp("without-pygit2")
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "pygit2" not in path.name and path.suffix != ".pth":
            (farm / path.name).symlink_to(path)
    if not (farm / "gitlumo/__init__.py").exists():  # an editable install has at most the hooks there
        (farm / "gitlumo").unlink(missing_ok=True)
        (farm / "gitlumo").symlink_to(Path(__file__).parents[1] / "gitlumo")
    return farm


@pytest.fixture
def python(without_pygit2, monkeypatch):
    """``python(engine)``: the command of a Python in which that engine reads SHA-1."""

    def command(engine):
        if engine == "pygit2":
            return [sys.executable]
        return ["env", f"PYTHONPATH={without_pygit2}", sys.executable, "-S"]

    return command


@pytest.fixture
def make_repo(git, tmp_path):
    """``make_repo(hash_name, ref_store)``: a dirty repository with one commit."""

    def make(hash_name, ref_store):
        path = tmp_path / f"{hash_name}-{ref_store}"
        init = ["init", "--quiet", f"--object-format={hash_name}"]
        if ref_store == "reftable":
            init.append("--ref-format=reftable")
            if process.run([*init, str(tmp_path / "tried")], check=False).status:
                pytest.skip("git is too old for reftable")
        git(*init, path)
        (path / "train.py").write_text("1\n")
        git("add", "--all", cwd=path)
        git("commit", "--quiet", "--message", "a training", cwd=path)
        (path / "train.py").write_text("2\n")
        (path / "new.py").write_text("3\n")
        return path

    return make


TRAINING = """
import os, sys, gitlumo
engine = sys.argv[1]
for seed in range(3):
    with gitlumo.SimpleExperiment('digits', params={'seed': seed, 'by': engine}) as exp:
        assert exp.repository.engine.objects == engine, exp.repository.engine
        for step in range(4):
            exp.log({'loss': 1 / (1 + step + seed)})
        exp.checkpoint()
try:
    with gitlumo.Experiment('digits', params={'seed': 3, 'by': engine}):
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
exp = gitlumo.start('digits', params={'seed': 4, 'by': engine})
exp.log({'loss': 7})
os._exit(9)
"""


@pytest.mark.parametrize(("engine", "hash_name", "ref_store"), PAIRS, ids=map("-".join, PAIRS))
def test_the_main_job(make_repo, python, git, fsck, tree_state, tmp_path, engine, hash_name, ref_store):
    repo = make_repo(hash_name, ref_store)
    before = tree_state(repo)

    def lumo(*args, cwd=repo):
        command = [*python(engine), "-m", "gitlumo", *args]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    trained = subprocess.run([*python(engine), "-c", TRAINING, engine], cwd=repo, capture_output=True, text=True)
    assert trained.returncode == 9, trained.stderr
    fsck(repo)
    assert lumo("recover").count("killed") == 1
    runs = json.loads(lumo("log", "--json"))
    assert [(run["params"]["seed"], run["state"]) for run in runs] == [
        (4, "killed"), (3, "failed"), (2, "finished"), (1, "finished"), (0, "finished"),
    ]  # fmt: skip
    assert runs[0]["metrics"]["loss"]["last"] == 7
    shown = json.loads(lumo("show", "--json", "@~2"))
    assert shown["metrics"]["loss"]["count"] == 4
    code = shown["git"]["commit"]
    assert len(code) == (40 if hash_name == "sha1" else 64)
    assert git("show", f"{code}:train.py", cwd=repo) == "2"
    assert git("show", f"{code}:new.py", cwd=repo) == "3"
    lumo("fsck")
    git("gc", "--quiet", "--prune=now", cwd=repo)
    fsck(repo)
    check_repository(repo)
    after = tree_state(repo)
    for key in ("HEAD log",) if ref_store == "reftable" else ():
        assert before.pop(key) == after.pop(key)
    assert before == after
    listed = lumo("log", "--oneline")
    clone = tmp_path / "clone"
    git("clone", "--quiet", f"file://{repo}", clone)
    assert lumo("log", "--oneline", cwd=clone) == listed
    with_clone = [*python(engine), "-c", "import gitlumo; gitlumo.start('digits').end()"]
    assert subprocess.run(with_clone, cwd=clone, capture_output=True, check=False).returncode == 0
    assert len(lumo("log", "--oneline", cwd=clone).splitlines()) == 6
    fsck(clone)


RUNS = """
import sys, gitlumo
for n in range(4):
    with gitlumo.Experiment('many', params={'by': sys.argv[1], 'n': n}) as exp:
        assert exp.repository.engine.objects == sys.argv[1]
        exp.log({'loss': n})
        exp.checkpoint()
"""
COMMITS = """
set -e
for n in 1 2 3 4 5 6 7 8 9 10; do
    echo $n >> log
    git add log
    git commit -q -m "commit $n"
    git tag t$n
    git branch b$n
    git pack-refs --all || true # of a reftable that has just changed it makes an error
done
"""


@pytest.mark.parametrize("ref_store", ["files", "reftable"])
def test_both_engines_and_git_write_at_once(make_repo, python, git, fsck, ref_store):
    repo = make_repo("sha1", ref_store)
    git("config", "reftable.lockTimeout", "20000", cwd=repo)  # git itself gives up after 100 ms
    writers = [[*python(engine), "-W", "error", "-c", RUNS, engine] for engine in ("pygit2", "dulwich") * 2]
    children = [subprocess.Popen(command, cwd=repo, stderr=subprocess.PIPE, text=True) for command in writers]
    children.append(subprocess.Popen(["sh", "-c", COMMITS], cwd=repo, stderr=subprocess.PIPE, text=True))
    for child in children:
        said = child.communicate(timeout=120)[1]
        assert (child.returncode, "gitlumo:" in said) == (0, False), said
    names = git("ls-tree", "-r", "--name-only", REF, cwd=repo).splitlines()
    params = [json.loads(git("show", f"{REF}:{name}", cwd=repo)) for name in names if name.endswith("params.json")]
    assert sorted((p["by"], p["n"]) for p in params) == sorted(
        (by, n) for by in ("pygit2", "dulwich") for n in range(4) for _ in range(2)
    )
    told = "\n".join(git("log", "--format=%(trailers:key=Lumo-Event,valueonly)", REF, cwd=repo).split()).split()
    assert [told.count(kind) for kind in ("start", "checkpoint", "end")] == [16, 16, 16]
    assert git("rev-list", "--count", "HEAD", cwd=repo) == "11"
    assert len(git("for-each-ref", "refs/tags", "refs/heads", cwd=repo).splitlines()) == 10 + 10 + 2
    fsck(repo)


@pytest.mark.parametrize(
    ("hash_name", "ref_store", "extensions", "objects", "refs"),
    [
        ("sha1", "files", [], "pygit2", "pygit2"),
        ("sha1", "files", ["extensions.worktreeconfig", "extensions.noop"], "pygit2", "pygit2"),
        ("sha1", "files", ["extensions.partialclone"], "pygit2", "git"),
        ("sha1", "files", ["extensions.of_the_future"], "pygit2", "git"),
        ("sha1", "reftable", ["extensions.refstorage"], "pygit2", "git"),
        ("sha256", "files", ["extensions.objectformat"], "dulwich", "dulwich"),
        ("sha256", "reftable", ["extensions.objectformat", "extensions.refstorage"], "dulwich", "git"),
    ],
)
def test_the_choice(hash_name, ref_store, extensions, objects, refs):
    engine = choose(hash_name, ref_store, extensions)
    assert (engine.objects, engine.refs) == (objects, refs)
    assert engine.why


def test_a_broken_pygit2_is_an_error_and_not_replaced(repo, tmp_path):
    """Never a silent fallback for a failure."""
    broken = tmp_path / "broken" / "pygit2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libgit2.so.1.9: cannot open shared object file')\n")
    env = os.environ | {"PYTHONPATH": str(broken.parent)}
    done = subprocess.run(
        [sys.executable, "-m", "gitlumo", "log"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128
    assert done.stderr.startswith("fatal: pygit2 is installed, but cannot be imported: libgit2.so.1.9")
    assert not (repo / ".git/lumo").exists()
