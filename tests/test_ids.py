"""Names: what may be one, what may not, and that git agrees (docs/format.md, sections 2 and 3)."""

import re
import unicodedata

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gitlumo import ids
from gitlumo.errors import InvalidName
from gitlumo.git import process
from gitlumo.git.objects import FILE_MODE, TREE_MODE, Commit, Entry, Staging
from gitlumo.git.pack import PackPlace, write_pack
from gitlumo.git.repository import open_repository

CHECKS = [ids.check_exp_name, ids.check_test_name]
# One example is a whole batch of names, and the message shows the few that matter: nothing to shrink.
with_git = settings(
    max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)
ZWNJ, ZWJ, LRM, BOM = "\u200c", "\u200d", "\u200e", "\ufeff"


def test_uids():
    uids = {ids.new_uid() for _ in range(100)}
    assert len(uids) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", uid) and ids.is_uid(uid) for uid in uids)


@pytest.mark.parametrize("uid", ["", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "0" * 32 + "\n", None, 5, b"0" * 32])
def test_no_uids(uid):
    assert not ids.is_uid(uid)


@pytest.mark.parametrize(
    ("ordinal", "digits"), [(0, "000"), (7, "007"), (999, "999"), (1000, "1000"), (12345, "12345")]
)
def test_new_test_names(ordinal, digits):
    names = {ids.new_test_name("261124", ordinal) for _ in range(100)}
    assert len(names) > 90
    for name in names:
        assert re.fullmatch(rf"261124\.{digits}\.[0-9a-z]{{4}}t", name)
        assert (ids.ordinal_of(name), ids.check_test_name(name)) == (ordinal, name)


@pytest.mark.parametrize(
    ("name", "ordinal"),
    [
        ("230314.000.a3t", 0),  # lumo's
        ("230306.012.d5t", 12),
        ("261124.1000.k3x9t", 1000),
        *((name, None) for name in ("261124.00.k3x9t", "26112.000.k3x9t", "261124.000.k3xt", "261124.000.k3x9")),
        *((name, None) for name in ("261124.000.K3X9t", "261124.000.k3x9t ", "x261124.000.k3x9t", "baseline", "")),
        *(
            (name, None)
            for name in ("261124.000.k3x9t\n", "\u0662" * 6 + ".000.k3x9t", "261124." + "\u0660" * 3 + ".k3x9t")
        ),
    ],
)
def test_the_pattern_of_test_names(name, ordinal):
    assert ids.ordinal_of(name) == ordinal


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "a",
        "moco.mocoexp",
        "lr=0.1",
        "a b",
        "größe",
        "数字",
        "цифры",
        "أرقام",
        "อักษร",
        "अंक",
        "🚀",
        "x" * 100,
        "é" * 50,
        "run-1",
        "1.",
        "a.git",
        "git",
        "a-",
        "_x",
        "%",
        "1e3",
    ],
)
def test_names_in_any_script(check, name):
    assert check(name) == name


@pytest.mark.parametrize("check", CHECKS)
def test_names_are_nfc(check):
    assert check("e\u0301") == "\xe9"
    assert check("e\u0301" * 50) == "\xe9" * 50  # 150 bytes before, 100 after


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "name",
    ["", None, 1, b"digits", "x" * 101, "é" * 51, "\u212b" * 51, ".", "..", ".x", "-x", "--", ".git"]
    + [
        f"a{c}b"
        for c in "/:~\\\0\n\t\x7f\x85\u2028\u2029\ud800\udcff" + ZWNJ + ZWJ + LRM + BOM + "\xad\u202e\U000e0001"
    ]
    + [ZWNJ + ".git", ".g" + ZWNJ + "it", BOM + ".git", "git~1", "a/b", "a:b", "C:", "a\\b"],
)
def test_names_that_are_refused(check, name):
    with pytest.raises(InvalidName, match="name") as caught:
        check(name)
    assert isinstance(caught.value, ValueError)
    str(caught.value).encode()  # can be printed


def test_only_a_test_name_must_not_be_digits():
    assert ids.check_exp_name("007") == "007"
    with pytest.raises(InvalidName, match="run-007"):
        ids.check_test_name("007")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("params", "params"),
        ("a/b", "a%2Fb"),
        ("100%", "100%25"),
        (".git", "%2Egit"),
        ("-x.y-z", "%2Dx.y-z"),
        ('\\:*?"<>|~', "%5C%3A%2A%3F%22%3C%3E%7C%7E"),
        ("..", "%2E."),
        ("数字", "数字"),
        ("e\u0301", "\xe9"),
        (ZWNJ + ".git", "%E2%80%8C.git"),
        ("a\0\n\x7f\u2028", "a%00%0A%7F%E2%80%A8"),
    ],
)
def test_keys_as_file_names(key, name):
    assert ids.key_to_filename(key) == name
    assert ids.filename_to_key(name) == unicodedata.normalize("NFC", key)


@pytest.mark.parametrize("key", ["", None, 1, b"a", "\ud800", "x" * 201, "/" * 67])
def test_keys_that_are_refused(key):
    with pytest.raises(InvalidName, match="key"):
        ids.key_to_filename(key)


def test_the_longest_key():
    assert ids.key_to_filename("x" * 200) == "x" * 200


@pytest.mark.parametrize("name", ["%2f", "%", "%zz", "a%2", "%FF"])
def test_what_was_never_written_does_no_harm(name):
    assert isinstance(ids.filename_to_key(name), str)


@given(st.text(min_size=1, max_size=60))
def test_every_key_comes_back(key):
    name = ids.key_to_filename(key)
    assert not set(name) & set('/\\:*?"<>|~')
    assert name[0] not in "-."
    assert ids.filename_to_key(name) == unicodedata.normalize("NFC", key)


# --- what git says ---


def refused_by_fsck(repo, names):
    """The names that `git fsck --strict` refuses as a file or as a folder; the file looks like an evil .gitmodules."""
    repository = open_repository(repo)
    place = PackPlace(f"{repository.location.objects_dir}/pack", f"{repository.location.lumo_dir}/tmp", "", "sha1")
    staging = Staging(repository.objects)
    owner, tops = {}, []
    for i, name in enumerate(names):
        blob = staging.add_blob(b'[submodule "x"]\n\tpath = x\n\turl = -u./foo\n# %d\n' % i)
        inner = staging.add_tree([Entry("x", FILE_MODE, staging.add_blob(b"%d" % i))])
        for id, mode in ((blob, FILE_MODE), (inner, TREE_MODE)):
            tree = staging.add_tree([Entry(name, mode, id)])
            owner[tree] = owner[id] = name
            tops.append(Entry(f"{len(tops):05d}", TREE_MODE, tree))
    who = "Ada <ada@example.org> 1679616000 +0000"
    tip = staging.add_commit(Commit(staging.add_tree(tops), (), who, who, "names\n"))
    base = write_pack(place, staging.new, b"", fsync=False)
    process.run(["update-ref", "refs/heads/names", tip], cwd=str(repo))
    err = process.run(["fsck", "--strict"], cwd=str(repo), check=False).err.decode()
    process.run(["update-ref", "-d", "refs/heads/names"], cwd=str(repo))
    for ending in (".idx", ".pack", ".keep"):
        (repo / f"{base}{ending}").unlink()
    return {owner[id] for id in re.findall(r"(?:error|warning) in (?:tree|blob) ([0-9a-f]{40})", err)}


HARMLESS = [
    "a.git",
    "git",
    "x~1",
    "~1",
    "gi",
    "gitmodules",
    "mailmap",
    "info",
    "a b",
    "größe",
    "CON",
    "git~x",
    "hgit~1",
]
ODD = [
    *(".git", ".GIT", ".Git", "git~1", "GIT~1", "git~2", ".git~1", ".", "..", "...", ".git" + ZWNJ, ".g" + ZWNJ + "it"),
    *(
        BOM + ".git",
        ".gi\u206ft" + ZWJ,
        ".g\u202eit",
        ".git ",
        ".git.",
        ".git . .",
        ".git::$INDEX_ALLOCATION",
        ".git:x",
    ),
    *(
        "git~1 ",
        "git~1.",
        "git~1:x",
        "git~1 . .",
        "a\\.git",
        ".git\\x",
        "a\\git~1",
        "\\.git",
        ".git\udcff",
        ".git\ufffe",
    ),
    *(
        ".gitmodules",
        ".GITMODULES",
        ".gitmodules ",
        ".gitmodules.",
        ".gitmodules::$DATA",
        ".gitmodules" + ZWJ,
        ".git\u206amodules",
    ),
    *("gitmod~1", "GITMOD~4", "gitmod~1 .", "gitmod~5", "gi7eba~1", "GI7EBA~9", "gi7eba~1 ", "gi7eba~1:x", "gi7eb~10"),
    *("gi7e~100", "gi7~1000", "gi~10000", "g~100000", "~1000000", "G~999999.", "gi7eba~0", "gi7eba~10", "gi~0000"),
    *(
        ".gitattributes",
        "gitatt~1",
        "gi7d29~1",
        "gi7d2~10",
        ".gitignore",
        "gitign~1",
        "gi250a~1",
        ".mailmap",
        "mailma~1",
    ),
]


def test_what_fsck_refuses_is_reserved(repo):
    refused = refused_by_fsck(repo, ODD + HARMLESS)
    assert len(refused) > 40  # the question was understood
    assert {name for name in refused if not ids.is_reserved_by_git(name)} == set()


def test_other_names_are_not_reserved():
    assert [name for name in HARMLESS if ids.is_reserved_by_git(name)] == []


@pytest.mark.parametrize(
    "name", [".gitattributes", ".gitignore", ".mailmap", "gitatt~1", ".GitAttributes ", "a/b", "a\0", ""]
)
def test_reserved_beyond_fsck(name):
    assert ids.is_reserved_by_git(name)


WORDS = [".git", "git", "GI", "g", "i", "7eba", "7", "e", "modules", "~", "1", "10000", "0", ".", ":", "\\", "x"]
pieces = st.sampled_from([*WORDS, " ", ZWNJ, BOM, "\udcff", "\ufffe", "\u0130", "\u017f"])
odd_names = st.lists(pieces, min_size=1, max_size=5).map("".join)


@given(st.lists(odd_names, min_size=100, max_size=200, unique=True))
@with_git
def test_whatever_fsck_refuses_is_reserved(repo, names):
    assert [name for name in refused_by_fsck(repo, names) if not ids.is_reserved_by_git(name)] == []


def accepted(text):
    try:
        return ids.check_test_name(text)
    except InvalidName:
        return None


text = st.one_of(
    st.text(min_size=1, max_size=40), odd_names, st.builds("".join, st.lists(pieces | st.characters(), min_size=1))
)


@given(st.lists(text.map(accepted).filter(bool), min_size=50, max_size=150, unique=True))
@with_git
def test_accepted_names_pass_fsck(repo, names):
    forms = [*names, *(f"{name}~{'0' * 32}" for name in names)]
    assert refused_by_fsck(repo, forms) == set()
    assert all(ids.check_test_name(name) == name for name in names)
    assert [form for form in forms if ids.is_reserved_by_git(form)] == []


@given(
    st.lists(
        text.map(lambda key: key.encode(errors="ignore").decode()).filter(bool), min_size=50, max_size=150, unique=True
    )
)
@with_git
def test_keys_pass_fsck(repo, keys):
    files = [ids.key_to_filename(key) + ".json" for key in keys if len(key) < 20]
    assert refused_by_fsck(repo, set(files)) == set()
    assert [file for file in files if ids.is_reserved_by_git(file)] == []
