"""Contact sheets of the league: images by row, systems by column; and the same as a page to look through."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from downstream.leaderboard.league import FULL
from pretext.atomic import replacing, write_bytes
from pretext.color import lightness
from pretext.data.dataset import Split
from pretext.data.loader import fetch
from pretext.pictures import GAP, TEXT, font
from pretext.tasks.coloring import gray
from pretextbench.league.coloring import Coloured

EACH = 4
"""Images of each kind."""
GRAY = "gray"
SIDE = 128
"""Pixels that the shorter side of a picture on a sheet has at least."""
PAGE = Path(__file__).with_name("page.html")


def write_sheets(
    folder: Path, split: Split, made: Mapping[str, Coloured], kept: Sequence[int], seed: int = 0
) -> list[Path]:
    """Write `league.png` and `league.html`: where colorization is best, worst, and images drawn at random.

    Args:
        split: the images that all coloured. made: by system. kept: places of those images among all.
    """
    errors = _errors(made, kept)
    cases = cases_of(errors, seed)
    places = [place for chosen in cases.values() for place in chosen]
    truth = fetch(split.pixels, np.array(places, np.int64))
    panels = {GRAY: _bytes(gray(lightness(truth)))}
    panels |= {
        name: each.drawn([kept[place] for place in places]) for name, each in made.items() if name != GRAY
    }
    panels["original"] = _bytes(truth)
    rows = [f"{kind} {place}" for kind, chosen in cases.items() for place in chosen]
    picture = folder / "league.png"
    with replacing(picture) as file:
        Image.fromarray(sheet(panels, rows)).save(file, format="PNG")
    page = folder / "league.html"
    write_bytes(page, html(panels, rows).encode())
    return [picture, page]


def cases_of(errors: NDArray[np.float64], seed: int) -> dict[str, list[int]]:
    """Places of images by kind, none twice: the least and the largest errors, and some at random.

    Args:
        errors: (N,) of each image, of the system that is looked at.
    """
    order = errors.argsort(kind="stable").tolist()
    each = min(EACH, max(1, len(order) // 3))
    best, worst = order[:each], order[-each:][::-1]
    left = [place for place in order if place not in {*best, *worst}]
    drawn = np.random.default_rng(seed).permutation(len(left))[:each]
    found = {"best": best, "worst": [p for p in worst if p not in best], "random": [left[i] for i in drawn]}
    return {kind: places for kind, places in found.items() if places}


def sheet(panels: Mapping[str, NDArray[np.uint8]], rows: Sequence[str]) -> NDArray[np.uint8]:
    """One picture (H', W', 3): a column a system under its name, a row an image beside its own.

    Args:
        panels: (N, H, W, 3) by system. rows: what each image is.
    """
    factor = max(1, -(-SIDE // min(next(iter(panels.values())).shape[1:3])))
    big = {name: some.repeat(factor, 1).repeat(factor, 2) for name, some in panels.items()}
    height, width = next(iter(big.values())).shape[1:3]
    left = int(max(font().getlength(row) for row in rows)) + 2 * GAP
    head = TEXT * (2 + max(len(_lines(name, width)) for name in big))
    made = Image.new("RGB", (left + len(big) * (width + GAP), head + len(rows) * (height + GAP)), "white")
    draw = ImageDraw.Draw(made)
    for column, (name, pictures) in enumerate(big.items()):
        x = left + column * (width + GAP)
        draw.multiline_text((x, TEXT // 2), "\n".join(_lines(name, width)), "black", font())
        for row, picture in enumerate(pictures):
            made.paste(Image.fromarray(picture), (x, head + row * (height + GAP)))
    for row, name in enumerate(rows):
        draw.text((GAP, head + row * (height + GAP) + height // 2), name, "black", font())
    return np.asarray(made)


def html(panels: Mapping[str, NDArray[np.uint8]], rows: Sequence[str]) -> str:
    """The page: one file without a network, its pictures in it."""
    pictures = [
        {"row": row, "panels": {name: _data(some[i]) for name, some in panels.items()}}
        for i, row in enumerate(rows)
    ]
    return PAGE.read_text().replace("__CASES__", _embedded(pictures))


def _embedded(value: Any) -> str:
    """JSON that ends no script, whatever names are in it."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _errors(made: Mapping[str, Coloured], kept: Sequence[int]) -> NDArray[np.float64]:
    """Mean error of each image by colorization, or whoever comes first, above that of leaving it gray."""

    def of(name: str) -> NDArray[np.float64]:
        rows = made[name].kept(kept)
        return np.asarray(rows["error"] / rows["weight"])

    looked_at = FULL if FULL in made else next(iter(made))
    return of(looked_at) - of(GRAY) if GRAY in made and looked_at != GRAY else of(looked_at)


def _lines(name: str, width: int) -> list[str]:
    """A name in lines that fit over a picture, broken at its underscores."""
    lines: list[str] = []
    for part in name.replace("_", "_ ").split(" "):
        if lines and font().getlength(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines.append(part)
    return lines


def _bytes(rgb: Tensor) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = (rgb.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return found


def _data(picture: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as the address of itself."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
