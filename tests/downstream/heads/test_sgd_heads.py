"""Heads trained together: hand-worked steps, PyTorch's own layers as an oracle, published schedules."""

from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from planted import CLASSES, SIZE, multi_label, planted, single_label, small_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.features.pooling import AverageResize
from downstream.heads.inputs import EveryStage, LastStage
from downstream.heads.sgd_heads import Heads, Source, losses_of, score, train_heads
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.protocol import Runtime
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder import Encoder

STAGES = EveryStage(AverageResize(32))


@dataclass(frozen=True)
class Kept:
    """Changes nothing and keeps what it was given."""

    images: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.images.append(images.clone())
        return images


def fit(encoder: Encoder, recipe: SgdRecipe, train: Split, **named: Any) -> dict[Source, Heads]:
    read, augment = named.get("read", STAGES), named.get("augment", Kept())
    runtime = Runtime(seed=named.get("seed", 0))
    return train_heads(encoder, read, train, train.labels, CLASSES, recipe, augment, runtime)


def oracle(
    maps: list[Tensor], targets: list[Tensor], lr: float, recipe: SgdRecipe, examples: int
) -> nn.Linear:
    """One head by nn.BatchNorm2d, nn.Linear and torch.optim.SGD, on batches of maps (B, C, h, w)."""
    width, generator = maps[0][0].numel(), torch.Generator().manual_seed(0)
    first = recipe.init_std * torch.randn(CLASSES, width, generator=generator)
    linear = nn.Linear(width, CLASSES)
    with torch.no_grad():
        linear.weight.copy_(first)
        linear.bias.zero_()
    norm = nn.BatchNorm2d(maps[0].shape[1], affine=False)
    groups = [
        {"params": [linear.weight], "lr": lr, "weight_decay": recipe.weight_decay},
        {"params": [linear.bias], "lr": lr * recipe.bias_lr, "weight_decay": 0.0},
    ]
    sgd = torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)
    schedule = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: recipe.rate(step, examples))
    for x, wanted in zip(maps, targets, strict=True):
        logits = linear(norm(x).flatten(1))
        loss = (
            F.cross_entropy(logits, wanted)
            if wanted.ndim == 1
            else F.binary_cross_entropy_with_logits(logits, wanted.float(), reduction="sum") / len(wanted)
        )
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        schedule.step()
    return linear


@pytest.mark.parametrize("make", [single_label, multi_label])
@pytest.mark.parametrize("nesterov", [False, True])
def test_every_head_is_the_one_trained_alone_by_pytorch(make: Any, nesterov: bool) -> None:
    encoder, train = small_encoder(), make("train", 50, 1)
    recipe = SgdRecipe(
        (0.01, 0.3), epochs=4, milestones=(2, 3), batch_size=20, nesterov=nesterov, weight_decay=0.01,
        decay_bias=False, bias_lr=2.0, normalise=True,
    )  # fmt: skip
    kept = Kept()
    heads = fit(encoder, recipe, train, augment=kept)
    assert [len(images) for images in kept.images] == [17, 17, 16] * 4
    at = {images.tobytes(): i for i, images in enumerate(train.pixels)}
    positions = [
        [at[(x.permute(1, 2, 0) * 255).round().byte().numpy().tobytes()] for x in images]
        for images in kept.images
    ]
    assert sorted(chain(*positions[:3])) == list(range(50)), "every image once an epoch"
    targets = [torch.from_numpy(train.labels[index]) for index in positions]
    assert set(heads) == {Source(name) for name in encoder.stage_names}
    for stage in ("conv2", "conv5"):
        with torch.no_grad():
            maps = [F.adaptive_avg_pool2d(encoder(images).maps[stage], 2) for images in kept.images]
        for p, lr in enumerate(recipe.lrs):
            linear = oracle(maps, targets, lr, recipe, 50)
            head = heads[Source(stage)]
            torch.testing.assert_close(head.weight[p], linear.weight, rtol=1e-3, atol=1e-5)
            torch.testing.assert_close(head.bias[p], linear.bias, rtol=1e-3, atol=1e-5)
            flat = [x.transpose(0, 1).flatten(1) for x in maps]  # (C, B · 4)
            torch.testing.assert_close(head.mean, torch.stack([x.mean(1) for x in flat]).mean(0))
            torch.testing.assert_close(head.var, torch.stack([x.var(1) for x in flat]).mean(0))


def test_heads_do_not_depend_on_those_beside_them() -> None:
    encoder, train = small_encoder(), single_label("train", 60, 1)
    many = SgdRecipe((0.1, 1.0, 0.01), epochs=2, batch_size=16, normalise=True)
    alone = SgdRecipe((1.0,), epochs=2, batch_size=16, normalise=True)
    both = fit(encoder, many, train)[Source("conv5")]
    single = fit(encoder, alone, train, read=LastStage())[Source("conv5")]
    stage = fit(encoder, alone, train)[Source("conv5")]
    assert single.weight.shape[2] * 4 == stage.weight.shape[2] == both.weight.shape[2]
    torch.testing.assert_close(both.weight[1:2], stage.weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(both.alone(1).weight, stage.weight, rtol=1e-4, atol=1e-6)
    x = torch.rand(3, 8, 4)
    torch.testing.assert_close(both.alone(1)(x), both(x)[:, 1:2])


def first_step(recipe: SgdRecipe) -> Heads:
    """One step on two images of classes 0 and 1, whose features are (2, 0) and (0, 4)."""
    encoder = planted("hand", (Stage("hand", 2, 8), lambda x: x[:, :2, :1, :1]))
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    pixels[0, ..., 0], pixels[1, ..., 1] = 2, 4
    train = make_split("train", pixels, labels=np.array([0, 1]))
    read = EveryStage(AverageResize(2))
    return train_heads(encoder, read, train, train.labels, 2, recipe, Kept(), Runtime())[Source("hand")]


def test_first_step_by_hand() -> None:
    # From zero both classes have probability 1/2: ∂loss/∂logit is ∓1/2 over 2 images, ∓1/4.
    plain = first_step(SgdRecipe((0.1, 1.0), iterations=1, batch_size=2, init_std=0))
    slope = torch.tensor([[-0.25 * 2, 0.25 * 4], [0.25 * 2, -0.25 * 4]])
    torch.testing.assert_close(plain.weight, torch.stack([-0.1 * slope, -slope]))
    torch.testing.assert_close(plain.bias, torch.zeros(2, 2))
    # Nesterov's first step is 1 + momentum times as long.
    ahead = first_step(SgdRecipe((0.1,), iterations=1, batch_size=2, init_std=0, nesterov=True))
    torch.testing.assert_close(ahead.weight[0], -0.19 * slope)
    # Rates for another batch are scaled to the two images that there are.
    scaled = first_step(SgdRecipe((0.1,), iterations=1, batch_size=8, base_batch=4, init_std=0))
    torch.testing.assert_close(scaled.weight[0], -0.05 * slope)
    # Normalised by channel: ±1 for both channels, whatever their scale.
    normed = first_step(SgdRecipe((1.0,), iterations=1, batch_size=2, init_std=0, normalise=True))
    torch.testing.assert_close(normed.weight[0], torch.tensor([[0.5, -0.5], [-0.5, 0.5]]), rtol=0, atol=1e-4)
    # Decay pulls by λ · w beside the slope.
    start = first_step(SgdRecipe((1e-12,), iterations=1, batch_size=2)).weight
    held = first_step(SgdRecipe((1e-3,), iterations=1, batch_size=2)).weight
    pulled = first_step(SgdRecipe((1e-3,), iterations=1, batch_size=2, weight_decay=2.0)).weight
    torch.testing.assert_close(held - pulled, 1e-3 * 2 * start, rtol=1e-2, atol=1e-8)


def test_losses_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]])
    torch.testing.assert_close(
        losses_of(logits, torch.tensor([1])), torch.tensor([np.log(2), np.log(1 + np.e**2)]).float()
    )
    both = losses_of(logits, torch.tensor([[1, 0]]))
    torch.testing.assert_close(both, torch.tensor([2 * np.log(2), np.log(1 + np.e**-2) + np.log(2)]).float())


def test_learning_rates_drop_where_published() -> None:
    caffe = SgdRecipe((0.01,), iterations=140_000, milestones=(40_000, 80_000, 120_000))
    assert caffe.steps(10**6) == 140_000
    for step, rate in ((0, 1), (39_999, 1), (40_000, 0.1), (79_999, 0.1), (80_000, 0.01), (120_000, 1e-3)):
        assert caffe.rate(step, 10**6) == pytest.approx(rate)
    epochs = SgdRecipe((30,), epochs=100, milestones=(60, 80), batch_size=256)
    assert epochs.steps(1000) == 400
    for step, rate in ((239, 1), (240, 0.1), (319, 0.1), (320, 0.01), (399, 0.01)):
        assert epochs.rate(step, 1000) == pytest.approx(rate)
    tenth = SgdRecipe((30,), epochs=100, milestones=(60, 80), batch_size=256, share=0.1)
    assert (tenth.steps(1000), tenth.length) == (40, "10 epochs")
    assert [tenth.rate(step, 1000) for step in (23, 24, 31, 32)] == pytest.approx([1, 0.1, 0.1, 0.01])


def test_a_budget_in_epochs_has_a_least_number_of_steps() -> None:
    recipe = SgdRecipe((30,), epochs=100, milestones=(60, 80), batch_size=256, share=0.1, least_steps=60)
    assert (recipe.steps(1000), recipe.length) == (60, "10+ epochs")
    # Milestones stay at the same shares of what is trained.
    assert [recipe.rate(step, 1000) for step in (35, 36, 47, 48)] == pytest.approx([1, 0.1, 0.1, 0.01])
    assert recipe.steps(10**4) == 400
    assert SgdRecipe((0.1,), epochs=1, batch_size=10, least_steps=9).rate(8, 10) == pytest.approx(
        0.5 * (1 + np.cos(np.pi * 8 / 9))
    )
    with pytest.raises(ValueError, match="SgdRecipe: least_steps=-1"):
        SgdRecipe((30,), epochs=1, least_steps=-1)
    with pytest.raises(ValueError, match="SgdRecipe: least_steps=5"):
        SgdRecipe((30,), iterations=10, least_steps=5)


def test_cosine_is_pytorchs() -> None:
    recipe = SgdRecipe((0.1,), epochs=5, batch_size=10)
    sgd = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, recipe.steps(35))
    for step in range(recipe.steps(35)):
        assert recipe.rate(step, 35) == pytest.approx(cosine.get_last_lr()[0])
        sgd.step()
        cosine.step()


def test_rates_scale_with_the_batch_that_is_drawn() -> None:
    recipe = SgdRecipe((0.001, 0.1), epochs=1, batch_size=1024, base_batch=256)
    assert recipe.scaled_lrs(5000) == pytest.approx([0.004, 0.4])
    assert recipe.scaled_lrs(128) == pytest.approx([0.0005, 0.05])
    assert SgdRecipe((30,), epochs=1).scaled_lrs(10) == [30]


def test_a_frozen_encoder_stays_as_it_is_to_the_bit() -> None:
    encoder = small_encoder().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    heads = fit(encoder, SgdRecipe((0.1,), epochs=1, batch_size=16), single_label("train", 40, 1))
    score(encoder, STAGES, heads, single_label("val", 20, 2), Runtime())
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(module.training for module in encoder.modules())
    assert all(p.grad is None for p in encoder.parameters())


def test_same_seed_same_heads() -> None:
    encoder, train = small_encoder(), single_label("train", 40, 1)
    recipe = SgdRecipe((0.1,), epochs=2, batch_size=16)
    one, same, other = (fit(encoder, recipe, train, seed=s)[Source("conv5")].weight for s in (0, 0, 1))
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.allclose(one, other)


def test_scores_are_those_of_plain_images_in_eval_mode() -> None:
    encoder, val = small_encoder(), single_label("val", 30, 2)
    heads = fit(encoder, SgdRecipe((0.1, 0.2), epochs=2, normalise=True), single_label("train", 40, 1))
    found = score(encoder, STAGES, heads, val, Runtime())
    images = torch.from_numpy(val.pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        maps = encoder(images).maps["conv5"]
    head = heads[Source("conv5")]
    x = (F.adaptive_avg_pool2d(maps, 2) - head.mean[:, None, None]) / (head.var[:, None, None] + 1e-5).sqrt()
    wanted = torch.einsum("bd,pcd->bpc", x.flatten(1), head.weight) + head.bias
    np.testing.assert_allclose(found[Source("conv5")], wanted.detach().numpy(), rtol=1e-4, atol=1e-5)


def spoiled(name: str) -> Encoder:
    """NaN for images whose first red pixel is 3."""

    def read(x: Tensor) -> Tensor:
        cell = x[:, :1, :1, :1]
        return torch.where(cell.round() == 3, torch.nan, cell)

    return planted(name, (Stage("good", 1, 8), lambda x: x), (Stage("spoiled", 1, 8), read))


def test_what_is_not_finite_is_named() -> None:
    train, val = single_label("train", 20, 1), single_label("val", 20, 2)
    read = EveryStage(AverageResize(3))
    with pytest.raises(FloatingPointError, match=r"stage 'spoiled': a feature of step 0 is not finite"):
        fit(spoiled("train"), SgdRecipe((0.1,), epochs=1, batch_size=64), train, read=read)
    clean = make_split("train", np.where(train.pixels == 3, 4, train.pixels), labels=train.labels)
    heads = fit(spoiled("val"), SgdRecipe((0.1,), epochs=1, batch_size=64), clean, read=read)
    first = int(np.argmax(val.labels == 3))
    with pytest.raises(FloatingPointError, match=f"'spoiled': the feature of example {first} of split 'val'"):
        score(spoiled("val"), read, heads, val, Runtime())


def test_a_head_that_diverges_leaves_those_beside_it_alone() -> None:
    encoder, train, val = small_encoder(), single_label("train", 20, 1), single_label("val", 20, 2)
    both = fit(encoder, SgdRecipe((1e38, 0.1), epochs=4, weight_decay=1.0), train)
    alone = fit(encoder, SgdRecipe((0.1,), epochs=4, weight_decay=1.0), train)
    wanted = score(encoder, STAGES, alone, val, Runtime())
    for source, scores in score(encoder, STAGES, both, val, Runtime()).items():
        assert not np.isfinite(scores[:, 0]).any()
        np.testing.assert_allclose(scores[:, 1], wanted[source][:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lrs", ()), ("lrs", (0.1, 0)), ("epochs", 0), ("share", 0), ("share", 1.5), ("milestones", (3, 2)),
        ("milestones", (5,)), ("batch_size", 0), ("base_batch", 0), ("momentum", 1), ("weight_decay", -1),
        ("bias_lr", -1), ("init_std", -1),
    ],
)  # fmt: skip
def test_bad_recipes_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"SgdRecipe: {name}="):
        SgdRecipe(**{"lrs": (0.1,), "epochs": 5, name: value})


def test_a_recipe_has_one_budget() -> None:
    for budget in ({}, {"epochs": 1, "iterations": 1}):
        with pytest.raises(ValueError, match="give either epochs or iterations"):
            SgdRecipe((0.1,), **budget)
    assert SIZE == 16, "the small encoder's maps are made for it"
