"""What must not leave the machine unmeant: secrets in words and texts, private paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

MASK = "***"
PATH_BEGINS = r"(?<![\w.~-])(?<!:/)"  # not in the middle of another path, or in a URL
PATH_ENDS = r"(?![\w-]|\.\w)"
# A name of which the value is a secret. `token` alone is one; `pad_token`, `max_tokens` and `tokenizer` are not.
_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:password|passwd|passphrase|secret|client[-_]?secret|api[-_]?key|access[-_]?key|secret[-_]?key|private[-_]?key"
    r"|(?:auth|access|api|hf|hub|github|gh|gitlab|wandb|bearer|refresh|session|secret|bot)[-_]?token|credential)s?$|^-*token$",
    re.IGNORECASE,
)
# Tokens of which the provider's form is known.
_TOKENS = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}"
    r"|sk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[A-Za-z0-9_-]{35}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,})"
)
_RAW_TOKENS = re.compile(_TOKENS.pattern.encode())
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_SECRET = re.compile(
    r"([?&](?:[\w-]*[_-])?(?:token|key|secret|password|signature|sig)=)[^&\s'\x22]+", re.IGNORECASE
)
_VARIABLE = re.compile(r"\boc\.env:\s*([\w.-]+)")
_URL_USER = re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)([^\s/@:]*:[^\s/\x22']*|[^\s/@:]*)@", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a variable, an option or a parameter of this name holds a secret."""
    return _SECRET_NAME.search(_CAMEL.sub("_", name)) is not None


def names_secret_variable(interpolation: str) -> bool:
    """Whether an interpolation of OmegaConf asks for a variable of the environment that holds a secret."""
    return any(is_secret_name(name) for name in _VARIABLE.findall(interpolation))


def mask_text(text: str, *, sure: bool = False) -> str:
    """A text without the tokens and the credentials in URLs that it holds.

    Args:
        text: The text.
        sure: Whether what may as well be a word stays, see :func:`tokens`.
    """
    text = _TOKENS.sub(lambda m: MASK if _is_sure(m[0]) or not sure else m[0], text)
    text = _URL_SECRET.sub(rf"\1{MASK}", text)
    return _URL_USER.sub(lambda m: m[0] if m[1].lower() == "ssh://" and ":" not in m[2] else f"{m[1]}{MASK}@", text)


def tokens(data: bytes) -> list[str]:
    """The providers' tokens in a file that somebody else may have written.

    Unlike :func:`mask_text`, which may mask too much, it must not cry wolf: ``sk-`` is also how scikit-learn's style
    sheets name things (``sk-estimator-doc-link``), so after it digits and capitals are asked for.
    """
    found = (match[0].decode("ascii") for match in _RAW_TOKENS.finditer(data))
    return list(dict.fromkeys(filter(_is_sure, found)))


def _is_sure(token: str) -> bool:
    is_random = any(char.isdigit() for char in token) and token != token.lower()
    return is_random or not token.startswith("sk-")


def mask_words(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """A command line without secrets.

    Returns:
        The words, and the indexes of those that were masked: ``--password=***``, ``--token ***``, ``KEY=***``.
    """
    result: list[str] = []
    masked: list[int] = []
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        before = words[i - 1] if i else ""
        if equals and value and is_secret_name(name.lstrip("-")):
            new = f"{name}={MASK}"
        elif before.startswith("-") and "=" not in before and is_secret_name(before.lstrip("-")) and word[:1] != "-":
            new = MASK
        else:
            new = mask_text(word)
        if new != word:
            masked.append(i)
        result.append(new)
    return result, masked


def mask_value(
    value: Any, path: str, mask: Callable[[str], str] = mask_text, short: Callable[[str], str] | None = None
) -> tuple[Any, list[str]]:
    """A JSON value without secrets, and the paths at which they were: string values under a secret's name, tokens.

    Args:
        value: What :func:`gitlumo.values.encode` returned.
        path: What to call the value itself.
        mask: What makes a text fit to be seen.
        short: What becomes of a string that is as a whole a path, and is not listed, as nothing is lost; None: one
            below the home folder begins with ``~``.
    """
    short = short or home_relative
    if isinstance(value, str):
        new = mask(value)
        return short(new), [path] if new != value or value == MASK else []
    if isinstance(value, list):
        words, named = mask_words(value) if all(isinstance(item, str) for item in value) else (value, [])
        pairs = [
            mask_value(words[i] if i in named else item, f"{path}[{i}]", mask, short) for i, item in enumerate(value)
        ]
        masked = [where for i, (_, paths) in enumerate(pairs) for where in paths or [f"{path}[{i}]"] * (i in named)]
        return [new for new, _ in pairs], masked
    if isinstance(value, dict) and value.keys() != {"$bytes"}:  # base64 may look like anything
        result, masked = {}, []
        for key, item in value.items():
            if item and is_secret_name(key) and _is_text(item):
                result[key] = MASK
                masked.append(f"{path}.{key}")
            else:
                result[key], below = mask_value(item, f"{path}.{key}", mask, short)
                masked += below
        return result, masked
    return value, []


def _is_text(value: Any) -> bool:
    """A string, bytes, or a list of such."""
    if isinstance(value, list):
        return all(_is_text(item) for item in value)
    return isinstance(value, str) or (isinstance(value, dict) and value.keys() == {"$bytes"})


def home_relative(path: str) -> str:
    """An absolute path as ``~/...`` where it is below the home folder."""
    home = os.path.expanduser("~").rstrip("/") if path.startswith("/") else ""
    if home and (path == home or path.startswith(home + "/")):
        return "~" + path[len(home) :]
    return path


def public_path(path: str, root: str | None, base: str | None = None) -> str:
    """A path as it may be recorded.

    Args:
        path: An absolute path.
        root: The repository's work tree, or None.
        base: Below the repository, make it relative to this folder; None: to ``root``.
    """
    if root and (path == root or path.startswith(root.rstrip("/") + "/")):
        return os.path.relpath(path, base or root)
    return home_relative(path)


def public_text(text: str, root: str | None, *, sure: bool = False) -> str:
    """A text (a traceback) without secrets, the home folder or the repository's place; see :func:`mask_text`."""
    return mask_text(short_text(text, root), sure=sure)


def short_text(text: str, root: str | None) -> str:
    """A text without the home folder or the repository's place; secrets stay, for whoever masks and lists them."""
    for prefix, short in ((root, "."), (os.path.expanduser("~").rstrip("/"), "~")):
        if prefix and prefix != "/":
            text = re.sub(rf"{PATH_BEGINS}{re.escape(prefix)}{PATH_ENDS}", lambda _, short=short: short, text)  # type: ignore[misc]
    return text
