"""Colorization against known answers: entropies, the prior, chroma identities, any image size."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import toy
from torch import Tensor

from pretext.backbones import ResNet18
from pretext.color import bins, lab_to_rgb, lightness, rgb_to_lab, soft_cross_entropy
from pretext.color.quality import MAX_ERROR
from pretext.data.dataset import Split
from pretext.data.loader import EpochLoader
from pretext.encoder import Encoder
from pretext.inputs import build
from pretext.task import Images
from pretext.tasks import coloring
from pretext.tasks.colorization import Annealed, Colorization
from pretext.tasks.colorization_l2 import ColorizationL2


def drawn(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prepared(folder: Path, split: Split | None = None, **arguments: object) -> Colorization:
    task = Colorization(toy.encoder(), **{"hidden": 16, **arguments})
    task.prepare(EpochLoader(split or toy.split(24, 5), 8, shuffle=False), folder)
    return task


def test_starts_at_ln_313(tmp_path: Path) -> None:
    task = prepared(tmp_path)
    step = task.loss(task.views(toy.batch(), drawn()))
    assert float(step.logs["unbalanced"]) == pytest.approx(math.log(313), abs=0.01)


def test_without_rebalancing_both_losses_are_one(tmp_path: Path) -> None:
    task = prepared(tmp_path, rebalance=1.0)
    step = task.loss(task.views(toy.batch(), drawn()))
    assert float(step.logs["loss"]) == pytest.approx(float(step.logs["unbalanced"]), rel=1e-5)


def test_an_overfitted_batch_reaches_the_entropy_of_its_soft_targets(tmp_path: Path) -> None:
    task = Colorization(toy.encoder(widths=(16, 32, 32, 32, 32)), hidden=64, rebalance=1.0)
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    batch = task.views(toy.batch(3), drawn())
    _, share = batch.targets  # (B, K, h, w)
    entropy = float(torch.special.entr(share).sum(dim=1).mean())
    optimizer = torch.optim.Adam(task.param_groups(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-2, total_steps=120)
    for _ in range(120):
        optimizer.zero_grad()
        loss = task.loss(batch).loss
        loss.backward()
        optimizer.step()
        schedule.step()
    assert entropy - 1e-4 < loss.item() < entropy + 0.1


def test_prior_losses_are_what_constant_predictions_reach(tmp_path: Path) -> None:
    split = toy.split(24, 5)
    task = prepared(tmp_path, split).eval()
    batch = task.views(next(iter(EpochLoader(split, 24, shuffle=False))), drawn())
    index, weight = batch.targets
    dense = torch.zeros(24, 313, 8, 8).scatter_(1, index, weight)  # (B, 313, h, w)
    best = dense.mean(dim=(0, 2, 3))
    logits = best.clamp(min=1e-12).log().view(1, 313, 1, 1).expand(24, -1, 8, 8)
    reached = soft_cross_entropy(logits, batch.targets, task.bin_weights, batch.counts).unbalanced
    assert task.prior_cross_entropy["unbalanced"] == pytest.approx(float(reached), rel=1e-4)
    assert task.prior_cross_entropy["unbalanced"] < math.log(313)


def test_an_unprepared_task_does_not_train_unbalanced() -> None:
    task = Colorization(toy.encoder(), hidden=16)
    assert torch.isnan(task.loss(task.views(toy.batch(), drawn())).loss)


def test_gray_images_weigh_nothing(tmp_path: Path) -> None:
    task = prepared(tmp_path).eval()
    coloured = toy.batch(4)
    gray = coloring.gray(lightness(toy.batch(4, seed=9).pixels))
    both = Images(torch.cat([coloured.pixels, gray]), torch.arange(8), None)
    assert task.views(both, drawn()).counts.tolist() == [True] * 4 + [False] * 4
    with torch.no_grad():
        alone, mixed = (task.loss(task.views(images, drawn())) for images in (coloured, both))
        nothing = task.loss(task.views(Images(gray, torch.arange(4), None), drawn()))
    for log, value in alone.logs.items():
        assert float(mixed.logs[log]) == pytest.approx(float(value), rel=1e-5)
    assert float(nothing.loss) == 0


def recoloured(pixels: Tensor, strength: float) -> Tensor:
    """The same lightness with other colours, faint enough to stay inside the gamut."""
    light = lightness(pixels)
    ab = strength * torch.randn(len(pixels), 2, *pixels.shape[-2:], generator=drawn(7)).clamp(-1, 1)
    return lab_to_rgb(torch.cat([light, ab], dim=1))


@pytest.mark.parametrize("stage", ["conv1", "conv3", "conv5"])
def test_an_l_encoder_does_not_see_ab(stage: str) -> None:
    encoder = toy.encoder().eval()
    gray = 0.3 + 0.4 * toy.batch().pixels.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    other = recoloured(gray, strength=6.0)
    assert float((other - gray).abs().max()) > 0.02
    with torch.no_grad():
        before, after = encoder(gray).maps[stage], encoder(other).maps[stage]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_colour_inputs_are_refused() -> None:
    for kind in (Colorization, ColorizationL2):
        for name in ("lab", "rgb", "ab"):
            with pytest.raises(ValueError, match=f"'{name}' shows.*allow_colour"):
                kind(toy.encoder(name))
        kind(toy.encoder("rgb"), allow_colour=True)
        kind(toy.encoder("gray"))


def test_a_stage_that_is_finer_than_the_target_is_refused() -> None:
    with pytest.raises(ValueError, match="'conv1' has stride 2"):
        Colorization(toy.encoder(), stage="conv1")
    with pytest.raises(ValueError, match="conv1, conv2, conv3, conv4, conv5"):
        Colorization(toy.encoder(), stage="conv9")


def test_an_earlier_stage_leaves_later_ones_alone(tmp_path: Path) -> None:
    task = prepared(tmp_path, stage="conv2")
    task.loss(task.views(toy.batch(), drawn())).loss.backward()
    moved = {name for name, p in task.encoder.named_parameters() if p.grad is not None}
    assert moved
    assert all("conv1" in name or "conv2" in name for name in moved)


@pytest.mark.parametrize("size", [(32, 32), (37, 51), (5, 64), (1, 1)])
@pytest.mark.parametrize("kind", [Colorization, ColorizationL2])
def test_any_size_is_coloured(kind: type, size: tuple[int, int], tmp_path: Path) -> None:
    task = kind(toy.encoder(), hidden=16).eval()
    ab = task.colorize(100 * torch.rand(2, 1, *size, generator=drawn()))
    assert ab.shape == (2, 2, *size)
    assert bool(torch.isfinite(ab).all())


@torch.no_grad()
def test_another_temperature_is_another_reading_of_the_same_weights(tmp_path: Path) -> None:
    task = prepared(tmp_path, temperature=0.38, target_stride=8).eval()
    torch.nn.init.normal_(task.head.out.weight)
    light = lightness(toy.batch(2).pixels)
    shares = task._logits(coloring.gray(light), (4, 4)).softmax(1)  # (2, 313, 4, 4)
    mean = torch.einsum("bqhw,qc->bchw", shares, bins(light.device))
    mode = bins(light.device)[shares.argmax(1)].permute(0, 3, 1, 2)
    assert not torch.equal(mean, mode)
    for temperature, expected in ((1.0, mean), (0.0, mode)):
        found = Annealed(task, temperature).colorize(light)
        torch.testing.assert_close(found, coloring.to_image(expected, (32, 32), 8), atol=1e-3, rtol=0)
    assert torch.equal(Annealed(task, 0.38).colorize(light), task.colorize(light))
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"Annealed.temperature is a number from 0, got {bad}"):
            Annealed(task, bad)


def test_a_stride_of_32_is_brought_up_to_the_target(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = Colorization(Encoder(build("lightness"), ResNet18(1)), hidden=8)
    assert task.encoder.stages[-1].stride // 4 == 2 ** len(task.head.convs)
    assert task.eval().colorize(torch.full((1, 1, 64, 64), 50.0)).shape == (1, 2, 64, 64)


def test_measures_of_a_gray_output_are_its_mean_chroma() -> None:
    pixels = toy.batch().pixels
    chroma = torch.linalg.vector_norm(rgb_to_lab(pixels)[:, 1:], dim=1)
    found = coloring.measures(pixels, torch.zeros(8, 2, 32, 32), torch.ones(313))
    total, weight = found["auc"]
    assert float(total / weight) == pytest.approx(100 * (1 - float(chroma.mean()) / MAX_ERROR), rel=1e-5)


def test_measures_of_the_truth_are_the_best_there_are() -> None:
    pixels = toy.batch().pixels
    found = coloring.measures(pixels, rgb_to_lab(pixels)[:, 1:], torch.rand(313, generator=drawn()))
    values = {name: float(total / weight) for name, (total, weight) in found.items()}
    assert values["auc"] == values["auc_balanced"] == 100
    assert values["psnr"] > 70


def test_pictures_keep_the_lightness_of_the_original() -> None:
    pixels = toy.batch().pixels
    shown = coloring.pictures(pixels, lambda light: torch.full_like(light, 8.0).expand(-1, 2, -1, -1))
    assert torch.equal(shown["original"], pixels)
    for name in ("gray", "coloured"):
        torch.testing.assert_close(lightness(shown[name]), lightness(pixels), atol=0.5, rtol=0)
    assert float(rgb_to_lab(shown["gray"])[:, 1:].abs().max()) < 0.01


def test_l2_starts_from_a_trained_colorization(tmp_path: Path) -> None:
    parent = prepared(tmp_path)
    with torch.no_grad():
        for value in parent.parameters():
            value.add_(torch.randn_like(value))
    child = ColorizationL2(toy.encoder(seed=4), hidden=16)
    out = {k: v.clone() for k, v in child.head.out.state_dict().items()}
    child.initialise_from(parent)
    assert child.encoder.digest() == parent.encoder.digest()
    for name, value in child.head.state_dict().items():
        kept = name.startswith("out.")
        assert torch.equal(value, out[name.removeprefix("out.")] if kept else parent.head.state_dict()[name])
    with pytest.raises(ValueError, match="differing arguments: hidden"):
        ColorizationL2(toy.encoder(), hidden=8).initialise_from(parent)
    with pytest.raises(ValueError, match="starts from a Colorization, got ColorizationL2"):
        child.initialise_from(ColorizationL2(toy.encoder(), hidden=16))


def test_l2_error_is_that_of_numpy(tmp_path: Path) -> None:
    task = ColorizationL2(toy.encoder(), hidden=16).eval()
    batch = task.views(toy.batch(), drawn())
    with torch.no_grad():
        head = task.head(task.encoder(batch.pixels).maps["conv5"], (8, 8)).numpy()
        loss = float(task.loss(batch).loss)
    assert loss == pytest.approx(float(np.square(head - batch.ab.numpy()).mean()), rel=1e-5)
    truth = rgb_to_lab(toy.batch().pixels)[:, 1:, ::4, ::4] / 110
    torch.testing.assert_close(batch.ab, truth)
