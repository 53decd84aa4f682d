"""What must not leave the machine unmeant."""

import pytest

from gitlumo import privacy

GH, HF, AWS = "ghp_" + "a1B2" * 9, "hf_" + "x" * 34, "AKIA" + "A1" * 8


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "db_password",
        "db.password",
        "passwd",
        "secret",
        "client_secret",
        "api_key",
        "apikey",
        "API-KEY",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "aws_access_key",
        "private_key",
        "token",
        "--token",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "hf_token",
        "HF_HUB_TOKEN",
        "WANDB_API_KEY",
        "access_token",
        "authToken",
        "credentials",
        "logger.api_key",
        "bot-token",
    ],
)
def test_secret_names(name):
    assert privacy.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "lr",
        "pad_token",
        "max_tokens",
        "tokenizer",
        "mask_token",
        "eos_token",
        "num_tokens",
        "key",
        "keys",
        "api",
        "secretary",
        "passwords_file_size",
        "tokens",
        "token_dim",
        "cls_token",
        "monkey",
        "author",
        "private",
        "",
    ],
)
def test_other_names(name):
    assert not privacy.is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:pass@host/x.git", "https://***@host/x.git"),
        ("https://token@host/x", "https://***@host/x"),
        ("HTTPS://u:p@host", "HTTPS://***@host"),
        ("git+https://:p@host", "git+https://***@host"),
        ("postgres://u:p@h:5432/db and s3://k:s@b", "postgres://***@h:5432/db and s3://***@b"),
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:pw@host/x", "ssh://***@host/x"),
        ("git@host:x.git", "git@host:x.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host:80/u@b", "https://host:80/u@b"),
        ("mailto:a@b see https://host", "mailto:a@b see https://host"),
        (f"a {GH} b", "a *** b"),
        (f"{GH},{HF}", "***,***"),
        (f"key={AWS};", "key=***;"),
        ("glpat-" + "a" * 20, "***"),
        ("github_pat_" + "a" * 40, "***"),
        ("sk-proj-" + "a" * 30, "***"),
        ("xoxb-" + "1" * 12, "***"),
        ("lr=0.1 sk-learn hf_hub ghp_short", "lr=0.1 sk-learn hf_hub ghp_short"),
    ],
)
def test_texts(text, masked):
    assert privacy.mask_text(text) == masked
    assert privacy.mask_text(masked) == masked


@pytest.mark.parametrize(
    ("words", "masked", "where"),
    [
        ("train.py --lr=0.1 --seed 1", "train.py --lr=0.1 --seed 1", []),
        ("a.py --password=x", "a.py --password=***", [1]),
        ("a.py --password x y", "a.py --password *** y", [2]),
        ("a.py --api-key x --token y", "a.py --api-key *** --token ***", [2, 4]),
        ("env API_KEY=x db.password=y a.py", "env API_KEY=*** db.password=*** a.py", [1, 2]),
        ("a.py --password --verbose", "a.py --password --verbose", []),
        ("a.py --password=x y", "a.py --password=*** y", [1]),
        ("a.py --password= y", "a.py --password= y", []),
        ("a.py --pad-token x --max_tokens=5", "a.py --pad-token x --max_tokens=5", []),
        ("a.py token x", "a.py token x", []),
        (f"a.py {GH} --url=https://u:p@h/", "a.py *** --url=https://***@h/", [1, 2]),
        ("--password x", "--password ***", [1]),
        ("", "", []),
    ],
)
def test_command_lines(words, masked, where):
    assert privacy.mask_words(words.split()) == (masked.split(), where)


def test_values():
    value = {
        "lr": 0.1,
        "api_key": "x",
        "token": "",
        "a": [{"password": "y"}, GH, "z"],
        "pad_token": "<pad>",
        "url": "http://u:p@h",
    }
    masked, where = privacy.mask_value(value, "params")
    assert masked == {
        "lr": 0.1,
        "api_key": "***",
        "token": "",
        "a": [{"password": "***"}, "***", "z"],
        "pad_token": "<pad>",
        "url": "http://***@h",
    }
    assert where == ["params.api_key", "params.a[0].password", "params.a[1]", "params.url"]
    assert value["api_key"] == "x"  # the user's own is left as it is


@pytest.mark.parametrize("value", [1, None, True, [], {}, "text", {"a": [1, {"b": None}]}])
def test_values_without_secrets(value):
    assert privacy.mask_value(value, "p") == (value, [])


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/home/u", "~"),
        ("/home/u/x", "~/x"),
        ("/home/user/x", "/home/user/x"),
        ("/data", "/data"),
        ("x/home/u/y", "x/home/u/y"),
    ],
)
@pytest.mark.parametrize("home", ["/home/u", "/home/u/"])
def test_home(monkeypatch, home, path, short):
    monkeypatch.setenv("HOME", home)
    assert privacy.home_relative(path) == short


def test_the_root_as_home_shortens_nothing(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert privacy.home_relative("/data/x") == "/data/x"
    assert privacy.public_text("at /data/x", None) == "at /data/x"


@pytest.mark.parametrize(
    ("path", "root", "base", "public"),
    [
        ("/home/u/r/a/b.py", "/home/u/r", None, "a/b.py"),
        ("/home/u/r", "/home/u/r", None, "."),
        ("/home/u/r/a/b.py", "/home/u/r", "/home/u/r/a", "b.py"),
        ("/home/u/r/b.py", "/home/u/r", "/home/u/r/a", "../b.py"),
        ("/home/u/r2/b.py", "/home/u/r", None, "~/r2/b.py"),
        ("/opt/x", "/home/u/r", None, "/opt/x"),
        ("/home/u/x", None, None, "~/x"),
        ("/etc/x", "/", None, "etc/x"),
    ],
)
def test_paths(monkeypatch, path, root, base, public):
    monkeypatch.setenv("HOME", "/home/u")
    assert privacy.public_path(path, root, base) == public


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ('File "/home/u/r/a.py", line 1', 'File "./a.py", line 1'),
        ('File "/home/u/lib/b.py"', 'File "~/lib/b.py"'),
        ('File "/home/u2/b.py"', 'File "/home/u2/b.py"'),
        (f"clone https://u:p@h {GH}", "clone https://***@h ***"),
        ("cwd: /home/u", "cwd: ~"),
        ("in '/home/u/r'", "in '.'"),
    ],
)
def test_texts_with_paths(monkeypatch, text, public):
    monkeypatch.setenv("HOME", "/home/u")
    assert privacy.public_text(text, "/home/u/r") == public


def test_a_value_that_is_a_path_below_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    value = {"data": "/home/ada/data", "all": ["/home/ada", "/home/adam", "at /home/ada", "~", "/"]}
    short = {"data": "~/data", "all": ["~", "/home/adam", "at /home/ada", "~", "/"]}
    assert privacy.mask_value(value, "params") == (short, [])


def test_bytes_are_not_text(monkeypatch):
    """Their base64 may look like a path or a token, and would be none any more."""
    monkeypatch.setenv("HOME", "/home/ada")
    for text in ("/home/ada/AAA", AWS):
        assert privacy.mask_value({"x": {"$bytes": text}}, "p") == ({"x": {"$bytes": text}}, [])
    assert privacy.mask_value({"token": {"$bytes": AWS}}, "p") == ({"token": privacy.MASK}, ["p.token"])


def test_what_was_hidden_before_is_listed():
    assert privacy.mask_value({"key": privacy.MASK}, "params") == ({"key": privacy.MASK}, ["params.key"])


def test_variables_that_hold_secrets():
    assert privacy.names_secret_variable("x ${oc.env:WANDB_API_KEY,none}")
    assert privacy.names_secret_variable("${oc.env:HOME} ${oc.env: DB_PASSWORD}")
    assert not privacy.names_secret_variable("${oc.env:HOME} ${api_key} ${oc.decode:${oc.env:N}}")
