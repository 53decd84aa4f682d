"""Why a remote could not be reached or refused, in one clear line, from git's own words (which follow it)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gitlumo.errors import ConnectionBroken, RemoteError
from gitlumo.git.process import Result
from gitlumo.privacy import mask_text

_LINES = 12  # of git's words
_NOISE = re.compile(
    r"hint: |To |error: failed to push some refs|Please make sure you have the correct access|and the repository exists"
    r"|fatal: Could not read from remote repository|fatal: the remote end hung up unexpectedly|Everything up-to-date"
    r"|Cloning into "
)
_UNREACHABLE = (
    r"Failed to connect|Connection (?:refused|timed out)|Operation timed out|Network is unreachable|No route to host"
    r"|unable to connect|Could not connect"
)
_FAILED = r"returned error: 50[0-9]"
_BROKEN = (
    r"early EOF|RPC failed|hung up|unexpected disconnect|Recv failure|Send failure|transfer closed"
    r"|Connection (?:reset|closed)|Broken pipe|bad packet|bad line length|fatal: expected |read error"
    r"|invalid index-pack output|unpack-objects (?:failed|died)|remote helper .* aborted|inflate returned"
    r"|Empty reply from server|closed by remote host|(?:response|transfer) .*(?:missing|remaining)"
    r"|non-properly terminated|GnuTLS (?:recv|send) error|SSL_ERROR_SYSCALL|SSL_(?:read|write)|unexpected eof"
)
_BROKE_OFF, _AGAIN = "{remote}: the connection broke off", "type the same again; nothing is lost"
# (words of git, curl, ssh or a server, lower case or not; what that means; what to do), the first that fits.
# {remote} is the remote, {host} what the words say of a host, {url} the command that shows its address.
_CAUSES = (
    (
        r"[Cc]ould not resolve (?:host|hostname|proxy):?\s+(?P<host>[^\s:;']+)|unable to look up (?P<host2>\S+)",
        "{remote}: the host {host} is not known",
        "is the address right, and the network up?  {url}",
    ),
    (
        r"terminal prompts disabled|could not read (?:Username|Password)",
        "{remote} asks for a user name and a password, and nobody can be asked here",
        "try it in a terminal, or set up a credential helper: git help gitcredentials",
    ),
    (
        r"Authentication failed|HTTP Basic: Access denied|returned error: 401|Invalid username or (?:token|password)",
        "{remote} does not accept the user name or the password",
        "make git forget it (git credential reject), or put the right one in:  {url}",
    ),
    (
        r"Host key verification failed",
        "{remote}: ssh does not know this host's key, or it is another one than before",
        "look at it once yourself: ssh HOST;  {url}",
    ),
    (
        r"Permission denied \((?:publickey|password|keyboard)",
        "{remote} does not accept your ssh key",
        "which one ssh offers: ssh -v HOST;  {url}",
    ),
    (
        r"does not match target host ?name|no alternative certificate subject name",
        "{remote}: the connection is not safe: the certificate there is for another host",
        "is the address right?  {url}",
    ),
    (
        r"certificate|server verification failed|SSL CA cert",
        "{remote}: the connection is not safe: its certificate is not trusted",
        "if the authority is your own: git config {scope}http.sslCAInfo FILE;  {url}",
    ),
    (
        r"[Nn]o space left on device|[Dd]isk quota exceeded|ENOSPC",
        "{remote}: there is no space left{where}",
        "make room, and type the same again; what is there stays whole",
    ),
    (
        r"returned error: 413|HTTP 413|exceeds .*size limit",
        "{remote} does not take so much at once",
        "have it allow more (nginx: client_max_body_size), or share some runs at a time:  git lumo push EXP...",
    ),
    (
        r"returned error: 429|HTTP 429|[Tt]oo many requests",
        "{remote} takes no more for the moment",
        "type the same again in some minutes",
    ),
    (
        r"cannot contain secrets|secret scanning",
        "{remote} refuses a secret that it has found in what was sent",
        "take the run out (git lumo purge EXP), or allow the secret there",
    ),
    (
        r"branch is currently checked out",
        "{remote} has the runs' branch checked out in its work tree",
        "have another one checked out there: git switch BRANCH",
    ),
    (
        r"protected branch|GH006|GH013|push declined|not allowed to push|hook declined|update hook|hidden ref",
        "{remote} does not take it: a rule or a hook there refuses the branch",
        "ask who looks after it to let this branch be pushed: it only ever grows",
    ),
    (
        r"shallow update not allowed",
        "{remote} does not have the commits at which this shallow clone ends",
        "git fetch --unshallow, and type the same again",
    ),
    (
        r"returned error: 403|access denied|[Ww]rite access|read[ -]only|insufficient permission|service not enabled"
        r"|[Pp]ermission (?:to .+ )?denied|unable to create temporary object|unable to migrate objects"
        r"|repository not exported",
        "{remote} may {be}",
        "ask for the right to do so, or name another remote;  {url}",
    ),
    (
        r"does not appear to be a git repository|returned error: 404|[Rr]epository .*not found|does not exist"
        r"|not a git repository",
        "{remote}: there is no repository at its address",
        "is it right?  {url}",
    ),
    (
        r"\.lock': File exists|cannot lock ref",
        "a ref is locked, here or at {remote}",
        "type the same again in a moment; if the lock stays, somebody was killed: remove the file that is named above",
    ),
    (
        r"fetch first|non-fast-forward|stale info|failed to update ref|failed to lock|incorrect old value",
        "{remote} was moved by others again and again, or keeps the branch locked",
        "type the same again in a moment",
    ),
    (_UNREACHABLE, "{remote} cannot be reached", "is the address right, and the network up?  {url}"),
    (_FAILED, "{remote}: the server there has failed", _AGAIN),
    (_BROKEN, _BROKE_OFF, _AGAIN),
    (r"SSL|TLS", "{remote}: a safe connection (TLS) could not be made", "is there a server for https?  {url}"),
)  # fmt: skip


def error_of(done: Result, remote: str, refused: Sequence[str], verb: str) -> RemoteError:
    """The error for a command that failed.

    Args:
        done: How it ended.
        remote: The remote's name, or its address.
        refused: What ``--porcelain`` said of refs that were not taken.
        verb: What git was to do: ``push to``, ``fetch from`` or ``clone``.
    """
    said = done.err.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    told = [line.rstrip() for line in said if line.strip() and not _NOISE.match(line) and not _is_progress(line)]
    told += [line.split("\t")[-1] for line in refused]
    text = "\n".join([*said, *told])
    name = mask_text(remote)
    for words, what, hint in _CAUSES:
        found = re.search(words, text)
        if found:
            groups = found.groupdict()
            facts = {
                "remote": name,
                "host": groups.get("host") or groups.get("host2") or "",
                "url": f"git remote get-url {name}" if verb != "clone" and not set("/:") & set(name) else "",
                "scope": "--global " if verb == "clone" else "",
                "be": "be read, but not written to" if verb == "push to" else "not be read",
                "where": " there" if re.search(r"^remote: |unpack|\[remote rejected\]", text, re.MULTILINE) else "",
            }
            kind = ConnectionBroken if words in (_FAILED, _BROKEN) else RemoteError
            return kind(_text(what.format(**facts), told, hint.format(**facts).rstrip("; ")))
    if not told and "Could not read from remote repository" in text:  # the other side has said nothing at all
        return broken(remote)
    return RemoteError(_text(f"{name}: git could not {verb} it", told or [line for line in said if line.strip()], ""))


def broken(remote: str) -> ConnectionBroken:
    """The error for a connection that broke off without a word."""
    return ConnectionBroken(_text(_BROKE_OFF.format(remote=mask_text(remote)), [], _AGAIN))


def _is_progress(line: str) -> bool:
    return re.match(r"(?:remote: )?[A-Z][a-z]+(?: [a-z]+)*: +\d+% |(?:remote: )?Total \d+", line) is not None


def _text(what: str, told: Sequence[str], hint: str) -> str:
    words = [f"  {mask_text(line)}" for line in dict.fromkeys(told)][-_LINES:]
    return "\n".join([what, *words, *([hint] if hint else [])])
