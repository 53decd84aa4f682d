"""The switches of ``git config lumo.*``, read from what git printed (pure: it runs nothing)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from gitlumo.errors import UsageError

BRANCH = "lumo_experiments"
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_LONGEST = 86400.0  # seconds between two pushes, two samples


class Settings:
    """One repository's settings, each read when it is asked for; sizes in bytes, times in seconds.

    So a value that makes no sense is a UsageError, which names the variable, for who needs it, and for nobody else.
    A field's name without its underscores is the variable's: ``info_root`` is ``lumo.inforoot``.
    """

    def __init__(self, config: Mapping[str, Sequence[str]] | None = None):
        self._config = config or {}

    @property
    def ref(self) -> str:
        """The ledger's full ref name."""
        return f"refs/heads/{self.branch}"

    @cached_property
    def branch(self) -> str:
        """The ledger's branch, without ``refs/heads/``."""
        return _branch(self._last("branch") or BRANCH)

    @cached_property
    def info_root(self) -> str | None:
        """Where runs keep their info_dir; None: ``<git common dir>/lumo/info``."""
        return _root("lumo.infoRoot", self._last("infoRoot"))

    @cached_property
    def blob_root(self) -> str | None:
        """Where runs keep checkpoints and other large files; None: ``<git common dir>/lumo/blob``."""
        return _root("lumo.blobRoot", self._last("blobRoot"))

    @cached_property
    def cache_root(self) -> str | None:
        """Where runs keep what may be deleted; None: the user's cache folder."""
        return _root("lumo.cacheRoot", self._last("cacheRoot"))

    @cached_property
    def hostname(self) -> str:
        """How hosts are recorded: ``plain``, ``hash`` or ``off``."""
        value = self._last("hostname") or "plain"
        if value not in ("plain", "hash", "off"):
            raise UsageError(f"lumo.hostname is {value!r}; it can be plain, hash or off")
        return value

    @cached_property
    def env(self) -> tuple[str, ...]:
        """Names of environment variables to record."""
        return _words(self._config.get("lumo.env", ()))

    @cached_property
    def snapshot(self) -> bool:
        """Whether to record the code."""
        return _boolean("lumo.snapshot", self._last("snapshot"), True)

    @cached_property
    def snapshot_max_file(self) -> int:
        """Untracked files over this size stay out of snapshots, files below info_dir out of the ledger."""
        return _size("lumo.snapshotMaxFile", self._last("snapshotMaxFile"), 10 * 1024**2)

    @cached_property
    def snapshot_max_total(self) -> int:
        """How large untracked files may be together."""
        return _size("lumo.snapshotMaxTotal", self._last("snapshotMaxTotal"), 100 * 1024**2)

    @cached_property
    def snapshot_timeout(self) -> float:
        """How long looking at the work tree may take."""
        return _duration("lumo.snapshotTimeout", self._last("snapshotTimeout"), 5.0)

    @cached_property
    def snapshot_exclude(self) -> tuple[str, ...]:
        """Patterns (as in .gitignore, matched against names and paths) of untracked files to leave out."""
        return _words(self._config.get("lumo.snapshotexclude", ()))

    @cached_property
    def hooks(self) -> bool:
        """Whether each ``git push`` shares the runs, too."""
        return _boolean("lumo.hooks", self._last("hooks"), False)

    @cached_property
    def remote(self) -> str | None:
        """With whom runs are shared unless a remote is named; None: ``origin``, or the only one that there is."""
        return self._last("remote") or None

    @cached_property
    def auto_push(self) -> float | None:
        """How often a running run is pushed; None: not before somebody does."""
        return _interval("lumo.autoPush", self._last("autoPush"))

    @cached_property
    def system_metrics(self) -> float | None:
        """How often a run records the load of its machine; None: never."""
        return _interval("lumo.systemMetrics", self._last("systemMetrics"))

    @cached_property
    def github_repo(self) -> str | None:
        """Which repository's issues hold backups (``owner/name``); None: that of the remote."""
        return self._last("githubRepo") or None

    @cached_property
    def github_url(self) -> str:
        """The base of GitHub's API."""
        return _url("lumo.githubUrl", self._last("githubUrl"), "https://api.github.com")

    @cached_property
    def github_pause(self) -> float:
        """Between two writes to GitHub."""
        return _duration("lumo.githubPause", self._last("githubPause"), 1.0)

    @cached_property
    def gitleaks(self) -> bool:
        """Whether gitleaks, where it is installed, looks at what leaves."""
        return _boolean("lumo.gitleaks", self._last("gitleaks"), True)

    def check(self, names: Iterable[str]) -> None:
        """Read these now, so that none of them is an error later.

        Raises:
            UsageError: For the first that makes no sense.
        """
        for name in names:
            getattr(self, name)

    def sound(self) -> tuple[Settings, list[str]]:
        """The same without what makes no sense, and what that is."""
        config, said = dict(self._config), []
        for name in FIELDS:
            try:
                getattr(self, name)
            except UsageError as error:
                said.append(str(error))
                del config[_variable(name)]
        return Settings(config), said

    def _last(self, name: str) -> str | None:
        """The variable's strongest value: the last one."""
        values = self._config.get(_variable(name))
        return values[-1] if values else None


FIELDS = tuple(name for name, value in vars(Settings).items() if isinstance(value, cached_property))
RECORDING = tuple(
    name for name in FIELDS if name not in ("hooks", "remote", "github_repo", "github_url", "github_pause", "gitleaks")
)


def read_settings(config: Mapping[str, Sequence[str]]) -> Settings:
    """The settings in a git configuration.

    Args:
        config: Lower-case variable name (``lumo.snapshotmaxfile``) to all its values, the last one the strongest.

    Raises:
        UsageError: If ``lumo.branch``, which all need, makes no sense.
    """
    settings = Settings(config)
    settings.check(["branch"])
    return settings


def _variable(name: str) -> str:
    return f"lumo.{name.replace('_', '').lower()}"


def _branch(name: str) -> str:
    if name.startswith("refs/"):
        short = name.removeprefix("refs/heads/")
        short = short if _is_branch(short) and not short.startswith("refs/") else BRANCH
        raise UsageError(
            f"lumo.branch is {name!r}; it is a branch's name without refs/heads/\ntype: git config lumo.branch {short}"
        )
    if not _is_branch(name):
        raise UsageError(
            f"lumo.branch is {name!r}; that is no name for a branch\ntype: git config lumo.branch {BRANCH}"
        )
    return name


def _root(name: str, value: str | None) -> str | None:
    path = os.path.expanduser(value) if value else None
    if path and not os.path.isabs(path):
        raise UsageError(f"{name} is {value!r}; it must be an absolute path, or begin with ~/")
    return path


def _is_branch(name: str) -> bool:
    """The rules of git-check-ref-format(1), and no white space."""
    if re.search(r"[\s\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{", name) or name.startswith("-") or name.endswith("."):
        return False
    return all(part and not part.startswith(".") and not part.endswith(".lock") for part in name.split("/"))


def _words(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for value in values for word in value.replace(",", " ").split())


def _boolean(name: str, value: str | None, default: bool) -> bool:
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise UsageError(f"{name} is {value!r}; it can be true or false")


def _size(name: str, value: str | None, default: int) -> int:
    if value is None:
        return default
    match = re.fullmatch(r"(\d+)([kmg]?)", value.strip().lower(), re.ASCII)
    if not match:
        raise UsageError(f"{name} is {value!r}; it can be a size such as 500k or 10m")
    return int(match[1]) * _UNITS[match[2]]


def _duration(name: str, value: str | None, default: float) -> float:
    if value is None:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", value.strip().lower(), re.ASCII)
    if not match:
        raise UsageError(f"{name} is {value!r}; it can be a time such as 5s or 500ms")
    return float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}[match[2]]


def _url(name: str, value: str | None, default: str) -> str:
    if not value:
        return default
    if not re.fullmatch(r"https?://[^\s/@]+(/[^\s?#]*)?", value):
        raise UsageError(f"{name} is {value!r}; it can be the API's address such as https://HOST/api/v3")
    return value.rstrip("/")


def _interval(name: str, value: str | None) -> float | None:
    if value is None or value.strip().lower() in _FALSE:
        return None
    try:
        seconds = _duration(name, value, 0.0)
    except UsageError:
        seconds = 0.0
    if not 1 <= seconds <= _LONGEST:
        raise UsageError(f"{name} is {value!r}; it can be off, or an interval from 1s to 1440m such as 30s or 5m")
    return seconds
