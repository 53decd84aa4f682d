"""``git lumo rerun``: the same folder, script and files, though the work tree is another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def shown(lumo, exp):
    return json.loads(lumo("show", exp, "--json", direct=True).out)


def test_what_lies_beside_the_repository(repo, lumo):
    """A relative path that leads out of the work tree names the same from the other one."""
    beside = repo.parent / "beside"
    beside.mkdir()
    (beside / "data").write_text("42")
    script = "import sys, gitlumo\ngitlumo.start('b').end()\nprint(open(sys.argv[1].rpartition('=')[2]).read())\n"
    (beside / "outside.py").write_text(script)
    (repo / "sub").mkdir()
    (repo / "sub" / "inside.py").write_text(script)
    for words in (
        ["inside.py", "../../beside/data"],
        ["inside.py", "--data=../../beside/data"],
        ["inside.py", "data=../../beside/data"],
        ["../../beside/outside.py", "../../beside/data"],
        [f"../../{repo.name}/sub/inside.py", "../../beside/data"],
    ):
        subprocess.run([sys.executable, *words], cwd=repo / "sub", check=True, capture_output=True)
        done = lumo("rerun", "@", direct=True)
        assert (done.status, done.out) == (0, "42\n"), done.err
        assert f"../../beside/data is outside of the repository; it is {beside}/data, as it is now" in done.err
        assert ("outside.py is not in the repository, so it runs as it is now" in done.err) == ("outside" in words[0])


GOES = """\
import os, sys
os.makedirs("out", exist_ok=True)
os.chdir("out")
import gitlumo
gitlumo.start("goes", params={"at": sys.argv[1]}).end()
print(os.path.basename(os.path.dirname(os.getcwd())))
"""


@pytest.mark.parametrize(
    "words", [["goes.py"], ["./sub/../goes.py"], ["../goes.py"], ["-m", "goes"], ["-m", "sub.goes"]]
)
def test_a_script_that_goes_elsewhere_before_it_starts(repo, lumo, words):
    (repo / "sub").mkdir()
    for place in (repo / "goes.py", repo / "sub" / "goes.py"):
        place.write_text(GOES)
    folder = repo / "sub" if words[0].startswith("../") else repo
    done = subprocess.run([sys.executable, *words, "x"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shown(lumo, "@")["execute"]["cwd"] == os.path.relpath(folder, repo)
    again = lumo("rerun", "@", "at=y", direct=True)
    assert (again.status, again.out) == (0, done.stdout), again.err
    assert shown(lumo, "@")["params"] == {"at": "y"}


def test_a_run_that_recorded_where_it_had_gone_to(repo, lumo):
    """As earlier versions did, and as is done where the program does not tell where it was started."""
    (repo / "goes.py").write_text(
        GOES.replace("import gitlumo", "import gitlumo.capture\ngitlumo.capture._started_in = lambda: None")
    )
    subprocess.run([sys.executable, "goes.py", "x"], check=True, capture_output=True)
    assert shown(lumo, "@")["execute"]["cwd"] == "out"
    assert lumo("rerun", "@", direct=True).status == 0
