"""Running a recorded run again: its code beside the user's work tree, its command, a link between both runs."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo import ids
from gitlumo.beginning import roots
from gitlumo.editing import RERUN, edit_run
from gitlumo.errors import LumoError, UsageError
from gitlumo.git.process import WHERE
from gitlumo.parameters import value_of
from gitlumo.privacy import is_secret_name
from gitlumo.rerun import environment, imports, worktrees
from gitlumo.rerun.code import commit_of
from gitlumo.rerun.command_line import Located, Recorded, locate, recorded, with_words
from gitlumo.rerun.metric_lines import is_pattern
from gitlumo.rerun.overrides import Change, masked, override, says, script_start, unmet, without_secrets
from gitlumo.rerun.programs import NoSuchCommand, program_of, python_of
from gitlumo.rerun.running import Outcome, Task, run
from gitlumo.seeding import VARIABLE as SEED
from gitlumo.store.branch import Branch
from gitlumo.store.columns import flat
from gitlumo.store.ledger import Ledger
from gitlumo.store.query import Found
from gitlumo.store.record import Record

_SEEDS = ("seed", "random_seed", "rng_seed", "manual_seed", "global_seed")
_MOST = 2**31  # what every library takes as a seed


@dataclass(frozen=True)
class Request:
    """What is asked of a rerun.

    Attributes:
        changes: Parameter to new value.
        seed: The seed; None: the recorded one, or with ``repeat`` a drawn one.
        repeat: How many runs to make, each with a seed of its own; None: one, with the recorded one.
        here: Whether it runs in the user's own work tree, with the code as it is there now.
        links: What of the user's work tree to link into the other one.
        strict: Whether a difference of the environment is an error.
        build: ``uv`` or ``venv`` to build the recorded packages; None: the recorded Python runs it.
        python: The Python to use instead.
        tags: Tags for the new runs.
        note: The note of the new runs.
        quiet: Whether to print no report.
        repeats: Whether a pure repeat is what is wanted.
    """

    changes: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    repeat: int | None = None
    here: bool = False
    links: Sequence[str] = ()
    strict: bool = False
    build: str | None = None
    python: str | None = None
    tags: Sequence[str] = ()
    note: str | None = None
    quiet: bool = False
    repeats: bool = False


@dataclass(frozen=True)
class Plan:
    """A rerun that could begin.

    Attributes:
        found: The run that runs again.
        commit: Its code; None: what lies in the user's work tree.
        command: Its command line, the parameters replaced.
        changes: What became of each change.
        given: The parameters that its command line gave gitlumo (``--set``), with the changes.
        seed: The new seed; None: the recorded one.
        notices: What the user should know, in lines.
    """

    found: Found
    commit: str | None
    command: Recorded
    changes: list[Change]
    given: dict[str, Any]
    seed: int | None
    notices: list[str]


def plan(branch: Branch, found: Found, request: Request, seed: int | None) -> Plan:
    """See that a run can run again, and how; nothing is written.

    Args:
        branch: The ledger.
        found: The run.
        request: What is asked.
        seed: The seed; None: the recorded one.

    Raises:
        LumoError: If its code or its command is not here, or a masked word is not given.
        UsageError: If a change makes no sense.
    """
    commit = None if request.here else commit_of(branch, found)
    command = recorded(found)
    params, changes, notices = found.record.info("params"), dict(request.changes), []
    start = script_start(command.words, command.argv)
    if seed is not None:
        key = _seed_key(params, command.words, start)
        if key in changes:
            raise UsageError(f"{key} is given, and --seed or --repeat give it, too; leave out one of them")
        by_call = type(found.record.info("seed")) is int and not (key and says(command.words, params, key, start))
        if key is not None and not by_call:
            changes[key] = str(seed)
        else:
            notices.append(f"its command says no seed; it gets {SEED}={seed}, which gitlumo.seed_everything() takes")
    given = (found.record.info("execute") or {}).get("given")
    given = given if isinstance(given, dict) else {}
    told = {key: value for key, value in changes.items() if key in flat(given)}
    unsaid = [key for key in told if not says(command.words, params, key, start)]  # only gitlumo was told it
    secrets = masked(command.words, found.record.info("masked") or (), changes, start, command.place)
    if secrets:
        wanted = " ".join(f"{key}=..." for key in secrets.values())
        raise LumoError(
            f"{found.label} was given secrets, which are not recorded: {', '.join(secrets.values())}\n"
            f"give them anew: git lumo rerun {found.name} {wanted}"
        )
    words, done = override(command.words, params, {k: v for k, v in changes.items() if k not in unsaid}, start)
    done += [Change(key, changes[key], str(flat(given)[key])) for key in unsaid]
    if (
        not request.repeats
        and words == command.words
        and not unsaid
        and (seed is None or seed == _recorded_seed(found))
    ):
        notices.append("nothing is changed, so it is a pure repeat; '--seed S' or '--repeat N' give it other seeds")
    return Plan(found, commit, with_words(command, words), done, _with(given, told), seed, notices)


def _seed_key(params: Any, words: Sequence[str], start: int) -> str | None:
    """The parameter that is a run's seed, as its name says."""
    names = [name for name in flat(params) if name.rpartition(".")[2] in _SEEDS]
    if names:
        return min(names, key=lambda name: (name.count("."), _SEEDS.index(name.rpartition(".")[2])))
    return next((name for name in _SEEDS if says(words, params, name, start)), None)


def _recorded_seed(found: Found) -> Any:
    params = flat(found.record.info("params"))
    return next((params[name] for name in params if name.rpartition(".")[2] in _SEEDS), found.record.info("seed"))


def _kept_seed(found: Found, changes: Mapping[str, str]) -> int | None:
    """The recorded seed, where the script has not said it itself and so will not say it again."""
    seed, info = found.record.info("seed"), found.record.info
    if not isinstance(seed, int) or not info("seed_from") or any(key.rpartition(".")[2] in _SEEDS for key in changes):
        return None
    return seed


def _with(params: Mapping[str, Any], changes: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
    """Parameters, nested ones too, with other values for some of them."""
    found = {}
    for key, value in params.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            value = _with(value, changes, f"{name}.")
        found[key] = value_of(changes[name]) if name in changes else value
    return found


def seeds(request: Request) -> Iterator[int | None]:
    """The seed of each run that is asked for; drawn ones differ from call to call."""
    draw = random.SystemRandom()
    for i in range(request.repeat or 1):
        if request.seed is not None:
            yield (request.seed + i) % _MOST
        else:
            yield draw.randrange(_MOST) if request.repeat else None


def rerun(
    branch: Branch, found: Found, request: Request, seed: int | None, number: int, say: Callable[[str], None]
) -> tuple[Outcome, list[str]]:
    """Run a recorded run again.

    Args:
        branch: The ledger.
        found: The run.
        request: What is asked.
        seed: The seed of this one; None: the recorded one.
        number: Which repetition it is, from 1.
        say: Told, line by line, what is about to run, and how it is not what was recorded.

    Returns:
        What became of it, and which changes the new run does not show.

    Raises:
        LumoError: If it cannot run, or with ``strict`` if the environment differs; nothing is recorded then.
    """
    made = plan(branch, found, request, seed)
    with contextlib.ExitStack() as stack:
        tree = home = branch.repository.location.work_tree
        lease, variables = None, dict(_recorded_variables(found))
        if made.commit is not None:
            lease = stack.enter_context(worktrees.lease(branch.repository, _cache_root(branch), made.commit))
            tree = lease.path
            if request.links:
                if home is None:
                    raise LumoError("this repository has no work tree from which to link")
                lease.link(home, [os.path.abspath(path) for path in request.links])
            variables |= lease.variables
        python = request.python
        if request.build:
            from gitlumo.rerun import venvs

            python = venvs.build(found.record.info, request.build, _cache_root(branch), say)
            variables |= venvs.activated(python, os.environ)
        located = locate(made.command, tree, home, python)
        for line in _announcement(made, located, lease, request):
            say(line)
        environ = {**os.environ, **variables}
        interpreter = _interpreter(located, environ)
        _compare(found, interpreter, request, environ, say)
        seed = made.seed if made.seed is not None else _kept_seed(found, request.changes)
        if seed is not None:
            variables[SEED] = str(seed)
        if lease and home and interpreter:
            path = environ.get("PYTHONPATH", "")
            variables |= imports.variables(interpreter.folders, path, home, lease.path, say)
        outcome = _run(branch, made, located, request, variables, number, lease)
    if outcome.uid is None:  # nothing is recorded, so nothing can show a change
        return outcome, []
    return outcome, unmet((change for change in made.changes if not is_secret_name(change.key)), outcome.params)


def rehearse(branch: Branch, found: Found, request: Request, seed: int | None, say: Callable[[str], None]) -> None:
    """Say what :func:`rerun` would run; nothing is written.

    Raises:
        LumoError: See :func:`plan`.
    """
    made = plan(branch, found, request, seed)
    for line in _announcement(made, Located(made.command.words, "", []), None, request):
        say(line)


def _cache_root(branch: Branch) -> str:
    return roots(branch.settings, branch.lumo_dir)["cache_root"]


def _recorded_variables(found: Found) -> Iterator[tuple[str, str]]:
    env = found.record.info("env")
    listed = found.record.info("masked") or ()
    for name, value in (env if isinstance(env, dict) else {}).items():
        if isinstance(value, str) and f"env.{name}" not in listed and "\0" not in value and "=" not in name:
            yield name, os.path.expanduser(value) if value.startswith("~/") else value


def _announcement(made: Plan, located: Located, lease: worktrees.Lease | None, request: Request) -> Iterator[str]:
    yield f"running {made.found.label} again"
    if made.commit is not None:
        yield f"  code      {made.commit[:12]}" + (f" in {lease.path}" if lease else "")
        yield from (f"  missing   {line}" for line in (lease.missing if lease else ()))
        yield from _left_out(made.found, request.links)
    else:
        yield "  code      as it is in your work tree now (--here)"
    yield f"  command   {shlex.join(without_secrets(located.words, made.changes))}"
    yield from (f"  changed   {change}" for change in made.changes)
    yield from (f"  note      {line}" for line in [*made.notices, *located.notices])


def _left_out(found: Found, links: Sequence[str]) -> Iterator[str]:
    """What the snapshot does not have, as the run has listed it."""
    git = found.record.info("git") or {}
    listed = git.get("skipped")
    paths = [str(item.get("path")) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    paths = [path for path in paths if path.rstrip("/") not in [link.rstrip("/") for link in links]]
    if paths:
        more = f", and {len(paths) - 4} more" if len(paths) > 4 else ""
        yield f"  left out  {', '.join(paths[:4])}{more}: not recorded; '--link PATH' links it from your work tree"


def _interpreter(located: Located, environ: Mapping[str, str]) -> environment.Interpreter | None:
    """The Python that runs a command, or the one on the PATH, which a shell script in it would run; None: none."""
    with contextlib.suppress(NoSuchCommand):
        python = python_of(program_of(located.words))
        if python:
            return environment.ask(python, environ, located.cwd)
    python = shutil.which("python") or shutil.which("python3")
    with contextlib.suppress(LumoError):
        return environment.ask(python, environ, located.cwd) if python else None
    return None


def _compare(
    found: Found,
    interpreter: environment.Interpreter | None,
    request: Request,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    lock = found.record.info("lock")
    if interpreter is None or lock == {}:  # what ran was no Python
        say(f"  note      {environment.UNKNOWN}")
        return
    difference = environment.compare(found.record.info, interpreter, environ)
    for line in difference.lines():
        say(f"  differs   {line}" if difference else f"  note      {line}")
    if difference and request.strict:
        raise LumoError("the environment is not the recorded one, and --strict was given; '--env venv' builds it")


def _run(
    branch: Branch,
    made: Plan,
    located: Located,
    request: Request,
    variables: Mapping[str, str],
    number: int,
    lease: worktrees.Lease | None,
) -> Outcome:
    record = made.found.record
    link: dict[str, Any] = {"from": record.uid, "repeat": number}
    if made.seed is not None:
        link["seed"] = made.seed
    if made.changes:
        link["changes"] = {change.key: change.value for change in made.changes}
    task = Task(
        located.words,
        ids.check_exp_name(made.found.exp_name),
        params=made.given,
        tags=request.tags,
        note=request.note,
        patterns=_patterns(record),
        env=variables,
        rerun=link,
        nth=made.command.nth,
        quiet=request.quiet,
        started=lambda uid: _link_back(branch, made.found, uid),
        spawned=lease.hand_to if lease else None,
    )
    with _standing_in(located.cwd, lease.variables if lease else {}):
        return run(task)


def _patterns(record: Record) -> list[str]:
    """What found metrics in the output of a run; what is no pattern (a stranger's) is passed over."""
    found = (record.info("execute") or {}).get("patterns")
    return [text for text in found if isinstance(text, str) and is_pattern(text)] if isinstance(found, list) else []


def _link_back(branch: Branch, found: Found, uid: str) -> None:
    """Note with the old run that this one repeats it."""
    ledger = Ledger(branch.repository, branch.settings)
    edit_run(ledger, found.record, RERUN, {"uid": uid})


@contextlib.contextmanager
def _standing_in(folder: str, variables: Mapping[str, str]) -> Iterator[None]:
    """Within a folder, whose repository is the one that git finds from there."""
    before, here = dict(os.environ), os.getcwd()
    for name in WHERE:
        os.environ.pop(name, None)
    os.environ.update(variables)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)
