"""What a run records of its surroundings by itself: command, process, packages, chosen environment variables."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo import hardware, machine, privacy, values

_DIST_INFO = re.compile(r"(?P<name>.+?)-(?P<version>[^-]+)(?:-py[0-9.]+)?\.(?:dist-info|egg-info)")


@dataclass(frozen=True)
class Program:
    """What runs.

    Attributes:
        words: Its command line, as it was typed.
        argv: What the script sees of it (``sys.argv``).
        bin: The executable's path; empty where it is not known.
        file: The script's path; empty where there is none.
        cwd: The folder in which it was started.
    """

    words: Sequence[str]
    argv: Sequence[str]
    bin: str
    file: str
    cwd: str = field(default_factory=os.getcwd)


def this_program(notebook: str | None = None) -> Program:
    """The program that this process runs.

    Args:
        notebook: The notebook that runs, which is no script; empty: its path cannot be known; None: a script runs.
    """
    main = notebook
    if main is None:
        main = getattr(sys.modules.get("__main__"), "__file__", None) or (sys.argv[0] if sys.argv else "")
    file = os.path.abspath(main) if main else ""
    return Program(sys.orig_argv, sys.argv, sys.executable or "", file, _started_in() or os.getcwd())


def _started_in() -> str | None:
    """Where this program was started, which may since have gone elsewhere; None: its main module does not tell.

    The path of a script is that folder and the word by which it was called; ``-m`` takes a module from that folder.
    """
    module = sys.modules.get("__main__")
    file, spec = getattr(module, "__file__", None) or "", getattr(module, "__spec__", None)
    called = sys.argv[0] if sys.argv else ""
    if spec is not None:
        called = f"{spec.name.replace('.', os.sep)}.py"
        file = file if sys.path and file == os.path.join(sys.path[0], called) else ""
    folder = file.removesuffix(os.sep + called)
    return os.path.normpath(folder) if called and os.path.isabs(file) and folder != file else None


def surroundings(
    root: str | None, program: Program, own: bool, roots: Mapping[str, str], variables: Iterable[str]
) -> tuple[dict[str, Any], list[str]]:
    """All that a start records by itself but the process: property to value, and where secrets were masked.

    Args:
        root: The work tree, or None.
        program: What runs.
        own: Whether this process runs it.
        roots: Where the run's folders are.
        variables: The environment variables to record.
    """
    called, masked = execute(root, program)
    env, more = environment(variables)
    found = {
        "execute": called,
        "paths": {name: _path(path, root) for name, path in roots.items()},
        "machine": hardware.describe(own),
    }
    return found | ({"env": env} if env else {}), [*masked, *more]


def execute(root: str | None, program: Program) -> tuple[dict[str, Any], list[str]]:
    """How a program was called: cwd, exec_argv, exec_bin, exec_file, repo.

    Args:
        root: The work tree, or None.
        program: The program.

    Returns:
        The property, paths relative to the repository or ``~``, secrets masked; and where secrets were masked.
    """
    cwd = _cwd(program, root)
    argv, masked = _words(program.argv, root, cwd)
    facts = {
        "cwd": _path(cwd, root),
        "exec_argv": argv,
        "exec_bin": _path(program.bin, root),
        "exec_file": _path(program.file, root) if program.file else "",
        "repo": repository_name(root),
    }
    return facts, [f"execute.exec_argv[{i}]" for i in masked]


def process(hostname: str, root: str | None, program: Program | None = None) -> tuple[dict[str, Any], list[str]]:
    """Which process it is: pid, hash, obj, host, boot, namespace; and where secrets were masked.

    Args:
        hostname: ``plain``, ``hash`` or ``off``.
        root: The work tree, or None.
        program: What it runs; None: see :func:`this_program`.
    """
    me = machine.this_process(hostname)
    program = program or this_program("")
    cwd = _cwd(program, root)
    argv, masked = _words(program.words, root, cwd)
    started = machine.started_at()
    name = os.path.basename(program.bin or "python")
    facts = {
        "pid": me.pid,
        "hash": hashlib.sha256(f"{me.pid} {me.start} {me.boot} {me.namespace}".encode()).hexdigest()[:32],
        "obj": {"argv": argv, "pid": me.pid, "pname": name, "pstart": started, "ticks": me.start},
        "host": me.host,
        "boot": me.boot,
        "namespace": me.namespace,
    }
    if me.job:
        facts |= {"job": me.job[0], "restarts": me.job[1]}
    where = [f"pinfo.obj.argv[{i}]" for i in masked]
    started_by = machine.launcher()
    if started_by:
        facts["launcher"], masked = _words(started_by, root, cwd)
        where += [f"pinfo.launcher[{i}]" for i in masked]
    return facts, where


def repository_name(root: str | None) -> Any:
    """How a work tree is called in a record: ``~/...`` below the home folder, else its last name only."""
    if root is None:
        return None
    short = privacy.home_relative(root)
    return _path(short, None) if short.startswith("~") else _path(os.path.basename(root), None)


def _cwd(program: Program, root: str | None) -> str:
    """The folder in which a program was started; where that is outside of its repository, the one in which it is."""
    inside = root is not None and (program.cwd + os.sep).startswith(root + os.sep)
    return program.cwd if inside else os.getcwd()


def _path(path: str, root: str | None) -> Any:
    return storable(privacy.public_path(path, root))


def _words(argv: Sequence[str], root: str | None, cwd: str) -> tuple[list[Any], list[int]]:
    """A command line as it may be recorded: absolute paths in the repository relative to ``cwd``, secrets masked."""
    words, masked = privacy.mask_words(argv)
    return [storable(_public_word(word, root, cwd)) for word in words], masked


def _public_word(word: str, root: str | None, cwd: str) -> str:
    name, equals, value = word.partition("=") if word.startswith("-") or "=" in word else ("", "", word)
    if not os.path.isabs(value):
        return word
    return f"{name}{equals}{privacy.public_path(value, root, cwd)}"


def storable(text: str) -> Any:
    """A word of the operating system's: a string, or bytes where it is not UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def environment(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """The named environment variables, and where secrets were masked."""
    found = {name: os.environ[name] for name in names if name in os.environ}
    masked = {name: privacy.MASK if privacy.is_secret_name(name) else privacy.mask_text(v) for name, v in found.items()}
    return masked, [f"env.{name}" for name in masked if masked[name] != found[name]]


def installed_packages() -> dict[str, str]:
    """Every installed package's version by its normalised name (PEP 503), and ``python``."""
    return _lock(_distributions(sys.path))


def installed_with_origins(root: str | None) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """:func:`installed_packages`, and from where those are that did not come from an index by their names (PEP 610).

    Args:
        root: The work tree, or None.

    Returns:
        The versions, and for some names ``{url}``, as pip takes it, or ``{path, editable}``.
    """
    every = list(_distributions(sys.path))
    return _lock(every), _origins(every, root)


def packages_with_origins(folders: Iterable[str], root: str | None) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """:func:`packages_in`, and from where some are: see :func:`installed_with_origins`."""
    every = list(_distributions(folders))
    return _versions(every), _origins(every, root)


def packages_in(folders: Iterable[str]) -> dict[str, str]:
    """The version of every package that an interpreter with this ``sys.path`` finds, by its normalised name.

    Read from the names of ``*.dist-info`` folders (PEP 376): ``importlib.metadata`` opens a file a package.
    """
    return _versions(_distributions(folders))


def _versions(every: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, version, _ in every:
        found.setdefault(name, version)  # the first one is the one that is imported
    return found


def _lock(every: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    found = _versions(every)
    cuda = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    if cuda:
        found["torch.version.cuda"] = str(cuda)
    found["python"] = ".".join(str(part) for part in sys.version_info[:3])
    return found


def _distributions(folders: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Name, version and metadata folder of each package, in the order in which an interpreter finds them."""
    for folder in dict.fromkeys(folders):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in names:
            if entry.endswith((".dist-info", ".egg-info")):
                match = _DIST_INFO.fullmatch(entry)
                if match:
                    yield re.sub(r"[-_.]+", "-", match["name"]).lower(), match["version"], f"{folder or '.'}/{entry}"


def _origins(every: Iterable[tuple[str, str, str]], root: str | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    seen = set()
    for name, _, folder in every:
        path = f"{folder}/direct_url.json"
        if name not in seen and os.access(path, os.R_OK):  # most have none
            try:
                with open(path, "rb") as source:
                    found[name] = _origin(json.load(source), root)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        seen.add(name)
    return found


def _origin(told: Any, root: str | None) -> dict[str, Any]:
    """What a ``direct_url.json`` tells."""
    url, version_control = str(told["url"]), told.get("vcs_info")
    if version_control:
        url = f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    elif url.startswith("file:"):
        editable = bool((told.get("dir_info") or {}).get("editable"))
        path = re.sub(b"%([0-9A-Fa-f]{2})", lambda m: bytes.fromhex(m[1].decode()), os.fsencode(url[len("file://") :]))
        return {"path": _path(os.fsdecode(path), root), "editable": editable}
    return {"url": f"{url}#subdirectory={told['subdirectory']}" if told.get("subdirectory") else url}


def dependency_hash(lock: dict[str, str]) -> str:
    """One hash for a set of installed packages."""
    return hashlib.sha256(values.to_bytes(values.encode(lock))).hexdigest()[:32]
