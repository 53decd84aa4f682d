"""The command ``git lumo``: one verb, one file; a verb's file declares its options, computes, and prints."""

import gc
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``git lumo``; see :func:`gitlumo.cli.command.main`."""
    try:
        from gitlumo.cli.command import main
    except KeyboardInterrupt:  # Ctrl-C in the moment that it takes to get here
        return 130
    status = main(argv)
    if argv is None:  # this process ends: what it holds need not be searched for circles
        gc.freeze()
    return status
