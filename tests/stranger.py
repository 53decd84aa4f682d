"""A reader of format v1 in 50 lines, written from docs/format.md alone: git and json, and nothing of gitlumo.

``runs(repository)`` gives all runs by uid. Values of bytes stay as they are recorded.
"""

import json
import subprocess

NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
FORMAT, PROGRESS = "info/format.json", "info/progress.json"


def git(repo, *args, given=""):
    return subprocess.run(["git", "-C", repo, *args], input=given.encode(), stdout=subprocess.PIPE, check=False).stdout


def folders(repo):
    """The folders at runs' places in each ledger, as {path below it: content}."""
    name = git(repo, "config", "lumo.branch").decode().strip() or "lumo_experiments"
    for ref in git(repo, "for-each-ref", "--format=%(refname)", f"refs/heads/{name}", f"refs/remotes/*/{name}").split():
        lines, found = git(repo, "ls-tree", "-r", "-z", ref).decode("utf-8", "surrogateescape").split("\0")[:-1], {}
        out = git(repo, "cat-file", "--batch", given="\n".join(line.split()[2] for line in lines))
        for parts in (line.split("\t", 1)[1].split("/") for line in lines):
            head, _, rest = out.partition(b"\n")
            data, out = rest[: int(head.split()[2])], rest[int(head.split()[2]) + 1 :]
            depth = 4 if parts[2:] and parts[2].isdecimal() else 3
            found.setdefault("/".join(parts[:depth]), {})["/".join(parts[depth:])] = data
        yield from found.values()


def parse(data):
    try:
        return json.loads(data)
    except ValueError:
        return {}  # a line torn by a crash, or a file of somebody's


def value(stored):
    if isinstance(stored, dict):
        return NUMBERS.get(stored.get("$float")) or {k[k.startswith("$$") :]: value(v) for k, v in stored.items()}
    return [value(item) for item in stored] if isinstance(stored, list) else stored


def show(uid, copies):
    """A run, out of its copies in several ledgers: the greatest record and all edits."""
    files, parsed = max(copies, key=lambda copy: (not copy[1][PROGRESS].get("restored"), copy[1][PROGRESS]["seq"]))
    edits = {k: v for _, found in copies for k, v in found.items() if k.startswith("edits/") and v.get("uid") == uid}
    info, active = {k[5:-5]: value(v) for k, v in parsed.items() if k.startswith("info/")}, []
    for _, edit in sorted(edits.items(), reverse=True):
        active[:0] = [] if edit["id"] in [undo["value"] for undo in active if undo["kind"] == "undo"] else [edit]
    run = {"note": files.get("note.md", b"").decode(), "deprecated": False, "tags": info.get("tags", []), "info": info}
    run |= {edit["kind"]: edit["value"] for edit in active if edit["kind"] in ("note", "deprecated")}
    for tag in (edit["value"] for edit in active if edit["kind"] == "tag"):
        run["tags"] = [t for t in dict.fromkeys(run["tags"] + tag.get("add", [])) if t not in tag.get("remove", [])]
    end, killed, code = (info["progress"][key] for key in ("end", "killed", "end_code"))
    run["state"] = "killed" if killed else "running" if end is None else "failed" if code else "finished"
    chunks = sorted((path for path in files if path.startswith("history/")), key=lambda path: int(path[8:-6]))
    calls = [parse(line).items() for path in chunks for line in files[path].split(b"\n")]
    history = [{k: NUMBERS.get(v, v) for k, v in call if k not in ("$cmp", "$with")} for call in calls if call]
    metrics = parsed.get("metrics.json", {})
    metrics = {m[m[:2] == "$$" :]: {k: NUMBERS.get(str(v), value(v)) for k, v in metrics[m].items()} for m in metrics}
    return run | {"history": history, "metrics": metrics, "files": files}


def runs(repo):
    copies = {}
    for files in folders(repo):
        parsed = {path: parse(data) for path, data in files.items() if path.endswith(".json")}
        uid = parsed.get("purged.json", {}).get("uid") or parsed.get("info/uid.json") or None
        copies.setdefault(uid, []).append((files, parsed))
    # Another format is too new for this reader; a tombstone has none.
    return {u: show(u, c) for u, c in copies.items() if u and all(p.get(FORMAT) == {"version": 1} for _, p in c)}
