"""ImageNet's thousand classes, and those of other sets that are some of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

from timm.data.imagenet_info import ImageNetInfo

CLASSES = 1000
"""Of the challenge of 2012, in the order of their WordNet numbers."""


def counterparts(names: Sequence[str]) -> tuple[tuple[int, ...], ...] | None:
    """For each class of a set those of ImageNet's thousand that have its name; None where any has none.

    A name is WordNet's, all synonyms ("tench, Tinca tinca"), or the first of them ("tench"). Two classes of
    ImageNet are called "crane" alike: a class of that name has both.
    """
    whole, first = _names()
    found = tuple(whole.get(name) or first.get(name) or () for name in names)
    return found if found and all(found) else None


@cache
def _names() -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Classes by all of their synonyms, and by the first."""
    info = ImageNetInfo("imagenet-1k")
    whole, first = defaultdict[str, tuple[int, ...]](tuple), defaultdict[str, tuple[int, ...]](tuple)
    for index in range(CLASSES):
        synonyms = info.index_to_description(index)
        whole[synonyms] += (index,)
        first[synonyms.partition(",")[0]] += (index,)
    return dict(whole), dict(first)
