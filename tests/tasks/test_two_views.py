"""What tasks of two views share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import every
import pytest
import torch
import toy
from torch import Tensor, nn
from torch.nn import functional

from pretext.data.loader import EpochLoader
from pretext.fit import Optimisation
from pretext.task import Task
from pretext.tasks.keys import told
from pretext.tasks.moco import MoCo
from pretext.tasks.simclr import SimCLR
from pretext.tasks.simsiam import SimSiam
from pretext.tasks.swav import SwAV
from pretext.tasks.two_views import TwoViews, cosines, spread
from pretext.views import distortion

STILL: dict[str, Any] = {
    "crop": None, "area": (0.2, 1.0), "jitter": (0.0, 0.0, 0.0, 0.0), "gray": 0.0, "blur": (0.0, 0.0),
    "solarise": (0.0, 0.0),
}  # fmt: skip


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_both_views_are_of_one_image_and_drawn_apart() -> None:
    colours = torch.rand(20, 3, generator=drawn(1))
    flat = colours.view(20, 3, 1, 1).expand(-1, -1, 32, 32)
    pair = TwoViews("Byol", **STILL)(flat, drawn()).pixels
    assert pair.shape == (2, 20, 3, 32, 32)
    torch.testing.assert_close(pair.mean((3, 4)), colours.expand(2, -1, -1), rtol=0, atol=1e-5)
    one, two = TwoViews("Byol", **STILL)(toy.batch(20).pixels, drawn()).pixels
    assert (one != two).flatten(1).any(1).all()


def test_a_probability_is_that_of_its_view() -> None:
    flat = torch.full((8, 3, 32, 32), 0.8)
    one, two = TwoViews("Byol", **{**STILL, "solarise": (0.0, 1.0)})(flat, drawn()).pixels
    torch.testing.assert_close(one, flat, rtol=0, atol=1e-5)
    torch.testing.assert_close(two, 1 - flat, rtol=0, atol=1e-5)
    noise = torch.rand(8, 3, 64, 64, generator=drawn())
    sharp, blurred = TwoViews("Byol", **{**STILL, "blur": (0.0, 1.0)})(noise, drawn()).pixels
    assert float(blurred.var()) < 0.7 * float(sharp.var())


@pytest.mark.parametrize("kind", [SimCLR, MoCo, SimSiam, SwAV])
def test_a_blur_has_the_kernel_that_is_asked_for(
    kind: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = set()

    def note(pixels: Tensor, generator: torch.Generator, kernel_size: int, *_: object) -> Tensor:
        kernels.add(kernel_size)
        return pixels

    monkeypatch.setattr(distortion, "random_blur", note)
    few = {MoCo: {"queue": 8}, SwAV: {"queue": 8, "small_crop": 32}}.get(kind, {})
    for asked, expected in ((None, {3}), (13, {13})):
        kernels.clear()
        learner = kind(toy.encoder("rgb"), crop=32, blur=0.5, hidden=8, blur_kernel=asked, **few)
        learner.views(toy.batch(2), drawn())
        assert kernels == expected


def test_mixed_precision_leaves_cosines_as_they_are() -> None:
    """A softmax at a low temperature shows what bfloat16 would round off."""
    draw = torch.Generator().manual_seed(0)
    one, two, queue = (functional.normalize(torch.randn(n, 32, generator=draw)) for n in (8, 8, 64))
    two = functional.normalize(one + 0.1 * two)
    plain = cosines(one, two), *told(one, two, queue, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = cosines(one, two), *told(one, two, queue, 0.05)
    for exact, found in zip(plain, mixed, strict=True):
        assert torch.equal(exact, found)
    exact = torch.einsum("nd,md->nm", one.double(), two.double())
    torch.testing.assert_close(plain[0].double(), exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["densecl", "moco", "npid", "pirl", "swav"])
def test_what_is_told_by_cosines_is_told_in_full_precision(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where unit vectors are the same, mixed precision changes no loss."""
    task = every.build(name)
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    batch = task.eval().views(toy.batch(8), drawn())
    plain, kept = functional.normalize, list[Tensor]()

    def keep(vectors: Tensor, dim: int) -> Tensor:
        kept.append(plain(vectors, dim=dim))
        return kept[-1]

    monkeypatch.setattr(functional, "normalize", keep)
    with torch.no_grad():
        exact = float(task.loss(batch).loss)
    again = iter(kept)
    monkeypatch.setattr(functional, "normalize", lambda vectors, dim: next(again))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert float(task.loss(batch).loss) == pytest.approx(exact, rel=1e-5)
    assert next(again, None) is None


def test_spread_is_one_for_any_direction_and_zero_for_one() -> None:
    everywhere = torch.randn(4000, 32, generator=drawn())
    assert float(spread(everywhere)) == pytest.approx(1, abs=0.01)
    assert float(spread(everywhere[:1].expand(100, -1))) == pytest.approx(0, abs=1e-6)
    assert float(spread(5 * everywhere)) == pytest.approx(float(spread(everywhere)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 0}, "Byol.crop is a number of pixels from 1, or None, got 0"),
        ({"area": (0.5, 0.2)}, r"Byol.area is two rising numbers in \(0, 1\]"),
        ({"jitter": (1.0, 1.0, 1.0)}, r"Byol.jitter .* got \[1.0, 1.0, 1.0\]"),
        ({"jitter": (1.0, 1.0, 1.0, 0.6)}, "hue to 0.5"),
        ({"gray": 2.0}, r"Byol.gray is a probability in \[0, 1\], got 2.0"),
        ({"blur_kernel": 4}, "Byol.blur_kernel takes a kernel of an odd number of pixels, got 4"),
        ({"blur": (0.0, 1.5)}, r"Byol.blur is a probability in \[0, 1\], got 1.5"),
        ({"solarise": (0.0,)}, r"Byol.solarise is a probability for each of two views, got \[0.0\]"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TwoViews("Byol", **{**STILL, **changes})


def test_a_group_at_a_constant_rate_stays_at_its_peak() -> None:
    one, two = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [one]}, {"params": [two], "constant_lr": True}], lr=0.5)
    schedule = Optimisation(torch.optim.SGD, warmup=0.5).schedule(optimizer, 4)
    rates = []
    for _ in range(4):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    assert rates == [[0.25, 0.5], [0.5, 0.5], [0.5, 0.5], [pytest.approx(0.25), 0.5]]
