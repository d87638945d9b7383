"""Contact sheets: what lies where, and what is written on them."""

from __future__ import annotations

import numpy as np
import pytest
from sheet_cut import GAP, HEAD, cut

from pretext.pictures import class_color, contact_sheet, enlargement


def drawn(count: int, height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (200, 300)])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_every_picture_lies_under_its_heading_enlarged(count: int, size: tuple[int, int]) -> None:
    columns = {name: drawn(count, *size, seed) for seed, name in enumerate(("image", "truth", "predicted"))}
    sheet = contact_sheet(columns)
    for i in range(count):
        for c, pictures in enumerate(columns.values()):
            np.testing.assert_array_equal(cut(sheet, i, c, 3, size), pictures[i])
    assert (sheet[:HEAD] < 128).any(), "no heading is written"
    factor = enlargement(*size)
    assert min(size) * factor >= 192
    assert sheet.shape[0] == HEAD + -(-count // 2) * (size[0] * factor + 2 * GAP)


def test_a_legend_names_every_class_in_its_color_however_many_there_are() -> None:
    pictures = {"image": np.full((1, 64, 64, 3), 255, np.uint8)}
    plain = contact_sheet(pictures)
    legend = [(f"class number {k}", class_color(k)) for k in range(9)]
    sheet = contact_sheet(pictures, legend)
    below = sheet[plain.shape[0] :]
    assert sheet.shape[1] == plain.shape[1]
    for name, color in legend:
        assert (below == color).all(-1).sum() >= 100, f"{name} has no patch of its color"


def test_colors_of_classes_differ_and_are_strong() -> None:
    colors = np.array([class_color(k) for k in range(20)], dtype=int)
    apart = np.abs(colors[:, None] - colors[None]).sum(-1) + 1000 * np.eye(20, dtype=int)
    assert apart.min() > 40
    assert (colors.max(1) - colors.min(1)).min() > 150, "a pale color cannot be seen on a photograph"


def test_pictures_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        contact_sheet({"a": drawn(2, 4, 4, 0), "b": drawn(1, 4, 4, 0)})
    with pytest.raises(ValueError, match="be some"):
        contact_sheet({"a": drawn(0, 4, 4, 0)})
