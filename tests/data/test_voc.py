"""VOC 2007 and 2012: the right lists, classes and masks of each year."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image
from torchvision.datasets import VOCDetection

from pretext.data import voc
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.source import MissingData
from pretext.data.streamed import Streamed
from pretext.data.voc_layout import voc_layout

HEIGHT, WIDTH = 20, 30
LISTS = {
    2007: {"train": range(4), "val": range(4, 8), "trainval": range(8), "test": range(8, 12)},
    2012: {"train": range(6), "val": range(6, 10), "trainval": range(10)},
}


def write(root: Path, year: int) -> None:
    """Image i shows class i mod 20, a dog where i is even, a difficult cat where i mod 3 is 0."""
    base = root / "VOCdevkit" / f"VOC{year}"
    for folder in (
        "JPEGImages",
        "SegmentationClass",
        "Annotations",
        "ImageSets/Main",
        "ImageSets/Segmentation",
    ):
        (base / folder).mkdir(parents=True)
    for part, members in LISTS[year].items():
        for kind, names in (("Main", members), ("Segmentation", [i for i in members if i % 2])):
            (base / "ImageSets" / kind / f"{part}.txt").write_text("".join(f"{i:06d}\n" for i in names))
        lines = [f"{i:06d} {1 if i == 0 else -1}\n" for i in members]
        (base / "ImageSets/Main" / f"aeroplane_{part}.txt").write_text("".join(lines))
    for i in LISTS[year]["trainval"] if year == 2012 else range(12):
        (base / "JPEGImages" / f"{i:06d}.jpg").write_bytes(encoded(photo(i, HEIGHT, WIDTH), "PNG"))
        things = [(voc.CLASSES[i % 20], (2, 3, 20, 15), 0)]
        things += [("dog", (5, 5, 10, 10.5), 0)] * (i % 2 == 0) + [("cat", (1, 1, 30, 20), 1)] * (i % 3 == 0)
        objects = "".join(
            f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
            f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox><part><name>head</name><bndbox><xmin>1</xmin></bndbox>"
            "</part></object>"
            for name, (x1, y1, x2, y2), hard in things
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        (base / "Annotations" / f"{i:06d}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        if i % 2:
            mask = Image.fromarray(mask_of(i), "P")
            mask.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
            mask.save(base / "SegmentationClass" / f"{i:06d}.png")


def mask_of(i: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:15, 1:20] = IGNORE
    mask[3:14, 2:19] = 1 + i % 20
    return mask


def read(root: Path, year: int, **options: object) -> DataSet:
    options = {"size": (HEIGHT, WIDTH), "val": 2, **options}
    return voc.voc(str(root), str(root / "cache"), year=year, **options)


def found(image: np.ndarray) -> int:
    return next(i for i in range(12) if (photo(i, HEIGHT, WIDTH) == image).all())


@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
@pytest.mark.parametrize(
    ("year", "pool", "test"), [(2007, range(8), range(8, 12)), (2012, range(6), range(6, 10))]
)
def test_a_year(tmp_path: Path, year: int, pool: range, test: range, stream: bool) -> None:
    write(tmp_path, year)
    data = read(tmp_path, year, stream=stream)
    assert data.name == f"voc{year % 100:02d}"
    assert isinstance(data.train.pixels, Streamed) == stream
    assert data.label_names == data.box_names == voc.CLASSES
    assert data.mask_names == ()
    assert [found(image) for image in np.asarray(data.test.pixels)] == list(test)
    assert sorted(found(i) for s in (data.train, data.val) for i in np.asarray(s.pixels)) == list(pool)
    for split in data.splits.values():
        assert split.masks is None
        for k, image in enumerate(np.asarray(split.pixels)):
            i = found(image)
            xyxy, labels, difficult = split.boxes.of(k)
            wanted = [([1, 2, 20, 15], i % 20, False)]
            wanted += [([4, 4, 10, 10.5], 11, False)] * (i % 2 == 0) + [([0, 0, 30, 20], 7, True)] * (
                i % 3 == 0
            )
            assert [(b, c, d) for b, c, d in zip(xyxy.tolist(), labels, difficult, strict=True)] == wanted
            easy = {label for _, label, hard in wanted if not hard}
            assert set(np.flatnonzero(split.labels[k])) == easy


@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
@pytest.mark.parametrize(("year", "test"), [(2007, [9, 11]), (2012, [7, 9])])
def test_the_images_with_masks_of_a_year(tmp_path: Path, year: int, test: list[int], stream: bool) -> None:
    write(tmp_path, year)
    data = read(tmp_path, year, val=1, segmentation=True, stream=stream)
    assert data.name == f"voc{year % 100:02d}_segmentation"
    assert data.mask_names == ("background", *voc.CLASSES)
    assert [found(image) for image in np.asarray(data.test.pixels)] == test
    for split in data.splits.values():
        for k, image in enumerate(np.asarray(split.pixels)):
            np.testing.assert_array_equal(split.masks[k], mask_of(found(image)))


def test_torchvision_names_the_same_classes(tmp_path: Path) -> None:
    write(tmp_path, 2007)
    data = read(tmp_path, 2007)
    theirs = VOCDetection(tmp_path, year="2007", image_set="test")
    for k, (_, target) in enumerate(theirs):
        names = [thing["name"] for thing in target["annotation"]["object"]]
        assert [voc.CLASSES[label] for label in data.test.boxes.of(k)[1]] == names


def test_the_archive_of_2012_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "folder", 2012)
    with tarfile.open(tmp_path / voc.ARCHIVES[2012][0], "w") as tar:
        tar.add(tmp_path / "folder" / "VOCdevkit", "VOCdevkit")
    assert read(tmp_path, 2012).test.digest == read(tmp_path / "folder", 2012).test.digest


@pytest.mark.parametrize(("year", "sets"), [(2007, ["trainval", "test"]), (2012, ["trainval"])])
def test_a_year_is_downloaded_beside_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: int, sets: list[str]
) -> None:
    with pytest.raises(
        MissingData, match=rf"voc{year % 100:02d}: .*data\.download=true.* unpack VOCtrainval"
    ):
        read(tmp_path, year)
    write(tmp_path, 4019 - year)
    calls = []

    def fetch(root: Path, year: str, image_set: str, download: bool) -> None:
        assert download
        calls.append(image_set)
        if len(calls) == len(sets):
            write(root, int(year))

    monkeypatch.setattr(voc, "VOCDetection", fetch)
    assert len(read(tmp_path, year, download=True).test) == 4
    assert calls == sets
    assert len(read(tmp_path, 4019 - year).test) == 4
    with pytest.raises(ValueError, match="year must be one of 2007, 2012, not 2010"):
        read(tmp_path, 2010)


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    write(tmp_path, 2012)
    root = tmp_path / "VOCdevkit" / "VOC2012"
    options = {"name": "own", "places": ["."], "size": [HEIGHT, WIDTH], "val": 2}
    data = voc_layout(str(root), str(tmp_path / "cache"), **options)
    assert data.box_names == tuple(sorted({*voc.CLASSES[:10], "dog", "cat"}))
    own, theirs = data.test.boxes, read(tmp_path, 2012).test.boxes
    np.testing.assert_array_equal(own.xyxy, theirs.xyxy)
    assert [data.box_names[i] for i in own.labels] == [voc.CLASSES[i] for i in theirs.labels]
    edges = voc_layout(str(root), str(tmp_path / "cache"), **options, inclusive=False).test.boxes
    np.testing.assert_array_equal(edges.xyxy, theirs.xyxy + np.array([1, 1, 0, 0]))
    swapped = voc_layout(str(root), str(tmp_path / "cache"), **options, parts=["val", "train"])
    assert len(swapped.test) == 6
    note = root / "Annotations" / "000001.xml"
    note.write_text(note.read_text().replace("<xmin>2<", "<xmin>20<"))
    flat = voc_layout(str(root), str(tmp_path / "cache"), **options, inclusive=False)
    assert "left out: 1 box without extent (000001.xml)" in flat.summary()
