"""CIFAR-10, CIFAR-100 and STL-10 in torchvision's layouts, as miniatures; torchvision reads them too."""

import hashlib
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from pictures import archive, encoded, photo
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from pretext.data import cifar, stl10
from pretext.data.cifar10 import cifar10
from pretext.data.dataset import DataSet
from pretext.data.source import BadArchive, MissingData
from pretext.data.split import Leak

PER_BATCH = 8


def images(first: int, count: int, size: int = 32) -> np.ndarray:
    return np.stack([photo(seed, size, size) for seed in range(first, first + count)])


def planes(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)


def write_cifar(root: Path, kind: type[CIFAR10]) -> None:
    """Batches of 8 images, image i of class i mod 3; the first of test is the fourth of train."""
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key = "fine_labels" if kind is CIFAR100 else "labels"
    for number, (name, _) in enumerate(kind.train_list):
        rows = {"data": planes(images(PER_BATCH * number, PER_BATCH)), key: [i % 3 for i in range(PER_BATCH)]}
        (folder / name).write_bytes(pickle.dumps(rows))
    test = np.concatenate([images(3, 1), images(900, 5)])
    (folder / kind.test_list[0][0]).write_bytes(pickle.dumps({"data": planes(test), key: [0, 1, 2, 2, 1, 0]}))
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: ["cat", "dog", "elk"]}))


def trust(monkeypatch: pytest.MonkeyPatch, root: Path, kind: type[CIFAR10]) -> None:
    """Take the miniature's sums for the published ones."""

    def md5(name: str) -> str:
        return hashlib.md5((root / kind.base_folder / name).read_bytes()).hexdigest()

    for part in ("train_list", "test_list"):
        monkeypatch.setattr(kind, part, [[name, md5(name)] for name, _ in getattr(kind, part)])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(kind.meta["filename"])})


def read_cifar(root: Path, kind: type[CIFAR10], **options: object) -> DataSet:
    reader = cifar10 if kind is CIFAR10 else cifar.cifar100
    return reader(str(root), str(root / "cache"), **{"val": 3, **options})


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_cifar_as_torchvision_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CIFAR10]
) -> None:
    write_cifar(tmp_path, kind)
    trust(monkeypatch, tmp_path, kind)
    data = read_cifar(tmp_path, kind)
    count = PER_BATCH * len(kind.train_list)
    assert data.name == kind.__name__.lower()
    assert data.label_names == ("cat", "dog", "elk")
    assert "1 training images left out: their pixels occur in test" in data.notes
    assert len(data.train) + len(data.val) == count - 1
    theirs = {
        part: {np.asarray(image).tobytes(): label for image, label in kind(tmp_path, train=part == "train")}
        for part in ("train", "test")
    }
    for split, part in ((data.train, "train"), (data.val, "train"), (data.test, "test")):
        for image, label in zip(split.pixels[:], split.labels, strict=True):
            assert theirs[part][image.tobytes()] == label
    assert data.test.labels.tolist() == [0, 1, 2, 2, 1, 0]
    np.testing.assert_array_equal(data.test.pixels[:][0], photo(3, 32, 32))
    small = read_cifar(tmp_path, kind, val=1, limit=5)
    assert (len(small.train) + len(small.val), len(small.test)) == (4, 5)


def test_a_batch_that_is_not_the_published_one_is_never_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, CIFAR10)
    trust(monkeypatch, tmp_path, CIFAR10)

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / CIFAR10.base_folder / "data_batch_2").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BadArchive, match=r"cifar-10-batches-py does not hold the files of cifar-10-python"):
        read_cifar(tmp_path, CIFAR10)
    assert not (tmp_path / "sprung").exists()
    pickle.loads(pickle.dumps(Trap()))
    assert (tmp_path / "sprung").exists(), "the trap works"


def test_the_original_cifar10_goes_before_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        pictures = [encoded(photo(i, 32, 32)) for i in range(10)]
        archive(tmp_path / f"cifar10_jpeg_{part}.npz", pictures, [0, 1] * 5, ["x", "y"])
    # Every training image of this copy occurs in its test.
    with pytest.raises(Leak, match="all 10 images of split 'train' occur in 'test' too"):
        read_cifar(tmp_path, CIFAR10, download=True)  # and it is there: nothing is fetched
    write_cifar(tmp_path, CIFAR10)
    trust(monkeypatch, tmp_path, CIFAR10)
    assert read_cifar(tmp_path, CIFAR10).label_names == ("cat", "dog", "elk")


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_cifar_is_downloaded_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CIFAR10]
) -> None:
    root, mirror = tmp_path / "root", tmp_path / "mirror"
    write_cifar(mirror, kind)
    trust(monkeypatch, mirror, kind)
    with pytest.raises(MissingData, match=r"data\.download=true fetches it"):
        read_cifar(root, kind)
    fetched: list[Path] = []

    def stopped(self: CIFAR10) -> None:
        (Path(self.root) / kind.base_folder).mkdir()
        raise URLError("no network")

    def whole(self: CIFAR10) -> None:
        if not self._check_integrity():
            fetched.append(Path(self.root))
            write_cifar(Path(self.root), kind)

    monkeypatch.setattr(kind, "download", stopped)
    with pytest.raises(MissingData, match=rf"{kind.__name__.lower()} cannot be downloaded .*no network"):
        read_cifar(root, kind, download=True)
    assert [path.name for path in root.iterdir() if path.is_dir()] == []
    monkeypatch.setattr(kind, "download", whole)
    assert len(read_cifar(root, kind, download=True).test) == 6
    read_cifar(root, kind, download=True)
    assert len(fetched) == 1
    assert fetched[0].parent == root
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == sorted(
        ["cache", kind.base_folder]
    )


def write_stl10(root: Path) -> None:
    """12 labelled, 20 unlabelled, 6 test; image 31 of the unlabelled is in test too."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    for part, first, count in (("train", 0, 12), ("unlabeled", 20, 20), ("test", 39, 6)):
        pixels = images(first, count, 96)
        (folder / f"{part}_X.bin").write_bytes(pixels.transpose(0, 3, 2, 1).tobytes())
        labels = (np.arange(count) % 2 + 1).astype(np.uint8)
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes(labels.tobytes())
    (folder / "class_names.txt").write_text("airplane\nbird\n")


def read_stl10(root: Path, **options: object) -> DataSet:
    return stl10.stl10(str(root), str(root / "cache"), **{"val": 4, **options})


def test_stl10_is_two_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stl10(tmp_path)
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(STL10, part, [[name, None] for name, _ in getattr(STL10, part)])
    labelled, unlabelled = read_stl10(tmp_path), read_stl10(tmp_path, unlabelled=True)
    assert (labelled.name, unlabelled.name) == ("stl10", "stl10_unlabelled")
    assert (labelled.label_names, unlabelled.label_names) == (("airplane", "bird"), ())
    assert {name: len(split) for name, split in labelled.splits.items()} == {"train": 8, "val": 4, "test": 6}
    assert {name: len(s) for name, s in unlabelled.splits.items()} == {"train": 15, "val": 4, "test": 6}
    assert "1 training images left out: their pixels occur in test" in unlabelled.notes
    assert all(split.labels is None for split in unlabelled.splits.values())
    np.testing.assert_array_equal(labelled.test.pixels[:], unlabelled.test.pixels[:])
    theirs = {
        part: {np.asarray(image).tobytes(): label for image, label in STL10(tmp_path, part)}
        for part in ("train", "test", "unlabeled")
    }
    for split, part in ((labelled.train, "train"), (labelled.val, "train"), (labelled.test, "test")):
        for image, label in zip(split.pixels[:], split.labels, strict=True):
            assert theirs[part][image.tobytes()] == label
    assert np.bincount(labelled.val.labels).tolist() == [2, 2]
    for split in (unlabelled.train, unlabelled.val):
        assert all(image.tobytes() in theirs["unlabeled"] for image in split.pixels[:])
    assert len(read_stl10(tmp_path, val=1, limit=5).test) == 5


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train_X.bin", b"x" * 100, r"train_X\.bin does not hold whole images of 96×96"),
        ("train_y.bin", b"\1\2", r"train_y\.bin holds 2 labels"),
        ("train_y.bin", b"\1\3" * 6, r"train_y\.bin holds labels outside 1 to 2"),
        ("train_y.bin", b"\0\1" * 6, r"train_y\.bin holds labels outside 1 to 2"),
        ("test_y.bin", None, r"test_y\.bin is missing"),
    ],
)
def test_stl10_that_contradicts_itself_is_named(
    tmp_path: Path, file: str, content: bytes | None, message: str
) -> None:
    write_stl10(tmp_path)
    path = tmp_path / "stl10_binary" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(BadArchive, match=message):
        read_stl10(tmp_path)


def test_stl10_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match=r"stl10: found none of stl10_binary .*data\.download=true"):
        read_stl10(tmp_path)
    calls = []

    def fetch(root: Path, split: str, download: bool) -> None:
        calls.append((root.parent, split, download))
        write_stl10(root)

    monkeypatch.setattr(stl10, "STL10", fetch)
    assert len(read_stl10(tmp_path, download=True).test) == 6
    assert len(read_stl10(tmp_path, download=True, unlabelled=True).test) == 6
    assert calls == [(tmp_path, "test", True)]
