"""docs/endings.md is what happens: each row of its table is played again."""

from __future__ import annotations

import pytest

from tests import endings


def rows():
    """Name to row, as the page has them."""
    lines = [line for line in endings.PAGE.read_text().splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert cells[0] == endings.HEAD
    return {row[0]: row for row in cells[2:]}


def test_the_page_is_the_one_that_is_made_and_has_no_empty_cell():
    found = rows()
    assert list(found) == list(endings.PLAYS)
    assert all(cell for row in found.values() for cell in row)
    assert endings.PAGE.read_text() == endings.page(found)


@pytest.mark.parametrize("name", endings.PLAYS)
def test_an_ending(tmp_path, fsck, name):
    it = endings.PLAYS[name]
    if it.missing:
        pytest.skip(it.missing)
    with endings.disk(tmp_path / "disk", it) as place:
        repo = endings.make_repository(place / "repo")
        assert endings.play(name, repo) == rows()[name]
        fsck(repo)
