"""Choosing among untracked files: a function of the files and the limits."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitlumo.git import untracked
from gitlumo.git.untracked import Limits, Skip

LATE = 1e12  # time.monotonic() never gets there


def sift(top: Path, *, own: Sequence[bytes] = (), limits: Limits | None = None, until: float = LATE):
    listed = [
        os.path.relpath(os.path.join(folder, name), os.fsencode(top))
        for folder, _, names in os.walk(os.fsencode(top))
        for name in names
    ]
    kept, skipped = untracked.sift(os.fsencode(top), listed, limits or Limits(), own, until)
    return kept, sorted(skipped)


def put(top: Path, *names: str, size: int = 1) -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x" * size)


@pytest.mark.parametrize(
    "name",
    [".env", ".env.local", ".ENV", "cert.pem", "Server.KEY", "id_rsa", "id_rsa.pub", "id_ed25519_work", "id_ecdsa",
     "id_dsa", ".netrc", ".npmrc", ".pypirc", "credentials.json", "gcp-Credentials-prod.json", "kubeconfig",
     "prod.env", "me.p12", "me.pfx", "my-Service-Account.json", "service_account_1.json", ".git-credentials", ".pgpass",
     ".htpasswd", ".aws/credentials", ".kube/config", ".docker/config.json"],
)  # fmt: skip
def test_what_looks_like_a_secret_is_left_out_in_any_folder(tmp_path, name):
    put(tmp_path, name, f"deep/er/{name}", "kept.py")
    kept, skipped = sift(tmp_path)
    assert kept == [b"kept.py"]
    assert {skip.path for skip in skipped} == {name.encode(), f"deep/er/{name}".encode()}
    assert {skip.reason for skip in skipped} == {untracked.SECRET}


@pytest.mark.parametrize(
    "name",
    [
        "env.py",
        "keys.py",
        "pem",
        "credentials.py",
        "my_id_rsa.py",
        "kubeconfig.yaml",
        "env",
        "credentials",
        "aws/credentials",
        "x.aws/credentials",
        "config.json",
    ],
)
def test_what_does_not_look_like_a_secret_is_kept(tmp_path, name):
    put(tmp_path, name)
    assert sift(tmp_path)[0] == [name.encode()]


def test_a_large_file_is_left_out_with_its_size(tmp_path):
    put(tmp_path, "just", size=100)
    put(tmp_path, "over", size=101)
    kept, skipped = sift(tmp_path, limits=Limits(max_file=100))
    assert kept == [b"just"]
    assert skipped == [Skip(b"over", "larger than 100 bytes", 101)]


def test_only_files_and_links_are_kept(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/nowhere")
    kept, skipped = untracked.sift(os.fsencode(tmp_path), [b"fifo", b"link", b"vanished"], Limits(), (), LATE)
    assert kept == [b"link"]
    assert [skip.path for skip in skipped] == [b"fifo", b"vanished"]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a normal user: root reads everything")
def test_an_unreadable_file_is_left_out(tmp_path):
    put(tmp_path, "closed", "open")
    (tmp_path / "closed").chmod(0)
    kept, skipped = sift(tmp_path)
    assert kept == [b"open"]
    assert skipped == [Skip(b"closed", "unreadable", 1)]


def test_nested_repositories_and_the_own_folder_are_listed_once(tmp_path):
    listed = [b"a", b"meta/HEAD", b"meta/config", b"metadata", b"nested/"]
    put(tmp_path, "a", "metadata")
    kept, skipped = untracked.sift(os.fsencode(tmp_path), listed, Limits(), [b"meta/"], LATE)
    assert kept == [b"a", b"metadata"]
    assert skipped == [Skip(b"meta/", untracked.OWN), Skip(b"nested/", untracked.NESTED)]


def test_user_patterns_are_those_of_gitignore(tmp_path):
    put(tmp_path, "data/a", "data/b/c", "src/x.ckpt", "src/keep.ckpt", "src/x.py", "top", "deep/top")
    limits = Limits(exclude=("data/", "*.ckpt", "!keep.ckpt", "/top"))
    kept, skipped = sift(tmp_path, limits=limits)
    assert kept == [b"deep/top", b"src/keep.ckpt", b"src/x.py"]
    assert skipped == [Skip(path, untracked.EXCLUDED) for path in (b"data/", b"src/x.ckpt", b"top")]


def test_excluded_files_do_not_count_towards_the_limits(tmp_path):
    put(tmp_path, "a", "b", *(f"data/{n}" for n in range(10)))
    kept, _ = sift(tmp_path, limits=Limits(max_files=2, exclude=("data",)))
    assert kept == [b"a", b"b"]


def test_beyond_the_number_whole_folders_are_left_out(tmp_path):
    put(tmp_path, "train.py", "src/a.py", *(f"out/frames/{n}.png" for n in range(20)), "out/note.md")
    kept, skipped = sift(tmp_path, limits=Limits(max_files=5))
    assert kept == [b"out/note.md", b"src/a.py", b"train.py"]
    assert skipped == [Skip(b"out/frames/", "more than 5 untracked files together")]


def test_beyond_the_total_whole_folders_are_left_out(tmp_path):
    put(tmp_path, "train.py")
    put(tmp_path, "a/1", "a/2", "b/x/1", "b/y/2", size=40)
    kept, skipped = sift(tmp_path, limits=Limits(max_total=100))
    assert kept == [b"b/x/1", b"b/y/2", b"train.py"]  # of equal folders the first one goes
    assert skipped == [Skip(b"a/", "more than 100 bytes of untracked files together", 80)]


def test_loose_files_at_the_root_go_by_size_and_are_one_entry(tmp_path):
    put(tmp_path, "small")
    for n in range(5):
        put(tmp_path, f"big{n}", size=30 + n)
    put(tmp_path, "src/a.py", size=10)
    kept, skipped = sift(tmp_path, limits=Limits(max_total=75))
    assert kept == [b"big0", b"big1", b"small", b"src/a.py"]
    assert skipped == [Skip(b"./", "more than 75 bytes of untracked files together (3 files)", 99)]


def test_one_loose_file_is_named(tmp_path):
    put(tmp_path, "a")
    put(tmp_path, "b", size=10)
    assert sift(tmp_path, limits=Limits(max_total=5))[1][0].path == b"b"


def test_a_folder_takes_in_what_was_dropped_in_it_before():
    weights = {b"a/x/1": 60, b"a/y/1": 10, b"a/z/1": 10, b"b/1": 1}
    assert untracked.fit(weights, 21, "much") == ([b"a/y/1", b"a/z/1", b"b/1"], [Skip(b"a/x/", "much", 60)])
    assert untracked.fit(weights, 1, "much") == ([b"b/1"], [Skip(b"a/", "much", 80)])


def test_whatever_the_tree_the_rest_fits_and_everything_is_accounted_for():
    dice = random.Random(1)
    for _ in range(300):
        paths = {"/".join(dice.choices("abc", k=dice.randint(1, 4))) + f"{n}" for n in range(dice.randint(0, 40))}
        weights = {path.encode(): dice.randint(0, 9) for path in paths}
        limit = dice.randint(0, 100)
        kept, skipped = untracked.fit(weights, limit, "much")
        assert sum(weights[path] for path in kept) <= limit
        assert sum(weights[path] for path in kept) + sum(skip.size for skip in skipped) == sum(weights.values())
        items = list(weights.items())
        dice.shuffle(items)
        assert untracked.fit(dict(items), limit, "much") == (kept, skipped)


def test_a_hundred_thousand_files_in_ten_thousand_folders_are_no_trouble():
    weights = {b"f%d/%d" % (n % 10_000, n): 1 for n in range(100_000)}
    began = time.monotonic()
    kept, skipped = untracked.fit(weights, 5000, "many")
    assert time.monotonic() - began < 3
    assert len(kept) == 5000
    assert len(skipped) == 9500


def test_when_time_is_up_the_rest_is_listed_by_folder(tmp_path):
    put(tmp_path, "a/1", "a/2", "b/c/1", "root")
    kept, skipped = sift(tmp_path, until=time.monotonic() - 1)
    assert kept == []
    assert skipped == [Skip(path, untracked.SLOW) for path in (b"a/", b"b/", b"root")]


def test_listing_by_folder_gives_each_a_share_of_what_is_left(tmp_path):
    put(tmp_path, "a/1", "b/1", "c/1", "one", ".git/HEAD")
    asked = []

    def run(args: Sequence[str], until: float) -> bytes:
        names = list(args[args.index("--") + 1 :])
        asked.append((names, until - time.monotonic()))
        if names == ["b"]:
            raise TimeoutError
        return b"".join(name.encode() + b"/1\0" for name in names)

    paths, slow = untracked.list_by_folder(run, os.fsencode(tmp_path), time.monotonic() + 40)
    assert paths == [b"one/1", b"a/1", b"c/1"]
    assert slow == [Skip(b"b/", untracked.SLOW)]
    assert [names for names, _ in asked] == [["one"], ["a"], ["b"], ["c"]]
    assert [round(share) for _, share in asked] == [10, 13, 20, 40]


def test_listing_by_folder_starts_nothing_when_time_is_up(tmp_path):
    put(tmp_path, "a/1", "one")

    def run(args: Sequence[str], until: float) -> bytes:
        raise AssertionError(args)

    paths, slow = untracked.list_by_folder(run, os.fsencode(tmp_path), time.monotonic() - 1)
    assert paths == []
    assert [skip.path for skip in slow] == [b"./", b"a/"]
