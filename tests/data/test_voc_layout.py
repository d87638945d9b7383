"""Sets in VOC's layout: boxes, masks and labels arrive on the canvas; contradictions are named."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image
from torchvision.datasets import VOCDetection

from pretext.data.canvas import PADDING, Canvas
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.decode import BadImage
from pretext.data.source import BadArchive, MissingData
from pretext.data.voc_layout import voc_layout

# Every image lists (class, box as VOC writes it: inclusive, from 1; difficult).
THINGS = {
    "a": [("cat", (1, 1, 40, 20), 0)],
    "b": [("dog", (11, 6, 20, 15), 0), ("cat", (1, 1, 2, 2), 1)],
    "c": [],
    "d": [("cat", (5, 5, 10, 10), 0), ("cat", (40, 20, 40, 20), 0)],
    "e": [("dog", (2, 2, 39, 19), 0)],
}
WIDTH, HEIGHT = 40, 20


def xml(things: list[tuple[str, tuple[int, ...], int]], width: int = WIDTH, height: int = HEIGHT) -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}"
        f"</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box, hard in things
    )
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"


def mask_of(seed: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[5:15, 10 : 20 + seed] = 1 + seed % 2
    mask[0, :] = IGNORE
    return mask


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A miniature VOC folder: train a b c d, val e."""
    base = tmp_path / "root" / "pets" / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    for seed, (name, things) in enumerate(THINGS.items()):
        (base / "JPEGImages" / f"{name}.jpg").write_bytes(encoded(photo(seed, HEIGHT, WIDTH), quality=95))
        mask = Image.fromarray(mask_of(seed), "P")
        mask.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
        mask.save(base / "SegmentationClass" / f"{name}.png")
        (base / "Annotations" / f"{name}.xml").write_text(xml(things))
    (base / "ImageSets/Main/train.txt").write_text("a\nb\nc\nd\n")
    (base / "ImageSets/Main/val.txt").write_text("e\n")
    return base


def pets(base: Path, place: str = "pets", **options: object) -> DataSet:
    root = base.parents[2]
    arguments = {
        "name": "pets",
        "places": [place],
        "size": [HEIGHT, WIDTH],
        "val": 1,
        "box_names": ["cat", "dog"],
        "mask_names": ["ground", "cat", "dog"],
        "multi_label": True,
        **options,
    }
    return voc_layout(str(root), str(root.parent / "cache"), **arguments)


def by_position(data: DataSet) -> dict[str, tuple[object, int]]:
    """Where each source image went, recognised by its pixels."""
    found = {}
    for seed, name in enumerate(THINGS):
        truth = photo(seed, HEIGHT, WIDTH).astype(int)
        for split in data.splits.values():
            for i in range(len(split)):
                if abs(split.pixels[i].astype(int) - truth).mean() < 4:
                    found[name] = (split, i)
    assert set(found) == set(THINGS)
    return found


def test_boxes_masks_and_labels_arrive_as_written(base: Path) -> None:
    data = pets(base)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3, "val": 1, "test": 1}
    assert data.label_names == data.box_names == ("cat", "dog")
    assert data.mask_names == ("ground", "cat", "dog")
    for seed, (name, (split, i)) in enumerate(by_position(data).items()):
        xyxy, labels, difficult = split.boxes.of(i)
        expected = [(x1 - 1, y1 - 1, x2, y2) for _, (x1, y1, x2, y2), _ in THINGS[name]]
        np.testing.assert_array_equal(xyxy, np.array(expected, np.float32).reshape(-1, 4))
        assert [data.box_names[label] for label in labels] == [thing[0] for thing in THINGS[name]]
        assert difficult.tolist() == [bool(thing[2]) for thing in THINGS[name]]
        np.testing.assert_array_equal(split.masks[i], mask_of(seed))
        easy = {thing[0] for thing in THINGS[name] if not thing[2]}
        assert split.labels[i].tolist() == [int("cat" in easy), int("dog" in easy)]


def test_torchvision_reads_the_same_boxes(base: Path) -> None:
    data = pets(base)
    ours = by_position(data)
    for part, names in (("train", "abcd"), ("val", "e")):
        theirs = VOCDetection(base.parents[1], year="2012", image_set=part)
        for name, (_, target) in zip(names, theirs, strict=True):
            found = [thing["bndbox"] for thing in target["annotation"].get("object", [])]
            boxes = [[int(box[k]) for k in ("xmin", "ymin", "xmax", "ymax")] for box in found]
            split, i = ours[name]
            back = split.boxes.of(i)[0] + np.array([1, 1, 0, 0])
            np.testing.assert_array_equal(back, np.array(boxes).reshape(-1, 4))


def test_a_tar_gives_the_same_as_its_folder(base: Path) -> None:
    with tarfile.open(base.parents[2] / "pets.tar", "w") as tar:
        tar.add(base.parents[1], "anything")
    folder, archive = pets(base), pets(base, "pets.tar")
    for name in folder.splits:
        assert folder.splits[name].digest == archive.splits[name].digest


def test_members_that_point_outside_are_not_written_anywhere(base: Path) -> None:
    root = base.parents[2]
    with tarfile.open(root / "pets.tar", "w") as tar:
        tar.add(base.parents[1], "anything")
        member = tarfile.TarInfo("../escaped")
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    pets(base, "pets.tar")
    assert not (root / "escaped").exists()
    assert not (root.parent / "escaped").exists()


def test_the_canvas_scales_boxes_masks_and_pixels_together() -> None:
    canvas = Canvas(30, 30)
    image = np.zeros((20, 40, 3), np.uint8)
    mask = np.zeros((20, 40), np.uint8)
    image[8:16, 8:24], mask[8:16, 8:24] = 255, 3
    placed, labels = canvas.place(image), canvas.place_mask(mask)
    box = canvas.place_boxes(np.array([[8, 8, 24, 16], [0, 0, 40, 20]], np.float32), 20, 40)
    np.testing.assert_array_equal(box, [[6, 6, 18, 12], [0, 0, 30, 15]])
    assert (labels[6:12, 6:18] == 3).all()
    assert (labels == 3).sum() == 6 * 12
    assert (labels[15:] == IGNORE).all()
    assert (placed[15:] == PADDING).all()
    assert (placed[7:11, 7:17] == 255).all()
    assert (placed[:5] == 0).all()


@pytest.mark.parametrize(
    ("size", "fits"), [((20, 40), (15, 30)), ((40, 20), (30, 15)), ((10, 10), (30, 30)), ((300, 1), (30, 1))]
)
def test_images_fit_the_canvas_and_keep_their_aspect(size: tuple[int, int], fits: tuple[int, int]) -> None:
    assert Canvas(30, 30).scaled(*size) == fits


def test_an_image_of_the_canvas_size_is_left_alone() -> None:
    image = photo(0, 12, 9)
    np.testing.assert_array_equal(Canvas(12, 9).place(image), image)


def test_without_masks_and_labels_there_are_none(base: Path) -> None:
    data = pets(base, mask_names=[], multi_label=False)
    assert data.train.masks is None
    assert data.train.labels is None
    assert data.label_names == ()


NOTE, PHOTO, MASK = "Annotations/a.xml", "JPEGImages/a.jpg", "SegmentationClass/a.png"
LIST = "ImageSets/Main/train.txt"


def cat(name: str, *box: object) -> bytes:
    return xml([(name, box, 0)]).encode()


def gray(label: int, turned: bool = False) -> bytes:
    return encoded(np.full((WIDTH, HEIGHT) if turned else (HEIGHT, WIDTH), label, np.uint8), "PNG")


@pytest.mark.parametrize(
    ("file", "content", "error", "message"),
    [
        (NOTE, cat("cow", 1, 1, 2, 2), BadArchive, r"a\.xml: unknown class 'cow'; known are cat, dog"),
        (NOTE, cat("cat", 0, 1, 2, 2), BadArchive, r"a\.xml: box 0.* leaves the image of 40×20"),
        (NOTE, cat("cat", 1, 1, 41, 2), BadArchive, r"a\.xml: box .* leaves"),
        (NOTE, cat("cat", 3, 1, 2, 2), BadArchive, r"a\.xml: box .* leaves"),
        (NOTE, cat("cat", "x", 1, 4, 2), BadArchive, r"a\.xml: bndbox/xmin is 'x', not a number"),
        (NOTE, xml([], 20, 40).encode(), BadArchive, r"a\.xml is for 20×40, its image is 40×20"),
        (NOTE, b"<annotation>", BadArchive, r"a\.xml: broken XML"),
        (NOTE, b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', BadArchive, r"a\.xml: XML entities"),
        (PHOTO, b"", BadImage, r"a\.jpg: empty"),
        (PHOTO, encoded(photo(0, HEIGHT, WIDTH))[:-60], BadImage, r"a\.jpg: corrupt or cut short"),
        (MASK, gray(3), BadArchive, r"a\.png holds the label 3, classes end at 2"),
        (MASK, gray(0, turned=True), BadArchive, r"a\.png is 20×40, its image 40×20"),
        (MASK, encoded(photo(0, HEIGHT, WIDTH), "PNG"), BadImage, r"a\.png: a mask must be"),
        (LIST, b"a\nb\nc\nd\nmissing\n", BadImage, r"missing\.jpg: is listed but not there"),
    ],
)
def test_contradictions_are_named(
    base: Path, file: str, content: bytes, error: type[Exception], message: str
) -> None:
    (base / file).write_bytes(content)
    with pytest.raises(error, match=message):
        pets(base)
    assert not [p for p in (base.parents[3] / "cache").iterdir() if p.is_dir()], "a failed pack was left"


def test_a_changed_file_is_read_again(base: Path) -> None:
    before = pets(base).test.digest
    (base / "Annotations/e.xml").write_text(xml([]))
    assert pets(base).test.digest != before


def test_what_is_not_there_is_said(base: Path) -> None:
    with pytest.raises(MissingData, match=r"pets: found none of nowhere in .*root\. Put nowhere there\."):
        pets(base, "nowhere")
    with pytest.raises(MissingData, match=r"data\.root=PATH or the environment variable PRETEXTBENCH_DATA"):
        voc_layout(None, "cache", name="pets", places=["pets"], size=[8, 8], val=1, box_names=["cat"])
    with pytest.raises(BadArchive, match=r"ImageSets/Segmentation/train\.txt is missing"):
        pets(base, image_set="Segmentation")
    (base.parents[2] / "empty").mkdir()
    with pytest.raises(BadArchive, match="one folder with ImageSets, found none"):
        pets(base, "empty")
    (base.parents[2] / "broken.tar").write_bytes(b"no tar")
    with pytest.raises(BadArchive, match=r"broken\.tar is no uncompressed tar archive"):
        pets(base, "broken.tar")
