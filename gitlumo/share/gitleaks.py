"""gitleaks, where it is installed (version 8): what it says of files that are about to leave, and of nothing else.

They are laid into a folder of their own, with the user's ``.gitleaks.toml`` and ``.gitleaksignore``: code at its paths,
which rules may name; the many small files of runs together, since to make them takes longer than to look through them.
It is called as ``gitleaks detect``, which all versions 8 know.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

from gitlumo.git import process
from gitlumo.git.repository import Repository

PATIENCE = 120.0  # seconds
CONFIGURATION = (".gitleaks.toml", ".gitleaksignore")
BUNDLE = 1024**2  # bytes
_REPORT = "report.json"
_NOT_WRITTEN = frozenset({"", ".", "..", ".git", *CONFIGURATION})
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class GitleaksFailed(Exception):
    """gitleaks could not look, or what it said cannot be understood."""


class Finding(NamedTuple):
    """One secret, as gitleaks reports it.

    Attributes:
        rule: Which of its rules found it.
        path: The file.
        secret: The secret itself.
    """

    rule: str
    path: str
    secret: str


class Scan:
    """Files that gitleaks is to look at."""

    def __init__(self, program: str, parent: str):
        self._program, self._parent = program, parent
        self._folder = self._failure = ""
        self._odd: dict[str, str] = {}
        self._bundles: dict[str, list[tuple[int, str]]] = {}
        self._room = 0

    def add(self, path: str, data: bytes, *, is_small: bool) -> None:
        """Add a file; several with one path (versions of it) are one file for gitleaks.

        Args:
            path: Its path.
            data: Its content.
            is_small: Whether it is one of many.
        """
        try:
            self._lay(path, data, is_small=is_small)
        except OSError as error:
            self._failure = self._failure or f"its folder cannot be written ({error.strerror})"

    def _lay(self, path: str, data: bytes, *, is_small: bool) -> None:
        if not self._folder:
            import tempfile

            os.makedirs(self._parent, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix=f"gitleaks-{os.getpid()}-", dir=self._parent)
            os.mkdir(self._files)
        if is_small:
            self._bundle(path, data)
            return
        if _NOT_WRITTEN.isdisjoint(path.split("/")):  # a stranger's tree may hold '..'
            with contextlib.suppress(OSError):  # one version is a file, another a folder; or a name is too long here
                self._write(path, data)
                return
        name = f".gitlumo-file-{len(self._odd)}"
        self._odd[name] = path
        self._write(name, data)

    def _bundle(self, path: str, data: bytes) -> None:
        if len(data) > self._room:
            self._room = max(BUNDLE, len(data))
            self._bundles[f".gitlumo-runs-{len(self._bundles)}"] = []
        name = next(reversed(self._bundles))
        self._bundles[name].append((self._write(name, data), path))
        self._room -= len(data)

    @property
    def _files(self) -> str:
        return os.path.join(self._folder, "files")

    def _write(self, path: str, data: bytes) -> int:
        """Add to a file; returns where in it the data begin."""
        place = os.path.join(self._files, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "ab") as out:
            start = out.tell()
            out.write(data + b"\n")
        return start

    def findings(self, top: str | None) -> list[Finding]:
        """Let gitleaks look, if there is anything.

        Args:
            top: The work tree, whose settings for gitleaks count.

        Raises:
            GitleaksFailed: If it fails or does not end in time.
        """
        if self._failure:
            raise GitleaksFailed(self._failure)
        if not self._folder:
            return []
        import shutil

        for name in CONFIGURATION:
            with contextlib.suppress(OSError):
                shutil.copyfile(os.path.join(top or "", name), os.path.join(self._files, name))
        report = os.path.join(self._folder, _REPORT)
        words = ["--no-git", "--source=.", "--no-banner", "--exit-code=0", "--report-format=json"]
        child = subprocess.Popen(
            [self._program, "detect", *words, f"--report-path={report}"],
            cwd=self._files,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=process.environment(),
        )
        try:
            _, said = child.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise GitleaksFailed(f"it took longer than {PATIENCE:g} seconds") from None
        finally:
            if child.returncode is None:
                process.kill(child, group=False)
        if child.returncode != 0:
            lines = _COLOUR.sub("", said.decode("utf-8", "replace")).strip().splitlines()
            raise GitleaksFailed(lines[-1] if lines else f"it ended with status {child.returncode}")
        return self._read(report)

    def _read(self, report: str) -> list[Finding]:
        import json

        try:
            with open(report, "rb") as source:
                found = json.load(source) or []
            listed = [(str(one["RuleID"]), str(one["File"]), str(one["Secret"])) for one in found]
            return [Finding(rule, self._path(file, secret), secret) for rule, file, secret in listed]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise GitleaksFailed(f"its report cannot be read ({type(error).__name__})") from None

    def _path(self, file: str, secret: str) -> str:
        """The path at which it is: the line that gitleaks names is not the same in all versions."""
        bundle = self._bundles.get(file)
        if bundle is None:
            return self._odd.get(file, file)
        from bisect import bisect_right

        with open(os.path.join(self._files, file), "rb") as source:
            at = source.read().find(secret.encode("utf-8", "surrogateescape"))
        return bundle[max(0, bisect_right(bundle, at, key=lambda part: part[0]) - 1)][1]

    def close(self) -> None:
        """Take the files away."""
        if self._folder:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def scanning(repository: Repository) -> Iterator[Scan | None]:
    """Files for gitleaks, which are gone with the block; None where it is not installed."""
    program = _program()
    if program is None:
        yield None
        return
    scan = Scan(program, os.path.join(repository.location.lumo_dir, "tmp"))
    try:
        yield scan
    finally:
        scan.close()


def _program() -> str | None:
    """As ``shutil.which`` finds it, which takes milliseconds to import; mostly there is none."""
    places = (os.path.join(folder, "gitleaks") for folder in os.get_exec_path())
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)), None)
