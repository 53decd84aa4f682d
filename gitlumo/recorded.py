"""What can be read of a run, while it records and ever after, what anyone may edit, and where its folders are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from gitlumo import arguments, ids
from gitlumo.config import Settings
from gitlumo.errors import InvalidName, InvalidValue, LumoError, StateError
from gitlumo.store.journal import Folder, home_of
from gitlumo.store.record import Record

if TYPE_CHECKING:
    from gitlumo.store.query import TreeFiles

NEW, OPEN, ENDED, READ = "not started", "being recorded", "ended", "read from disk"


class Recorded:
    """The reading half of an experiment.

    Attributes:
        exp_name: What is tried.
        test_name: This run; None before ``start()`` where it was not given.
        uid: The run's id.
    """

    def __init__(self, exp_name: str, test_name: str | None):
        self.exp_name = ids.check_exp_name(exp_name)
        self.test_name = ids.check_test_name(test_name) if test_name is not None else None
        self.uid = ids.new_uid()
        self._mode = NEW
        self._record: Record | None = None
        self._published: TreeFiles | None = None  # the run in the ledger: its edits are nowhere else
        self._lumo_dir: str | None = None  # of the repository whose ledger has it
        self._roots: Mapping[str, str] = {}
        self._folder_name: str | None = None  # where it is not test_name: another run's folder had that name here

    @classmethod
    def from_disk(cls, info_dir: str | os.PathLike[str]) -> Self:
        """A recorded run, to read, with the edits that the ledger has; of these it can make more.

        Args:
            info_dir: Its folder, as :attr:`info_dir` named it.

        Raises:
            LumoError: If the folder holds no run, or one of a later format.
        """
        path = os.path.abspath(os.fspath(info_dir))
        if not os.path.isdir(path):
            raise LumoError(f"{path} is not a folder; a run's folder is what exp.info_dir says")
        folder = Folder(path, Settings().snapshot_max_file)
        found = Record(folder.read, folder.paths, path)
        found.check()
        exp = cls(found.info("exp_name"), found.info("test_name"))
        exp._mode, exp._record, exp.uid = READ, found, found.uid
        exp._roots = {"info_root": os.path.dirname(os.path.dirname(path))}
        exp._lumo_dir = home_of(path)
        with contextlib.suppress(LumoError, OSError):  # a folder without its repository can be read all the same
            exp._read_edits()
        return exp

    @classmethod
    def from_cache(cls, row: Any) -> Self:
        """The run of a row of ``Watcher().load()``, to read and to edit.

        Args:
            row: ``df.iloc[0].to_dict()``, or the row itself.

        Raises:
            NoSuchRun: If the run is not there any more.
            LumoError: If the row names no run.
        """
        from gitlumo.watcher import found_in_row

        return cls.from_record(*found_in_row(row))

    @classmethod
    def from_record(cls, found: Record, roots: Mapping[str, str], lumo_dir: str) -> Self:
        """A recorded run as a reader has found it.

        Args:
            found: The run.
            roots: Where this repository's runs keep their folders.
            lumo_dir: gitlumo's folder in the git common dir.

        Raises:
            FormatError: If it is damaged, or of a later format.
        """
        found.check()
        exp = cls(found.info("exp_name"), found.info("test_name"))
        exp._mode, exp._record, exp.uid = READ, found, found.uid
        exp._roots, exp._lumo_dir = roots, lumo_dir
        with contextlib.suppress(LumoError, OSError):  # a run that waits to be published has none
            exp._read_edits()
        return exp

    @property
    def _reader(self) -> Record:
        if self._record is None:
            raise StateError(f"{self.exp_name} has recorded nothing before start()")
        if self._published is None:
            return self._record
        from gitlumo.store.query import with_edits

        return with_edits(self._record, self._published)

    @property
    def label(self) -> str:
        """``<exp_name>/<test_name>``."""
        return f"{self.exp_name}/{self.test_name}"

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``killed``."""
        return self._reader.state

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """``{key: {last, min, max, best, best_step, cmp, count, with}}``, up to the last line of history."""
        folded, _ = self._reader.folded()
        return {key: metric.summary() for key, metric in folded.items()} or self._reader.metrics

    def curves(self) -> dict[str, list[int | float]]:
        """At most 96 values of each metric, evenly spread over its history: for a picture."""
        return {key: metric.curve for key, metric in self._reader.folded()[0].items()}

    def history(self, key: str | None = None) -> list[dict[str, Any]]:
        """All values of one metric, or of all: ``[{'step': 1, 'time': 3.217, 'loss': .31}, ...]``.

        Args:
            key: The metric; None: all of them, one dict a call.
        """
        return self._reader.history(key)

    @property
    def properties(self) -> dict[str, Any]:
        """All that is known of the run: what was recorded, what edits say, ``state`` and ``metrics``.

        Raises:
            FormatError: If a file is damaged; it names file and run.
        """
        return self._reader.properties | {"metrics": self.metrics}

    @property
    def resumed(self) -> list[dict[str, Any]]:
        """When and where the run was gone on with: ``[{time, host, pid, after}, ...]``; empty if never."""
        listed = self._reader.progress.get("resumed")
        return listed if isinstance(listed, list) else []

    def load_info(self, key: str) -> Any:
        """A property, None where there is none."""
        return self._reader.info(key)

    def load_note(self) -> str:
        """The run's note."""
        return self._reader.note

    def load_string(self, key: str) -> str | None:
        """A text, None where there is none."""
        return self._reader.text(key)

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        found: list[str] = self._reader.properties["tags"]
        return found

    def dump_deprecated(self, deprecated: bool = True) -> None:
        """Mark the run as one that is not to be listed, or take that back: an edit in the ledger.

        Raises:
            InvalidValue: For anything but True and False.
            StateError: Before ``start()``.
            LumoError: If the run was read, and the ledger cannot be written.
        """
        if not isinstance(deprecated, bool):
            raise InvalidValue(f"deprecated is True or False, not {deprecated!r}")
        if self._mode == NEW or deprecated != self._reader.deprecated:
            self._edit("deprecated", deprecated)

    def undo(self) -> None:
        """Undo the run's latest edit, whoever made it: note, tags or deprecated are as they were before.

        Raises:
            StateError: Before ``start()``, or if there is no edit.
            LumoError: If the run was read, and the ledger cannot be written.
        """
        from gitlumo import editing
        from gitlumo.store.layout import UNDO

        edit = editing.last_edit(self._reader)
        with contextlib.suppress(LumoError, OSError):  # somebody may have made one since; else what was seen counts
            self._read_edits()
            edit = editing.last_edit(self._reader)
        if edit is None and (self._lumo_dir or self._mode == READ):
            raise StateError(f"{self.label} has no edit that could be undone")
        if edit:
            self._edit(UNDO, edit.id)

    def backup(
        self,
        backend: str = "github",
        repo: str | None = None,
        access_token: str | None = None,
        update: bool = True,
        labels: Sequence[str] = (),
        *,
        keep_open: bool = False,
        milestone: str | None = None,
        assignees: Sequence[str] = (),
    ) -> dict[str, Any] | None:
        """Keep the run as it is now elsewhere: as an issue on GitHub, one a run, which later calls bring up to date.

        Args:
            backend: ``github``.
            repo: ``owner/name``; None: lumo.githubRepo, or the remote's.
            access_token: None: ``GITHUB_TOKEN``, ``GH_TOKEN``, or what git's credential helper knows.
            update: Whether an issue that is there is brought up to date.
            labels: More labels.
            keep_open: Whether the issue of a run that has ended stays open.
            milestone: The title of one, for a new issue.
            assignees: Names of users, for a new issue.

        Returns:
            ``{"backend", "repo", "number", "url", "did", "masked"}``; ``did`` is ``new``, ``updated`` or ``unchanged``,
            ``masked`` lists where secrets were masked. None: while the run is being recorded, if it could not be done.

        Raises:
            InvalidValue: For a backend that there is not, or labels that are no strings.
            LumoError: If it could not be done, or it is not known whether it was; calling again goes on.
        """
        arguments.check_backend(backend)
        arguments.check_names(labels=labels, assignees=assignees)
        options = {"update": update, "keep_open": keep_open, "milestone": milestone}
        lists = {"labels": tuple(labels), "assignees": tuple(assignees)}
        return self._back_up(repo=repo, access_token=access_token, **options, **lists)

    def _back_up(self, **options: Any) -> dict[str, Any] | None:
        from gitlumo.backup.calls import back_up

        made = back_up(self._lumo_dir, (self.exp_name, str(self.test_name), self.uid), **options)
        self._read_edits()
        return made

    def _retag(self, tags: Sequence[str]) -> None:
        from gitlumo import editing

        value = editing.retag(self._reader, tags, set(self.tags) - set(tags))
        if value["add"] or value["remove"]:
            self._edit(editing.TAG, value)

    def _edit(self, kind: str, value: Any) -> None:
        """Make an edit, and read the run with it."""
        from gitlumo import editing

        reader = self._reader
        if self._lumo_dir is None:
            raise StateError(f"{self.label} was read from a folder of no repository, so its ledger is not known")
        ledger = editing.open_ledger(self._lumo_dir)
        try:
            editing.edit_run(ledger, reader, kind, value)
        finally:
            ledger.repository.close()
        self._read_edits()

    def _read_edits(self) -> None:
        if self._lumo_dir:
            from gitlumo import editing

            ledger = editing.open_ledger(self._lumo_dir)
            self._published = editing.published(ledger, self.uid, (self.exp_name, str(self.test_name)))

    @property
    def info_dir(self) -> str:
        """Where the run's record lies; what you put there goes into the ledger."""
        return self._folder_of("info_root")

    @property
    def blob_dir(self) -> str:
        """Where the run keeps checkpoints and other large files; they stay on this machine."""
        return self._folder_of("blob_root")

    @property
    def cache_dir(self) -> str:
        """Where the run keeps what may be deleted."""
        return self._folder_of("cache_root")

    def mk_ipath(self, *path: str, is_dir: bool = False) -> str:
        """A path below :attr:`info_dir`, its parents made (with ``is_dir`` itself, too)."""
        return _made(self.info_dir, path, is_dir)

    def mk_bpath(self, *path: str, is_dir: bool = False) -> str:
        """A path below :attr:`blob_dir`, its parents made (with ``is_dir`` itself, too)."""
        return _made(self.blob_dir, path, is_dir)

    def mk_cpath(self, *path: str, is_dir: bool = False) -> str:
        """A path below :attr:`cache_dir`, its parents made (with ``is_dir`` itself, too)."""
        return _made(self.cache_dir, path, is_dir)

    def _folder_of(self, root: str) -> str:
        if self._mode == NEW:
            raise StateError(f"{self.exp_name} has no folders before start()")
        if root not in self._roots:
            raise StateError(f"{self.label} was read from disk: its {root.removesuffix('_root')}_dir is not known here")
        return os.path.join(self._roots[root], self.exp_name, self._folder_name or str(self.test_name))

    def __repr__(self) -> str:
        """``Experiment(info_dir=".../digits/261124.000.k3x9t")``."""
        if self._mode == NEW:
            return f"{type(self).__name__}({self.exp_name!r})"
        return f'{type(self).__name__}(info_dir="{self.info_dir}")'


def _made(folder: str, path: tuple[str, ...], is_dir: bool) -> str:
    full = os.path.normpath(os.path.join(folder, *path))
    if full != folder and not full.startswith(folder + os.sep):
        raise InvalidName(f"{os.path.join(*path)!r} leads out of the run's folder {folder}")
    os.makedirs(os.path.dirname(full) if path and not is_dir else full, exist_ok=True)
    return full
