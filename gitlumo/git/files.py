"""Moving finished files to where git looks for them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil


def move(source: str, target: str) -> None:
    """Rename a file, also onto another disk: then by a copy beside the target.

    Raises:
        OSError: If that fails; nothing new is left at or beside the target.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = f"{target}.{os.getpid()}.new"
        try:
            shutil.copy2(source, near)
            os.replace(near, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(near)
            raise
        os.unlink(source)
