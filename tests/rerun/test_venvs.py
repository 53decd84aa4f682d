"""Environments built from recorded packages: real ones, from wheels made here, without any network."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile

import pytest

import gitlumo
from gitlumo.errors import LumoError, UsageError
from gitlumo.rerun import venvs
from gitlumo.rerun.environment import ask, compare
from gitlumo.rerun.venvs import build, requirements

HERE = ".".join(map(str, sys.version_info[:3]))
LOCK = {"python": HERE, "alpha": "1.0", "beta": "2.0", "pip": "1.0"}
UV = """#!/bin/sh
# What the tests need of uv: 'venv ... FOLDER --python V', 'pip install ... --python P ... -r FILE'.
echo "$@" >>"$UV_LOG"
if [ "$1" = venv ]; then
    [ "$6" = "${UV_HAS:-}" ] || { echo "error: No interpreter found for Python $6" >&2; exit 2; }
    exec "$UV_BASE" -m venv --without-pip "$4"
fi
exec "$UV_BASE" -m pip --python "$6" install --quiet --no-deps -r "$8"
"""


def wheel(folder, name, version, needs=()):
    """A pure package that has its version as ``VERSION``."""
    meta = f"{name}-{version}.dist-info"
    facts = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{meta}/METADATA": "\n".join([*facts, ""]),
        f"{meta}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{meta}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{meta}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return folder / f"{name}-{version}-py3-none-any.whl"


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """pip finds packages here alone: as a user configures it, by its variables."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, version, needs in (("alpha", "1.0", ["nowhere"]), ("alpha", "1.1", []), ("beta", "2.0", [])):
        wheel(folder, name, version, needs)
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def said():
    return []


def run(python, code):
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_what_was_recorded_and_made_once(wheels, tmp_path, said, monkeypatch):
    python = build({"lock": LOCK}.get, "venv", str(tmp_path / "cache"), said.append)
    assert run(python, "import alpha, beta; print(alpha.VERSION, beta.VERSION)") == "1.0 2.0"
    assert not compare({"lock": LOCK}.get, ask(python), os.environ)
    (line,) = said
    assert re.fullmatch(rf"  building  2 packages for Python {HERE} with venv, kept in {tmp_path}/cache/envs/\w+", line)
    monkeypatch.setattr(subprocess, "run", None)
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert build({"lock": LOCK}.get, "venv", str(tmp_path / "cache"), said.append) == python
    assert len(said) == 1


def test_other_packages_are_another_environment(wheels, tmp_path, said):
    first = build({"lock": LOCK}.get, "venv", str(tmp_path), said.append)
    second = build({"lock": LOCK | {"alpha": "1.1"}}.get, "venv", str(tmp_path), said.append)
    assert [run(python, "import alpha; print(alpha.VERSION)") for python in (first, second)] == ["1.0", "1.1"]


def test_what_leads_elsewhere_does_not(wheels, tmp_path, said, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "target"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    python = build({"lock": LOCK}.get, "venv", str(tmp_path / "cache"), said.append)
    monkeypatch.delenv("PYTHONPATH")
    assert run(python, "import alpha; print(alpha.VERSION)") == "1.0"
    assert not (tmp_path / "target").exists()


def test_a_package_that_is_nowhere(wheels, tmp_path, said):
    with pytest.raises(LumoError) as error:
        build({"lock": LOCK | {"gamma": "3.0"}}.get, "venv", str(tmp_path / "cache"), said.append)
    first, *rest, hint = str(error.value).splitlines()
    assert first == "cannot install the recorded packages:"
    assert "  ERROR: No matching distribution found for gamma==3.0" in rest
    assert hint == venvs._INDEX
    wheel(wheels, "gamma", "3.0")
    python = build({"lock": LOCK | {"gamma": "3.0"}}.get, "venv", str(tmp_path / "cache"), said.append)
    assert run(python, "import gamma; print(gamma.VERSION)") == "3.0"


def test_one_that_was_not_finished_is_made_anew(wheels, tmp_path, said):
    python = build({"lock": LOCK}.get, "venv", str(tmp_path), said.append)
    top = os.path.dirname(os.path.dirname(python))
    os.unlink(os.path.join(top, venvs._WHOLE))
    shutil.rmtree(os.path.join(top, "lib"))
    assert build({"lock": LOCK}.get, "venv", str(tmp_path), said.append) == python
    assert run(python, "import alpha; print(alpha.VERSION)") == "1.0"
    os.unlink(python)  # the Python that it links to was taken away
    build({"lock": LOCK}.get, "venv", str(tmp_path), said.append)
    assert run(python, "import alpha; print(alpha.VERSION)") == "1.0"


def test_several_at_once_make_one(wheels, tmp_path):
    code = (
        "import sys; from gitlumo.rerun.venvs import build\n"
        f"print(build({{'lock': {LOCK!r}}}.get, 'venv', sys.argv[1], lambda line: print(line, file=sys.stderr)))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    found = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 4, found
    assert len({out for out, _ in found}) == 1
    assert sum("building" in said for _, said in found) == 1
    assert sum("waiting" in said for _, said in found) >= 1


def test_gitlumo_is_the_one_that_runs(wheels, tmp_path, said, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["alpha>=1", "pandas>=2; extra == 'pandas'"])
    lock = {"python": HERE, "gitlumo": "0.0.1"}
    python = build({"lock": lock}.get, "venv", str(tmp_path / "cache"), said.append)
    where, alpha = run(python, "import gitlumo, alpha; print(gitlumo.__path__[0]); print(alpha.VERSION)").splitlines()
    assert os.path.realpath(where) == os.path.realpath(gitlumo.__path__[0])
    assert alpha == "1.1"  # gitlumo needs it now, and the recorded one did not
    assert ask(python).packages["gitlumo"] == importlib.metadata.version("gitlumo")
    assert not compare({"lock": lock}.get, ask(python), os.environ)


def test_origins_and_what_cannot_be_installed(wheels, tmp_path, said):
    kept = wheel(tmp_path, "delta", "4.0")
    lock = {"python": HERE, **dict.fromkeys(("alpha", "mine", "gone", "tool", "hidden", "odd", "delta"), "1.0")}
    origins = {
        "mine": {"path": ".", "editable": True},
        "gone": {"path": "~/gone.whl", "editable": False},
        "delta": {"path": str(kept), "editable": False},
        "tool": {"url": "git+https://h/tool.git@abc"},
        "hidden": {"url": "git+https://***@h/tool.git@abc"},
        "odd": "no object",
    }
    wanted, left_out = requirements(lock, origins)
    assert wanted == ["alpha==1.0", f"delta @ file://{kept}", "tool @ git+https://h/tool.git@abc"]
    assert [line.partition(":")[0] for line in left_out] == ["gone 1.0", "hidden 1.0", "mine 1.0", "odd 1.0"]
    for name in ("tool", "hidden", "odd"):
        del lock[name]
    python = build({"lock": lock, "lock_origins": origins}.get, "venv", str(tmp_path / "cache"), said.append)
    assert run(python, "import delta; print(delta.VERSION)") == "4.0"
    assert [line.split()[0] for line in said] == ["left", "left", "from", "building"]
    assert "mine 1.0: it was installed from .; make it importable yourself" in said[1]


@pytest.mark.parametrize(("name", "version"), [
    ("-r /etc/passwd", "1"), ("a b", "1"), ("a", "1 --index-url x"), ("a", "1; x"), ("a\n--pre", "1"),
    ("a", ""), ("a[b]", "1"),
])  # fmt: skip
def test_a_stranger_s_lock_says_nothing_else_to_pip(name, version):
    wanted, (line,) = requirements({"python": HERE, name: version}, {})
    assert wanted == []
    assert line.endswith("that is no package's name and version")


@pytest.mark.parametrize(
    "url", ["git+ext::sh -c x", "git+file:///x", "file:///x", "https://h/x --pre", "-r x", "https://h/x;y"]
)
def test_a_stranger_s_address_says_nothing_else_to_pip(url):
    wanted, left_out = requirements({"python": HERE, "x": "1"}, {"x": {"url": url}})
    assert (wanted, len(left_out)) == ([], 1)


@pytest.mark.parametrize(("recorded", "kind", "message"), [
    ({}, "venv", "the run recorded no packages (lock), so they cannot be built; leave out --env"),
    ({"lock": {"numpy": "1"}}, "venv", "the run recorded no packages"),
    ({"lock": {"python": "2.7.18"}}, "venv",
     "the run used Python 2.7.18, and no python2.7 runs here; put python2.7 on the PATH, or let uv fetch it: --env uv"),
    ({"lock": {"python": "../../x"}}, "venv", "the run used cpython ../../x, which cannot be built"),
    ({"lock": {"python": HERE}, "machine": {"implementation": "graalpy"}}, "venv",
     f"the run used graalpy {HERE}, which cannot be built; leave out --env"),
    ({"lock": {"python": HERE}}, "uv",
     "there is no uv on the PATH; install it, or let Python's own venv build: --env venv"),
])  # fmt: skip
def test_what_cannot_be_built(tmp_path, said, monkeypatch, recorded, kind, message):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LumoError, match=f"^{re.escape(message)}"):
        build(recorded.get, kind, str(tmp_path / "cache"), said.append)
    assert not (tmp_path / "cache").exists()


def test_a_kind_that_is_none(tmp_path, said):
    with pytest.raises(UsageError, match="built with uv or venv, not with 'conda'"):
        build({"lock": LOCK}.get, "conda", str(tmp_path), said.append)


def test_a_python_of_another_version_is_found_on_the_path(wheels, tmp_path, said, monkeypatch):
    """A stand-in that says it is 3.1; and one that says nothing, as pyenv's does where that version is not chosen."""
    bin = tmp_path / "bin"
    bin.mkdir()
    fake = bin / "python3.1"
    answer = f"exec {sys.executable}"
    fake.write_text(f'#!/bin/sh\ncase $1 in -c) echo \'["cpython", [3, 1, 4], []]\' ;; *) {answer} "$@" ;; esac\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    python = build({"lock": LOCK | {"python": "3.1.2"}}.get, "venv", str(tmp_path / "cache"), said.append)
    assert run(python, "import alpha; print(alpha.VERSION)") == "1.0"
    fake.write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(LumoError, match=r"no python3\.1 runs here"):
        build({"lock": LOCK | {"python": "3.1.3"}}.get, "venv", str(tmp_path / "cache"), said.append)


def test_a_cache_that_cannot_be_written(wheels, tmp_path, said):
    (tmp_path / "file").write_text("")
    with pytest.raises(LumoError, match=r"cannot make an environment below .*file: "):
        build({"lock": LOCK}.get, "venv", str(tmp_path / "file"), said.append)


def test_those_that_nobody_uses_go_when_another_is_made(wheels, tmp_path, said):
    old, held, new = (
        build({"lock": {"python": HERE, name: version}}.get, "venv", str(tmp_path), said.append)
        for name, version in (("alpha", "1.0"), ("alpha", "1.1"), ("beta", "2.0"))
    )
    tops = [os.path.dirname(os.path.dirname(python)) for python in (old, held, new)]
    past = time.time() - (venvs.UNUSED_DAYS + 1) * 86400
    for top in tops[:2]:
        os.utime(os.path.join(top, venvs._WHOLE), (past, past))
    taken, leave = threading.Event(), threading.Event()

    def hold():
        with venvs._alone(f"{tops[1]}.lock", said.append):
            taken.set()
            leave.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(60)
    build({"lock": LOCK}.get, "venv", str(tmp_path), said.append)
    leave.set()
    holder.join()
    assert [os.path.exists(top) for top in tops] == [False, True, True]


def test_programs_of_an_environment_are_found(tmp_path):
    from gitlumo.rerun.command_line import Recorded, locate

    bin = tmp_path / "env/bin"
    bin.mkdir(parents=True)
    for name in ("python", "torchrun"):
        (bin / name).touch(0o755)
    python = str(bin / "python")
    (tmp_path / "x").touch()
    for typed, found in (("python3", python), ("torchrun", str(bin / "torchrun")), ("sh", "sh")):
        command = Recorded([typed, "x"], ["x"], shutil.which(typed) or "", "", str(tmp_path))
        assert locate(command, None, None, python).words[0] == found
    assert venvs.activated(python, {"PATH": "/bin"}) == {"VIRTUAL_ENV": str(tmp_path / "env"), "PATH": f"{bin}:/bin"}
    assert venvs.activated(python, {"PATH": ""})["PATH"] == str(bin)


def test_without_a_pip_of_ours_it_has_one_of_its_own(wheels, tmp_path, said, monkeypatch):
    monkeypatch.setattr(venvs.importlib.util, "find_spec", lambda name: None)
    python = build({"lock": LOCK}.get, "venv", str(tmp_path / "cache"), said.append)
    assert run(python, "import alpha, pip; print(alpha.VERSION)") == "1.0"


# --------------------------------------------------------------------------------------------- uv


@pytest.fixture
def uv(tmp_path, monkeypatch):
    bin = tmp_path / "uv-bin"
    bin.mkdir()
    (bin / "uv").write_text(UV)
    (bin / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}:{os.environ['PATH']}")
    monkeypatch.setenv("UV_LOG", str(tmp_path / "uv.log"))
    monkeypatch.setenv("UV_BASE", sys.executable)
    return tmp_path / "uv.log"


@pytest.mark.parametrize("has", ["exact", "short"])
def test_uv_builds_it(wheels, uv, tmp_path, said, monkeypatch, has):
    short = HERE.rpartition(".")[0]
    monkeypatch.setenv("UV_HAS", HERE if has == "exact" else short)
    python = build({"lock": LOCK}.get, "uv", str(tmp_path / "cache"), said.append)
    assert run(python, "import alpha; print(alpha.VERSION)") == "1.0"
    asked = [line.split()[-1] for line in uv.read_text().splitlines() if line.startswith("venv")]
    assert asked == ([HERE] if has == "exact" else [HERE, short])


def test_a_python_that_uv_does_not_find(wheels, uv, tmp_path, said):
    with pytest.raises(LumoError) as error:
        build({"lock": LOCK | {"python": "3.99.1"}}.get, "uv", str(tmp_path / "cache"), said.append)
    assert str(error.value).splitlines()[1:] == ["  error: No interpreter found for Python 3.99", venvs._FETCH]
