"""Images and figures: files in the run's folder that any viewer opens, whatever they were made of."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gitlumo import SimpleExperiment
from gitlumo.errors import InvalidName, InvalidValue, LumoWarning, StateError


@pytest.fixture
def exp(repo):
    with SimpleExperiment("digits") as run:
        yield run


def seen(path):
    with Image.open(path) as image:
        image.load()
        return image.mode, image.size, np.asarray(image)


GREY = np.arange(15, dtype=np.uint8).reshape(3, 5) * 15
COLOUR = np.stack([GREY, GREY + 1, GREY + 2], axis=2)
CLEAR = Image.fromarray(np.dstack([COLOUR, np.where(GREY > 100, 255, 0).astype(np.uint8)]) * (GREY > 100)[:, :, None])


def deep(mode):
    image = Image.new(mode, (2, 1))
    for x, value in enumerate((300, 65000)):
        image.putpixel((x, 0), value)
    return image


def indexed():
    image = Image.new("PA", (2, 1))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.putpixel((0, 0), (1, 0))
    image.putpixel((1, 0), (1, 77))
    return image


def closed():
    image = Image.new("L", (2, 2))
    image.close()
    return image


def cut_jpeg():
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "JPEG")
    return Image.open(io.BytesIO(out.getvalue()[:600]))


@pytest.mark.parametrize(
    ("given", "mode", "expected"),
    [
        (GREY, "L", GREY),
        (GREY[:, :, None], "L", GREY),
        (COLOUR, "RGB", COLOUR),
        (COLOUR.transpose(2, 0, 1), "RGB", COLOUR),
        (np.dstack([COLOUR, GREY]), "RGBA", np.dstack([COLOUR, GREY])),
        (np.dstack([GREY, GREY]), "LA", np.dstack([GREY, GREY])),
        (GREY.astype(np.int64), "L", GREY),
        (GREY > 100, "L", (GREY > 100) * np.uint8(255)),
        (GREY / 255, "L", GREY),
        (np.array([[np.nan, -0.001, 1.001]]), "L", np.array([[0, 0, 255]], np.uint8)),
        (GREY.tolist(), "L", GREY),
        (np.asfortranarray(COLOUR), "RGB", COLOUR),
        (COLOUR[::-1, ::-1], "RGB", COLOUR[::-1, ::-1]),
        (Image.fromarray(COLOUR), "RGB", COLOUR),
        (Image.fromarray(COLOUR).convert("CMYK").convert("RGB"), "RGB", COLOUR),
        (Image.fromarray(GREY), "L", GREY),
        (Image.fromarray((GREY / 255).astype(np.float32)), "L", GREY),
        (Image.fromarray(GREY.astype(np.int32)), "L", GREY),
        (Image.fromarray(GREY.astype(np.int32) * 200), "I;16", GREY.astype(np.uint16) * 200),
        (deep("I;16"), "I;16", np.array([[300, 65000]])),
        (deep("I;16B"), "I;16", np.array([[300, 65000]])),
        (CLEAR, "RGBA", np.asarray(CLEAR)),
        (CLEAR.convert("RGBa"), "RGBA", np.asarray(CLEAR)),
        (indexed(), "RGBA", np.array([[[4, 5, 6, 0], [4, 5, 6, 77]]])),
        (CLEAR.convert("LA").convert("La"), "LA", np.asarray(CLEAR.convert("LA"))),
    ],
)
def test_an_image_is_what_was_given(exp, given, mode, expected):
    kind, size, pixels = seen(exp.log_image("conf", given))
    assert (kind, size) == (mode, expected.shape[1::-1])
    assert np.array_equal(pixels, expected)


def test_files_stay_as_they_are(exp, tmp_path):
    for ending in ("png", "jpeg", "gif", "webp"):
        path = tmp_path / f"a.{ending}"
        Image.fromarray(COLOUR).save(path)
        for given in (path, str(path), path.read_bytes()):
            assert Path(exp.log_image(ending, given)).read_bytes() == path.read_bytes()


def test_steps_count_up_for_each_key_and_equal_images_are_one_file(git, repo):
    with SimpleExperiment("digits") as exp:
        exp.log_image("a b/c", GREY)
        exp.log_image("a b/c", GREY + 1)
        exp.log_image("other", GREY, step=7)
        exp.log_image("other", GREY, step=7)
        exp.log_image("other", GREY)
        exp.log_image("other", GREY, step=-3)
    listed = git("ls-tree", "-r", "--name-only", "lumo_experiments").split("\n")
    names = [name.rpartition(f"{exp.test_name}/")[2] for name in listed if "/images/" in name]
    assert sorted(name.rpartition("-")[0] for name in names) == [
        "images/a b%2Fc/0", "images/a b%2Fc/1", "images/other/-3", "images/other/7", "images/other/8"
    ]  # fmt: skip
    git("fsck", "--strict")


def test_a_resumed_run_counts_on(repo):
    with SimpleExperiment("digits") as exp:
        exp.log_image("a", GREY)
    with SimpleExperiment("digits", resume=exp.test_name) as again:
        assert Path(again.log_image("a", GREY)).name.startswith("1-")


@pytest.mark.parametrize(
    "wrong",
    [None, 5, {}, "a\0b", "no such file", ".", io.BytesIO(), b"GIF", b"GIF8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
     b"text", b"RIFF\0\0\0\0WEBP", Image.new("L", (0, 0)), closed(), cut_jpeg(), Image.new("F", (2, 2), 255.0),
     Image.new("I", (2, 2), 65536), Image.new("I", (2, 2), -1), np.full((2, 2), 1.1), np.full((2, 2), -0.1),
     np.full((2, 2), np.inf), np.zeros((2, 2, 5)), np.zeros(3), np.zeros((0, 3)), [[1], [1, 2]],
     np.zeros((2, 2), complex), np.full((2, 2), 256), np.full((2, 2), -1), np.array([["a"]]), object()],
    ids=range(31),
)  # fmt: skip
def test_what_is_no_image_raises_and_leaves_no_trace(exp, wrong):
    with pytest.raises(InvalidValue, match=r"^conf"):
        exp.log_image("conf", wrong)
    assert not Path(exp.info_dir, "images").exists()


def test_wrong_keys_steps_and_moments(repo):
    exp = SimpleExperiment("digits")
    with pytest.raises(StateError, match="is not started"):
        exp.log_image("a", GREY)
    exp.start()
    with pytest.raises(InvalidName):
        exp.log_image(5, GREY)
    with pytest.raises(InvalidValue, match="step"):
        exp.log_image("a", GREY, step="x")
    with pytest.raises(InvalidValue, match=r"a: 'nothing\.png' cannot be read: No such file"):
        exp.log_image("a", "nothing.png")
    with pytest.raises(InvalidValue, match="savefig"):
        exp.log_figure("a", GREY)
    exp.end()
    with pytest.raises(StateError, match="ended"):
        exp.log_image("a", GREY)


def test_figures_and_axes(exp):
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(2, 1))
    axes = figure.subplots()
    axes.plot([1, 2])
    for path in (exp.log_figure("fig", figure), exp.log_image("fig", axes), exp.log_figure("fig", figure, step=9)):
        kind, size, _ = seen(path)
        assert kind == "RGBA"
        assert size[0] > size[1] > 50


def test_a_figure_that_fails_to_draw_is_a_warning(exp):
    class Broken:
        def savefig(self, *args, **keywords):
            raise RuntimeError("no fonts")

    with pytest.warns(LumoWarning, match="Figures: no fonts"):
        assert exp.log_figure("a", Broken()) is None
    exp.log({"loss": 1})
    assert exp.properties["hooks"]["Figures"] == {"loaded": False, "msg": "no fonts"}


def test_an_array_of_axes_is_told_to_be_no_figure(exp):
    axes = pytest.importorskip("matplotlib.figure").Figure().subplots(2, 2)
    for given in (axes, list(axes[0])):
        for log in (exp.log_image, exp.log_figure):
            with pytest.raises(InvalidValue, match=r"a: an array of axes .* pass the figure"):
                log("a", given)


def test_a_figure_that_writes_nothing_is_a_warning(exp):
    class Nothing:
        def savefig(self, *args, **keywords):
            pass

    with pytest.warns(LumoWarning, match="what the figure has drawn is no PNG"):
        assert exp.log_image("a", Nothing()) is None


def test_a_full_disk_is_a_warning(exp, monkeypatch):
    import gitlumo.picturing as picturing

    def refuse(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(picturing, "write_whole", refuse)
    with pytest.warns(LumoWarning, match="No space left"):
        assert exp.log_image("a", GREY) is None


def test_a_large_one_stays_on_disk_and_is_listed(git, repo):
    git("config", "lumo.snapshotMaxFile", "1k")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with SimpleExperiment("digits") as exp:
            path = exp.log_image("noise", np.random.default_rng(1).integers(0, 255, (100, 100)))
    assert Path(path).exists()
    (left,) = SimpleExperiment.from_disk(exp.info_dir).properties["skipped"]
    assert left["path"].startswith("images/noise/0-")


def test_nothing_is_written_where_nothing_is_recorded(repo, monkeypatch):
    monkeypatch.setenv("LUMO_DISABLED", "1")
    with SimpleExperiment("digits") as exp:
        assert exp.log_image("a", GREY) is None


def test_no_library_is_imported_for_it(repo):
    script = """
import sys, gitlumo
with gitlumo.Experiment('digits') as exp:
    exp.log_image('a', open(sys.argv[1], 'rb').read())
print([name for name in ('numpy', 'PIL', 'matplotlib') if name in sys.modules])
"""
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, "PNG")
    Path("a.png").write_bytes(out.getvalue())
    done = subprocess.run([sys.executable, "-c", script, "a.png"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_one_that_is_too_large_for_the_ledger_is_told(repo, git):
    git("config", "lumo.snapshotMaxFile", "1k")
    said = r"only in .*, not in the ledger: images/n/0-\w+\.png \(larger than"
    with pytest.warns(LumoWarning, match=said), SimpleExperiment("digits") as exp:
        path = exp.log_image("n", np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8))
    assert os.path.getsize(path) > 1024
    done = subprocess.run(["git-lumo", "board", "--html", "a.html"], capture_output=True, text=True, check=True)
    assert "1 image left out: too large" in done.stdout
