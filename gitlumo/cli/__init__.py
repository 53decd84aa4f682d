"""The command ``git lumo``: one verb, one file; a verb's file declares its options, computes, and prints."""

from gitlumo.cli.command import main

__all__ = ["main"]
