"""Which columns are of one image set, and so no two data sets of a comparison over data sets."""

from __future__ import annotations

from collections.abc import Iterable

from downstream.leaderboard.board import Column

IMAGES_OF = {
    "voc07": "voc", "voc07_segmentation": "voc", "voc12": "voc", "voc12_segmentation": "voc",
    "oxford_pets_heads": "oxford_pets",
    "tiny_imagenet": "imagenet", "imagenette": "imagenet",
    "coco_folder": "coco", "stl10_unlabelled": "stl10",
}  # fmt: skip
"""Whose images a data set has, where that is not its own name."""


def image_sets(columns: Iterable[Column]) -> dict[Column, str]:
    """The image set of each column, under one name where columns share images of any split."""
    named: dict[str, str] = {}
    by_digest: dict[str, str] = {}
    columns = list(columns)
    for column in columns:
        own = IMAGES_OF.get(column.data, column.data)
        found = {
            _root(named, own),
            *(_root(named, by_digest.get(digest, own)) for _, digest in column.splits),
        }
        first = min(found)
        for name in (own, *found):
            named[name] = first
        for _, digest in column.splits:
            by_digest[digest] = first
    return {column: _root(named, IMAGES_OF.get(column.data, column.data)) for column in columns}


def _root(named: dict[str, str], name: str) -> str:
    while named.setdefault(name, name) != name:
        name = named[name]
    return name
