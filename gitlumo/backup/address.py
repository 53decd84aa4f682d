"""Where on GitHub backups go: which server, which repository, and the token, which is never written anywhere."""

from __future__ import annotations

import os
import re
import urllib.parse
from dataclasses import dataclass

from gitlumo import privacy
from gitlumo.errors import GitError, LumoError, UsageError
from gitlumo.git import process
from gitlumo.git.transport import ssh_host
from gitlumo.home import Home
from gitlumo.share import remotes

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_SCP = re.compile(r"(?:[^/@:]+@)?([^/:@]+):(.+)")
_NUMBER = r"[1-9][0-9]{0,9}"
_ISSUE = re.compile(rf"(?:github:)?([^/#\s]+/[^/#\s]+)#({_NUMBER})")
_PORTS = {"http": 80, "https": 443}
_ANSWERS = 20.0  # seconds in which a credential helper has to answer: some open a key chain
_SAY = "--repo OWNER/NAME, or git config lumo.githubRepo OWNER/NAME"
_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN")


@dataclass(frozen=True)
class Address:
    """A repository on GitHub.

    Attributes:
        api: The API's base, ``https://api.github.com`` or ``https://HOST/api/v3``.
        repo: ``owner/name``.
        former: What it was called when it was asked for.
    """

    api: str
    repo: str
    former: str = ""

    @property
    def host(self) -> str:
        """The host that git and people use."""
        url = urllib.parse.urlsplit(self.api)
        return (url.netloc if url.path else url.netloc.removeprefix("api.")).lower()

    @property
    def web(self) -> str:
        """The repository's page."""
        scheme = urllib.parse.urlsplit(self.api).scheme
        return f"{scheme}://{self.host}/{self.repo}"


def find(home: Home, repo: str | None = None) -> Address:
    """The repository that keeps the backups: the one that is named, ``lumo.githubRepo``, or that of the remote.

    Args:
        home: The repository here.
        repo: ``owner/name``, or its URL.

    Raises:
        UsageError: If what is named is no repository.
        LumoError: If none can be told.
    """
    api = home.settings.github_url
    named = repo or home.settings.github_repo
    if named:
        found = named if _REPO.fullmatch(named) else _of_url(named, Address(api, "").host)
        if found is None:
            source = "--repo" if repo else "lumo.githubRepo"
            raise UsageError(f"{source} is {named!r}; it can be OWNER/NAME, as in github:octocat/digits")
        return Address(api, found)
    host = Address(api, "").host
    try:
        remote = remotes.choose(home, None).name
    except LumoError as error:
        first = str(error).partition("\n")[0]
        raise LumoError(f"{first}\nso say where the issues go:  {_SAY}") from None
    url = process.ask([*home.repository.git_args, "remote", "get-url", remote]).out.decode("utf-8", "replace").strip()
    found = _of_url(url, host)
    if found is None:
        raise LumoError(
            f"the remote {remote} is at {privacy.mask_text(url)}, which is no repository on {host}\n"
            f"say where the issues go:  {_SAY}\n"
            "a GitHub of your own:  git config lumo.githubUrl https://HOST/api/v3"
        )
    return Address(api, found)


def _of_url(url: str, host: str) -> str | None:
    """``owner/name`` in the URL of a remote, as git takes them (git-clone(1), "GIT URLS"); None: it is elsewhere."""
    scp = _SCP.fullmatch(url) if "://" not in url else None
    parsed = _split(url)
    if scp:
        scheme, there, path = "ssh", scp[1].lower(), scp[2]
    elif parsed and parsed.hostname:
        scheme, there, path = parsed.scheme, parsed.hostname, parsed.path
        if scheme in _PORTS and parsed.port not in (None, _PORTS[scheme]):
            there = f"{there}:{parsed.port}"
    else:
        return None
    name = path.strip("/").removesuffix(".git")
    wanted = host if scheme in _PORTS else host.partition(":")[0]  # that is the API's port
    known = (wanted, f"ssh.{wanted}", f"www.{wanted}")
    if not _REPO.fullmatch(name) or (there not in known and (scheme != "ssh" or ssh_host(there) not in known)):
        return None
    return name


def _split(url: str) -> urllib.parse.SplitResult | None:
    """The parts of a URL; None: it is none."""
    try:
        parsed = urllib.parse.urlsplit(url)
        _ = parsed.port
    except ValueError:
        return None
    return parsed


def parse(text: str, api: str) -> tuple[str, int] | None:
    """Repository and number of an issue: ``github:OWNER/NAME#12``, or the address of its page; None: it is neither."""
    short = _ISSUE.fullmatch(text)
    if short and _REPO.fullmatch(short[1]):
        return short[1], int(short[2])
    url, host = _split(text), Address(api, "").host
    if url and url.scheme in _PORTS and url.netloc.lower() in (host, f"www.{host}"):
        page = re.fullmatch(rf"/([^/]+/[^/]+)/issues/({_NUMBER})/?", url.path)
        if page and _REPO.fullmatch(page[1]):
            return page[1], int(page[2])
    return None


def is_repo(text: str) -> bool:
    """Whether a text can be ``owner/name``."""
    return bool(_REPO.fullmatch(text))


def parse_repo(text: str) -> str | None:
    """``owner/name`` of ``github:OWNER/NAME``; None: it is something else."""
    name = text.removeprefix("github:")
    return name if text.startswith("github:") and _REPO.fullmatch(name) else None


def token(home: Home, address: Address) -> str:
    """The token: of the environment, or of git's own credential helper, which is asked without a terminal.

    Raises:
        LumoError: If there is none.
    """
    for name in _VARIABLES:
        if os.environ.get(name, "").strip():
            return os.environ[name].strip()
    scheme = urllib.parse.urlsplit(address.api).scheme
    asked = f"protocol={scheme}\nhost={address.host}\npath={address.repo}.git\n\n"
    silent = process.environment({"GIT_ASKPASS": "", "SSH_ASKPASS": "", "GCM_INTERACTIVE": "never"})
    try:
        words = [*home.repository.git_args, "-c", "core.askPass=", "credential", "fill"]
        answer = process.run(words, stdin=asked.encode(), env=silent, timeout=_ANSWERS, check=False)
    except (GitError, TimeoutError):
        answer = process.Result(1, b"", b"")
    for line in answer.out.decode("utf-8", "replace").split("\n"):
        if line.startswith("password=") and answer.status == 0 and line != "password=":
            return line.removeprefix("password=")
    raise LumoError(
        f"there is no token for {address.host}: neither {' nor '.join(_VARIABLES)} is set, and no credential helper"
        f" of git's knows one\nmake one that may write issues of {address.repo}, then:  export GITHUB_TOKEN=..."
    )
