"""GitHub's own description of its API, and whether a request is as it says.

``api.github.com.json`` is what npm ``@octokit/openapi`` 23.0.2 (MIT) has as ``generated/api.github.com.json``, less all
that a backup does not ask for, and less its prose: the whole takes 22 s to load. To make it again::

    npm pack @octokit/openapi@23.0.2 && tar xf octokit-openapi-*.tgz package/generated/api.github.com.json
    python -m tests.backup.openapi package/generated/api.github.com.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.backup.faults import Request

DESCRIPTION = Path(__file__).with_name("api.github.com.json")
REPO = "/repos/{owner}/{repo}"
PATHS = (
    "/user",
    "/rate_limit",
    "/search/issues",
    REPO,
    f"{REPO}/assignees",
    f"{REPO}/assignees/{{assignee}}",
    f"{REPO}/issues",
    f"{REPO}/issues/comments",
    f"{REPO}/issues/comments/{{comment_id}}",
    f"{REPO}/issues/{{issue_number}}",
    f"{REPO}/issues/{{issue_number}}/assignees",
    f"{REPO}/issues/{{issue_number}}/comments",
    f"{REPO}/issues/{{issue_number}}/labels",
    f"{REPO}/issues/{{issue_number}}/labels/{{name}}",
    f"{REPO}/issues/{{issue_number}}/lock",
    f"{REPO}/labels",
    f"{REPO}/labels/{{name}}",
    f"{REPO}/milestones",
    f"{REPO}/milestones/{{milestone_number}}",
)
PROSE = (
    "description",
    "summary",
    "example",
    "examples",
    "externalDocs",
    "x-github",
    "x-octokit",
    "tags",
    "operationId",
)


def checker() -> Callable[[Request], Iterator[str]]:
    """What says in what a request is not as GitHub describes it; making it takes a moment."""
    from openapi_core import OpenAPI
    from openapi_core.testing import MockRequest

    description = json.loads(DESCRIPTION.read_text())
    api = OpenAPI.from_dict(description)
    queries = _queries(description)

    def check(request: Request) -> Iterator[str]:
        body = None if request.body is None else json.dumps(request.body).encode()
        asked = MockRequest(
            "http://localhost",
            request.method,
            request.place,
            args=request.query,
            headers=request.headers,
            data=body,
            content_type=request.headers.get("content-type", ""),
        )
        for error in api.iter_request_errors(asked):
            yield f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        for pattern, method, names in queries:
            if method == request.method.lower() and re.fullmatch(pattern, request.place):
                yield from (f"GitHub knows no {name}=" for name in request.query if name not in names)
                break

    return check


def _queries(description: dict[str, Any]) -> list[tuple[str, str, set[str]]]:
    """The names that a query may have: (pattern of the path, method, names), the closest pattern first."""
    found = []
    for path, operations in sorted(description["paths"].items()):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))
        for method, operation in operations.items():
            parameters = [_resolve(description, one) for one in operation.get("parameters", ())]
            found.append((pattern, method, {one["name"] for one in parameters if one["in"] == "query"}))
    return found


def _resolve(description: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    for name in value["$ref"].split("/")[1:] if "$ref" in value else ():
        description = description[name]
    return description if "$ref" in value else value


def prune(whole: dict[str, Any]) -> dict[str, Any]:
    """What describes `PATHS`, and what that refers to; without prose."""
    paths = {path: _without_prose(whole["paths"][path]) for path in PATHS}
    for method in ("post", "put"):  # "you can also pass an array of labels directly", it says in words only
        choices = paths[f"{REPO}/issues/{{issue_number}}/labels"][method]["requestBody"]["content"]["application/json"]
        choices["schema"]["oneOf"].append({"type": "array", "items": {"type": "string"}})
    components: dict[str, dict[str, Any]] = {}
    wanted = list(_references(paths))
    while wanted:
        _, _, kind, name = wanted.pop().split("/")
        if name not in components.setdefault(kind, {}):
            found = components[kind][name] = _without_prose(whole["components"][kind][name])
            wanted += _references(found)
    for body in (operation.get("requestBody") for path in paths.values() for operation in path.values()):
        for content in body["content"].values() if body else ():
            if content["schema"].get("type") == "object":
                content["schema"]["additionalProperties"] = (
                    False  # GitHub ignores what it does not know: a mistake of ours
                )
    kept = {"openapi": whole["openapi"], "info": {"title": whole["info"]["title"], "version": whole["info"]["version"]}}
    return {**kept, "paths": paths, "components": components}


def _without_prose(value: Any, names: bool = False) -> Any:
    """``names``: whether the keys of this mapping are names of properties or of headers."""
    if isinstance(value, list):
        return [_without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: _without_prose(item, not names and key in ("properties", "headers"))
        for key, item in value.items()
        if names or key not in PROSE
    }
    if not names and "description" in value and value.keys() <= {"description", "content", "headers", "links"}:
        kept["description"] = ""  # which a response must have
    return kept


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


if __name__ == "__main__":
    pruned = prune(json.loads(Path(sys.argv[1]).read_text()))
    DESCRIPTION.write_text(json.dumps(pruned, separators=(",", ":"), sort_keys=True) + "\n")
