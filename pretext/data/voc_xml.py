"""Boxes of one image as PASCAL VOC writes them, in XML."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from pretext.data.labelled import ExampleBoxes
from pretext.data.source import BadArchive


def read_boxes(
    text: bytes, title: str, names: Sequence[str], height: int, width: int, *, inclusive: bool = True
) -> ExampleBoxes:
    """Boxes of the objects of one annotation, in pixels of its image.

    Args:
        text: content of the file. title: its name, for messages.
        names: the classes, in the order of their labels.
        height, width: of the image.
        inclusive: positions are those of the first and last pixel, from 1, as VOC has it: 1 1 W H becomes
            0 0 W H. Else they are edges, from 0: 0 0 W H stays.

    Raises: BadArchive for what contradicts the image, the classes or itself.
    """
    tree = _parse(text, title)
    if (_number(tree, "size/height", title), _number(tree, "size/width", title)) != (height, width):
        raise BadArchive(f"{title} is for another size than that of its image, {width}×{height}")
    first = 1 if inclusive else 0
    xyxy, labels, difficult = [], [], []
    for thing in tree.iter("object"):
        label = thing.findtext("name", "")
        if label not in names:
            raise BadArchive(f"{title}: unknown class {label!r}; known are {', '.join(names)}")
        x1, y1, x2, y2 = (_number(thing, f"bndbox/{k}", title) for k in ("xmin", "ymin", "xmax", "ymax"))
        if not (first <= x1 <= x2 <= width and first <= y1 <= y2 <= height):
            raise BadArchive(f"{title}: box {x1} {y1} {x2} {y2} leaves the image of {width}×{height}")
        if not inclusive and (x1 == x2 or y1 == y2):
            raise BadArchive(f"{title}: box {x1} {y1} {x2} {y2} has no extent")
        xyxy.append((x1 - first, y1 - first, x2, y2))
        labels.append(names.index(label))
        difficult.append(thing.findtext("difficult", "0").strip() == "1")
    return ExampleBoxes(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array(labels, np.int64),
        np.array(difficult, np.bool_),
    )


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
