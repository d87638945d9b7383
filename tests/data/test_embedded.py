"""The embedded scenes: made once, with all labels, the same for every order and length of splits."""

from pathlib import Path

import numpy as np
import pytest

from pretext.data import embedded
from pretext.data.dataset import DataSet
from pretext.data.embedded import STARTS, scenes
from pretext.data.scenes import CLASSES, generate


def small(cache: Path, **options: object) -> DataSet:
    return scenes(str(cache), **{"train": 12, "val": 6, "test": 6, "size": 32, "workers": 1, **options})


def test_the_splits_are_the_generators_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_BLOCK", 4)  # train takes three calls
    data = small(tmp_path, seed=5)
    for name, split in data.splits.items():
        truth = generate(STARTS[name], len(split), seed=5, size=32, workers=1)
        np.testing.assert_array_equal(split.pixels[:], truth.pixels)
        np.testing.assert_array_equal(split.labels, truth.labels)
        np.testing.assert_array_equal(split.masks, truth.masks)
        np.testing.assert_array_equal(split.boxes.offsets, truth.box_offsets)
        np.testing.assert_array_equal(split.boxes.xyxy, truth.boxes)
        np.testing.assert_array_equal(split.boxes.labels, truth.box_labels)
        assert not split.boxes.difficult.any()
        assert not split.colourless.all()
    assert data.label_names == data.box_names == CLASSES
    assert data.mask_names == ("ground", *CLASSES)
    assert any("ranks nothing" in note for note in data.notes)


def test_scenes_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = small(tmp_path)

    def never(*args: object, **options: object) -> None:
        raise AssertionError("made again")

    with monkeypatch.context() as patch:
        patch.setattr(embedded.generator, "generate", never)
        again = small(tmp_path)
        with pytest.raises(AssertionError, match="made again"):
            small(tmp_path, seed=1)
    assert [s.digest for s in again.splits.values()] == [s.digest for s in first.splits.values()]


def test_a_longer_split_begins_with_the_shorter_and_leaves_the_others_alone(tmp_path: Path) -> None:
    short, long = small(tmp_path), small(tmp_path, train=16)
    np.testing.assert_array_equal(long.train.pixels[:12], short.train.pixels[:])
    assert long.test.digest == short.test.digest
    assert long.train.digest != short.train.digest


def test_the_controls_change_colour_and_nothing_else(tmp_path: Path) -> None:
    plain = small(tmp_path)
    for options in ({"colour": "image_permuted"}, {"colour": "object_random"}, {"colour_information": 0.0}):
        other = small(tmp_path, **options)
        assert (other.test.pixels[:] != plain.test.pixels[:]).any()
        np.testing.assert_array_equal(other.test.masks, plain.test.masks)
        np.testing.assert_array_equal(other.test.labels, plain.test.labels)


def test_an_unknown_colour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'green' is not a valid Colour"):
        small(tmp_path, colour="green")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_an_image_is_refused_before_any_is_made(split: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"scenes: {split} must be ≥ 1 image, got 0"):
        small(tmp_path, **{split: 0})
    assert not list(tmp_path.iterdir())
