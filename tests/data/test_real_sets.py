"""The real photographs hold what their description says."""

from pathlib import Path

import numpy as np
import pytest

from pretext.data.animals import animals
from pretext.data.archive import read_archive
from pretext.data.ccp import ccp
from pretext.data.cifar10 import cifar10
from pretext.data.dataset import IGNORE, DataSet, Split
from pretext.data.split import check_disjoint
from pretext.data.tiny_imagenet import tiny_imagenet


def check(data: DataSet) -> None:
    """What holds for every set."""
    assert tuple(data.splits) == ("train", "val", "test")
    for name, split in data.splits.items():
        assert split.name == name
        check_boxes(split, len(data.box_names))
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        check_disjoint(data.splits[first], data.splits[second])


def check_boxes(split: Split, classes: int) -> None:
    if split.boxes is None:
        assert classes == 0
        return
    height, width = split.pixels.shape[1:3]
    x1, y1, x2, y2 = split.boxes.xyxy.T
    assert (x1 >= 0).all()
    assert (y1 >= 0).all()
    assert (x2 <= width).all()
    assert (y2 <= height).all()
    assert (x1 < x2).all()
    assert (y1 < y2).all()
    assert set(split.boxes.labels.tolist()) == set(range(classes))


def test_tiny_imagenet_archives_hold_what_is_published(real_data: Path) -> None:
    for part, count, gray, flat in (("train", 40_000, 876, 181), ("val", 10_000, 214, 41)):
        archive = read_archive(real_data / f"tiny_imagenet200_{part}.npz")
        assert len(archive) == count
        assert np.bincount(archive.labels).tolist() == [count // 200] * 200
        assert archive.extra["is_gray"].sum() == gray
        x1, y1, x2, y2 = archive.extra["boxes"].T
        assert ((x2 <= x1) | (y2 <= y1)).sum() == flat


def test_the_first_of_tiny_imagenet(real_data: Path, tmp_path: Path) -> None:
    data = tiny_imagenet(str(real_data), str(tmp_path), val=200, limit=1000)
    check(data)
    assert len(data.train) + len(data.val) == 1000
    assert np.bincount(data.val.labels, minlength=200).tolist() == [1] * 200
    archive = read_archive(real_data / "tiny_imagenet200_val.npz")
    np.testing.assert_array_equal(data.test.colourless, archive.extra["is_gray"][:1000])
    np.testing.assert_array_equal(data.test.labels, archive.labels[:1000])
    for i in range(1000):
        x1, y1, x2, y2 = archive.extra["boxes"][i]
        expected = [[x1, y1, x2 + 1, y2 + 1]] if x2 > x1 and y2 > y1 else []
        assert data.test.boxes.of(i)[0].tolist() == expected


@pytest.mark.slow
def test_the_whole_of_tiny_imagenet(real_data: Path, tmp_path: Path) -> None:
    data = tiny_imagenet(str(real_data), str(tmp_path))
    check(data)
    # Three training images occur in test, one image is there twice; none of them is gray.
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 35_996,
        "val": 4000,
        "test": 10_000,
    }
    assert np.bincount(data.val.labels).tolist() == [20] * 200
    assert data.train.colourless.sum() + data.val.colourless.sum() == 876
    assert data.test.colourless.sum() == 214
    assert data.test.boxes.xyxy.shape == (10_000 - 41, 4)
    assert sum("left out" in note for note in data.notes) == 2


def test_the_first_of_cifar10(real_data: Path, tmp_path: Path) -> None:
    for part, count in (("train", 50_000), ("test", 10_000)):
        archive = read_archive(real_data / f"cifar10_jpeg_{part}.npz")
        assert np.bincount(archive.labels).tolist() == [count // 10] * 10
    data = cifar10(str(real_data), str(tmp_path), val=100, limit=1000)
    check(data)
    assert data.label_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(data.val.labels).tolist() == [10] * 10
    assert data.test.pixels.shape == (1000, 32, 32, 3)


@pytest.fixture(scope="module")
def clothing(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return ccp(str(real_data), str(tmp_path_factory.mktemp("cache")))


def test_clothing(clothing: DataSet) -> None:
    data = clothing
    check(data)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 603,
        "val": 100,
        "test": 301,
    }
    splits = data.splits.values()
    counts = sum(np.bincount(split.boxes.labels, minlength=12) for split in splits)
    published = {
        "footwear": 1584, "hair": 946, "bag": 860, "accessory": 816, "upper": 759, "pants": 503, "outer": 415,
        "dress": 304, "skirt": 167, "legwear": 149, "hat": 106, "shorts": 59,
    }  # fmt: skip
    assert dict(zip(data.box_names, counts.tolist(), strict=True)) == published
    assert sum((np.diff(split.boxes.offsets) == 0).sum() for split in splits) == 1
    assert data.mask_names[0] == "background"
    assert data.mask_names[2:] == data.box_names
    pixels = sum(np.bincount(split.masks.ravel(), minlength=256) for split in splits)
    assert set(np.flatnonzero(pixels)) == {*range(14), IGNORE}
    assert abs(pixels[0] / pixels[:14].sum() - 0.769) < 0.002
    for split in splits:
        for i in range(len(split)):
            assert set(np.flatnonzero(split.labels[i])) == set(split.boxes.of(i)[1].tolist())


def test_the_masks_of_clothing_lie_under_its_boxes(clothing: DataSet) -> None:
    test = clothing.test
    inside = []
    for i in range(0, len(test), 10):
        for (x1, y1, x2, y2), label in zip(*test.boxes.of(i)[:2], strict=True):
            window = test.masks[i][round(y1) : round(y2), round(x1) : round(x2)]
            inside.append((window == label + 2).any())
    assert len(inside) > 150
    assert np.mean(inside) > 0.99


def test_animals(real_data: Path, tmp_path: Path) -> None:
    data = animals(str(real_data), str(tmp_path))
    check(data)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 244, "val": 48, "test": 72}
    counts = sum(np.bincount(split.boxes.labels) for split in data.splits.values())
    assert counts.tolist() == [217, 266]
    assert len(data.test.boxes.labels) == 99
    assert data.train.labels is None
    assert data.train.masks is None
