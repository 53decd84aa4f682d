"""The project as a whole: what lies where, what is packaged, and that the README's commands are those that CI runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = ["sh docs/examples/demo", "sh tests/run"]
TOP_LEVEL = {"pyproject.toml", "README.md", "LICENSE", "gitlumo", "tests", "hooks", "docs"}
MODULES = sorted(path for folder in ("gitlumo", "tests", "docs") for path in (ROOT / folder).rglob("*.py"))


def test_top_level(git):
    names = {path.split("/")[0] for path in git("ls-files", "-z", cwd=ROOT).split("\0") if path}
    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_readme_prints_the_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    printed = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert [line for line in printed if line.startswith("sh ")] == COMMANDS
    checked = re.findall(r"^check (.*)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert set(COMMANDS) <= set(checked)


def test_wheel(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        scripts = {name: content.read(f"gitlumo/git_hooks/{name}") for name in ("pre-push", "pre-receive")}
        (metadata,) = (content.read(name).decode() for name in names if name.endswith("METADATA"))
    assert "gitlumo/py.typed" in names
    assert scripts == {path.name: path.read_bytes() for path in (ROOT / "hooks").iterdir()}
    assert any(name.endswith(".data/data/share/man/man1/git-lumo.1") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"gitlumo"}
    assert "Requires-Python: >=3.11" in metadata


def test_every_room_is_on_a_floor():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = set(re.findall(r"[\w.]+", " ".join(contracts[0]["layers"])))
    paths = [*(ROOT / "gitlumo").iterdir(), *(ROOT / "gitlumo/store").iterdir()]
    rooms = {path for path in paths if path.suffix == ".py" or (path / "__init__.py").exists()}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in rooms if path.stem != "__init__"}
    assert names - {"gitlumo.store"} <= named


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_one_room(path):
    assert len(path.read_text().splitlines()) <= 450
