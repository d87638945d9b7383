"""What lies beside a test image for the systems that read more than its lightness."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Division, Hints, Scribbles
from pretext.data.dataset import IGNORE, DataSet, Split

MARKED = 40
"""Pixels of the truth that a system of the oracle division is given as scribbles."""


def lacking(reads: frozenset[str], division: Division, trained: DataSet, judged: DataSet) -> str:
    """Why a system cannot be given what it reads; empty where it can.

    Args:
        trained: the set that it learns from, whose labels it knows. judged: the set that it colours.
    """
    oracle = division is Division.ORACLE
    if not oracle and reads & {"references", "scribbles"}:
        what = " and ".join(sorted(reads & {"references", "scribbles"}))
        return f"nobody chose {what} for these images"
    if "label" in reads:
        if judged.test.labels is None or judged.test.labels.ndim != 1:
            return "its images have no single label each"
        if trained.label_names != judged.label_names:
            return f"its labels are not those of {trained.name}, from which the system learns"
    if "mask" in reads and judged.test.boxes is None and judged.test.masks is None:
        return "nothing says where on an image its object is"
    return ""


def hints(reads: frozenset[str], split: Split, index: int, truth: Tensor) -> Hints:
    """What one image is coloured with.

    Args:
        index: its place in the split. truth: its own colours, RGB (3, H, W) in [0, 1], of which only what
            an oracle reads is given on.
    """
    given = Hints()
    if "references" in reads:
        given = given._replace(references=(truth,))
    if "scribbles" in reads:
        given = given._replace(scribbles=scribbles(truth, index))
    if "label" in reads and split.labels is not None:
        given = given._replace(label=int(split.labels[index]))
    if "mask" in reads:
        given = given._replace(mask=_mask(split, index, (truth.shape[1], truth.shape[2])))
    return given


def scribbles(truth: Tensor, index: int) -> Scribbles:
    """Some pixels of the answer, the same ones for every system."""
    height, width = truth.shape[1:]
    places = np.random.default_rng(index).permutation(height * width)[:MARKED]
    marked = torch.zeros(height * width, dtype=torch.bool)
    marked[torch.from_numpy(places)] = True
    return Scribbles(rgb_to_lab(truth[None])[0, 1:], marked.view(height, width))


def _mask(split: Split, index: int, size: tuple[int, int]) -> Tensor:
    """Where the objects are: the image's mask, or else the insides of its boxes; all of it without either."""
    if split.masks is not None:
        mask = torch.from_numpy(np.asarray(split.masks[index]))
        found = (mask > 0) & (mask != IGNORE)
    else:
        assert split.boxes is not None
        found = torch.zeros(size, dtype=torch.bool)
        for left, top, right, bottom in split.boxes.of(index)[0].tolist():
            found[int(top) : math.ceil(bottom), int(left) : math.ceil(right)] = True
    return found if bool(found.any()) else torch.ones(size, dtype=torch.bool)
