"""A run's folder as it was at one moment, while its owner goes on writing."""

from __future__ import annotations

from gitlumo.store import layout
from gitlumo.store.journal import Folder, Signature


class Frozen(Folder):
    """A folder of which history ends where it ended when this was made, so that a summary of it stays one.

    Attributes:
        files: Path and signature of each file that a ledger takes, as they were then.
    """

    def __init__(self, info_dir: str, max_file: int):
        """Look at a folder.

        Args:
            info_dir: The folder.
            max_file: How many bytes a file may have that a ledger takes.

        Raises:
            OSError: If it cannot be read.
        """
        super().__init__(info_dir, max_file)
        self.files = super()._files()
        self._sizes = {path: signature[1] for path, signature in self.files}

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None where there is none; of history the whole lines that were there."""
        if layout.chunk_number(path) is None:
            return super().read(path)
        data = (super().read(path) or b"")[: self._sizes.get(path, 0)]
        return data[: data.rfind(b"\n") + 1]

    def _files(self) -> list[tuple[str, Signature]]:
        return self.files
