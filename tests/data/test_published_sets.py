"""Tiny ImageNet in both layouts and CIFAR-10, as miniatures."""

from pathlib import Path

import numpy as np
import pytest
from pictures import archive, encoded, photo

from pretext.data.cifar10 import cifar10
from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage, TooManyBadImages, decode_rgb
from pretext.data.source import BadArchive, MissingData
from pretext.data.tiny_imagenet import tiny_imagenet

WNIDS = ["n01", "n02", "n03"]
NAMES = ["goldfish", "newt", "frog"]
PER_CLASS = 8


def train_images() -> list[bytes]:
    """Image i has class i mod 3; image 4 is gray, image 5 is the first one of test."""
    images = [encoded(photo(i), quality=90) for i in range(3 * PER_CLASS)]
    images[4] = encoded(photo(4)[..., 0])
    images[5] = test_images()[0]
    return images


def test_images() -> list[bytes]:
    return [encoded(photo(100 + i), quality=90) for i in range(6)]


test_images.__test__ = False  # type: ignore[attr-defined]

TRAIN_BOXES = np.array([[i, 2, 63, 40 + i % 3] for i in range(24)])
TRAIN_BOXES[0] = [0, 0, 63, 63]
TRAIN_BOXES[1] = [7, 9, 7, 30]  # no width
TRAIN_BOXES[2] = [7, 9, 20, 9]  # no height
TEST_BOXES = np.array([[1, 2, 3, 4]] * 6)
TEST_LABELS = [2, 0, 1, 1, 0, 2]


def write_archives(root: Path) -> None:
    labels = [i % 3 for i in range(24)]
    archive(root / "tiny_imagenet200_train.npz", train_images(), labels, NAMES, boxes=TRAIN_BOXES)
    archive(root / "tiny_imagenet200_val.npz", test_images(), TEST_LABELS, NAMES, boxes=TEST_BOXES)


def write_folders(root: Path) -> None:
    top = root / "tiny-imagenet-200"
    for wnid in WNIDS:
        (top / "train" / wnid / "images").mkdir(parents=True)
    (top / "val" / "images").mkdir(parents=True)
    (top / "wnids.txt").write_text("n02\nn03\nn01\n")
    (top / "words.txt").write_text(
        "n00\tno class\n" + "".join(f"{w}\t{n}\n" for w, n in zip(WNIDS, NAMES, strict=True))
    )
    tables: dict[str, list[str]] = {wnid: [] for wnid in WNIDS}
    for i, image in enumerate(train_images()):
        wnid, name = WNIDS[i % 3], f"{WNIDS[i % 3]}_{i // 3 + 5}.JPEG"  # 5 … 12: not in the order of the text
        (top / "train" / wnid / "images" / name).write_bytes(image)
        tables[wnid].append("\t".join([name, *map(str, TRAIN_BOXES[i])]))
    for wnid, lines in tables.items():
        (top / "train" / wnid / f"{wnid}_boxes.txt").write_text("\n".join(reversed(lines)) + "\n")
    lines = []
    for i, image in enumerate(test_images()):
        (top / "val" / "images" / f"val_{i}.JPEG").write_bytes(image)
        lines.append("\t".join([f"val_{i}.JPEG", WNIDS[TEST_LABELS[i]], *map(str, TEST_BOXES[i])]))
    (top / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[write_archives, write_folders])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    request.param(tmp_path)
    return tmp_path


def tiny(root: Path, **options: object) -> DataSet:
    return tiny_imagenet(str(root), str(root / "cache"), **{"val": 6, **options})


def test_every_image_keeps_its_label_box_and_flag(root: Path) -> None:
    data = tiny(root)
    assert (data.label_names, data.box_names, data.mask_names) == (tuple(NAMES), ("object",), ())
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 17, "val": 6, "test": 6}
    assert np.bincount(data.val.labels).tolist() == [2, 2, 2]
    assert "1 training images left out: their pixels occur in test" in data.notes
    source = {decode_rgb(image).tobytes(): i for i, image in enumerate(train_images())}
    seen = []
    for split in (data.train, data.val):
        places = [source[split.pixels[k].tobytes()] for k in range(len(split))]
        assert places == sorted(places)
        seen += places
        for k, i in enumerate(places):
            assert split.labels[k] == i % 3
            assert split.colourless[k] == (i == 4)
            x1, y1, x2, y2 = TRAIN_BOXES[i]
            expected = [[x1, y1, x2 + 1, y2 + 1]] if i not in (1, 2) else np.zeros((0, 4))
            np.testing.assert_array_equal(split.boxes.of(k)[0], expected)
            assert (split.boxes.of(k)[1] == 0).all()
    assert sorted(seen) == [i for i in range(24) if i != 5]
    assert data.test.labels.tolist() == TEST_LABELS
    np.testing.assert_array_equal(data.test.boxes.xyxy, [[1, 2, 4, 5]] * 6)


def test_both_layouts_are_one_data_set(tmp_path: Path) -> None:
    for name, write in (("a", write_archives), ("b", write_folders)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    for one, other in zip(
        tiny(tmp_path / "a").splits.values(), tiny(tmp_path / "b").splits.values(), strict=True
    ):
        assert one.digest == other.digest


def test_opening_again_reads_the_pack(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, int]] = []
    first = tiny(root, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("packing tiny_imagenet-test", 6, 6)
    again = tiny(root, progress=lambda *call: calls.append(call))
    assert len(calls) == 24 + 6
    assert [s.digest for s in again.splits.values()] == [s.digest for s in first.splits.values()]


def test_limit_takes_the_first_images(root: Path) -> None:
    data = tiny(root, val=1, limit=4)
    assert len(data.train) + len(data.val) == 4
    assert len(data.test) == 4
    everything = {row.tobytes() for split in (data.train, data.val) for row in split.pixels[:]}
    assert everything == {decode_rgb(image).tobytes() for image in train_images()[:4]}


def break_images(root: Path, *positions: int) -> str:
    """Cut training images short; return how the first of them is named."""
    if (root / "tiny-imagenet-200").exists():
        for position in positions:
            wnid = WNIDS[position % 3]
            path = root / "tiny-imagenet-200/train" / wnid / "images" / f"{wnid}_{position // 3 + 5}.JPEG"
            path.write_bytes(path.read_bytes()[:-100])
        return f"{WNIDS[positions[0] % 3]}_{positions[0] // 3 + 5}.JPEG"
    images = train_images()
    for position in positions:
        images[position] = images[position][:-100]
    archive(root / "tiny_imagenet200_train.npz", images, [i % 3 for i in range(24)], NAMES, boxes=TRAIN_BOXES)
    return f"tiny_imagenet200_train.npz[{positions[0]}]"


def test_a_bad_image_is_named_and_two_in_24_are_too_many_to_skip(root: Path) -> None:
    name = break_images(root, 7, 8)
    with pytest.raises(BadImage, match="corrupt or cut short") as caught:
        tiny(root)
    assert caught.value.name.endswith(name)
    with pytest.raises(TooManyBadImages, match="2 of 24 images are bad, more than 1%"):
        tiny(root, skip_bad=True)


def test_one_bad_image_in_a_hundred_can_be_skipped_and_is_noted(tmp_path: Path) -> None:
    images = [encoded(photo(i, 32, 32), quality=90) for i in range(100)]
    archive(tmp_path / "cifar10_jpeg_test.npz", images[:10], [0] * 10, ["x", "y"])
    images[42] = images[42][:-100]
    archive(tmp_path / "cifar10_jpeg_train.npz", images[10:] + images[:10], [0, 1] * 50, ["x", "y"])
    with pytest.raises(BadImage, match=r"cifar10_jpeg_train\.npz\[32\]: corrupt"):
        cifar10(str(tmp_path), str(tmp_path / "cache"), val=10)
    data = cifar10(str(tmp_path), str(tmp_path / "cache"), val=10, skip_bad=True)
    assert len(data.train) + len(data.val) == 100 - 10 - 1
    assert any("train: 1 bad images skipped: " in note and "npz[32]: corrupt" in note for note in data.notes)
    for split in (data.train, data.val):
        for image, label in zip(split.pixels[:], split.labels, strict=True):
            place = next(i for i, e in enumerate(images) if i != 42 and (decode_rgb(e) == image).all())
            assert label == place % 2


def test_cifar10_has_labels_only(tmp_path: Path) -> None:
    images = [encoded(photo(i, 32, 32)) for i in range(30)]
    archive(tmp_path / "cifar10_jpeg_train.npz", images[:20], [0, 1] * 10, ["x", "y"])
    archive(tmp_path / "cifar10_jpeg_test.npz", images[20:], [0, 1] * 5, ["x", "y"])
    data = cifar10(str(tmp_path), str(tmp_path / "cache"), val=4)
    assert data.label_names == ("x", "y")
    assert data.test.pixels.shape == (10, 32, 32, 3)
    assert np.bincount(data.val.labels).tolist() == [2, 2]
    assert data.test.boxes is None
    assert data.test.masks is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 5])}, "offsets must rise from 0 to the"),
        ({"labels": np.array([0, 1])}, "20 images but 2 labels"),
        ({"labels": np.array([2] * 20)}, "labels 2 to 2 must lie within the 2 classes"),
        ({"labels": None}, "lacks labels"),
        ({"data": np.array([{}], object)}, "cannot be read"),
    ],
)
def test_archives_that_contradict_themselves_are_named(
    tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    images = [encoded(photo(i, 32, 32)) for i in range(20)]
    path = tmp_path / "cifar10_jpeg_train.npz"
    for part in ("train", "test"):
        archive(tmp_path / f"cifar10_jpeg_{part}.npz", images, [0, 1] * 10, ["x", "y"])
    with np.load(path) as file:
        arrays = {**file, **change}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(BadArchive, match=rf"cifar10_jpeg_train\.npz.*{message}"):
        cifar10(str(tmp_path), str(tmp_path / "cache"), val=4)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadArchive, match=r"cifar10_jpeg_train\.npz cannot be read"):
        cifar10(str(tmp_path), str(tmp_path / "cache"), val=4)


def test_images_of_another_size_are_bad(tmp_path: Path) -> None:
    for part in ("train", "test"):
        archive(tmp_path / f"cifar10_jpeg_{part}.npz", [encoded(photo(0, 32, 31))] * 4, [0] * 4, ["x"])
    with pytest.raises(BadImage, match=r"npz\[0\]: is 31×32, not 32×32"):
        cifar10(str(tmp_path), str(tmp_path / "cache"), val=1)


def test_missing_data_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="PRETEXTBENCH_DATA"):
        tiny_imagenet(None, str(tmp_path))
    with pytest.raises(MissingData, match=r"found none of tiny-imagenet-200, .*unpack the published"):
        tiny_imagenet(str(tmp_path), str(tmp_path))
    with pytest.raises(MissingData, match=r"cifar10_jpeg_train\.npz"):
        cifar10(str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        (
            "val/val_annotations.txt",
            "val_0.JPEG\tn09\t0\t0\t1\t1\n",
            "class n09, which wnids.txt does not list",
        ),
        ("val/val_annotations.txt", "val_0.JPEG\n", "line 1: too few values"),
        ("val/val_annotations.txt", "val_0.JPEG\tn01\t0\t0\tx\t1\n", "expected a box of four positions"),
        ("train/n01/n01_boxes.txt", "n01_5.JPEG\t0\t0\t1\n", "expected a box of four positions"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, file: str, text: str, message: str) -> None:
    write_folders(tmp_path)
    (tmp_path / "tiny-imagenet-200" / file).write_text(text)
    with pytest.raises(BadArchive, match=message):
        tiny(tmp_path)
