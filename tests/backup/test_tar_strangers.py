"""Archives that a stranger has made, or a disk has damaged: refused with a reason, and nothing is written."""

from __future__ import annotations

import json
import os
import random
import tarfile
from pathlib import Path

import pytest

from gitlumo import Watcher
from gitlumo.backup import tar, untar
from gitlumo.errors import FormatError, LumoError, TooNew
from gitlumo.rerun import packing
from tests.backup.archives import all_as_json, founds, here, member, record, rewrite, state, swap


def write(path, **keywords):
    return tar.write(here(), founds(), str(path), **keywords)


def restore(path):
    return untar.restore(here(), str(path))


def _with(*extra):
    return lambda found: [*found[:-1], *extra, found[-1]]


def _index(change):
    def edit(found):
        value = json.loads(found[0][1])
        change(value)
        return [(found[0][0], json.dumps(value).encode()), *found[1:]]

    return edit


def _rename(old, new):
    def edit(found):
        for info, _ in found:
            info.name = info.name.replace(old, new)
        return found

    return edit


RUN = "runs/digits/a"
HOSTILE = {
    "a link": (_with(member(f"{RUN}/blob/x", type=tarfile.SYMTYPE, linkname="/etc/passwd")), "no regular file"),
    "a hard link": (_with(member(f"{RUN}/blob/x", type=tarfile.LNKTYPE, linkname="index.json")), "no regular file"),
    "a device": (_with(member("dev", type=tarfile.CHRTYPE)), "no regular file"),
    "a pipe": (_with(member("pipe", type=tarfile.FIFOTYPE)), "no regular file"),
    "a folder": (_with(member("folder", type=tarfile.DIRTYPE)), "no regular file"),
    "sparse": (_with(member("sparse", type=tarfile.GNUTYPE_SPARSE)), "no regular file|damaged"),
    "extended headers": (_with(member("pax", b"11 path=a\n", type=tarfile.XHDTYPE)), "no regular file"),
    "a path up": (_rename("models/last.bin", "../../../x"), "leads where no file"),
    "an absolute path": (_rename(f"{RUN}/blob/models/last.bin", "/tmp/x"), "should come here"),
    "a repository": (_rename("models/last.bin", ".git/config"), "leads where no file"),
    "a record up": (_rename("plots/a b.txt", "plots/../../x"), "its record is damaged"),
    "one twice": (lambda found: [*found[:5], found[4], *found[5:]], "twice|out of order"),
    "one missing": (lambda found: [*found[:5], *found[6:]], "should come here|smaller"),
    "one more": (_with(member(f"{RUN}/blob/zzz", b"x")), "should come here"),
    "behind the end": (lambda found: [*found, member("z", b"z")], "comes after its end"),
    "no index": (lambda found: found[1:], "'index.json' should come here"),
    "another file": (lambda _: [member("readme", b"hello")], "'index.json' should come here"),
    "nothing": (lambda _: [], "'index.json' should come here"),
    "no digests": (lambda found: found[:-1], "'SHA256SUMS' should come here"),
    "a changed record": (swap("a/record/note.md", b"other"), "smaller|larger|damaged"),
    "a changed record of one size": (swap("a/record/note.md", b"cold start"), "its record is damaged"),
    "a changed blob": (swap("last.bin", b"x" * 25600), "last.bin is not as it was written"),
    "changed code": (swap("code.bundle", b"# v2 git bundle\n\n"), "code.bundle is not what the index says"),
    "a huge record": (_index(lambda v: v["runs"][0]["record"].update(size=10**12)), "larger than"),
    "a huge blob": (_index(lambda v: v["runs"][0]["blob"].update(size=10**15)), "bytes are to be put below"),
    "a negative size": (_index(lambda v: v["runs"][0]["blob"].update(size=-1)), "no number"),
    "a folder elsewhere": (_index(lambda v: v["runs"][0].update(folder="../x")), "is not where"),
    "a name that leads out": (_index(lambda v: v["runs"][0].update(exp_name="../..", folder="x")), "cannot be a run"),
    "a run twice": (_index(lambda v: v["runs"].append(v["runs"][0])), "stands in it twice"),
    "another run": (_index(lambda v: v["runs"][0].update(uid="0" * 32)), "the index says that it is"),
    "a code that is none": (_index(lambda v: v["runs"][0].update(code="--upload-pack=x")), "digest or an id"),
    "no version": (_index(lambda v: v.pop("version")), "does not say a version"),
    "no runs": (_index(lambda v: v.pop("runs")), "not as it should be"),
    "no JSON": (swap("index.json", b"{"), "is not JSON"),
    "deep JSON": (swap("index.json", b"[" * 100_000), "is not JSON"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_nothing_is_written(repo, other, tmp_path, kind):
    record("a")
    write(tmp_path / "a.tar", with_blob=True)
    change, said = HOSTILE[kind]
    strange = rewrite(tmp_path / "a.tar", change)
    outside = set(os.listdir(tmp_path))
    place = other()
    before = state(place)
    with pytest.raises(LumoError, match=said) as caught:
        restore(strange)
    assert str(strange) in str(caught.value)
    assert not {path: data for path, data in state(place).items() if before.get(path) != data and data is not None}
    assert set(os.listdir(tmp_path)) - outside == {place.name}


def test_a_later_version(repo, tmp_path):
    record("a")
    write(tmp_path / "a.tar")
    with pytest.raises(TooNew, match="install a newer gitlumo"):
        restore(rewrite(tmp_path / "a.tar", _index(lambda value: value.update(version=2))))


def test_a_bomb_takes_no_memory(repo, tmp_path):
    """Gigabytes of zeros, said to be an index or a name, are a few kilobytes of gzip."""
    record("a")
    for kind, name in ((tarfile.REGTYPE, "index.json"), (tarfile.GNUTYPE_LONGNAME, "././@LongLink")):
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, 2**33
        path = tmp_path / "bomb.tar.gz"
        with open(path, "wb") as out:
            zipped = packing._Gzip(out)
            zipped.write(info.tobuf(tarfile.GNU_FORMAT))
            zipped.write(bytes(2**24))
            zipped.finish()
        with pytest.raises(FormatError, match="larger than it may be"):
            restore(path)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_cut_anywhere(repo, other, tmp_path, ending):
    record("a")
    path = tmp_path / f"a.{ending}"
    write(path, with_blob=True)
    data, dice = path.read_bytes(), random.Random(1)
    whole = {"tar": len(data.rstrip(b"\0")) + 1}.get(ending, len(data))  # what follows it there are zeros
    place = other()
    before = state(place)
    for size in sorted({0, 1, 3, 600, whole - 1, *(dice.randrange(whole) for _ in range(12))}):
        path.write_bytes(data[:size])
        with pytest.raises(FormatError, match=r"ends too early|no tar archive|should come here"):
            restore(path)
    assert {key for key, value in state(place).items() if value is not None} == {
        k for k, v in before.items() if v is not None
    }


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
def test_a_bit_turned_anywhere(repo, other, tmp_path, ending):
    """It is refused, or nothing of what is restored is another."""
    record("a")
    path = tmp_path / f"a.{ending}"
    write(path, with_blob=True)
    expected, data, dice = all_as_json(), path.read_bytes(), random.Random(2)
    refused = 0
    for _ in range(25):
        at = dice.randrange(len(data))
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :])
        other()
        try:
            restore(path)
        except LumoError:
            refused += 1
            assert not founds()
            continue
        assert all_as_json() == expected
        assert Path(Watcher().retrieve("a").blob_dir, "models/last.bin").read_bytes() == bytes(range(256)) * 100
    assert refused > 20 or ending == "tar"  # where much fills blocks
