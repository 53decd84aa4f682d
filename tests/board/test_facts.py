"""What boards show of runs."""

from __future__ import annotations

import json
import math

import pytest

import gitlumo
from gitlumo.board import code, facts, palette
from gitlumo.git.objects import tree_of
from gitlumo.pixels import encode
from gitlumo.store import layout
from gitlumo.watcher import Watcher

PNG = encode([[0]], "x")[0]


@pytest.fixture
def watcher(repo):
    for lr in (0.1, 0.2):
        with gitlumo.SimpleExperiment("digits") as exp:
            exp.dump_info("params", {"lr": lr, "same": True, "optim": {"decay": math.nan}})
            exp.log({"acc": lr * 2, "loss": math.inf})
            exp.log_image("conf/usion", PNG, step=3)
            exp.log_image("conf/usion", PNG + b"1", step=-2)
        (repo / "train.py").write_text(f"print({lr})\n")
    return Watcher()


def rows(watcher):
    with watcher._select() as selection:
        return facts.table(selection.rows())


def test_columns_in_which_runs_differ_come_first(watcher):
    table = rows(watcher)
    assert table.names[:3] == ["metrics.acc", "params.lr", "name"]
    assert table.names.index("params.same") >= table.differing > table.names.index("uid")
    newest, oldest = table.rows
    assert (newest["columns"]["params.lr"], oldest["columns"]["params.lr"]) == (0.2, 0.1)
    assert newest["columns"]["params.optim.decay"] == {"$float": "NaN"}
    assert newest["colour"] == palette.colour(newest["uid"])
    assert newest["trouble"] is None
    json.dumps(table.rows, allow_nan=False)


def test_a_column_that_some_lack_and_that_is_the_same_in_the_others_comes_later(watcher):
    with gitlumo.SimpleExperiment("digits"):
        pass
    table = rows(watcher)
    assert table.names.index("params.same") >= table.differing > table.names.index("params.lr")
    assert len(table.rows) == 3


def test_no_runs(repo):
    assert rows(Watcher()) == facts.Table([], 0, [])


def test_the_page_of_a_run(watcher):
    with watcher._select() as selection:
        row = next(selection.rows())
        page = facts.page_of(row.found)
    assert page["flat"] == {"lr": 0.2, "same": True, "optim.decay": {"$float": "NaN"}}
    assert [(each["key"], each["step"]) for each in page["images"]] == [("conf/usion", -2), ("conf/usion", 3)]
    assert [each["path"] for each in page["images"]] == [path for path in page["files"] if path.startswith("images/")]
    assert page["metrics"]["loss"]["best"] == {"$float": "Infinity"}
    assert page["commands"] == {verb: f"git lumo {verb} {row.found.label}" for verb in ("show", "rerun", "checkout")}
    assert page["state"] == "finished"
    json.dumps(page, allow_nan=False)


def test_in_what_runs_differ(watcher):
    with watcher._select() as selection:
        found = [row.found for row in selection.rows()]
        told = facts.differences(
            [each.record for each in found], lambda commit: tree_of(watcher._repository.objects, commit)
        )
    by_key = {(each["section"], each["key"]): each for each in told}
    assert by_key["params", "lr"]["values"] == [[0.2], [0.1]]
    assert by_key["metrics", "acc"]["change"] == pytest.approx(-0.5)
    assert ("code", "") in by_key
    assert ("params", "optim.decay") not in by_key


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ({"backend": "github", "repo": "a/b", "number": 7}, "https://github.com/a/b/issues/7"),
        ({"backend": "github", "repo": "a/b", "number": 7, "host": "ghe.x:8443"}, "https://ghe.x:8443/a/b/issues/7"),
        ({"backend": "github", "repo": "a/b", "number": 7, "host": "evil/@x"}, None),
        ({"backend": "github", "repo": "a/b/../../c", "number": 7}, None),
        ({"backend": "github", "repo": "a/b", "number": True}, None),
        ({"backend": "github", "repo": "a/b", "number": "7/x"}, None),
        ({"backend": "github", "repo": "a/b?x=", "number": 7, "host": "javascript:alert(1)"}, None),
        ({"backend": "tar", "path": "x.tar"}, None),
        ("javascript:alert(1)", None),
    ],
)
def test_a_link_to_a_backup_leads_to_an_issue_or_nowhere(value, url):
    assert [each["url"] for each in facts.backups({"2026-01-01T00:00:00.000Z~ab": value})] == [url]


def test_what_to_type_is_quoted_and_restore_is_offered_where_there_is_a_backup():
    there = {"2026": {"backend": "github", "repo": "a/b", "number": 7}}
    told = facts.commands("a b/c;d", there)
    assert told["rerun"] == "git lumo rerun 'a b/c;d'"
    assert told["restore"] == "git lumo restore 'github:a/b#7'"


def test_images_are_found_by_their_names_alone():
    name = layout.image_name(5, PNG, ".png")
    found = facts.images([f"images/a/{name}", "images/a/other.png", f"images/a/b/{name}", f"x/images/a/{name}"])
    assert found == [{"key": "a", "step": 5, "path": f"images/a/{name}"}]


def test_files_in_which_code_differs(repo, git):
    def tree(**files):
        git("read-tree", "--empty")
        for path, text in files.items():
            blob = git("hash-object", "-w", "--stdin", input=text)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path.replace('__', '/')}")
        return git("write-tree")

    one = tree(a="1", src__b="2", src__deep__c="3")
    two = tree(a="1", src__b="4", new__d="5")
    three = tree(a="1", src="now a file", new__d="5")
    objects = Watcher()._repository.objects
    found = code.differing(objects, [one, two, three])
    assert list(found) == ["new/d", "src", "src/b", "src/deep/c"]
    assert [[id is not None for id in ids] for ids in found.values()] == [
        [False, True, True],
        [False, False, True],
        [True, True, False],
        [True, False, False],
    ]
    assert code.differing(objects, [one, one]) == code.differing(objects, [one]) == code.differing(objects, []) == {}
    assert code.differing(objects, [one, "0" * 40]) == {}
