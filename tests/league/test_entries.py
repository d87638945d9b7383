"""Systems from outside: what their manifests must say, and what is done with their pictures."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
import yaml
from PIL import Image

from downstream.judge.flags import meaning
from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Division
from pretext.data.dataset import Split
from pretext.data.loader import fetch
from pretextbench.league.exported import export, gray_of, stem, stems
from pretextbench.league.external import Outside, entries, manifest

SAID: dict[str, Any] = {
    "name": "mine", "title": "Mine", "paper": "none", "licence": "MIT", "trained_on": "photographs",
}  # fmt: skip


@pytest.fixture
def test() -> Split:
    return toy.split(4, 3, "test")


def write(place: Path, file: str = "mine.yaml", /, **more: Any) -> str:
    (place / file).write_text(yaml.safe_dump({**SAID, **more}))
    return str(place / file)


def originals(split: Split) -> torch.Tensor:
    return fetch(split.pixels, np.arange(len(split)))


def test_exported_images_are_gray_and_named_by_their_pixels(tmp_path: Path, test: Split) -> None:
    assert "4 gray images" in export(test, tmp_path / "gray")
    files = sorted((tmp_path / "gray").iterdir())
    assert sorted(stems(test)) == [file.stem for file in files]
    for file in files:
        pixels = np.asarray(Image.open(file))
        assert pixels.shape == (32, 32, 3)
        assert (pixels == pixels[..., :1]).all()
        assert stem(pixels[..., 0]) == file.stem


def test_pictures_of_a_folder_are_those_of_their_images(tmp_path: Path, test: Split) -> None:
    (tmp_path / "made").mkdir()
    for name, pixels in zip(stems(test), test.pixels, strict=False):
        Image.fromarray(pixels).save(tmp_path / "made" / f"{name}.png")
    (one,) = entries([write(tmp_path, folder="made")], test)
    assert (one.name, one.division, one.subject.budget) == ("mine", Division.AUTOMATIC, "automatic")
    lab = rgb_to_lab(originals(test))
    ready = one.make()
    for order in ([0, 1, 2, 3], [2, 0]):
        ab = ready.colorizer.colorize(lab[order, :1])
        np.testing.assert_allclose(ab, lab[order, 1:], atol=1e-3)
    assert ready.flags() == ()
    missing = stems(test)[1]
    (tmp_path / "made" / f"{missing}.png").unlink()
    with pytest.raises(ValueError, match=rf"mine: 1 of 4 pictures are not in .* \({missing}\); names are"):
        entries([write(tmp_path, folder="made")], test)


def test_another_picture_is_another_entry(tmp_path: Path, test: Split) -> None:
    (tmp_path / "made").mkdir()
    for name, pixels in zip(stems(test), test.pixels, strict=False):
        Image.fromarray(pixels).save(tmp_path / "made" / f"{name}.png")
    (before,) = entries([write(tmp_path, folder="made")], test)
    Image.fromarray(255 - test.pixels[0]).save(tmp_path / "made" / f"{stems(test)[0]}.png")
    (after,) = entries([write(tmp_path, folder="made")], test)
    assert before.subject.run != after.subject.run


def test_jpegs_are_said_whatever_they_are_called(tmp_path: Path, test: Split) -> None:
    (tmp_path / "made").mkdir()
    for i, (name, pixels) in enumerate(zip(stems(test), test.pixels, strict=False)):
        Image.fromarray(pixels).save(tmp_path / "made" / f"{name}.png", format="JPEG" if i < 3 else "PNG")
    (one,) = entries([write(tmp_path, folder="made")], test)
    assert one.make().flags() == ("jpeg:3 images",)
    assert meaning("jpeg:3 images").startswith("its pictures are JPEGs")


def test_changed_lightness_is_said_and_replaced() -> None:
    light = torch.full((2, 1, 8, 8), 50.0)
    brighter = Outside("mine", lambda gray: np.dstack([gray + 60, gray + 20, gray + 20]), None)
    ab = brighter.colorize(light)
    assert ab.shape == (2, 2, 8, 8)
    assert float(ab[:, 0].min()) > 5
    assert brighter.flags() == ("lightness_changed:2 images",)


def test_a_declared_square_is_taken_at_its_size_and_no_other() -> None:
    square = Outside("mine", lambda gray: np.zeros((16, 16, 3), np.uint8), 16)
    assert square.colorize(torch.full((1, 1, 8, 12), 50.0)).shape == (1, 2, 16, 16)
    assert square.flags() == ()
    with pytest.raises(
        ValueError, match=r"mine: a picture is uint8 \(16, 16, 3\); wanted is uint8 \(8, 12, 3\)"
    ):
        Outside("mine", lambda gray: np.zeros((16, 16, 3), np.uint8), None).colorize(
            torch.full((1, 1, 8, 12), 50.0)
        )
    with pytest.raises(ValueError, match="float64"):
        Outside("mine", lambda gray: np.zeros((8, 12, 3)), None).colorize(torch.full((1, 1, 8, 12), 50.0))


def test_a_function_and_a_command_see_the_gray_image(
    tmp_path: Path, test: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outsider.py").write_text(
        "import sys, numpy as np\n"
        "from PIL import Image\n"
        "def red(gray):\n"
        "    assert gray.dtype == np.uint8 and gray.ndim == 2\n"
        "    return np.dstack([gray, gray // 2, gray // 2])\n"
        "if __name__ == '__main__':\n"
        "    gray = np.asarray(Image.open(sys.argv[1]))[..., 0]\n"
        "    Image.fromarray(red(gray)).save(sys.argv[2])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    command = f"{sys.executable} {tmp_path / 'outsider.py'} {{in}} {{out}}"
    paths = [
        write(tmp_path, "a.yaml", callable="outsider:red"),
        write(tmp_path, "b.yaml", name="other", command=command),
    ]
    light = rgb_to_lab(originals(test))[:1, :1]
    gray = gray_of(light[0, 0])
    wanted = rgb_to_lab(
        torch.from_numpy(np.dstack([gray, gray // 2, gray // 2])).permute(2, 0, 1)[None] / 255
    )
    for one in entries(paths, test):
        np.testing.assert_allclose(one.make().colorizer.colorize(light), wanted[:, 1:], atol=1e-4)
    broken = write(tmp_path, "c.yaml", command=f"{sys.executable} -c 'import nothing_there' {{in}} {{out}}")
    (one,) = entries([broken], test)
    with pytest.raises(
        ValueError, match="ended with 1: ModuleNotFoundError: No module named 'nothing_there'"
    ):
        one.make().colorizer.colorize(light)


def test_whatever_somebodys_code_raises_is_the_images_affair(
    tmp_path: Path, test: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raising.py").write_text("def f(gray):\n    return {}[gray.shape]\nX = 3\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (one,) = entries([write(tmp_path, callable="raising:f")], test)
    with pytest.raises(ValueError, match="raising:f: KeyError"):
        one.make().colorizer.colorize(torch.full((1, 1, 8, 8), 50.0))
    for path, said in (("raising:X", "is a int"), ("broken:f", "ZeroDivisionError: division by zero")):
        with pytest.raises(ValueError, match=said):
            entries([write(tmp_path, callable=path)], test)


def test_a_command_may_say_what_it_likes_and_ends_when_its_time_is_over(tmp_path: Path, test: Split) -> None:
    light = torch.full((1, 1, 8, 8), 50.0)
    loud = """bash -c 'printf "\\xff\\xfe"; printf "\\xff" >&2; cp $0 $1' {in} {out}"""
    (one,) = entries([write(tmp_path, command=loud)], test)
    assert float(one.make().colorizer.colorize(light).abs().max()) < 0.01
    slow = f"bash -c 'sleep 60 & echo $! > {tmp_path}/child; wait' {{in}} {{out}}"
    (one,) = entries([write(tmp_path, command=slow, patience=1)], test)
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"bash took more than 1 s for an image"):
        one.make().colorizer.colorize(light)
    assert time.monotonic() - begun < 20
    child = Path("/proc") / (tmp_path / "child").read_text().strip() / "status"
    while child.exists() and "Z (zombie)" not in child.read_text() and time.monotonic() - begun < 10:
        time.sleep(0.05)  # a signal takes a moment
    assert not child.exists() or "Z (zombie)" in child.read_text(), "what it started ends with it"
    with pytest.raises(ValueError, match="there is no program 'no_such_painter'"):
        entries([write(tmp_path, command="no_such_painter {in} {out}")], test)


def test_pictures_of_another_size_and_two_of_one_name_are_refused_at_once(
    tmp_path: Path, test: Split
) -> None:
    (tmp_path / "made").mkdir()
    for name in stems(test):
        Image.new("RGB", (16, 16)).save(tmp_path / "made" / f"{name}.png")
    with pytest.raises(ValueError, match="is 16×16 and must be 32×32; pictures that are squares"):
        entries([write(tmp_path, folder="made")], test)
    assert entries([write(tmp_path, folder="made", size=16)], test)
    Image.new("RGB", (16, 16)).save(tmp_path / "made" / f"{stems(test)[0]}.jpg")
    with pytest.raises(ValueError, match="stand beside others of the same name"):
        entries([write(tmp_path, folder="made", size=16)], test)
    (tmp_path / "made" / f"{stems(test)[0]}.jpg").unlink()
    (tmp_path / "made" / f"{stems(test)[0]}.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="is no picture"):
        entries([write(tmp_path, folder="made", size=16)], test)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "one of folder, callable, command; it has none"),
        ({"folder": "a", "callable": "b:c"}, r"it has \['folder', 'callable'\]"),
        ({"folder": "a", "division": "best"}, "division is one of automatic, assisted, oracle; it is 'best'"),
        ({"folder": "a", "colour": 1}, "there is no key colour; a manifest has name, title"),
        ({"folder": "a", "title": 3}, "title"),
        ({"folder": "a", "size": 0}, "size"),
        ({"folder": "a", "patience": 0.0}, "patience"),
        ({"folder": "a", "name": "blind:me"}, "belong to predictors"),
        ({"command": "paint {in}"}, r"command names \{in\} and \{out\}"),
        ({"callable": "nowhere:f"}, "callable is module:function; 'nowhere:f' is none"),
        ({"callable": "json:nothing"}, "'json:nothing' is none"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, test: Split, more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        entries([write(tmp_path, **more)], test)


def test_what_is_no_manifest_is_refused(tmp_path: Path, test: Split) -> None:
    with pytest.raises(FileNotFoundError, match="there is no manifest"):
        manifest(tmp_path / "nowhere.yaml")
    for content, said in (
        ("a: [", "is no YAML"),
        ("- a", "it is no mapping"),
        ("name: x\ntitle: y", "paper"),
    ):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ValueError, match=said):
            manifest(tmp_path / "bad.yaml")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        entries([write(tmp_path, folder="nowhere")], test)
    one = write(tmp_path, callable="json:dumps")
    with pytest.raises(ValueError, match="two are called mine"):
        entries([one, one], test)
