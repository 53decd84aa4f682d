"""The server of a live board over many rounds of pages that open and close while runs move: its memory stays flat."""

from __future__ import annotations

import os
import statistics
import time

import pytest

from gitlumo import SimpleExperiment
from tests.board.serving import holds, tab, tick, until_drawn

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "20"))
WARM = 20  # rounds until all that is imported, and kept for later, is there
GROWTH = 0.25  # MB a round


def a_round(url, visit, number):
    with SimpleExperiment("soak", params={"n": number, "lr": number / 10}) as exp:
        exp.log({"loss": 1.0}, step=0)
        page = visit(url)
        page.locator(".live", has_text="1 running").wait_for()
        for step in range(1, 200):
            exp.log({"loss": 1 / step, "acc": step / 200}, step=step)
        until_drawn(page, [("acc", min(number + 1, 8)), ("loss", min(number + 1, 8))])
        if number:
            tick(page, 0, 1)
        tab(page, "Scatter")
        holds(page, "Scatter")
        tab(page, "Compare")
        tab(page, "Runs")
    page.locator(".live").wait_for(state="hidden")
    page.locator(".tabulator-cell[tabulator-field=c0]", has_text=exp.test_name).click()
    page.locator("h1", has_text=exp.test_name).wait_for()
    page.context.close()


def slope(values):
    """MB a round, by least squares."""
    return statistics.linear_regression(range(len(values)), values).slope


@pytest.mark.soak
def test_soak_pages_and_runs(repo, serve, visit):
    began, board, memory = time.monotonic(), serve(repo), []
    for number in range(WARM + ROUNDS):
        a_round(board.url, visit, number)
        memory.append(board.memory())
    kept = memory[WARM:]
    said = f"{memory[0]:.0f} MB after the first round, {kept[0]:.0f} after {WARM}, {kept[-1]:.0f} after {len(memory)}"
    print(f"{said}: {slope(kept):+.2f} MB a round, {time.monotonic() - began:.0f} s")
    assert slope(kept) < GROWTH, memory
