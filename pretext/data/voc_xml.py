"""Boxes of one image as PASCAL VOC writes them, in XML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from pretext.data.dataset import Remark
from pretext.data.labelled import Annotated, ExampleBoxes, dropped, without_size
from pretext.data.photographs import OtherSize
from pretext.data.source import BadArchive

NO_SIZE = (0.0, 0.0)
"""What tools write that do not know the size of an image."""


def read_boxes(
    text: bytes,
    title: str,
    names: Sequence[str],
    height: int,
    width: int,
    *,
    inclusive: bool = True,
    from_zero: str = "",
) -> Annotated:
    """Boxes of the objects of one annotation, in pixels of its image.

    A size of 0×0, or none, is not compared with the image's; boxes with a position that is no finite number,
    and edges without an extent, are left out. Both are remarked.

    Args:
        text: content of the file. title: its name, for messages.
        names: the classes, in the order of their labels.
        height, width: of the image.
        inclusive: positions are those of the first and last pixel, from 1, as VOC has it: 1 1 W H becomes
            0 0 W H. Else they are edges, from 0: 0 0 W H stays.
        from_zero: what to do about inclusive boxes that begin at 0, for the message.

    Raises: BadArchive for what contradicts the image, the classes or itself, OtherSize where it is the size.
    """
    tree = _parse(text, title)
    remarks = _check_size(tree, title, height, width)
    first = 1 if inclusive else 0
    xyxy, labels, difficult = [], [], []
    for thing in tree.iter("object"):
        label = thing.findtext("name", "")
        if label not in names:
            raise BadArchive(f"{title}: unknown class {label!r}; known are {', '.join(names)}")
        box = [_number(thing, f"bndbox/{k}", title) for k in ("xmin", "ymin", "xmax", "ymax")]
        x1, y1, x2, y2 = box
        if not all(map(math.isfinite, box)):
            remarks.append(dropped("not finite", title))
            continue
        if not (first <= x1 <= x2 <= width and first <= y1 <= y2 <= height):
            edges = 0 <= x1 <= x2 <= width and 0 <= y1 <= y2 <= height
            way_out = f"; positions count from 1 here{from_zero}" if edges else ""
            raise BadArchive(
                f"{title}: box {x1:g} {y1:g} {x2:g} {y2:g} leaves the image of {width}×{height}{way_out}"
            )
        if not inclusive and (x1 == x2 or y1 == y2):
            remarks.append(dropped("without extent", title))
            continue
        xyxy.append((x1 - first, y1 - first, x2, y2))
        labels.append(names.index(label))
        difficult.append(thing.findtext("difficult", "0").strip() == "1")
    boxes = ExampleBoxes(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(difficult, np.bool_),
    )
    return Annotated(boxes, tuple(remarks))


def _check_size(tree: ElementTree.Element, title: str, height: int, width: int) -> list[Remark]:
    if not tree.findtext("size/height", "").strip() and not tree.findtext("size/width", "").strip():
        return [without_size(title)]
    stated = _number(tree, "size/height", title), _number(tree, "size/width", title)
    if stated == NO_SIZE:
        return [without_size(title)]
    found: tuple[float, float] = (height, width)
    if stated != found:
        raise OtherSize(f"{title} is for {stated[1]:g}×{stated[0]:g}, its image is {width}×{height}", stated)
    return []


def read_names(text: bytes, title: str) -> list[str]:
    """Classes of the objects of one annotation."""
    return [thing.findtext("name", "") for thing in _parse(text, title).iter("object")]


def _parse(text: bytes, title: str) -> ElementTree.Element:
    if b"<!ENTITY" in text:  # a few bytes of nested entities can grow to gigabytes
        raise BadArchive(f"{title}: XML entities are not read")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadArchive(f"{title}: broken XML ({error})") from error


def _number(element: ElementTree.Element, path: str, title: str) -> float:
    text = element.findtext(path, "")
    try:
        return float(text)
    except ValueError as error:
        raise BadArchive(f"{title}: {path} is {text!r}, not a number") from error
