"""Markdown as GitHub shows it."""

from __future__ import annotations

import struct
from pathlib import Path

from tests.backup.rendering import WIDTH, html, screenshot

BODY = """<!-- lumo -->
| lr | loss |
| --- | --- |
| 0.1 | ▁▂▅ ~~0.5~~ |

one
two<script>alert(1)</script>

<details><summary>Environment</summary>

```json
{"python": "3.11"}
```
</details>
"""


def test_the_dialect_of_an_issue():
    made = html(BODY)
    assert "<td>▁▂▅ <del>0.5</del></td>" in made
    assert "one<br />\ntwo&lt;script>" in made
    assert '<summary>Environment</summary>\n<pre lang="json"><code>' in made


def test_a_screenshot_is_as_high_as_what_it_shows(tmp_path: Path):
    sizes = []
    for body in (BODY, BODY.replace("<details>", "<details open>")):
        screenshot(body, tmp_path / "issue.png")
        png = (tmp_path / "issue.png").read_bytes()
        assert png.startswith(b"\x89PNG\r\n")
        sizes.append(struct.unpack(">II", png[16:24]))
    (width, folded), (_, open_) = sizes
    assert width == WIDTH
    assert 200 < folded < open_ < 600
