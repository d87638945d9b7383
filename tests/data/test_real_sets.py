"""The real photographs hold what their description says."""

from pathlib import Path

import numpy as np
import pytest
from hydra import compose
from hydra.utils import get_method
from omegaconf import OmegaConf

from pretext.data.animals import animals
from pretext.data.archive import read_archive
from pretext.data.ccp import BOX_NAMES, MASK_NAMES, ccp
from pretext.data.cifar10 import cifar10
from pretext.data.dataset import IGNORE, DataSet, Split
from pretext.data.loader import batches
from pretext.data.source import MissingData
from pretext.data.split import check_disjoint
from pretext.data.streamed import Streamed
from pretext.data.tiny_imagenet import tiny_imagenet
from pretext.data.voc_layout import voc_layout


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


def test_clothing_and_animals_streamed_are_what_they_are_packed(
    real_data: Path, clothing: DataSet, tmp_path: Path
) -> None:
    for packed, reader in (
        (clothing, ccp_streamed),
        (animals(str(real_data), str(tmp_path)), animals_streamed),
    ):
        data = reader(real_data, tmp_path)
        check(data)
        assert isinstance(data.test.pixels, Streamed)
        # Test is a list of the archive, in its order: the same images, each with the same labels.
        np.testing.assert_array_equal(np.asarray(data.test.pixels), np.asarray(packed.test.pixels))
        np.testing.assert_array_equal(data.test.boxes.xyxy, packed.test.boxes.xyxy)
        if packed.test.masks is not None:
            np.testing.assert_array_equal(data.test.masks, packed.test.masks)
            np.testing.assert_array_equal(data.test.labels, packed.test.labels)
        counts = [sum(len(s.boxes.labels) for s in d.splits.values()) for d in (data, packed)]
        assert counts[0] == counts[1]
        batch = next(iter(batches(data.train, 16)))
        assert batch.shape == (16, 3, *data.train.pixels.shape[1:3])


def ccp_streamed(real_data: Path, tmp_path: Path) -> DataSet:
    return voc_layout(
        str(real_data), str(tmp_path), name="ccp", places=["ccp_voc.tar"], size=[192, 128], val=100,
        box_names=BOX_NAMES, mask_names=MASK_NAMES, multi_label=True, image_set="Segmentation", stream=True,
    )  # fmt: skip


def animals_streamed(real_data: Path, tmp_path: Path) -> DataSet:
    return voc_layout(
        str(real_data), str(tmp_path), name="animals", places=["animals_voc.tar"], size=[160, 160], val=48,
        box_names=["raccoon", "kangaroo"], stream=True,
    )  # fmt: skip


PUBLISHED = {
    "cifar100": (50_000, 10_000, 100),
    "stl10": (5000, 8000, 10),
    "stl10_unlabelled": (100_000, 8000, 0),
    "imagenette": (9469, 3925, 10),
    "oxford_pets": (3680, 3669, 37),
    "voc07": (5011, 4952, 20),
    "voc07_segmentation": (422, 210, 20),
    "voc12": (5717, 5823, 20),
    "voc12_segmentation": (1464, 1449, 20),
    "coco": (118_287, 5000, 80),
    "places365": (1_803_460, 36_500, 365),
    "imagenet": (1_281_167, 50_000, 1000),
}
"""Images of train and val together, and of test, and classes, as their authors say."""


@pytest.mark.slow
@pytest.mark.parametrize("name", list(PUBLISHED))
@pytest.mark.usefixtures("hydra")
def test_a_set_at_hand_holds_what_is_published(name: str, real_data: Path, tmp_path: Path) -> None:
    config = compose("config", overrides=[f"data={name}", f"data.root={real_data}"]).data
    values = OmegaConf.to_container(config, resolve=True)
    try:
        data = get_method(values.pop("_target_"))(**values, cache=str(tmp_path))
    except MissingData as error:
        pytest.skip(f"not at hand: {error}")
    check(data)
    pool, test, classes = PUBLISHED[name]
    left_out = sum(int(note.split()[0]) for note in data.notes if "training images left out" in note)
    assert len(data.train) + len(data.val) + left_out == pool
    assert len(data.test) == test
    assert len(data.label_names) == classes
    if classes:
        assert (
            np.bincount(data.test.labels) if data.test.labels.ndim == 1 else data.test.labels.sum(0)
        ).all()
