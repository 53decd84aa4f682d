"""Runs in Jupyter notebooks: real kernels, driven by nbclient."""

from __future__ import annotations

import json
import re
import warnings

import pytest

from gitlumo import Experiment
from gitlumo.notebook import Cell

with warnings.catch_warnings(action="ignore"):
    import nbclient
    import nbformat
pytestmark = pytest.mark.filterwarnings("ignore")  # those of jupyter's own

SETUP = "import os, gitlumo; from pathlib import Path"
RUN = "exp = gitlumo.start('digits', params={'lr': .1}); exp.log({'acc': .5})"


@pytest.fixture
def kernel(repo, monkeypatch):
    """``kernel(*cells)``: execute a notebook's cells; the text that each printed or gave."""

    def execute(*cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (SETUP, *cells)])
        client = nbclient.NotebookClient(
            notebook, timeout=60, allow_errors=True, kernel_name="python3", resources={"metadata": {"path": str(repo)}}
        )
        client.execute()
        return ["".join(map(text_of, cell.outputs)) for cell in notebook.cells[1:]]

    monkeypatch.setenv("IPYTHONDIR", str(repo / ".git/ipython"))
    return execute


def text_of(output):
    if output.output_type == "stream":
        return output.text if output.name == "stdout" else ""
    return output.data.get("text/html") or output.data["text/plain"] if "data" in output else output.ename


def runs(git):
    """Name to progress, execute of each run in the ledger, in the order of their names."""
    found = {}
    for path in git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines():
        if path.endswith(("info/progress.json", "info/execute.json")):
            folder, _, name = path.partition("/info/")
            found.setdefault(folder, {})[name] = json.loads(git("show", f"lumo_experiments:{path}"))
    return [found[name] for name in sorted(found)]


def states(git):
    return [(run["progress.json"]["end_code"], run["progress.json"]["killed"]) for run in runs(git)]


def test_a_notebook(kernel, git, fsck, repo):
    said = kernel(
        RUN,
        "exp",
        "1 / 0",
        "print(exp.state, 'started', sum(1 for _ in Path('.git/lumo/open').iterdir()))",
        RUN,
        "print(exp.state); other = gitlumo.start('other'); print(exp.state)",
        "exps = [gitlumo.Experiment('loop').start() for _ in range(2)]; print([e.state for e in exps])",
    )
    assert re.search(r"<b>digits/\d{6}\.000\.\w{5}</b> running.*lr=0\.1.*<table>.*acc", said[1])
    assert said[2] == "ZeroDivisionError"
    assert said[3] == "running started 1\n"
    assert said[5] == "running\nrunning\n"
    assert said[6] == "['running', 'running']\n"
    # the first run of 'digits' by the cell that was run again, the others as the kernel shut down
    assert states(git) == [(0, None)] * 5
    ends = [run["progress.json"]["end"] for run in runs(git)]
    starts = [run["progress.json"]["start"] for run in runs(git)]
    assert ends[0] <= starts[1]
    assert runs(git)[0]["execute.json"]["exec_file"] == ""
    fsck(repo)


@pytest.mark.parametrize("how", ["JPY_SESSION_NAME", "__vsc_ipynb_file__"])
def test_the_path_of_a_notebook_is_recorded_where_it_can_be_known(kernel, git, repo, monkeypatch, how):
    path = str(repo / "notes" / "train.ipynb")
    if how == "JPY_SESSION_NAME":
        monkeypatch.setenv(how, path)
    kernel(f"__vsc_ipynb_file__ = {path!r}" if how != "JPY_SESSION_NAME" else "", RUN)
    assert [run["execute.json"]["exec_file"] for run in runs(git)] == ["notes/train.ipynb"]


def test_sigterm_ends_a_busy_kernel(kernel, git):
    with pytest.raises(nbclient.exceptions.DeadKernelError):
        kernel(RUN, "import signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)")
    assert states(git) == [(143, None)]


def test_which_cell_is_the_same():
    first = Cell("a", 1)
    assert Cell("a", 2).is_again(first)
    assert not Cell("b", 2).is_again(first)
    assert not Cell("a", 1).is_again(first)  # one cell starts several runs
    assert Cell(None, 2).is_again(first)
    assert not Cell(None, 1).is_again(Cell(None, 1))


def test_what_is_recorded_is_no_markup(repo):
    bad = "<script>alert(1)</script>"
    exp = Experiment("digits", params={bad: bad, **{f"p{n}": n for n in range(20)}})
    assert exp._repr_html_() == "<code>Experiment(&#x27;digits&#x27;)</code>"
    with exp:
        exp.dump_note(bad)
        exp.log({"<b>": 1.0})
        exp.dump_metric("acc", 0.5, step=7)
    for page in (exp._repr_html_(), Experiment.from_disk(exp.info_dir)._repr_html_()):
        assert "<script" not in page
        assert "<td>&lt;b&gt;</td>" in page
        assert "&lt;script&gt;" in page
        assert "and 9 more" in page
        assert "<td>0.5</td><td>7</td>" in page
        assert "finished" in page
