"""Imagenette, ImageNet, Places365: sets of photographs in folders, as miniatures, packed and streamed."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from pictures import encoded, photo
from torchvision.datasets import Places365

from pretext.data import imagenet, imagenette, places365
from pretext.data.dataset import DataSet
from pretext.data.source import BadArchive, MissingData
from pretext.data.streamed import Streamed

TENCH, CHURCH = "n01440764", "n03028079"
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])


def fill(folder: Path, seeds: range, suffix: str = "JPEG", height: int = 20, width: int = 30) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        image = encoded(photo(seed, height, width), "PNG")  # in a .JPEG: the content counts
        (folder / f"{seed:04d}.{suffix}").write_bytes(image)


def seed_of(image: np.ndarray, height: int = 20, width: int = 30) -> int:
    left = (width - height) // 2
    wanted = [photo(seed, height, width)[:, left : left + height] for seed in range(60)]
    return next(seed for seed, square in enumerate(wanted) if (square == image).all())


def check(data: DataSet, stream: bool) -> None:
    """Images 0–11 are class 0, 12–23 class 1, of test 30–32 and 33–34."""
    assert isinstance(data.train.pixels, Streamed) == stream
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 20, "val": 4, "test": 5}
    seen = []
    for split in (data.train, data.val):
        for image, label in zip(np.asarray(split.pixels), split.labels, strict=True):
            seen.append(seed_of(image))
            assert (seen[-1] >= 12) == label
    assert sorted(seen) == list(range(24))
    assert [seed_of(image) for image in np.asarray(data.test.pixels)] == [30, 31, 32, 33, 34]
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert np.bincount(data.val.labels).tolist() == [2, 2]
    assert any("validation images are test" in note for note in data.notes)


def write_folders(folder: Path) -> None:
    fill(folder / "train" / TENCH, range(12))
    fill(folder / "train" / CHURCH, range(12, 24))
    fill(folder / "val" / TENCH, range(30, 33))
    fill(folder / "val" / CHURCH, range(33, 35))


@STREAM
@pytest.mark.parametrize("variant", list(imagenette.FOLDERS))
def test_imagenette(tmp_path: Path, stream: bool, variant: str) -> None:
    write_folders(tmp_path / imagenette.FOLDERS[variant])
    data = imagenette.imagenette(
        str(tmp_path), str(tmp_path / "cache"), 20, 4, variant=variant, stream=stream
    )
    check(data, stream)
    assert data.label_names == ("tench", "church")


def test_imagenette_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(**options: object) -> DataSet:
        return imagenette.imagenette(str(tmp_path), str(tmp_path / "cache"), 20, 4, **options)

    with pytest.raises(MissingData, match=r"data\.download=true fetches it, or unpack imagenette2-160\.tgz"):
        read()
    published = imagenette.Imagenette

    def fetch(root: Path, split: str, size: str, download: bool = False) -> object:
        if download:
            assert (root.parent, size) == (tmp_path, "160px")
            write_folders(root / "imagenette2-160")
        return published(root, split, size)

    monkeypatch.setattr(imagenette, "Imagenette", fetch)
    check(read(download=True), stream=False)
    with pytest.raises(ValueError, match="variant must be one of full, 320px, 160px, not 'small'"):
        read(variant="small")
    fill(tmp_path / "imagenette2-160" / "train" / "n09", range(1))
    with pytest.raises(BadArchive, match="differ in their classes: n09"):
        read()
    fill(tmp_path / "imagenette2-160" / "val" / "n09", range(1))
    with pytest.raises(BadArchive, match="'n09', which is no class of Imagenette"):
        read()


@STREAM
def test_imagenet(tmp_path: Path, stream: bool) -> None:
    write_folders(tmp_path / "imagenet")
    data = imagenet.imagenet(str(tmp_path), str(tmp_path / "cache"), 20, 4, stream=stream)
    check(data, stream)
    assert data.label_names == (TENCH, CHURCH)


def devkit(folder: Path) -> None:
    """The development kit: two classes and one above them, in the order of their numbers."""
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    rows = [
        (1, CHURCH, "church, church building", "", 0),
        (2, TENCH, "tench, Tinca tinca", "", 0),
        (3, "n00", "entity", "", 2),
    ]
    data = folder / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True)
    scipy.io.savemat(data / "meta.mat", {"synsets": np.array([tuple(row) for row in rows], dtype=kind)})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n2\n2\n")
    with tarfile.open(folder / imagenet.DEVKIT, "w:gz") as tar:
        tar.add(data.parent, data.parent.name)


@pytest.mark.filterwarnings("ignore:Python 3.14:DeprecationWarning")  # torchvision unpacks without a filter
def test_imagenet_has_its_names_from_torchvision_or_the_devkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "imagenet"
    write_folders(folder)

    def names() -> tuple[str, ...]:
        return imagenet.imagenet(str(tmp_path), str(tmp_path / "cache"), 20, 4).label_names

    devkit(folder)
    with pytest.raises(BadArchive, match=r"devkit_t12\.tar\.gz is not the published one"):
        names()
    monkeypatch.setitem(imagenet.ARCHIVE_META, "devkit", (imagenet.DEVKIT, None))
    assert names() == ("tench", "church")
    assert not (folder / "meta.bin").exists()
    torch.save(({TENCH: ("Tench", "x"), CHURCH: ("Church",)}, [TENCH]), folder / "meta.bin")
    assert names() == ("Tench", "Church")
    torch.save(({TENCH: ("Tench", "x")}, [TENCH]), folder / "meta.bin")
    with pytest.raises(BadArchive, match=f"{CHURCH} is no class of ImageNet"):
        names()


def test_imagenet_is_found_and_missed(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"imagenet: found none of .*its terms want an account"):
        imagenet.imagenet(str(tmp_path), str(tmp_path / "cache"))
    fill(tmp_path / "train" / TENCH, range(3))
    with pytest.raises(MissingData, match="has a folder train but none named val"):
        imagenet.imagenet(str(tmp_path), str(tmp_path / "cache"))


def write_places(folder: Path) -> None:
    """Classes of two names, of which one has a part; lists as they are published."""
    fill(folder / "data_256_standard" / "a" / "airfield", range(12), "jpg")
    fill(folder / "data_256_standard" / "b" / "bow_window" / "indoor", range(12, 24), "jpg")
    fill(folder / "val_256", range(30, 35), "jpg")
    (folder / "categories_places365.txt").write_text("/a/airfield 0\n/b/bow_window/indoor 1\n")
    train = [f"/a/airfield/{i:04d}.jpg 0" for i in range(12)]
    train += [f"/b/bow_window/indoor/{i:04d}.jpg 1" for i in range(12, 24)]
    (folder / "places365_train_standard.txt").write_text("\n".join(train) + "\n")
    (folder / "places365_val.txt").write_text("".join(f"{i:04d}.jpg {int(i > 32)}\n" for i in range(30, 35)))


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the miniature's lists pass for the published ones."""
    monkeypatch.setattr(Places365, "_CATEGORIES_META", (Places365._CATEGORIES_META[0], None))
    lists = {split: (name, None) for split, (name, _) in Places365._FILE_LIST_META.items()}
    monkeypatch.setattr(Places365, "_FILE_LIST_META", lists)


@STREAM
@pytest.mark.parametrize("place", ["places365", "."])
@pytest.mark.usefixtures("unchecked")
def test_places365(tmp_path: Path, stream: bool, place: str) -> None:
    write_places(tmp_path / place)
    data = places365.places365(str(tmp_path), str(tmp_path / "cache"), 20, 4, stream=stream)
    check(data, stream)
    assert data.label_names == ("airfield", "bow_window/indoor")
    (tmp_path / place / "val_256" / "0031.jpg").unlink()
    with pytest.raises(BadArchive, match=r"0031\.jpg is listed but not there"):
        places365.places365(str(tmp_path), str(tmp_path / "cache"), 20, 4, stream=stream)


def test_places365_wants_the_published_lists(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"places365: found none of .*data\.download=true fetches it"):
        places365.places365(str(tmp_path), str(tmp_path / "cache"))
    write_places(tmp_path / "places365")
    with pytest.raises(BadArchive, match="does not hold the file lists of Places365"):
        places365.places365(str(tmp_path), str(tmp_path / "cache"))


@pytest.mark.usefixtures("unchecked")
def test_places365_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published, calls = Places365, []

    def fetch(root: Path, split: str, small: bool, download: bool = False) -> object:
        assert small
        if download:
            calls.append(split)
            if split == "val":  # the second call finds the lists of the first
                write_places(root)
            return None
        return published(root, split=split, small=True)

    monkeypatch.setattr(places365, "Places365", fetch)
    data = places365.places365(str(tmp_path), str(tmp_path / "cache"), 20, 4, download=True)
    check(data, stream=True)
    assert calls == ["train-standard", "val"]
