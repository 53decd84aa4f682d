"""What a run shows: images and figures, as files in its folder, which the ledger takes and the board draws."""

from __future__ import annotations

import os
from typing import Any

from gitlumo import arguments, ids, pixels
from gitlumo.errors import InvalidValue
from gitlumo.silence import Silence
from gitlumo.store import layout
from gitlumo.store.journal import write_whole
from gitlumo.writing import Writing


class Picturing(Writing):
    """The showing half of an experiment."""

    def log_image(self, key: str, image: Any, step: int | None = None) -> str | None:
        """Record an image: ``images/<key>/<step>-<hash>.png`` in the run's folder.

        Args:
            key: What it shows.
            image: An image of PIL's; an array (height x width, or with 1 to 4 channels; integers from 0 to 255, or
                floats from 0 to 1); a figure of matplotlib's; the path of a PNG, JPEG, GIF or WebP file, or its bytes.
            step: An integer; None: one more than the last step of this key, from 0.

        Returns:
            The file's path; None where it could not be written, or nothing is recorded.

        Raises:
            InvalidName: For a key that is no string, or cannot name a folder.
            InvalidValue: For what is no image, a broken one, or a file that cannot be read.
            StateError: Before ``start()`` or after ``end()``.
        """
        if pixels.is_figure(image):
            return self.log_figure(key, image, step)
        folder, number = self._folder_for(key), self._step(step)
        data, ending = pixels.encode(image, key)
        return self._show(folder, number, data, ending) if self._writing("log_image()") else None

    def log_figure(self, key: str, figure: Any, step: int | None = None) -> str | None:
        """Record a figure of matplotlib's, or axes, as an image; one that fails to draw is a warning.

        Args:
            key: What it shows.
            figure: The figure.
            step: See :meth:`log_image`.

        Raises:
            InvalidValue: For what is no figure.
            StateError: Before ``start()`` or after ``end()``.
        """
        if not pixels.is_figure(figure):
            if pixels.is_of_figures(figure):
                raise InvalidValue(f"{key}: an array of axes is no figure; pass the figure that they are in")
            raise InvalidValue(f"{key}: a figure has savefig(), as matplotlib's have; for images there is log_image()")
        folder, number = self._folder_for(key), self._step(step)
        if self._writing("log_figure()") and not isinstance(self._journal, Silence):
            with self._safely("Figures"):
                return self._show(folder, number, *pixels.draw(figure))
        return None

    def _folder_for(self, key: str) -> str:
        return f"{layout.IMAGES}/{ids.key_to_filename(key)}"

    def _step(self, step: int | None) -> int | None:
        return None if step is None else arguments.integer(step, "step")

    def _show(self, folder: str, step: int | None, data: bytes, ending: str) -> str | None:
        with self._held("log_image()"), self._safely("Images"):
            if isinstance(self._journal, Silence):
                return None
            place = os.path.join(self.info_dir, folder)
            os.makedirs(place, exist_ok=True)
            if step is None:
                step = 1 + max((number for number, _ in layout.images(os.listdir(place))), default=-1)
            path = os.path.join(place, layout.image_name(step, data, ending))
            write_whole(path, data)
            return path
        return None
