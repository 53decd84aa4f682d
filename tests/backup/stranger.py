"""A reader of backups as GitHub issues, written from docs/format.md, section 14, alone; nothing of gitlumo.

``run(body, comments)`` gives the run's files by path, and what they lack.
"""

import base64
import hashlib
import json
import re
import zlib

RUN = re.compile(r"^<!-- gitlumo run ([0-9a-f]{32}) -->", re.MULTILINE)
HEADER = re.compile(r"gitlumo-record 1 uid=(\w{32}) part=(\d+)/(\d+) first=(\d+) sha256=(\w{64})")


def parts(text):
    """(uid, count, first, digest), number and share of each part that is as it was written."""
    header, share = None, ""
    for line in map(str.strip, text.split("\n")):
        if found := HEADER.fullmatch(line):
            header, share = found, ""
        elif header and line.startswith("end sha256="):
            data, (uid, number, *rest) = base64.b64decode(share), header.groups()
            if hashlib.sha256(data).hexdigest()[:16] == line[11:]:
                yield (uid, *rest), int(number), data
            header = None
        elif header:
            share += line


def run(body, comments):
    uid = RUN.search(body)[1]
    wanted = next(which for which, number, _ in parts(body) if which[0] == uid and number == 1)
    shares = {}
    for text in (body, *comments):
        for which, number, data in parts(text):
            if which == wanted:
                shares.setdefault(number, data)
    record = zlib.decompress(b"".join(shares[number + 1] for number in range(int(wanted[1]))))
    assert hashlib.sha256(record).hexdigest() == wanted[3]
    head, *lines = map(json.loads, record.decode().split("\n")[:-1])
    assert head["version"] == 1
    files = {
        line["path"]: base64.b64decode(line["base64"]) if "base64" in line else line["text"].encode() for line in lines
    }
    return files, head["lost"]
