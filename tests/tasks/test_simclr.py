"""SimCLR: its pairs, its head and where it starts."""

from __future__ import annotations

import functools
import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from toy_fit import At, die

from pretext.fit import Optimisation, Validation, pretrain
from pretext.task import Images
from pretext.tasks.ntxent import nt_xent
from pretext.tasks.simclr import SimCLR

SMALL: dict[str, Any] = {"strength": 0.5, "blur": 0.0, "temperature": 0.5, "hidden": 16, "outputs": 24}


def task(seed: int = 0, **changes: Any) -> SimCLR:
    return SimCLR(toy.encoder("rgb", seed=seed), **{**SMALL, **changes})


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain(values: list[float]) -> Images:
    """Images of one colour each, which crops keep."""
    pixels = torch.tensor(values).view(-1, 3, 1, 1).expand(-1, -1, 32, 32)
    return Images(pixels, torch.arange(len(pixels)), None)


@pytest.mark.parametrize("mode", [True, False], ids=["train", "eval"])
def test_the_two_views_are_of_one_image_and_drawn_apart(mode: bool) -> None:
    # Without jitter and gray, a view of an image of one colour is that colour.
    colours = torch.rand(30, 3, generator=drawn(1))
    untouched = task(strength=0, gray=0).train(mode)
    one, two = untouched.views(plain(colours.flatten().tolist()), drawn()).pixels.chunk(2)
    for view in (one, two):
        torch.testing.assert_close(view.mean((2, 3)), colours, rtol=0, atol=1e-5)
    one, two = task().train(mode).views(toy.batch(30), drawn()).pixels.chunk(2)
    assert one.shape == (30, 3, 32, 32)
    assert (one != two).flatten(1).any(1).all(), "two views are the same"


def test_the_loss_asks_for_the_pairs_of_the_views() -> None:
    """Pixels that say which image they show: only the right partner costs next to nothing."""
    learner = task(temperature=0.05)
    learner.encoder.vector = lambda pixels: pixels.mean((2, 3))  # type: ignore[method-assign]
    learner.head = nn.Sequential()
    learner.views(toy.batch(), drawn())
    colours = F.one_hot(torch.arange(3), 3).float().flatten().tolist()
    untouched = task(strength=0, gray=0)
    pairs = untouched.views(plain(colours), drawn())
    assert float(learner.loss(pairs).loss) < 1e-6
    assert float(learner.loss(pairs).logs["accuracy"]) == 1
    broken = pairs._replace(pixels=torch.cat((pairs.pixels[:3], pairs.pixels[3:].roll(1, 0))))
    assert float(learner.loss(broken).loss) > 10


@torch.no_grad()
def test_loss_is_nt_xent_of_the_heads_projections() -> None:
    learner = task()
    batch = learner.views(toy.batch(), drawn())
    one, two = learner.head(learner.encoder.vector(batch.pixels)).chunk(2)  # one BatchNorm over both views
    torch.testing.assert_close(learner.loss(batch).loss, nt_xent(one, two, 0.5).loss)
    cold = task(temperature=0.1)
    assert float(cold.loss(batch).loss) != pytest.approx(float(learner.loss(batch).loss), rel=0.1)


def test_starts_at_chance() -> None:
    """Cosines of random projections of small networks vary: a mean over networks is what chance says."""
    excess = []
    for seed in range(6):
        learner = task(seed, outputs=128)
        batch = learner.views(toy.batch(64), drawn(seed))
        with torch.no_grad():
            excess.append(float(learner.loss(batch).loss) / learner.chance(batch)["loss"])
    assert sum(excess) / len(excess) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("layers", "linears"), [(1, [(8, 24)]), (2, [(8, 16), (16, 24)]), (3, [(8, 16), (16, 16), (16, 24)])]
)
def test_the_head_has_batchnorm_after_each_layer(layers: int, linears: list[tuple[int, int]]) -> None:
    head = task(layers=layers).head
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU] * layers
    assert [type(layer) for layer in head] == kinds[:-1], "ReLU is between layers alone"
    found = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in found] == linears
    assert all(layer.bias is None for layer in found)
    norms = [layer for layer in head if isinstance(layer, nn.BatchNorm1d)]
    assert [norm.bias.requires_grad for norm in norms] == [True] * (layers - 1) + [False]


@torch.no_grad()
def test_a_head_without_batchnorm_has_biases_and_reads_each_view_alone() -> None:
    head = task(norm=False, layers=3).head
    assert [type(layer) for layer in head] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert all(layer.bias is not None for layer in head if isinstance(layer, nn.Linear))
    vectors = torch.randn(6, 8, generator=drawn())
    torch.testing.assert_close(head.train()(vectors)[:1], head(vectors[:1]))


def test_blur_has_a_kernel_of_a_tenth_of_the_side(monkeypatch: pytest.MonkeyPatch) -> None:
    from pretext.views import distortion

    kernels = []

    def note(pixels: Tensor, generator: torch.Generator, kernel_size: int, *_: object) -> Tensor:
        kernels.append(kernel_size)
        return pixels

    monkeypatch.setattr(distortion, "random_blur", note)
    for crop in (32, 64, 224):
        task(blur=0.5, crop=crop).views(toy.batch(2), drawn())
    task().views(toy.batch(2), drawn())
    assert kernels == [3, 7, 23]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"area": (0.0, 1.0)}, r"SimCLR.area is two rising numbers in \(0, 1\]"),
        ({"strength": 3.0}, r"SimCLR.strength is in \[0, 2.5\], got 3.0"),
        ({"gray": -1.0}, r"SimCLR.gray is a probability in \[0, 1\], got -1.0"),
        ({"temperature": 0.0}, "SimCLR.temperature is positive, got 0.0"),
        ({"layers": 0}, "layers from 1, got 16, 24, 0"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(**changes)


def fit(folder: Path, learner: SimCLR, *callbacks: Callback) -> dict[str, float]:
    """Three short epochs; the measures of the last."""
    adam = Optimisation(functools.partial(torch.optim.AdamW, lr=0.002))
    pretrain(
        learner, toy.split(24, 5), toy.split(10, 1, "val"), folder=folder, cache=folder,
        name="simclr", seed=0, epochs=3, batch_size=8, optimisation=adam, device="cpu",
        validation=Validation(bank=0, pictures=2),
        callbacks=callbacks, console=Console(file=io.StringIO()),
    )  # fmt: skip
    names, *_, last = (line.split(",") for line in (folder / "history.csv").read_text().splitlines())
    return {name: float(value) for name, value in zip(names, last, strict=True) if "/" in name}


def test_a_killed_run_goes_on_to_the_bit_and_knows_chance_on_val(tmp_path: Path) -> None:
    whole, again = task(), task()
    measures = fit(tmp_path / "whole", whole)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", task(), At(1, 1, die))
    assert fit(tmp_path / "broken", again) == measures
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    # Ten val images are batches of eight and of two: each has its own chance.
    assert measures["val/loss_chance"] == pytest.approx(0.8 * math.log(15) + 0.2 * math.log(3), abs=1e-5)
