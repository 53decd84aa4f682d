"""The second process that reads runs: the index is the same with it, without it, and if it goes."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from gitlumo.store import indexing, second_reader
from gitlumo.store.second_reader import SecondReader
from tests.store.test_index import asked, record, shown, truth


@pytest.fixture
def ledger(repo, monkeypatch):
    """Ten runs, of which the index reads two at once, and for which it wants help from the third on."""
    for seed in range(10):
        record(seed=seed, big=2**70, odd=float("nan"), text="größe\n", wide=float("inf"), deep=[seed, {"a": None}])
    monkeypatch.setattr(indexing, "BATCH", 2)
    monkeypatch.setattr(second_reader, "ENOUGH", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    return repo


@pytest.fixture
def readers(monkeypatch):
    """All that were started, which are waited for until they are ready; and how many parts each has read."""
    started = []

    class Reader(SecondReader):
        def __init__(self, location):
            super().__init__(location)
            started.append(self)
            self.read = 0

        @property
        def is_ready(self):
            if not self.read and not self.is_broken:
                self.wait()
            return super().is_ready

        def wait(self):
            from select import POLLIN, poll

            waiting = poll()
            waiting.register(self._answers, POLLIN)
            waiting.poll(5000)

        def take(self):
            part = super().take()
            self.read += part is not None
            return part

    monkeypatch.setattr(second_reader, "SecondReader", Reader)
    return started


def test_the_index_is_the_same(ledger, readers, tmp_path):
    assert shown(asked(tmp_path)) == shown(truth())
    (one,) = readers
    assert one.read > 1
    assert one._child.returncode is not None  # it does not stay


def test_few_runs_are_read_alone(ledger, readers, tmp_path, monkeypatch):
    monkeypatch.setattr(second_reader, "ENOUGH", 11)
    assert len(asked(tmp_path)) == 10
    assert readers == []


@pytest.mark.parametrize("program", ["/bin/cat", "/bin/false", "/nonexistent", ""])
def test_a_python_that_is_none(ledger, tmp_path, monkeypatch, program):
    monkeypatch.setattr(sys, "executable", program)
    assert len(asked(tmp_path)) == 10


def test_it_is_killed(ledger, readers, tmp_path, monkeypatch):
    give = SecondReader.give

    def killed(self, places):
        if self.read:
            os.kill(self._child.pid, signal.SIGSTOP)  # else it may answer before it is killed
        give(self, places)
        if self.read:
            os.kill(self._child.pid, signal.SIGKILL)

    monkeypatch.setattr(SecondReader, "give", killed)
    assert shown(asked(tmp_path)) == shown(truth())
    assert readers[0].is_broken


@pytest.mark.damages
def test_what_it_finds_damaged_is_looked_at_again(ledger, readers, tmp_path, monkeypatch):
    from tests.test_stranger import commit_into_ledger

    place = sorted(asked(tmp_path))[4]
    readers.clear()
    commit_into_ledger(ledger, "damage\n\nLumo-Format: 1\n", {f"{place}/info/params.json": b"{broken"})
    (ledger / ".git/lumo" / indexing.FILE).unlink()
    found = asked(tmp_path)
    assert len(found) == 10
    assert found[place] == {"exp": "digits", "name": place.rpartition("/")[2]}
    assert readers
