"""Runs that are not wholly published, read while they change."""

from __future__ import annotations

import os

import pytest

from gitlumo import Experiment, machine
from gitlumo.store import register
from gitlumo.store.pending import open_run


@pytest.mark.parametrize("when", ["before it is looked at", "while it is read"])
def test_a_folder_that_is_moved_is_followed(repo, when):
    lumo_dir = str(repo / ".git/lumo")
    with Experiment("digits", params={"lr": 0.1}) as exp:
        exp.log({"loss": 0.5})
        (run,) = register.open_runs(lumo_dir)
        here = machine.this_process(None)
        place = f"{exp.info_dir}-moved"
        if when == "before it is looked at":
            os.makedirs(place)
            register.move(lumo_dir, run, place)
            pending = open_run(run, 10**6, here)
        else:
            pending = open_run(run, 10**6, here)
            os.makedirs(place)
            register.move(lumo_dir, run, place)
        pending.record.check()
        assert pending.record.info("params") == {"lr": 0.1}
        assert pending.record.metrics["loss"]["last"] == 0.5
        assert "info/params.json" in pending.record.paths()
        assert pending.folder.info_dir == place
        os.rename(place, exp.info_dir)
        register.add(lumo_dir, exp.uid, exp.info_dir)


def test_a_folder_that_is_gone_is_an_error(repo):
    with Experiment("digits") as exp:
        (run,) = register.open_runs(str(repo / ".git/lumo"))
        os.rename(exp.info_dir, f"{exp.info_dir}-gone")
        with pytest.raises(FileNotFoundError):
            open_run(run, 10**6, machine.this_process(None))
        os.rename(f"{exp.info_dir}-gone", exp.info_dir)
