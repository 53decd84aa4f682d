"""A virtual environment with the packages that a run recorded: made once, kept in the cache.

Made where it stays, because its programs name its path: under a lock, and whole once it says so itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import gitlumo
from gitlumo import privacy
from gitlumo.errors import LumoError, UsageError
from gitlumo.rerun.environment import Interpreter, ask, texts

KINDS = ("uv", "venv")
UNUSED_DAYS = 60.0  # after which an environment is taken away, when another one is made
# Names in a lock that are not installed by them: pip installs, and gitlumo is the one that runs now.
_NOT_INSTALLED = frozenset({"python", "torch.version.cuda", "pip", "gitlumo"})
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*", re.ASCII)
_URL = re.compile(r"(?:https?|(?:git|hg|svn|bzr)\+(?:https?|ssh))://[^\s;]+", re.ASCII)
# Would lead pip elsewhere, or Python to other packages.
_MISLEADING = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PYTHONHOME", "PYTHONPATH")
_WHOLE = "gitlumo-whole"


def build(info: Callable[[str], Any], kind: str, cache_root: str, say: Callable[[str], None]) -> str:
    """Make a virtual environment with a run's packages, or find the one that was made before.

    pip's and uv's own configuration holds: their variables, their files, their caches.

    Args:
        info: Property to value, as ``Record.info``.
        kind: ``venv`` (with pip) or ``uv``.
        cache_root: Below which it lies.
        say: Told, line by line, what takes time, what comes from elsewhere than an index, and what is not in it.

    Returns:
        Its Python.

    Raises:
        LumoError: If the run recorded no packages, the recorded Python or uv is not here, or a package cannot be
            installed.
    """
    lock, origins = texts(info("lock")), info("lock_origins")
    if "python" not in lock:
        raise LumoError("the run recorded no packages (lock), so they cannot be built; leave out --env")
    wanted, left_out = requirements(lock, origins if isinstance(origins, Mapping) else {})
    base = _base(kind, lock["python"], info("machine"))
    source = os.path.dirname(os.path.abspath(gitlumo.__file__)) if "gitlumo" in lock else None
    folder = os.path.join(cache_root, "envs", _digest([kind, base, source or "", *wanted]))
    python = os.path.join(folder, "bin", "python")
    for line in left_out:
        say(f"  left out  {line}")
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        with _alone(f"{folder}.lock", say):
            if not _is_whole(folder, python):
                for line in (line for line in wanted if " @ " in line):
                    say(f"  from      {line}")
                many = f"{len(wanted)} package{'s' if len(wanted) != 1 else ''}"
                say(f"  building  {many} for Python {lock['python']} with {kind}, kept in {folder}")
                _sweep(os.path.dirname(folder))
                shutil.rmtree(folder, ignore_errors=True)
                _make(folder, kind, base, wanted, source)
            os.utime(os.path.join(folder, _WHOLE))  # used now
    except OSError as error:
        raise LumoError(f"cannot make an environment below {cache_root}: {error.strerror}") from None
    return python


def activated(python: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables by which children find an environment's programs, as its ``activate`` sets them."""
    bin = os.path.dirname(python)
    path = os.pathsep.join(filter(None, [bin, environ.get("PATH", os.defpath)]))
    return {"VIRTUAL_ENV": os.path.dirname(bin), "PATH": path}


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()[:20]


def requirements(lock: Mapping[str, str], origins: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What pip is to install (PEP 508), and what of the recorded packages it cannot.

    Args:
        lock: ``info/lock.json``.
        origins: ``info/lock_origins.json``.
    """
    wanted, left_out = [], []
    for name, version in sorted(lock.items()):
        if name in _NOT_INSTALLED:
            continue
        origin = origins.get(name)
        url, path = (origin.get("url"), origin.get("path")) if isinstance(origin, Mapping) else (None, None)
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):  # a stranger's; it may be an option of pip's
            left_out.append(f"{name!r} {version!r}: that is no package's name and version")
        elif origin is None:
            wanted.append(f"{name}=={version}")
        elif isinstance(url, str) and _URL.fullmatch(url) and privacy.MASK not in url:
            wanted.append(f"{name} @ {url}")
        elif isinstance(path, str) and os.path.isfile(file := os.path.expanduser(path)):
            wanted.append(f"{name} @ file://{quote(os.path.abspath(file))}")
        else:  # never by its name: on an index another package may be called so
            left_out.append(f"{name} {version}: it was installed from {url or path}; make it importable yourself")
    return wanted + _of_gitlumo(lock), left_out


def _of_gitlumo(lock: Mapping[str, str]) -> list[str]:
    """What this gitlumo needs, and the recorded one, perhaps of another version, did not."""
    needs: list[str] = []
    if "gitlumo" in lock:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            needs = [need for need in importlib.metadata.requires("gitlumo") or [] if ";" not in need]
    names = {need: re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", need, maxsplit=1)[0]).lower() for need in needs}
    return sorted(need for need, name in names.items() if name not in lock)


def _base(kind: str, version: str, machine: Any) -> str:
    """The Python to make it with: for uv a version, which it may fetch; else a program."""
    if kind not in KINDS:
        raise UsageError(f"an environment is built with {' or '.join(KINDS)}, not with {kind!r}")
    implementation = machine.get("implementation", "cpython") if isinstance(machine, Mapping) else "cpython"
    if not re.fullmatch(r"\d+\.\d+(?:\.\w+)?", version, re.ASCII) or implementation not in _PROGRAMS:
        raise LumoError(f"the run used {implementation} {version}, which cannot be built; leave out --env")
    short = ".".join(version.split(".")[:2])
    if kind == "uv":
        if not shutil.which("uv"):
            raise LumoError("there is no uv on the PATH; install it, or let Python's own venv build: --env venv")
        return version if implementation == "cpython" else f"{implementation}@{short}"
    if implementation == sys.implementation.name and short == ".".join(map(str, sys.version_info[:2])):
        return os.path.realpath(sys.executable)
    name = f"{_PROGRAMS[implementation]}{short}"
    found = shutil.which(name)
    with contextlib.suppress(LumoError):  # pyenv has a program of each name, which may run or not
        if found and (ask(found).version + ".").startswith(f"{short}."):
            return found
    hint = f"put {name} on the PATH, or let uv fetch it: --env uv"
    raise LumoError(f"the run used Python {version}, and no {name} runs here; {hint}")


_PROGRAMS = {"cpython": "python", "pypy": "pypy"}


@contextlib.contextmanager
def _alone(path: str, say: Callable[[str], None]) -> Iterator[None]:
    """With a lock that the kernel lets go of when this process ends, however it does."""
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  waiting   for another process, which uses or builds the same environment")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _is_whole(folder: str, python: str) -> bool:
    """Whether an environment was made to its end, and its Python, which is a link, is still there."""
    return os.path.exists(os.path.join(folder, _WHOLE)) and os.access(python, os.X_OK)


def _sweep(folder: str) -> None:
    """Take away environments that nobody has used for long."""
    import fcntl

    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if time.time() - os.stat(os.path.join(path, _WHOLE)).st_mtime > UNUSED_DAYS * 86400:
                fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(os.path.join(path, _WHOLE))
                    shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(fd)


def _make(folder: str, kind: str, base: str, wanted: Sequence[str], source: str | None) -> None:
    python = os.path.join(folder, "bin", "python")
    if kind == "uv":
        make = ["uv", "venv", "--quiet", "--no-project", folder, "--python"]
        try:
            _run([*make, base], "make the environment", _FETCH)
        except LumoError:  # of that very version there is none; what differs then is said before it runs
            if base.count(".") < 2:
                raise
            _run([*make, base.rpartition(".")[0]], "make the environment", _FETCH)
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--python", python]
    else:
        ours = importlib.util.find_spec("pip") is not None  # Debian's Python has no other; and a second one takes 3 s
        _run([base, "-m", "venv", *(["--without-pip"] if ours else []), folder], "make the environment", _VENV)
        pip = [sys.executable, "-m", "pip", "--python", python] if ours else [python, "-m", "pip"]
        install = [*pip, "install", "--quiet", "--no-deps", "--no-input", "--disable-pip-version-check"]
    listed = os.path.join(folder, "requirements.txt")
    with open(listed, "w", encoding="utf-8") as out:
        out.writelines(f"{line}\n" for line in wanted)
    if wanted:
        _run([*install, "-r", listed], "install the recorded packages", _INDEX)
    if source:
        _link(source, ask(python, _environ()))
    with open(os.path.join(folder, _WHOLE), "w", encoding="utf-8") as out:
        out.write(f"{base}\n")


def _link(source: str, made: Interpreter) -> None:
    """Let an environment import the gitlumo that runs now: the recorded version may be on no index."""
    site = next(folder for folder in made.folders if os.path.basename(folder) == "site-packages")
    os.symlink(source, os.path.join(site, "gitlumo"))
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        facts = importlib.metadata.distribution("gitlumo")
        folder = os.path.join(site, f"gitlumo-{facts.version}.dist-info")
        os.mkdir(folder)  # so that the new run's lock has it
        with open(os.path.join(folder, "METADATA"), "w", encoding="utf-8") as out:
            out.write(facts.read_text("METADATA") or "")


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _MISLEADING}


_FETCH = "let uv fetch that Python (UV_PYTHON_DOWNLOADS), or build with one that is here: --env venv"
_VENV = "install that Python's venv module, or build with uv: --env uv"
_INDEX = "name an index that has them (PIP_EXTRA_INDEX_URL, UV_INDEX), or leave out --env and install them yourself"


def _run(words: Sequence[str], what: str, hint: str) -> None:
    """Run one of the programs that make it.

    Raises:
        LumoError: If it fails; with its last words.
    """
    try:
        done = subprocess.run(
            words,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise LumoError(f"cannot run {words[0]}: {error.strerror}") from None
    if done.returncode:
        said = privacy.mask_text(done.stdout.decode("utf-8", "replace")).strip().splitlines()[-6:]
        raise LumoError("\n".join([f"cannot {what}:", *(f"  {line}" for line in said), hint]))
