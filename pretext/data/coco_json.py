"""Annotations of object instances as COCO writes them, in JSON (Lin et al. 2014, arXiv 1405.0312)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from faster_coco_eval import mask as rle
from numpy.typing import NDArray

from pretext.data.dataset import IGNORE, Remark
from pretext.data.labelled import Annotated, ExampleBoxes, dropped
from pretext.data.source import BadArchive

TOLERANCE = 1.0
"""Pixels that a box may reach over the edge of its image; it is cut there."""


class Contents(NamedTuple):
    """Class names in the order of their ids, and the images in the order of the file, as (id, file name).

    roots: names of categories that stand above others and have no object themselves.
    """

    classes: tuple[str, ...]
    images: tuple[tuple[int, str], ...]
    roots: tuple[str, ...] = ()


class Instance(NamedTuple):
    """One object: label from 0, xywh in pixels, whether it is a crowd, and its outline as it is written."""

    label: int
    xywh: tuple[float, float, float, float]
    crowd: bool
    segmentation: Any


class Annotations(NamedTuple):
    """The contents, the size (height, width) of each image, and its objects, by image id."""

    contents: Contents
    sizes: dict[int, tuple[int, int]]
    instances: dict[int, list[Instance]]


def read_annotations(path: Path) -> Annotations:
    """Read a file of instances.

    Raises: BadArchive, naming the file, where it is no such file or contradicts itself.
    """
    try:
        file = json.loads(path.read_bytes())
        categories = sorted((int(c["id"]), str(c["name"])) for c in file["categories"])
        sizes = {int(i["id"]): (int(i.get("height") or 0), int(i.get("width") or 0)) for i in file["images"]}
        contents = Contents(
            tuple(name for _, name in categories),
            tuple((int(image["id"]), _inside(image["file_name"], path)) for image in file["images"]),
            _roots(file),
        )
        label_of = {number: label for label, (number, _) in enumerate(categories)}
        instances: dict[int, list[Instance]] = {number: [] for number in sizes}
        for thing in file["annotations"]:
            x, y, width, height = map(float, thing["bbox"])
            instances[int(thing["image_id"])].append(
                Instance(
                    label_of[int(thing["category_id"])],
                    (x, y, width, height),
                    bool(thing.get("iscrowd", 0)),
                    thing.get("segmentation"),
                )
            )
    except BadArchive:
        raise
    except KeyError as error:
        raise BadArchive(f"{path} lacks {error}, or names it without defining it") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadArchive(f"{path} is no file of COCO instances ({error})") from error
    if len(sizes) != len(contents.images) or len(label_of) != len(categories):
        raise BadArchive(f"{path}: an id of an image or a category is there twice")
    return Annotations(contents, sizes, instances)


def _roots(file: Any) -> tuple[str, ...]:
    """Exports put a category above all others, which no object is of."""
    used = {int(thing["category_id"]) for thing in file["annotations"]}
    above = {category.get("supercategory") for category in file["categories"]}
    return tuple(c["name"] for c in file["categories"] if int(c["id"]) not in used and c["name"] in above)


def boxes_of(instances: Sequence[Instance], height: int, width: int, title: str) -> Annotated:
    """Boxes of one image; crowds are marked difficult.

    Boxes with a number that is not finite, and those without width or height, are left out and remarked.

    Raises: BadArchive for a box that leaves the image.
    """
    xyxy, labels, crowd = [], [], []
    remarks: list[Remark] = []
    for thing in instances:
        x, y, wide, tall = thing.xywh
        if not all(map(math.isfinite, thing.xywh)):
            remarks.append(dropped("not finite", title))
            continue
        if min(x, y) < -TOLERANCE or x + wide > width + TOLERANCE or y + tall > height + TOLERANCE:
            raise BadArchive(f"{title}: box {list(thing.xywh)} leaves the image of {width}×{height}")
        box = (max(x, 0.0), max(y, 0.0), min(x + wide, float(width)), min(y + tall, float(height)))
        box32 = np.array(box, np.float32)
        if box32[0] < box32[2] and box32[1] < box32[3]:
            xyxy.append(box32)
            labels.append(thing.label)
            crowd.append(thing.crowd)
        else:
            remarks.append(dropped("without extent", title))
    boxes = ExampleBoxes(
        np.array(xyxy, np.float32).reshape(-1, 4), np.array(labels, np.int64), np.array(crowd, np.bool_)
    )
    return Annotated(boxes, tuple(remarks))


def mask_of(instances: Sequence[Instance], height: int, width: int, title: str) -> NDArray[np.uint8]:
    """Mask (H, W) of one image: 0 background, 1 + label objects, IGNORE where classes overlap.

    Raises: BadArchive for an outline that is no polygon and no run lengths.
    """
    mask = np.zeros((height, width), np.uint8)
    for thing in instances:
        covered = _raster(thing.segmentation, height, width, title)
        value = thing.label + 1
        clash = covered & (mask != 0) & (mask != value)
        mask[covered] = value
        mask[clash] = IGNORE
    return mask


def _raster(segmentation: Any, height: int, width: int, title: str) -> NDArray[np.bool_]:
    if not segmentation:
        raise BadArchive(
            f"{title}: an object has a box but no segmentation, and masks are painted from these; "
            "data.masks=false reads boxes and classes alone"
        )
    try:
        if isinstance(segmentation, list):
            runs = rle.merge(rle.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            runs = rle.frPyObjects(segmentation, height, width)
        else:
            runs = segmentation
        covered = np.asarray(rle.decode(runs))
    except Exception as error:  # a compiled module that raises what it likes
        raise BadArchive(f"{title}: an outline cannot be read ({error})") from error
    if covered.shape != (height, width):
        raise BadArchive(f"{title}: an outline is {covered.shape}, its image {(height, width)}")
    return covered.astype(np.bool_)


def _inside(name: str, path: Path) -> str:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise BadArchive(f"{path}: file name {name!r} leaves the folder of images")
    return name
