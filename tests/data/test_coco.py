"""Sets in COCO's layout: boxes, classes and masks; pycocotools reads them too."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image
from pycocotools import mask as pycocotools
from pycocotools.coco import COCO

from pretext.data.coco import coco
from pretext.data.coco_json import boxes_of, mask_of, read_annotations
from pretext.data.coco_layout import coco_layout
from pretext.data.dataset import IGNORE, DataSet
from pretext.data.source import BadArchive, MissingData
from pretext.data.streamed import Streamed

HEIGHT, WIDTH = 24, 36
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 2, "name": "cat"}]  # labels follow the ids: cat 0, dog 1


def rectangle(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def things_of(image: int) -> list[dict[str, Any]]:
    """An outline each, of kinds that differ from image to image."""
    triangle = [[2.5, 3.0, 20.2, 4.1, 9.0, 18.7], [25, 2, 33, 2, 33, 9]]
    runs = [5 * HEIGHT, 10, HEIGHT - 10, 12, WIDTH * HEIGHT - 6 * HEIGHT - 12]
    kinds = [
        {"category_id": 2, "bbox": [2.5, 3, 30.5, 15.7], "segmentation": triangle, "iscrowd": 0},
        {"category_id": 7, "bbox": [10, 5, 12, 9], "segmentation": rectangle(10, 5, 12, 9), "iscrowd": 0},
        {"category_id": 2, "bbox": [5, 0, 2, 12], "iscrowd": 1,
         "segmentation": {"counts": runs, "size": [HEIGHT, WIDTH]}},
        {"category_id": 7, "bbox": [4, 4, 0, 3], "segmentation": rectangle(4, 4, 1, 3), "iscrowd": 0},
    ]  # fmt: skip
    return [kind for k, kind in enumerate(kinds) if image % 5 != 4 and (image + k) % 4 != 0]


def write(folder: Path, part: str, images: range) -> None:
    (folder / f"{part}2017").mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    annotations = []
    for i in images:
        (folder / f"{part}2017" / f"{i:012d}.jpg").write_bytes(encoded(photo(i, HEIGHT, WIDTH), "PNG"))
        for thing in things_of(i):
            width, height = thing["bbox"][2:]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": 100 + i, "area": width * height, **thing}
            )
    file = {
        "info": {},
        "categories": CATEGORIES,
        "images": [
            {"id": 100 + i, "file_name": f"{i:012d}.jpg", "height": HEIGHT, "width": WIDTH} for i in images
        ],
        "annotations": annotations,
    }
    (folder / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(file))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "coco", "train", range(12))
    write(tmp_path / "coco", "val", range(20, 25))
    return tmp_path


def read(root: Path, **options: object) -> DataSet:
    options = {"size": (HEIGHT, WIDTH), "val": 3, "stream": False, "masks": True, **options}
    return coco(str(root), str(root / "cache"), **options)


def change(root: Path, edit: object, part: str = "train") -> None:
    path = root / "coco" / "annotations" / f"instances_{part}2017.json"
    file = json.loads(path.read_text())
    edit(file)
    path.write_text(json.dumps(file))


def found(image: np.ndarray) -> int:
    return next(i for i in range(25) if (photo(i, HEIGHT, WIDTH) == image).all())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in pycocotools
@pytest.mark.parametrize("stream", [False, True], ids=["packed", "streamed"])
def test_labels_arrive_as_written(root: Path, stream: bool) -> None:
    data = read(root, stream=stream)
    assert isinstance(data.train.pixels, Streamed) == stream
    assert data.label_names == data.box_names == ("cat", "dog")
    assert data.mask_names == ("background", "cat", "dog")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 9, "val": 3, "test": 5}
    assert [found(image) for image in np.asarray(data.test.pixels)] == list(range(20, 25))
    oracle = {
        part: COCO(str(root / "coco" / "annotations" / f"instances_{part}2017.json"))
        for part in ("train", "val")
    }
    for split in data.splits.values():
        for k, image in enumerate(np.asarray(split.pixels)):
            i = found(image)
            things = things_of(i)
            xyxy, labels, difficult = split.boxes.of(k)
            solid = [thing for thing in things if thing["bbox"][2] > 0]
            corners = [[x, y, x + w, y + h] for x, y, w, h in (thing["bbox"] for thing in solid)]
            np.testing.assert_allclose(xyxy, np.array(corners).reshape(-1, 4), atol=1e-5)
            assert labels.tolist() == [int(thing["category_id"] == 7) for thing in solid]
            assert difficult.tolist() == [bool(thing["iscrowd"]) for thing in solid]
            present = {thing["category_id"] for thing in things}
            assert split.labels[k].tolist() == [int(2 in present), int(7 in present)]
            theirs = oracle["val" if i >= 20 else "train"]
            covered = np.zeros((3, HEIGHT, WIDTH), bool)
            for thing in theirs.loadAnns(theirs.getAnnIds(imgIds=100 + i)):
                covered[1 + (thing["category_id"] == 7)] |= theirs.annToMask(thing).astype(bool)
            expected = np.where(covered[1] & covered[2], IGNORE, covered[1] + 2 * covered[2])
            np.testing.assert_array_equal(split.masks[k], expected)
    assert any((split.masks == IGNORE).any() for split in data.splits.values())
    assert any(split.boxes.difficult.any() for split in data.splits.values())
    assert all(split.boxes.crowds for split in data.splits.values())


def test_without_masks_there_are_none(root: Path) -> None:
    data = read(root, masks=False)
    assert data.mask_names == ()
    assert data.test.masks is None


def test_the_annotations_are_parsed_only_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(root, stream=True)
    monkeypatch.setattr("pretext.data.coco_layout.read_annotations", None)
    again = read(root, stream=True)
    assert [s.digest for s in again.splits.values()] == [s.digest for s in first.splits.values()]
    np.testing.assert_array_equal(again.test.pixels[:], first.test.pixels[:])


def test_run_lengths_may_be_compressed(root: Path) -> None:
    path = root / "coco" / "annotations" / "instances_train2017.json"
    plain = mask_of(read_annotations(path).instances[101], HEIGHT, WIDTH, "a")

    def compress(file: dict[str, Any]) -> None:
        for thing in file["annotations"]:
            if isinstance(thing["segmentation"], dict):
                runs = pycocotools.frPyObjects(thing["segmentation"], HEIGHT, WIDTH)
                thing["segmentation"] = {"counts": runs["counts"].decode(), "size": [HEIGHT, WIDTH]}

    change(root, compress)
    assert any(isinstance(t.segmentation, dict) for t in read_annotations(path).instances[101])
    np.testing.assert_array_equal(mask_of(read_annotations(path).instances[101], HEIGHT, WIDTH, "a"), plain)


def test_a_box_is_cut_at_the_edge_and_no_further(root: Path) -> None:
    path = root / "coco" / "annotations" / "instances_train2017.json"
    change(root, lambda file: file["annotations"][0].update(bbox=[-0.4, 20, 20, 4.9]))
    things = read_annotations(path).instances[100][:1]
    np.testing.assert_allclose(
        boxes_of(things, HEIGHT, WIDTH, "a").boxes.xyxy, [[0, 20, 19.6, 24]], atol=1e-5
    )
    change(root, lambda file: file["annotations"][0].update(bbox=[0, 20, 20, 5.1]))
    with pytest.raises(BadArchive, match=r"000000000000\.jpg: box .* leaves the image of 36×24"):
        read(root)


def test_boxes_that_are_none_are_dropped_and_counted(root: Path) -> None:
    extra = [{**things_of(1)[0], "image_id": 120, "id": 999}]
    for bbox in ([float("nan"), 1, 2, 3], [1, 2, float("inf"), 3], [5, 5, 0, 3], [5, 5, -2, 3]):
        extra.append({**extra[0], "bbox": bbox})
    change(root, lambda file: file["annotations"].extend(extra), "val")
    without = sum(thing["bbox"][2] == 0 for i in [*range(12), *range(20, 25)] for thing in things_of(i))
    for stream in (False, True):
        data = read(root, stream=stream)
        np.testing.assert_allclose(data.test.boxes.of(0)[0][-1], [2.5, 3, 33, 18.7], rtol=1e-6)
        said = data.summary()
        assert "2 boxes not finite" in said
        assert f"{without + 2} boxes without extent" in said


def test_a_root_category_without_objects_is_no_class(root: Path) -> None:
    before = read(root)

    def edit(file: dict[str, Any]) -> None:
        for category in file["categories"]:
            category["supercategory"] = "animal"
        file["categories"].append({"id": 5, "name": "animal", "supercategory": "none"})

    for part in ("train", "val"):
        change(root, edit, part)
    data = read(root)
    assert data.label_names == data.box_names == ("cat", "dog")
    assert [s.digest for s in data.splits.values()] == [s.digest for s in before.splits.values()]
    assert "left out: 1 category above others (animal)" in data.summary()
    # With one object it is a class.
    change(root, lambda file: file["annotations"][0].update(category_id=5), "val")
    assert read(root).label_names == ("cat", "animal", "dog")


def test_masks_without_outlines_are_named(root: Path) -> None:
    def edit(file: dict[str, Any]) -> None:
        for thing in file["annotations"]:
            thing.pop("segmentation")

    change(root, edit)
    with pytest.raises(
        BadArchive, match=r"\.jpg: an object has a box but no segmentation, .*data\.masks=false"
    ):
        read(root)
    assert len(read(root, masks=False).test) == 5
    change(root, lambda file: [thing.update(segmentation=[]) for thing in file["annotations"]])
    with pytest.raises(BadArchive, match="an object has a box but no segmentation"):
        read(root)


def test_turned_photographs_are_read_as_stored_on_request(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    path = root / "coco" / "val2017" / f"{20:012d}.jpg"
    path.write_bytes(encoded(photo(20, HEIGHT, WIDTH), "PNG", exif=exif))
    said = r"020\.jpg: the image is 24×36, not 36×24: EXIF data turn .* data\.upright=false reads"
    options = {
        "name": "own", "place": "coco", "train": ["train2017", "annotations/instances_train2017.json"],
        "test": ["val2017", "annotations/instances_val2017.json"], "size": [HEIGHT, WIDTH], "val": 3,
    }  # fmt: skip
    for stream in (False, True):
        with pytest.raises(BadArchive, match=said):
            coco_layout(str(root), str(root / "cache"), **options, stream=stream)
        data = coco_layout(str(root), str(root / "cache"), **options, stream=stream, upright=False)
        np.testing.assert_array_equal(data.test.pixels[0], photo(20, HEIGHT, WIDTH))


def test_a_size_that_is_not_given_is_the_images(root: Path) -> None:
    change(root, lambda file: file["images"][0].update(height=0, width=0))
    change(root, lambda file: [image.pop("height") and image.pop("width") for image in file["images"]], "val")
    assert "6 annotations without a size, the images' is taken" in read(root).summary()


def test_published_validation_images_are_used_as_they_are(root: Path) -> None:
    write(root / "coco", "dev", range(14, 18))
    options = {
        "name": "own", "place": "coco", "train": ["train2017", "annotations/instances_train2017.json"],
        "validation": ["dev2017", "annotations/instances_dev2017.json"],
        "test": ["val2017", "annotations/instances_val2017.json"], "size": [HEIGHT, WIDTH], "val": 3,
    }  # fmt: skip
    data = coco_layout(str(root), str(root / "cache"), **options)
    assert [found(image) for image in data.val.pixels[:]] == list(range(14, 18))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "val": 4, "test": 5}
    change(root, lambda file: file["categories"][0].update(name="cow"), "dev")
    with pytest.raises(BadArchive, match=r"instances_dev2017\.json differ in their categories: cow, dog"):
        coco_layout(str(root), str(root / "cache"), **options)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.pop("images"), "lacks 'images'"),
        (lambda f: f["annotations"][0].update(category_id=9), "lacks 9, or names it without defining it"),
        (lambda f: f["annotations"][0].update(image_id=9), "lacks 9, or names it"),
        (lambda f: f["annotations"][0].update(bbox=[1, 2]), "is no file of COCO instances"),
        (lambda f: f["images"].append(f["images"][0]), "is there twice"),
        (lambda f: f["images"][0].update(file_name="../a.jpg"), "leaves the folder of images"),
        (lambda f: f["images"][0].update(file_name="a.jpg"), r"a\.jpg is listed in .* but not there"),
        (lambda f: f["images"][0].update(height=9), r"000000000000\.jpg: the image is 36×24, not 36×9"),
        (lambda f: f["annotations"][0].update(segmentation="x"), r"\.jpg: an outline cannot be read"),
        (lambda f: f["categories"][0].update(name="cow"), "differ in their categories: cow, dog"),
    ],
)
def test_contradictions_are_named(root: Path, edit: object, message: str) -> None:
    change(root, edit)
    with pytest.raises(BadArchive, match=message):
        read(root)


def test_a_folder_of_ones_own_and_missing_files(root: Path) -> None:
    arguments = {
        "name": "own", "place": ".", "train": ["train2017", "annotations/instances_train2017.json"],
        "test": ["val2017", "annotations/instances_val2017.json"], "size": [HEIGHT, WIDTH], "val": 3,
    }  # fmt: skip
    own = coco_layout(str(root / "coco"), str(root / "cache"), **arguments, masks=True)
    assert isinstance(own.train.pixels, Streamed)
    np.testing.assert_array_equal(own.test.boxes.xyxy, read(root).test.boxes.xyxy)
    with pytest.raises(MissingData, match=r"own: found none of \./train2017 .* Put train2017, annotations/"):
        coco_layout(str(root), str(root / "cache"), **arguments)
    with pytest.raises(MissingData, match=r"coco: found none of coco/train2017 .*unpack train2017\.zip"):
        coco(str(root / "coco"), str(root / "cache"))
    (root / "coco" / "annotations" / "instances_val2017.json").write_text("{")
    with pytest.raises(BadArchive, match=r"instances_val2017\.json is no file of COCO instances"):
        read(root)
