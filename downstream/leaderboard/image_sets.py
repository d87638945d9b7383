"""Which columns are of one image set, and so no two data sets of a comparison over data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from downstream.leaderboard.board import Column

IMAGES_OF = {
    "voc07": "voc", "voc07_segmentation": "voc", "voc12": "voc", "voc12_segmentation": "voc",
    "oxford_pets_heads": "oxford_pets",
    "tiny_imagenet": "imagenet", "imagenette": "imagenet",
    "coco_folder": "coco", "stl10_unlabelled": "stl10",
}  # fmt: skip
"""Whose images a data set has, where that is not its own name."""


def image_sets(columns: Iterable[Column]) -> dict[Column, str]:
    """The image set of each column; columns that score the same test images have one, whatever their name."""
    names = {column: IMAGES_OF.get(column.data, column.data) for column in columns}
    same = {name: name for name in names.values()}
    of_test: dict[str, str] = {}
    for column, own in names.items():
        other = of_test.setdefault(dict(column.splits).get("test", own), own)
        first, last = sorted((_first(same, own), _first(same, other)))
        same[last] = first
    return {column: _first(same, own) for column, own in names.items()}


def _first(same: Mapping[str, str], name: str) -> str:
    while same[name] != name:
        name = same[name]
    return name
