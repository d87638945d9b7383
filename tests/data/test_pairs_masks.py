"""Masks of every kind arrive as the same classes: palettes, colours, gaps, other ignored values."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from paired import (
    COLOURS,
    HEIGHT,
    WHITE,
    WIDTH,
    colours,
    digests,
    fill,
    in_color,
    mask_of,
    read,
    save,
)
from pictures import encoded
from PIL import Image

from pretext.data.ccp import MASK_NAMES
from pretext.data.dataset import IGNORE
from pretext.data.files import open_files
from pretext.data.pair_files import find_pairs
from pretext.data.pairs import pairs
from pretext.data.source import BadArchive
from pretext.data.voc_layout import voc_layout


def palette_image(i: int) -> bytes:
    image = Image.fromarray(mask_of(i), "P")
    image.putpalette([part for colour in COLOURS for part in colour] + [7] * 759)
    return _png(image)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("draw", "options"),
    [
        (palette_image, {}),
        (lambda i: encoded(np.repeat(mask_of(i)[..., None], 3, 2), "PNG"), {}),  # gray, stored as colour
        (lambda i: _png(Image.fromarray(mask_of(i).astype(np.int32)).convert("I;16")), {}),
        (in_color, {"palette": WHITE, "mask_map": {3: 255}}),
        (lambda i: shuffled(i), {"palette": WHITE, "mask_map": {3: 255}}),
        (lambda i: _png(Image.fromarray(np.dstack([colours(i), np.full((HEIGHT, WIDTH), 255, np.uint8)]))),
         {"palette": WHITE, "mask_map": {3: 255}}),
    ],
    ids=["palette", "gray as colour", "16 bits", "colour", "palettes that differ", "with alpha"],
)  # fmt: skip
def test_masks_of_every_kind_are_the_same(
    tmp_path: Path, draw: Callable[[int], bytes], options: dict[str, object]
) -> None:
    data = read(fill(tmp_path / "set", draw=draw), **options)
    assert digests(data) == digests(read(fill(tmp_path / "plain")))
    assert len(data.mask_names) == 3


def test_colours_that_are_found_are_classes_in_their_order(tmp_path: Path) -> None:
    data = read(fill(tmp_path / "set", draw=in_color), mask_map={3: 255})
    assert data.mask_names == ("#000000", "#007828", "#c80000")
    swap = np.array([0, 2, 1, *range(3, 256)], np.uint8)
    plain = read(fill(tmp_path / "plain", draw=lambda i: encoded(swap[mask_of(i)], "PNG")))
    assert digests(data) == digests(plain)
    named = read(fill(tmp_path / "set", draw=in_color), mask_map={3: 255}, mask_names=["a", "b", "c"])
    assert named.mask_names == ("a", "b", "c")


def test_binary_masks_of_0_and_255(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", draw=lambda i: encoded(np.uint8(255) * (mask_of(i) == 1), "PNG"))
    with pytest.raises(
        BadArchive, match=r"values 0, 255, of which 255 is ignored.*'data\.mask_map=\{255: 1\}'"
    ):
        read(root)
    data = read(root, mask_map={255: 1})
    assert data.mask_names == ("background", "1")
    assert set(np.unique(np.asarray(data.train.masks))) == {0, 1}
    assert digests(read(root, ignored=7)) == digests(data)
    with pytest.raises(BadArchive, match=r"holds the value 255; data\.ignored is 7"):
        read(root, ignored=7, mask_names=["ground", "thing"])


def test_values_with_gaps_and_another_ignored_value(tmp_path: Path) -> None:
    table = np.zeros(256, np.uint8)
    table[[0, 1, 2, 255]] = 4, 11, 30, 0
    data = read(fill(tmp_path / "set", draw=lambda i: encoded(table[mask_of(i)], "PNG")), ignored=0)
    assert data.mask_names == ("4", "11", "30")
    assert digests(data) == digests(read(fill(tmp_path / "plain")))


def shuffled(i: int) -> bytes:
    """Indices that mean something else in each file, with the palette that says what."""
    order = np.roll(np.arange(4), i)
    mask = mask_of(i)
    values = np.empty_like(mask)
    for position, value in enumerate((0, 1, 2, IGNORE)):
        values[mask == value] = order[position]
    table = np.zeros((4, 3), np.uint8)
    table[order] = WHITE
    image = Image.fromarray(values, "P")
    image.putpalette(table.ravel().tolist())
    return _png(image)


def test_palettes_that_differ_are_not_taken_for_values(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", draw=shuffled)
    with pytest.raises(BadArchive, match=r"shows the value \d+ in .*'data\.palette=.*data\.mask_names="):
        read(root)


def test_a_changed_mask_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    root = fill(tmp_path / "set")
    before = digests(read(root))
    assert digests(read(root)) == before
    assert len(list((tmp_path / "cache").glob("pairs-all-*"))) == 1
    save(root / "masks/p03.png", encoded(mask_of(4), "PNG"))
    assert digests(read(root)) != before


def test_real_masks_are_those_of_vocs_layout(tmp_path: Path, real_data: Path) -> None:
    """Some of Clothing Co-Parsing unpacked: read as VOC's layout and as two folders with lists."""
    files = open_files(real_data / "ccp_voc.tar")
    found = find_pairs(files, None, None, None)
    base = PurePosixPath(found.parts["train"][0][0]).parents[1]
    for part, count in (("train", 16), ("val", 8)):
        names = [PurePosixPath(image).stem for image, _ in found.parts[part][:count]]
        save(tmp_path / "set" / "ImageSets" / "Main" / f"{part}.txt", "\n".join(names).encode())
        for name in names:
            for file in (
                f"JPEGImages/{name}.jpg",
                f"SegmentationClass/{name}.png",
                f"Annotations/{name}.xml",
            ):
                save(tmp_path / "set" / file, files.read(str(base / file)))
    size, cache = [96, 64], str(tmp_path / "cache")
    theirs = voc_layout(
        str(tmp_path / "set"), cache, name="voc", places=["."], size=size, val=4, mask_names=MASK_NAMES
    )
    ours = pairs(str(tmp_path / "set"), cache, size=size, val=0.25, mask_names=MASK_NAMES)
    for name, split in ours.splits.items():
        np.testing.assert_array_equal(split.pixels[:], theirs.splits[name].pixels[:])
        np.testing.assert_array_equal(split.masks, theirs.splits[name].masks)
    assert [len(split) for split in ours.splits.values()] == [12, 4, 8]
