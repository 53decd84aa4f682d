"""Files that change or vanish while a snapshot is taken: each is as it was at some moment, or named as left out."""

from __future__ import annotations

import pytest

from tests.git.snapshots import reasons, take

# Just before git is asked for this, the tree changes.
MOMENTS = ["ls-files", "add", "update-index", "write-tree", "pack-objects"]


@pytest.fixture
def tree(repo, git):
    for name in ("gone.py", "changed.py", "becomes.py", "folder/a.py"):
        (repo / f"tracked/{name}").parent.mkdir(exist_ok=True, parents=True)
        (repo / f"tracked/{name}").write_text("tracked\n")
    git("add", "--all")
    git("commit", "-qm", "more")
    for name in ("gone.py", "changed.py", "becomes.py", "folder/a.py"):
        (repo / f"new/{name}").parent.mkdir(exist_ok=True, parents=True)
        (repo / f"new/{name}").write_text("before\n")
    return repo


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_happens_meanwhile(tree, git, fsck, receive, fake_git, moment):
    fake_git(f"""\
case " $* " in *" {moment} "*)
    for top in {tree}/tracked {tree}/new; do
        rm -rf $top/gone.py $top/folder
        echo after >$top/changed.py
        rm -f $top/becomes.py; mkdir -p $top/becomes.py; echo inner >$top/becomes.py/a
        echo file >$top/folder
    done;;
esac""")
    taken = take(tree)
    clone = receive(taken, tree)
    named = reasons(taken)
    for name in ("tracked/changed.py", "new/changed.py"):
        text = git("show", f"{taken.commit}:{name}", cwd=clone, check=False)
        assert text in ("tracked", "before", "after") or name in named
    names = git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone).split("\n")
    assert {"train.py", "tracked/changed.py", "new/changed.py"} <= set(names)
    for name in ("gone.py", "becomes.py", "folder/a.py"):
        assert f"new/{name}" in {*names, *named} or moment in ("ls-files", "add")
    fsck(tree)
