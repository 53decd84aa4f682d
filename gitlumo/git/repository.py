"""Finding a repository and opening the doors to it."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gitlumo.errors import NotARepository
from gitlumo.git import process

if TYPE_CHECKING:
    from gitlumo.git.engines import Engine
    from gitlumo.git.objects import Objects
    from gitlumo.git.refs import Refs

_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"
_CONFIG = ("config", "-z", "--get-regexp",
           r"^(lumo|user|author|committer|color|core|extensions|remote|pager|status)\.")  # fmt: skip


class Location(NamedTuple):
    """Where a repository lies; all paths absolute.

    Attributes:
        git_dir: The work tree's own git folder (differs from ``common_dir`` in a linked worktree).
        common_dir: The folder that all worktrees share.
        work_tree: Top of the work tree; None in a bare repository.
        hash_name: ``sha1`` or ``sha256``.
        ref_store: ``files`` or ``reftable``.
    """

    git_dir: str
    common_dir: str
    work_tree: str | None
    hash_name: str
    ref_store: str

    @property
    def objects_dir(self) -> str:
        """The object database."""
        return os.path.join(self.common_dir, "objects")

    @property
    def lumo_dir(self) -> str:
        """gitlumo's own folder, shared by all worktrees and never in one."""
        return os.path.join(self.common_dir, "lumo")


def locate(path: str | os.PathLike[str] | None = None) -> Location:
    """Find the repository that ``path`` lies in, as git finds it.

    Args:
        path: A folder; None: the current one, and then ``GIT_DIR`` and its kin are obeyed.

    Raises:
        NotARepository: If there is none, or git does not trust its owner (then with git's own message).
    """
    cwd = os.fspath(path) if path is not None else None
    if cwd is not None and not os.path.isdir(cwd):
        raise NotARepository(f"{cwd} is not a folder")
    env = process.environment(keep_where=path is None)
    args = ["rev-parse", "--path-format=absolute", "--is-bare-repository", "--show-object-format", "--show-ref-format"]
    found = process.ask([*args, "--git-dir", "--git-common-dir", "--show-toplevel"], cwd=cwd, env=env)
    lines = found.out.decode("utf-8", "surrogateescape").split("\n")[:-1]
    if len(lines) < 5:
        if "not a git repository" in found.message and (path is not None or "GIT_DIR" not in os.environ):
            where = cwd or os.getcwd()
            raise NotARepository(f"{found.message}\n{where} is not in a git repository; type 'git init' to make one")
        raise NotARepository(found.message)
    ref_store = lines[2] if not lines[2].startswith("-") else "files"  # git before 2.45 echoes the unknown option
    if len(lines) > 6:  # a path with a newline in it: ask for each alone
        git_dir, common_dir, top = (
            process.ask(["rev-parse", "--path-format=absolute", option], cwd=cwd, env=env)
            .out.decode("utf-8", "surrogateescape")
            .removesuffix("\n")
            for option in ("--git-dir", "--git-common-dir", "--show-toplevel")
        )
    else:
        git_dir, common_dir, top = lines[3], lines[4], lines[5] if len(lines) == 6 else ""
    bare = lines[0] == "true"
    return Location(git_dir, common_dir, None if bare or not top else top, lines[1], ref_store)


class Repository:
    """One repository: its place, its configuration, its objects and refs."""

    def __init__(self, location: Location, quarantine: str | None = None):
        """Wrap what was found.

        Args:
            location: Where it lies.
            quarantine: A folder of objects that are read, too: in a hook, those that are being pushed
                (git-receive-pack(1), "Quarantine Environment").
        """
        self.location = location
        self._quarantine = quarantine

    @cached_property
    def config(self) -> dict[str, list[str]]:
        """git's configuration as far as gitlumo reads it: lower-case name to all values, the last one strongest."""
        return _parsed(process.ask([*self.git_args, *_CONFIG]))

    @property
    def git_args(self) -> list[str]:
        """Arguments with which a child git works on this repository, wherever it is started."""
        args = ["--git-dir", self.location.git_dir]
        return [*args, "--work-tree", self.location.work_tree] if self.location.work_tree else args

    @cached_property
    def engine(self) -> Engine:
        """Who reads objects and moves refs here."""
        from gitlumo.git.engines import choose

        extensions = (name for name in self.config if name.startswith("extensions."))
        return choose(self.location.hash_name, self.location.ref_store, extensions)

    @cached_property
    def objects(self) -> Objects:
        """The object database, through the engine that fits its format."""
        from gitlumo.git.engines import open_objects

        return open_objects(self.engine, self.location.objects_dir, self.location.hash_name, self._quarantine)

    @cached_property
    def refs(self) -> Refs:
        """The ref store: plain files through the engine of the objects, any other through the git program."""
        from gitlumo.git.engines import open_refs

        return open_refs(self.engine, self.location.git_dir, self.objects, self._reflog_identity)

    def _reflog_identity(self) -> str | None:
        """Who a new reflog's lines are of; None where git begins none (git-config(1), ``core.logAllRefUpdates``)."""
        log = self._config_last("core.logallrefupdates")
        begins = (log or "").lower() not in ("false", "no", "off", "0") if log else not self._is_bare()
        return self.identity[0] if begins else None

    @cached_property
    def identity(self) -> tuple[str, bool]:
        """``Name <email>`` of who commits here, and whether it is the user's own (else a stand-in)."""
        name = os.environ.get("GIT_AUTHOR_NAME") or self._config_last("author.name") or self._config_last("user.name")
        email = (
            os.environ.get("GIT_AUTHOR_EMAIL") or self._config_last("author.email") or self._config_last("user.email")
        )
        name, email = _clean(name or ""), _clean(email or "")
        if name and email:
            return f"{name} <{email}>", True
        told = process.ask([*self.git_args, "var", "GIT_AUTHOR_IDENT"])
        if told.status == 0:
            return told.out.decode("utf-8", "replace").rsplit(">", 1)[0] + ">", True
        return "gitlumo user <user@localhost>", False

    def _config_last(self, name: str) -> str | None:
        values = self.config.get(name)
        return values[-1] if values else None

    @property
    def promisors(self) -> list[str]:
        """The remotes that have promised what is missing here: by the configuration, old style or new."""
        found = [
            name.split(".", 1)[1].rpartition(".")[0]
            for name, values in self.config.items()
            if name.startswith("remote.") and name.endswith(".promisor") and values[-1].lower() != "false"
        ]
        return list(dict.fromkeys([*found, *self.config.get("extensions.partialclone", [])]))

    @property
    def is_partial(self) -> bool:
        """Whether this is a partial clone, in which objects may be missing."""
        return bool(self.promisors)

    @property
    def is_shallow(self) -> bool:
        """Whether history ends early here (git-clone(1), ``--depth``)."""
        return os.path.exists(os.path.join(self.location.common_dir, "shallow"))

    @property
    def ends(self) -> set[str]:
        """The commits at which history ends early: their parents are missing (gitformat-shallow)."""
        try:
            with open(os.path.join(self.location.common_dir, "shallow"), encoding="ascii") as source:
                return set(source.read().split())
        except FileNotFoundError:
            return set()

    def is_whole(self, *commits: str) -> bool:
        """Whether everything that some commits reach is here (git-rev-list(1), ``--objects``)."""
        promised = ["--exclude-promisor-objects"] if self.is_partial else []
        words = [*self.git_args, "rev-list", "--objects", "--quiet", *promised, "--stdin"]
        return process.run(words, stdin="\n".join(commits).encode("ascii"), check=False).status == 0

    def refs_with(self, commits: Iterable[str]) -> list[str]:
        """The refs that reach one of some commits (git-for-each-ref(1), ``--contains``)."""
        words = [f"--contains={commit}" for commit in commits]
        out = process.run([*self.git_args, "for-each-ref", "--format=%(refname)", *words]).out if words else b""
        return os.fsdecode(out).split("\n")[:-1]

    def forget(self, ref: str) -> None:
        """Drop from a ref's log what the ref does not reach any more (git-reflog(1)); so git's gc may delete it."""
        words = ["reflog", "expire", "--expire=never", "--expire-unreachable=now", ref]
        process.run([*self.git_args, *words], check=False)

    def worktree_with(self, ref: str) -> str | None:
        """The work tree in which a branch is checked out, or None."""
        if self.location.ref_store != "files":
            out = process.ask([*self.git_args, "worktree", "list", "--porcelain", "-z"]).out
            trees = (item.split(b"\0") for item in out.split(b"\0\0"))
            found = [lines[0] for lines in trees if b"branch " + os.fsencode(ref) in lines and b"bare" not in lines]
            return os.fsdecode(found[0].removeprefix(b"worktree ")) if found else None
        common = self.location.common_dir
        wanted = b"ref: " + os.fsencode(ref)
        if _first_line(os.path.join(common, "HEAD")) == wanted and not self._is_bare():
            return os.path.dirname(common) if os.path.basename(common) == ".git" else self.location.work_tree or common
        worktrees = os.path.join(common, "worktrees")
        for name in os.listdir(worktrees) if os.path.isdir(worktrees) else ():
            if _first_line(os.path.join(worktrees, name, "HEAD")) == wanted:
                return os.path.dirname(os.fsdecode(_first_line(os.path.join(worktrees, name, "gitdir"))))
        return None

    def _is_bare(self) -> bool:
        return (self._config_last("core.bare") or "false").lower() in ("true", "yes", "on", "1")

    def remote_names(self) -> list[str]:
        """Names of the configured remotes."""
        names = (name.split(".", 1)[1].rpartition(".")[0] for name in self.config if name.startswith("remote."))
        return sorted({name for name in names if name})

    def remotes_without(self, ref: str) -> list[str]:
        """Remotes from which ``git fetch`` does not bring a ref, as in a single-branch clone (git-fetch(1))."""
        sources = {name: self.config.get(f"remote.{name}.fetch", []) for name in self.remote_names()}
        return [
            name
            for name, specs in sources.items()
            if specs and not any(fnmatch.fnmatchcase(ref, spec.lstrip("+").partition(":")[0]) for spec in specs)
        ]

    def overwriting(self, remote: str, ref: str) -> str | None:
        """The refspec with which a fetch from a remote, and git after a push, writes a local ref, as in a mirror."""
        specs = self.config.get(f"remote.{remote}.fetch", [])
        return next((spec for spec in specs if fnmatch.fnmatchcase(ref, spec.partition(":")[2] or " ")), None)

    def remote_urls(self) -> dict[str, str]:
        """URL of each configured remote."""
        urls = {name: self.config.get(f"remote.{name}.url") for name in self.remote_names()}
        return {name: values[0] for name, values in urls.items() if values}  # the one that git fetches from

    def pushes_elsewhere(self, remote: str) -> bool:
        """Whether pushes to a remote go, also, to another address than fetches come from."""
        urls = self.config.get(f"remote.{remote}.url", [])
        return any(url not in urls[:1] for url in self.config.get(f"remote.{remote}.pushurl", urls))

    def again(self) -> Repository:
        """The same repository with engines of its own, for another thread."""
        other = Repository(self.location, self._quarantine)
        other.config = self.config
        return other

    def close(self) -> None:
        """Let go of files and memory."""
        if "objects" in self.__dict__:
            self.objects.close()
        for name in ("objects", "refs"):
            self.__dict__.pop(name, None)


def _first_line(path: str) -> bytes:
    try:
        with open(path, "rb") as source:
            return source.readline().rstrip(b"\n")
    except OSError:
        return b""


def open_repository(path: str | os.PathLike[str] | None = None, *, quarantine: str | None = None) -> Repository:
    """Find and open a repository; see :func:`locate` and :class:`Repository`.

    git is asked for its place and its configuration at once.
    """
    cwd = os.fspath(path) if path is not None and os.path.isdir(path) else None
    environment = process.environment(keep_where=path is None)
    asked = process.Asked(_CONFIG, cwd=cwd, env=environment, timeout=process.PATIENCE)
    try:
        repository = Repository(locate(path), quarantine)
    except BaseException:
        asked.kill()
        raise
    repository.config = _parsed(process.answer(asked))
    return repository


def _parsed(said: process.Result) -> dict[str, list[str]]:
    config: dict[str, list[str]] = {}
    for item in said.out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        name, equals, value = item.partition("\n")
        config.setdefault(name, []).append(value if equals else "true")
    return config


def timestamp(seconds: float | None = None) -> str:
    """A time as it stands in a commit: seconds since 1970 and the local zone."""
    moment = int(time.time() if seconds is None else seconds)
    offset = time.localtime(moment).tm_gmtoff // 60
    return f"{moment} {'-' if offset < 0 else '+'}{abs(offset) // 60:02d}{abs(offset) % 60:02d}"


def _clean(text: str) -> str:
    """A name or an email without what git drops from them (git's ident.c: crud and angle brackets)."""
    return "".join(c for c in text if c not in "<>\n\0").strip(_CRUD)


def load_engines() -> None:
    """Import what objects and refs will need: tens of milliseconds, which a thread can spend while git works."""
    import dulwich.pack  # noqa: F401

    with contextlib.suppress(ImportError):
        import gitlumo.git.engine_pygit2  # noqa: F401
