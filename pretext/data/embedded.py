"""The procedural scenes as a data set: made once, packed, opened from then on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pretext.data import scenes as generator
from pretext.data.dataset import DataSet, Split
from pretext.data.labelled import VERSION as LAYOUT_VERSION
from pretext.data.labelled import Example, ExampleBoxes, SplitWriter, open_split
from pretext.data.pack import Progress, packed, silent
from pretext.data.scenes import CLASSES, Colour, SceneBatch
from pretext.data.source import code_identity
from pretext.data.split import check_disjoint

STARTS = {"train": 0, "val": 1 << 40, "test": 1 << 41}
"""Where each split begins in the endless row of scenes; even, for `Colour.IMAGE_PERMUTED` swaps in pairs."""

_BLOCK = 8192  # scenes made at a time: bounds memory


def scenes(
    cache: str,
    train: int = 5000,
    val: int = 1000,
    test: int = 1000,
    size: int = 64,
    seed: int = 0,
    colour: str = "semantic",
    colour_information: float = 1.0,
    workers: int | None = None,
    *,
    progress: Progress = silent,
) -> DataSet:
    """Make, or open, the embedded data set: multi-label classes, boxes and masks of one set of classes.

    A longer split begins with the images of a shorter one. Mask value 0 is the ground, 1 + c class c.

    Args:
        cache: folder of packs.
        train, val, test: images in each split.
        size: side in pixels.
        seed: of the images. It names the data and has nothing to do with the seed of a run.
        colour: "semantic", "object_random" or "image_permuted", see `Colour`.
        colour_information: in [0, 1], see `generate`.
        workers: processes that make scenes; None takes the cores that pay off.
        progress: progress(what, done, total) while the scenes are made.

    Raises:
        ValueError: a split without an image; as `generate`.
    """
    counts = {"train": train, "val": val, "test": test}
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"scenes: {name} must be ≥ 1 image, got {count}")
    kind = Colour(colour)
    splits: dict[str, Split] = {}
    for name, count in counts.items():
        identity = {
            "generator": code_identity(Path(generator.__file__).parent),
            "layout": LAYOUT_VERSION,
            "start": STARTS[name],
            "count": count,
            "size": size,
            "seed": seed,
            "colour": kind.value,
            "colour_information": colour_information,
        }

        def build(part: Path, name: str = name, count: int = count) -> None:
            with SplitWriter(part, count) as writer:
                for start in range(0, count, _BLOCK):
                    progress(f"making scenes for {name}", start, count)
                    block = generator.generate(
                        STARTS[name] + start,
                        min(_BLOCK, count - start),
                        seed=seed,
                        size=size,
                        colour=kind,
                        colour_information=colour_information,
                        workers=workers,
                    )
                    for example in _examples(block):
                        writer.add(example)
            progress(f"making scenes for {name}", count, count)

        splits[name] = open_split(packed(cache, f"scenes-{name}", identity, build), name)
    check_disjoint(splits["train"], splits["test"])
    check_disjoint(splits["val"], splits["test"])
    check_disjoint(splits["train"], splits["val"])
    return DataSet(
        "scenes",
        splits["train"],
        splits["val"],
        splits["test"],
        label_names=CLASSES,
        box_names=CLASSES,
        mask_names=("ground", *CLASSES),
        notes=("procedural: checks the machinery, ranks nothing",),
    )


def _examples(block: SceneBatch) -> Iterator[Example]:
    for i in range(len(block.pixels)):
        rows = slice(block.box_offsets[i], block.box_offsets[i + 1])
        labels = block.box_labels[rows]
        boxes = ExampleBoxes(block.boxes[rows], labels, np.zeros(len(labels), np.bool_))
        yield Example(block.pixels[i], block.labels[i], boxes, block.masks[i])
