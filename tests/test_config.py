"""The switches of ``git config lumo.*``."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gitlumo.config import FIELDS, RECORDING, Settings, read_settings
from gitlumo.errors import UsageError
from gitlumo.git import process
from gitlumo.git.repository import open_repository


def test_without_configuration():
    assert read_settings({}).branch == Settings().branch
    assert (Settings().branch, Settings().ref) == ("lumo_experiments", "refs/heads/lumo_experiments")
    assert (Settings().snapshot_max_file, Settings().snapshot_max_total) == (10485760, 104857600)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("branch", "runs/x", "branch", "runs/x"),
        ("infoRoot", "~/info", "info_root", "/HOME/info"),
        ("blobRoot", "/mnt/blob", "blob_root", "/mnt/blob"),
        ("cacheRoot", "/c", "cache_root", "/c"),
        ("hostname", "hash", "hostname", "hash"),
        ("env", "A,B  C", "env", ("A", "B", "C")),
        *(("snapshot", word, "snapshot", True) for word in ("true", "YES", "on", "1")),
        *(("snapshot", word, "snapshot", False) for word in ("false", "No", "off", "0", "")),
        *(
            ("snapshotMaxFile", *pair)
            for pair in (("500k", "snapshot_max_file", 512000), ("0", "snapshot_max_file", 0))
        ),
        *(
            ("snapshotMaxTotal", *pair)
            for pair in (("1G", "snapshot_max_total", 2**30), ("7", "snapshot_max_total", 7))
        ),
        *(
            ("snapshotTimeout", text, "snapshot_timeout", s)
            for text, s in (("500ms", 0.5), ("2m", 120), ("1.5", 1.5), ("3s", 3))
        ),
        *(("autoPush", word, "auto_push", None) for word in ("off", "false", "0", "")),
        *(("autoPush", text, "auto_push", s) for text, s in (("30s", 30), ("5m", 300), ("1", 1), ("1440m", 86400))),
        ("snapshotExclude", "*.csv data/,x", "snapshot_exclude", ("*.csv", "data/", "x")),
    ],
)
def test_settings_as_git_says_them(repo, git, monkeypatch, name, value, field, expected):
    monkeypatch.setenv("HOME", "/HOME")
    git("config", f"lumo.{name}", value, cwd=repo)
    assert getattr(read_settings(open_repository(repo).config), field) == expected


def test_the_last_one_counts_and_lists_add_up():
    got = read_settings({"lumo.hostname": ["hash", "off"], "lumo.env": ["A", "B"], "lumo.snapshotexclude": ["x", "y"]})
    assert (got.hostname, got.env, got.snapshot_exclude) == ("off", ("A", "B"), ("x", "y"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hostname", "maybe"),
        *(("autoPush", value) for value in ("often", "true", "500ms", "-3s", "1441m", "nan")),
        ("infoRoot", "runs"),
        ("cacheRoot", "./cache"),
        *(("snapshot", value) for value in ("maybe", "2x")),
        *(("snapshotMaxFile", value) for value in ("", "10x", "-1", "1.5m", "m", "10 m", "٣")),
        *(("snapshotTimeout", value) for value in ("", "soon", "-1s", "1h2", "inf", "nan")),
        *(
            ("branch", value)
            for value in ("a b", "a..b", "-x", "/x", ".x", "x.lock", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b")
        ),
        *(("branch", value) for value in ("refs/heads/x", "refs/x", "refs/heads/refs/x")),
        ("hooks", "maybe"),
        ("gitleaks", "of"),
        ("githubPause", "soon"),
        ("githubUrl", "ftp://x"),
        *(("branch", value) for value in ("a/", "a//b", "a/.b", "a.lock/b", "x.", "a@{b", "a\x7fb", "a\nb")),
    ],
)
def test_what_makes_no_sense(name, value):
    config = {f"lumo.{name}".lower(): [value]}
    with pytest.raises(UsageError, match=f"lumo.{name} ") as caught:
        Settings(config).check(FIELDS)
    assert caught.value.status == 129
    sound, (said,) = Settings(config).sound()
    assert said == str(caught.value)
    sound.check(FIELDS)


def test_a_setting_is_an_error_only_for_who_needs_it():
    wrong = {"lumo.githuburl": ["ftp://x"], "lumo.githubpause": ["soon"], "lumo.gitleaks": ["of"], "lumo.hooks": ["x"]}
    read_settings(wrong).check(RECORDING)
    read_settings({"lumo.hostname": ["maybe"]})
    with pytest.raises(UsageError, match=r"type: git config lumo\.branch x$"):
        read_settings({"lumo.branch": ["refs/heads/x"]})


@given(
    st.lists(
        st.sampled_from(["a", "/", ".", "@", "{", "lock", "-", " ", "~", "\\", "é", "\x7f", "[", "*"]),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
def test_a_branch_that_is_accepted_is_one_for_git(pieces):
    try:
        ref = read_settings({"lumo.branch": ["".join(pieces)]}).ref
    except UsageError:
        return
    assert process.run(["check-ref-format", ref], check=False).status == 0
