"""The register of runs that are not wholly published: garbage in it, and a folder that moves."""

from __future__ import annotations

import os

import pytest

from gitlumo.store import register
from gitlumo.store.register import OpenRun


def test_the_register(tmp_path):
    uids = [f"{n:032x}" for n in range(3)]
    for uid in uids:
        register.add(str(tmp_path), uid, f"/somewhere/{uid}")
    for _ in range(2):
        register.remove(str(tmp_path), uids[1])
    assert register.open_runs(str(tmp_path)) == [OpenRun(uid, f"/somewhere/{uid}") for uid in (uids[0], uids[2])]
    assert register.open_runs(str(tmp_path / "nowhere")) == []


GARBAGE = [b"", b"{", b"[]", b"{}", b'"x"', b"\xff\xfe\xff", b"17", b"\0" * 100, b"[" * 200_000]
GARBAGE += [b'{"info_dir": 5}', b'{"info_dir": null}', b'{"info_dir": "a\\u0000"}']


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_the_register_hides_nothing(tmp_path, garbage):
    register.add(str(tmp_path), "f" * 32, "/somewhere")
    (tmp_path / "open" / f"{'0' * 32}.json").write_bytes(garbage)
    (tmp_path / "open" / "readme.txt").write_bytes(garbage)
    (tmp_path / "open" / f"{'1' * 32}.json").mkdir()
    assert register.open_runs(str(tmp_path)) == [OpenRun("f" * 32, "/somewhere")]


def test_a_run_that_moves_is_found_whenever_its_mover_dies(tmp_path, monkeypatch):
    lumo, former, moved = (str(tmp_path / name) for name in ("lumo", "former", "moved"))
    os.makedirs(os.path.join(former, "info"))
    os.mkdir(moved)
    uid = "0" * 32
    register.add(lumo, uid, former)
    (run,) = register.open_runs(lumo)
    rename = os.rename

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", dies)
    with pytest.raises(KeyboardInterrupt):
        register.move(lumo, run, moved)
    assert [run.info_dir for run in register.open_runs(lumo)] == [former]
    monkeypatch.setattr(os, "rename", rename)
    register.move(lumo, run, moved)
    os.mkdir(former)  # by somebody who was late
    assert [run.info_dir for run in register.open_runs(lumo)] == [moved]
