"""Oxford Pets as a miniature: breeds, masks and heads arrive as published."""

from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, photo
from torchvision.datasets import OxfordIIITPet

from pretext.data import oxford_pets
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.source import BadArchive, MissingData
from pretext.data.streamed import Streamed

HEIGHT, WIDTH = 20, 30
POOL = [f"{breed}_{i}" for i in range(1, 11) for breed in ("Abyssinian", "basset_hound")]
TEST = ["Abyssinian_201", "basset_hound_202", "basset_hound_203"]


def trimap(seed: int) -> np.ndarray:
    mask = np.full((HEIGHT, WIDTH), 2, np.uint8)
    mask[4:16, 5 : 20 + seed % 5] = 3
    mask[5:15, 6 : 18 + seed % 5] = 1
    return mask


def seed_of(name: str) -> int:
    return [*POOL, *TEST].index(name)


def write(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for place in ("images", "annotations/trimaps", "annotations/xmls"):
        (folder / place).mkdir(parents=True)
    for name in (*POOL, *TEST):
        seed = seed_of(name)
        (folder / "images" / f"{name}.jpg").write_bytes(encoded(photo(seed, HEIGHT, WIDTH), "PNG"))
        (folder / "annotations/trimaps" / f"{name}.png").write_bytes(encoded(trimap(seed), "PNG"))
    for part, names in (("trainval", POOL), ("test", TEST)):
        lines = [f"{name} {1 + name.startswith('b')} {1 + name.startswith('b')} 1" for name in names]
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")
    for name in POOL[:-4]:
        kind = "dog" if name.startswith("b") else "cat"
        (folder / "annotations/xmls" / f"{name}.xml").write_text(
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size><object>"
            f"<name>{kind}</name><bndbox><xmin>7</xmin><ymin>6</ymin><xmax>{10 + seed_of(name)}</xmax>"
            f"<ymax>12</ymax></bndbox><difficult>0</difficult></object></annotation>"
        )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path)
    return tmp_path


def read(root: Path, **options: object) -> DataSet:
    options = {"size": (HEIGHT, WIDTH), "val": 4, **options}
    return oxford_pets.oxford_pets(str(root), str(root / "cache"), **options)


def heads(root: Path, **options: object) -> DataSet:
    options = {"size": (HEIGHT, WIDTH), **options}
    return oxford_pets.oxford_pets_heads(str(root), str(root / "cache"), **options)


def found(image: np.ndarray) -> int:
    return next(i for i in range(len(POOL) + 3) if (photo(i, HEIGHT, WIDTH) == image).all())


@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
def test_breeds_and_masks(root: Path, stream: bool) -> None:
    data = read(root, stream=stream)
    assert isinstance(data.train.pixels, Streamed) == stream
    assert data.label_names == ("Abyssinian", "basset hound")
    assert (data.mask_names, data.box_names) == (("background", "pet"), ())
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 16, "val": 4, "test": 3}
    seen = []
    for split in data.splits.values():
        assert split.boxes is None
        for i, image in enumerate(np.asarray(split.pixels)):
            seen.append(found(image))
            expected = np.select([trimap(seen[-1]) == 1, trimap(seen[-1]) == 2], [1, 0], IGNORE)
            np.testing.assert_array_equal(split.masks[i], expected)
            assert split.labels[i] == [*POOL, *TEST][seen[-1]].startswith("b")
    assert sorted(seen) == list(range(23))
    assert data.test.labels.tolist() == [0, 1, 1]
    theirs = OxfordIIITPet(root, "test", target_types=["category", "segmentation"])
    for i, (image, (label, mask)) in enumerate(theirs):
        np.testing.assert_array_equal(data.test.pixels[i], np.asarray(image))
        assert data.test.labels[i] == label
        np.testing.assert_array_equal(data.test.masks[i] == 1, np.asarray(mask) == 1)


@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
def test_heads_are_a_set_of_the_images_that_have_one(root: Path, stream: bool) -> None:
    data = heads(root, stream=stream)
    assert (data.box_names, data.label_names, data.mask_names) == (("cat", "dog"), (), ())
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 11, "val": 2, "test": 3}
    seen = []
    for split in data.splits.values():
        for i, image in enumerate(np.asarray(split.pixels)):
            seen.append(found(image))
            xyxy, labels, difficult = split.boxes.of(i)
            np.testing.assert_array_equal(xyxy, [[6, 5, 10 + seen[-1], 12]])
            assert labels.tolist() == [POOL[seen[-1]].startswith("b")]
            assert not difficult.any()
    assert sorted(seen) == list(range(16))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("trainval.txt", b"Abyssinian_1 1 1\n", r"trainval\.txt, line 1: expected a name and three numbers"),
        ("trainval.txt", b"Abyssinian_1 x 1 1\n", r"line 1: expected a name"),
        ("trainval.txt", b"Abyssinian_9999 1 1 1\n", r"Abyssinian_9999\.jpg is listed but not there"),
        ("trainval.txt", b"Abyssinian_1 5 1 1\n", r"breeds are numbered \[1, 2, 5\], not 1 to 3"),
        ("trimaps/Abyssinian_1.png", encoded(np.full((HEIGHT, WIDTH), 4, np.uint8), "PNG"), "the value 4"),
        ("trimaps/Abyssinian_1.png", encoded(np.ones((3, 3), np.uint8), "PNG"), r"is 3×3, its image 30×20"),
    ],
)
def test_contradictions_are_named(root: Path, file: str, content: bytes, message: str) -> None:
    (root / "oxford-iiit-pet" / "annotations" / file).write_bytes(content)
    with pytest.raises(BadArchive, match=message):
        read(root)


def test_without_heads_there_is_no_set_of_them(root: Path) -> None:
    for path in (root / "oxford-iiit-pet" / "annotations" / "xmls").iterdir():
        path.unlink()
    with pytest.raises(BadArchive, match="holds no boxes of the images of trainval"):
        heads(root)


@pytest.mark.parametrize("reader", [read, heads])
def test_it_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: object) -> None:
    with pytest.raises(MissingData, match=r"found none of oxford-iiit-pet .*data\.download=true fetches it"):
        reader(tmp_path)

    def fetch(root: Path, download: bool) -> None:
        assert download
        write(root)

    monkeypatch.setattr(oxford_pets, "OxfordIIITPet", fetch)
    assert len(reader(tmp_path, download=True).test) == 3
