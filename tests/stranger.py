"""A reader of format v1, written from docs/format.md alone: git and json, and nothing of gitlumo.

``python tests/stranger.py [REPOSITORY]`` prints the runs of a repository. Values of bytes stay as they are recorded.
"""

import json
import subprocess
import sys

NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


def git(repo, *args, input=b""):
    return subprocess.run(["git", "-C", repo, *args], input=input, stdout=subprocess.PIPE, check=False).stdout


def trees(repo):
    """Of each ledger: the folders at runs' places, each as {path below it: content}."""
    branch = git(repo, "config", "lumo.branch").decode().strip() or "lumo_experiments"
    for ref in git(repo, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes").decode().split("\n"):
        log = ("log", "--first-parent", "-100", "--format=%(trailers:key=Lumo-Format)", ref, "--")
        if (
            ref in (f"refs/heads/{branch}", f"refs/remotes/{ref[13:].split('/')[0]}/{branch}")
            and git(repo, *log).strip()
        ):
            found = {}
            for line in git(repo, "ls-tree", "-r", "-z", ref).decode("utf-8", "surrogateescape").split("\0")[:-1]:
                parts, id = line.split("\t", 1)[1].split("/"), line.split()[2]
                depth = 4 if parts[2:] and parts[2].isdecimal() else 3
                found.setdefault("/".join(parts[:depth]), {})["/".join(parts[depth:])] = git(repo, "cat-file", "-p", id)
            yield from found.values()


def value(json, only_numbers=False):
    if isinstance(json, dict):
        return NUMBERS.get(json.get("$float")) or {k[k.startswith("$$") :]: value(v) for k, v in json.items()}
    if isinstance(json, list):
        return [value(item) for item in json]
    return NUMBERS.get(json, json) if only_numbers and isinstance(json, str) else json


def read(files):
    """One run; where its rank is (True,) nothing but a tombstone."""
    if "purged.json" in files:
        return {"uid": json.loads(files["purged.json"])["uid"], "rank": (True,), "edits": {}}
    run = {path[5:-5]: value(json.loads(files[path])) for path in files if path.startswith("info/")}
    run |= {"files": files, "edits": {path[6:]: json.loads(files[path]) for path in files if path.startswith("edits/")}}
    return run | {"rank": (False, not run["progress"].get("restored"), run["progress"]["seq"])}


def show(run):
    """What there is to know of it: state, metrics, history, and what edits say."""
    files, progress, active = run["files"], run["progress"], []
    for _, edit in sorted(run["edits"].items(), reverse=True):
        undone = [later["value"] for later in active if later["kind"] == "undo"]
        active = active if edit["id"] in undone or edit["uid"] != run["uid"] else [edit, *active]
    run |= {"note": files.get("note.md", b"").decode(), "deprecated": False, "tags": run.get("tags", [])}
    for edit in active:
        new = edit["value"]
        if edit["kind"] == "tag":
            added = [tag for tag in new.get("add", []) if tag not in run["tags"]]
            new = [tag for tag in run["tags"] + added if tag not in new.get("remove", [])]
        run |= {{"tag": "tags"}.get(edit["kind"], edit["kind"]): new}
    state = "running" if progress["end"] is None else "failed" if progress["end_code"] else "finished"
    chunks = sorted((path for path in files if path.startswith("history/")), key=lambda path: int(path[8:-6]))
    lines = [json.loads(line) for path in chunks for line in files[path].split(b"\n") if line.endswith(b"}")]
    calls = [{k: value(v, True) for k, v in line.items() if k not in ("$cmp", "$with")} for line in lines]
    metrics = {
        k: {x: value(y, True) for x, y in v.items()} for k, v in json.loads(files.get("metrics.json", "{}")).items()
    }
    return run | {"state": "killed" if progress["killed"] else state, "history": calls, "metrics": metrics}


def runs(repo):
    found = {}
    for files in trees(repo):
        try:
            run = read(files)
        except (KeyError, TypeError, ValueError):
            continue  # foreign
        other = found.get(run["uid"], run)
        best = max(run, other, key=lambda run: run["rank"])  # of equal ones, any will do to read
        found[run["uid"]] = best | {"edits": run["edits"] | other["edits"]}
    return {uid: show(run) for uid, run in found.items() if not run["rank"][0] and run["format"]["version"] == 1}


if __name__ == "__main__":
    print(json.dumps(runs(*sys.argv[1:] or ["."]), indent=2, default=repr))
