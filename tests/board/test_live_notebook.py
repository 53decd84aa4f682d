"""``Watcher.panel`` in a notebook and in a script."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.error
import urllib.request
import warnings

import pytest

from gitlumo import SimpleExperiment, Watcher
from gitlumo.errors import UsageError
from tests.board.serving import environment, until_drawn

with warnings.catch_warnings(action="ignore"):
    import nbclient
    import nbformat
# long; and jupyter has warnings of its own
pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore")]

CELLS = (
    "import gitlumo; w = gitlumo.Watcher(); df = w.load(); df['score'] = df['metrics.acc'] * 2",
    "w.panel(df[df.score > 1], widgets=[lambda df: len(df)])",
)
SCRIPT = """
import sys, gitlumo
w = gitlumo.Watcher()
df = w.load()
df['score'] = df['metrics.acc'] * 2
df.loc['not a run', 'score'] = 7.5
def how_many(df):
    return f'there are {len(df)} <b>rows</b>'
def broken(df):
    return df['no such column']
def undrawable(df):
    from matplotlib.figure import Figure
    figure = Figure()
    figure.subplots().set_title(r'$\\frac{$')
    return figure
w.panel(df, widgets=[how_many, broken, undrawable], port=0, open_browser=False)
"""


@pytest.fixture
def runs(repo):
    for acc in (0.25, 0.75):
        with SimpleExperiment("digits", params={"lr": acc}) as exp:
            exp.log({"acc": acc})
    return repo


def test_a_notebook_shows_it(runs, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(runs / ".git/ipython"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(runs)}}
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    shown = [output for output in notebook.cells[1].outputs if "data" in output]
    pages = [output.data["text/html"] for output in shown if "text/html" in output.data]
    assert any("TopBar" in page and "RunsTable" not in page for page in pages) or any("bk-" in page for page in pages)
    assert any("0.75" in page for page in pages)
    assert not any("0.25" in page for page in pages)  # it was filtered away


def test_a_script_serves_it(runs, visit):
    (runs / "show.py").write_text(SCRIPT)
    command = [sys.executable, "show.py"]
    process = subprocess.Popen(command, cwd=runs, stdout=subprocess.PIPE, text=True, env=environment())
    url = re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", process.stdout.readline())[0]
    page = visit(url)
    assert page.locator(".tabulator-col", has_text="score").count() == 1
    page.locator(".tabulator-row", has_text="7.5").wait_for()  # a row that is no run
    until_drawn(page, [("acc", 2)])
    page.locator(".filter input").fill("score > 1 and score < 7")
    page.locator(".filter .count", has_text="1 of 3 runs").wait_for()
    page.get_by_role("tab", name="how many").click()
    page.get_by_text("there are 1 <b>rows</b>").wait_for()
    page.get_by_role("tab", name="broken").click()
    page.get_by_text("broken failed:").wait_for()
    page.get_by_role("tab", name="undrawable").click()
    page.get_by_text("undrawable failed:").wait_for()
    page.get_by_role("tab", name="how many").click()
    page.get_by_text("there are 1 <b>rows</b>").wait_for()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.partition("?")[0])
    process.terminate()
    process.wait(10)
    process.stdout.close()


def test_widgets_are_functions(runs):
    with pytest.raises(UsageError, match="widgets are functions"):
        Watcher().panel(widgets=["x"])
    with pytest.raises(UsageError, match="widgets are functions"):
        Watcher().panel(widgets=5)


def test_a_frame_has_runs_as_rows(runs):
    df = Watcher().load()
    for wrong in (5, "df", df["uid"], [df]):
        with pytest.raises(UsageError, match=r"panel takes a data frame of Watcher\(\)\.load\(\), or None"):
            Watcher().panel(wrong)
    with pytest.raises(UsageError, match="with a row a run"):
        Watcher().panel(df.T)
    for port in (65536, -1, "x"):
        with pytest.raises(UsageError, match="a port is 0 to 65535"):
            Watcher().panel(df, port=port)
