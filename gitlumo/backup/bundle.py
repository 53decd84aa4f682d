"""Backups as a git bundle: runs with their code in one file, which git itself clones, fetches from and verifies.

It has two refs: ``refs/heads/lumo_experiments``, a ledger of the runs, and ``HEAD``, the newest run's code, so that a
clone of it has that checked out. One that goes on from another bundle has only what is new since that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence

from gitlumo.backup import incoming
from gitlumo.backup.checking import Checked
from gitlumo.backup.restoring import Outcome
from gitlumo.backup.tar import Written, destination
from gitlumo.config import Settings
from gitlumo.errors import FormatError, LumoError
from gitlumo.git import bundle, pack
from gitlumo.git.bundle import Header
from gitlumo.git.objects import Objects, read_commit
from gitlumo.git.transport import Show
from gitlumo.home import Home
from gitlumo.share import exchange, selection
from gitlumo.share.selection import Published
from gitlumo.store import trees
from gitlumo.store.query import Found

_SAID = "of "  # and then the name of the bundle that one goes on from
REF = Settings().ref  # whatever it is called here: in a clone of the bundle no setting says so


def write(
    home: Home,
    founds: Sequence[Found],
    out_path: str,
    *,
    with_code: bool = True,
    since: str | None = None,
    force: bool = False,
) -> Written:
    """Write runs as the ledger has them into a bundle.

    Args:
        home: The repository here.
        founds: The runs.
        out_path: Where to; ``-``: standard output.
        with_code: Whether the code comes along, with its history.
        since: A bundle of before; then only what is new since is written.
        force: Whether the bundle may take the place of a file.

    Raises:
        LumoError: If a run is not published, nothing is new, or the bundle cannot be written; nothing is there then.
    """
    try:
        with contextlib.ExitStack() as stack:
            local = exchange.ready(home)
            out = stack.enter_context(destination(home, out_path, force=force))
            needs = stack.enter_context(_former(home, since)) if since else {}
            runs = chosen(home, local, founds)
            named = selection.codes(home, runs, [local]) if with_code else []
            code = bundle.whole(home.repository, named)
            tip = stack.enter_context(standing(home, runs, local, needs.get(REF), code, with_code=with_code))
            if tip == needs.get(REF):
                raise LumoError(f"nothing is new since {since}")
            newest = newest_code(runs, code)
            refs = {**({"HEAD": newest} if newest else {}), REF: tip}
            said = f"{_SAID}{os.path.basename(since)}" if since else ""
            header = Header(home.repository.location.hash_name, refs, dict.fromkeys(needs.values(), said))
            bundle.write(home.repository, out, header)
            size = os.fstat(out.fileno()).st_size
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LumoError(f"{error.filename or out_path}: {error.strerror}; name another place with -o FILE") from None
    missing = tuple(sorted(wanted_code(runs) - set(code))) if with_code else ()
    return Written(out_path, len(runs), 1, size, (), missing)


def chosen(home: Home, local: str, founds: Sequence[Found]) -> list[Published]:
    """Some runs as the local ledger has them.

    Raises:
        LumoError: If there are none, or one is not published.
    """
    if not founds:
        raise LumoError("there are no runs to back up\nrecord one:  git lumo run -- COMMAND")
    if home.repository.is_partial:
        home.ledger.complete()
    objects = home.repository.objects
    wanted = [selection.Wanted.of(found.record) for found in founds]
    return selection.find(objects, read_commit(objects, local).tree, wanted)


@contextlib.contextmanager
def standing(
    home: Home, runs: Sequence[Published], local: str, base: str | None, code: Sequence[str], *, with_code: bool
) -> Iterator[str]:
    """A commit that has some runs on top of another ledger; it is of this repository only for a while.

    It is the local tip itself where that has these runs alone, and goes on from the other ledger.

    Args:
        home: The repository here.
        runs: The runs.
        local: The local ledger's tip.
        base: The other ledger's tip; None: an empty one.
        code: Their code.
        with_code: Whether that is to come along.
    """
    objects = home.repository.objects
    is_cut = home.repository.is_shallow or home.repository.is_partial
    if (
        with_code
        and not is_cut
        and _are_all(objects, runs, local)
        and (base is None or objects.is_ancestor(base, local))
    ):
        yield local
        return
    commit, made = selection.stand_apart(home, runs, base, code)
    objects.refresh()
    try:
        yield commit
    finally:
        if made:
            pack.remove_pack(made)


def _are_all(objects: Objects, runs: Sequence[Published], local: str) -> bool:
    """Whether a ledger has some runs and no others."""
    number = len({each.run.uid for each in runs})
    places = trees.places(objects, read_commit(objects, local).tree)
    return sum(1 for _ in itertools.islice(places, number + 1)) == number


def newest_code(runs: Sequence[Published], code: Sequence[str]) -> str | None:
    """The code of the newest run of which it is here."""
    newest = sorted(runs, key=lambda each: (each.run.identity.start, each.run.uid), reverse=True)
    return next((each.code for each in newest if each.code in code), None)


def wanted_code(runs: Sequence[Published]) -> set[str]:
    """The commits that runs name as their code, here or not."""
    return {each.code for each in runs if each.code}


@contextlib.contextmanager
def _former(home: Home, since: str) -> Iterator[dict[str, str]]:
    """The refs of a bundle of before, whose objects are here for a while.

    Raises:
        LumoError: If it is no bundle of runs, or cannot be read.
    """
    try:
        refs = dict(bundle.read_header(since).refs)
    except OSError as error:
        raise LumoError(f"{since}: {error.strerror}; --since names a bundle of before") from None
    if REF not in refs:
        raise FormatError(f"{since} is no bundle of runs: it has no {REF}")
    with contextlib.ExitStack() as stack:
        if bundle.whole(home.repository, list(refs.values())) != list(refs.values()):
            _bring(home, since, stack, set())
        yield refs


def _bring(home: Home, path: str, stack: contextlib.ExitStack, seen: set[str]) -> None:
    """Have a bundle's objects here until a stack unwinds, and those of the bundles that it goes on from."""
    _bring_needs(home, path, stack, seen)
    with bundle.unpacked(home.repository, path) as new:
        base = home.ledger.bring_pack(new.pack, next(iter(new.header.refs.values())))

    def take_back() -> None:
        pack.remove_pack(base)
        home.repository.objects.refresh()

    stack.callback(take_back)


def _bring_needs(home: Home, path: str, stack: contextlib.ExitStack, seen: set[str]) -> None:
    """The same for what a bundle goes on from: it says how these are called, and they may lie beside it."""
    seen.add(path)
    for id, said in bundle.read_header(path).needs.items():
        former = os.path.join(os.path.dirname(path), os.path.basename(said.removeprefix(_SAID)))
        if not home.repository.objects.has(id) and former not in seen and os.path.isfile(former):
            _bring(home, former, stack, seen)


def restore(home: Home, path: str, show: Show | None = None) -> list[Outcome]:
    """Join the runs of a bundle with the ledger, as a pull does.

    Args:
        home: The repository here.
        path: The bundle.
        show: Unused: nothing is fetched.

    Raises:
        FormatError: If it is damaged, or no bundle of runs.
        MissingNeeds: If it goes on from one that is not here.
        LumoError: If the ledger cannot be written.
    """
    try:
        with bundle.unpacked(home.repository, path) as new:
            tip = _ledger_of(Home(new.repository, home.settings), new.header, path)
            base = home.ledger.bring_pack(new.pack, tip)
    except OSError as error:
        raise LumoError(f"{error.filename or path}: {error.strerror}") from None
    try:
        return incoming.take(home, tip, path)
    finally:
        pack.unkeep(base)


def _ledger_of(seen: Home, header: Header, path: str) -> str:
    """The ledger in a bundle: under the name that ours has there, or the one that it has here."""
    for ref in (REF, seen.settings.ref):
        if ref in header.refs and seen.ledger.is_ledger(header.refs[ref]):
            return header.refs[ref]
    there = ", ".join(sorted(header.refs)[:5]) or "none"
    raise FormatError(f"{path} is no bundle of runs: it should have {REF}, and its refs are: {there}")


def check(home: Home, path: str, founds: Sequence[Found] = ()) -> Iterator[Checked]:
    """Whether the backups of a bundle are whole and up to date.

    Args:
        home: The repository here.
        path: The bundle.
        founds: Runs of which those that it lacks are to be told, too.

    Raises:
        FormatError: If it is damaged, or no bundle of runs.
        MissingNeeds: If it goes on from one that is not here.
    """
    try:
        with contextlib.ExitStack() as stack:
            _bring_needs(home, path, stack, set())
            new = stack.enter_context(bundle.unpacked(home.repository, path))
            seen = Home(new.repository, home.settings)
            yield from incoming.check(home, seen, _ledger_of(seen, new.header, path), founds)
    except OSError as error:
        raise LumoError(f"{error.filename or path}: {error.strerror}") from None
