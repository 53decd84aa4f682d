"""Everything that gitlumo raises on purpose, each with its exit status.

A message says what was asked, what is there, and what to type next. The statuses are git's
(https://git-scm.com/docs/api-error-handling): 128 for what cannot be done, 129 for wrong usage.
"""

from __future__ import annotations


class LumoError(Exception):
    """What gitlumo cannot do, said in one message of one or more lines."""

    status = 128


class UsageError(LumoError):
    """A command line that makes no sense; exit status 129."""

    status = 129


class GitError(LumoError):
    """The git program, or the repository, refused; carries git's own words."""


class NotARepository(GitError):
    """There is no git repository where one was asked for."""


class RefMoved(GitError):
    """A ref was not at the value from which it was to move: somebody else was faster."""


class MissingObject(GitError):
    """An object that was asked for is not in the object database."""


class RemoteError(GitError):
    """A remote could not be reached, or refused; says why, git's own words, and what to type next."""


class RemoteMoved(RemoteError):
    """A remote's ref was not where a push stands on: somebody else was faster."""


class ConnectionBroken(RemoteError):
    """A connection to a remote broke off; what was on its way is lost, and can be sent again."""


class NoRemoteRef(RemoteError):
    """A remote does not have the ref that was to be fetched."""


class NotALedger(LumoError):
    """The branch that should be the ledger holds something else."""


class FormatError(LumoError):
    """Recorded bytes that are not what docs/format.md says."""


class TooNew(FormatError):
    """Recorded by a later version of gitlumo than this one."""


class NoSuchRun(LumoError):
    """An EXP names no run, or more than one."""


class IndexDamaged(LumoError):
    """The index was found damaged, and has been taken away: who asks again gets a new one.

    Attributes:
        late: Whether a part of an answer has been printed.
    """

    late = False


class InvalidName(LumoError, ValueError):
    """An exp_name, a test_name or a key that breaks the rules of docs/format.md, section 3."""


class InvalidValue(LumoError, TypeError):
    """A value that JSON, or a metric, cannot hold; the message names the key's path."""


class StateError(LumoError, RuntimeError):
    """A call at the wrong time: before start(), after end(), start() twice."""


class LumoWarning(UserWarning):
    """What went wrong around a run without stopping it."""


def in_words(error: BaseException) -> str:
    """What an error says; of one that is neither ours nor the system's its type, too."""
    return str(error) if isinstance(error, (LumoError, OSError)) else f"{type(error).__name__}: {error}"
