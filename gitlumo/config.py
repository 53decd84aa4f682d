"""The switches of ``git config lumo.*``, read from what git printed (pure: it runs nothing)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitlumo.errors import UsageError

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_LONGEST = 86400.0  # seconds between two pushes, two samples


class Settings(NamedTuple):
    """One repository's settings; sizes in bytes, times in seconds.

    Attributes:
        branch: The ledger's branch, without ``refs/heads/``.
        info_root: Where runs keep their info_dir; None: ``<git common dir>/lumo/info``.
        blob_root: Where runs keep checkpoints and other large files; None: ``<git common dir>/lumo/blob``.
        cache_root: Where runs keep what may be deleted; None: the user's cache folder.
        hostname: ``plain``, ``hash`` or ``off``.
        env: Names of environment variables to record.
        snapshot: Whether to record the code.
        snapshot_max_file: Untracked files over this size stay out of snapshots, files below info_dir out of the ledger.
        snapshot_max_total: Untracked files together.
        snapshot_timeout: How long looking at the work tree may take.
        snapshot_exclude: Patterns (as in .gitignore, matched against names and paths) of untracked files to leave out.
        hooks: Whether each ``git push`` shares the runs, too.
        remote: With whom runs are shared unless a remote is named; None: ``origin``, or the only one that there is.
        auto_push: How often a running run is pushed; None: not before somebody does.
        system_metrics: How often a run records the load of its machine; None: never.
        github_repo: Which repository's issues hold backups (``owner/name``); None: that of the remote.
        github_url: The base of GitHub's API.
        github_pause: Between two writes to GitHub.
        gitleaks: Whether gitleaks, where it is installed, looks at what leaves.
    """

    branch: str = "lumo_experiments"
    info_root: str | None = None
    blob_root: str | None = None
    cache_root: str | None = None
    hostname: str = "plain"
    env: tuple[str, ...] = ()
    snapshot: bool = True
    snapshot_max_file: int = 10 * 1024**2
    snapshot_max_total: int = 100 * 1024**2
    snapshot_timeout: float = 5.0
    snapshot_exclude: tuple[str, ...] = ()
    hooks: bool = False
    remote: str | None = None
    auto_push: float | None = None
    system_metrics: float | None = None
    github_repo: str | None = None
    github_url: str = "https://api.github.com"
    github_pause: float = 1.0
    gitleaks: bool = True

    @property
    def ref(self) -> str:
        """The ledger's full ref name."""
        return f"refs/heads/{self.branch}"


def read_settings(config: Mapping[str, Sequence[str]]) -> Settings:
    """The settings in a git configuration.

    Args:
        config: Lower-case variable name (``lumo.snapshotmaxfile``) to all its values, the last one the strongest.

    Raises:
        UsageError: For a value that makes no sense; names the variable.
    """

    def last(name: str) -> str | None:
        values = config.get(f"lumo.{name}".lower())
        return values[-1] if values else None

    def root(name: str) -> str | None:
        value = last(name)
        path = os.path.expanduser(value) if value else None
        if path and not os.path.isabs(path):
            raise UsageError(f"lumo.{name} is {value!r}; it must be an absolute path, or begin with ~/")
        return path

    default = Settings()
    hostname = last("hostname") or default.hostname
    if hostname not in ("plain", "hash", "off"):
        raise UsageError(f"lumo.hostname is {hostname!r}; it can be plain, hash or off")
    branch = last("branch") or default.branch
    if not _is_branch(branch):
        raise UsageError(f"lumo.branch is {branch!r}; that is no name for a branch")
    return Settings(
        branch=branch,
        info_root=root("infoRoot"),
        blob_root=root("blobRoot"),
        cache_root=root("cacheRoot"),
        hostname=hostname,
        env=_words(config.get("lumo.env", ())),
        snapshot=_boolean("lumo.snapshot", last("snapshot"), default.snapshot),
        snapshot_max_file=_size("lumo.snapshotMaxFile", last("snapshotMaxFile"), default.snapshot_max_file),
        snapshot_max_total=_size("lumo.snapshotMaxTotal", last("snapshotMaxTotal"), default.snapshot_max_total),
        snapshot_timeout=_duration("lumo.snapshotTimeout", last("snapshotTimeout"), default.snapshot_timeout),
        snapshot_exclude=_words(config.get("lumo.snapshotexclude", ())),
        hooks=_boolean("lumo.hooks", last("hooks"), default.hooks),
        remote=last("remote") or None,
        auto_push=_interval("lumo.autoPush", last("autoPush")),
        system_metrics=_interval("lumo.systemMetrics", last("systemMetrics")),
        github_repo=last("githubRepo") or None,
        github_url=_url("lumo.githubUrl", last("githubUrl"), default.github_url),
        github_pause=_duration("lumo.githubPause", last("githubPause"), default.github_pause),
        gitleaks=_boolean("lumo.gitleaks", last("gitleaks"), default.gitleaks),
    )


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
