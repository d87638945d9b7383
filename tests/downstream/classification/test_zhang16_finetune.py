"""Fine-tuning under fully connected layers: equal to its frozen twin, masked, cropped, and as published."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from planted import CLASSES, SIZE, labelled, multi_label, planted, single_label, small_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.classification.zhang16_finetune import (
    Crops,
    FullyConnected,
    Zhang16Finetune,
    Zhang16FinetuneFc,
    Zhang16FinetuneFc8,
)
from downstream.images.augment import ResizedCrop, ShiftedCrop
from downstream.judge.catalogue import facts
from downstream.protocol import Runtime
from downstream.tuning.finetuning import private_copy, seeded
from pretext.backbones import Stage
from pretext.backbones.alexnet import AlexNet
from pretext.data.dataset import Boxes, Split
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.inputs import Lightness

CONF = Path(__file__).parents[3] / "conf" / "downstream"
KINDS = (Zhang16Finetune, Zhang16FinetuneFc, Zhang16FinetuneFc8)
START = (SIZE, SIZE), CLASSES, (), 0.1, 9600


@dataclass(frozen=True)
class Kept:
    """Shifts images where asked to, without a draw where not, and keeps what it made."""

    shift: float
    made: list[Tensor] = field(default_factory=list)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        self.made.append(ShiftedCrop(self.shift)(images, generator) if self.shift else images)
        return self.made[-1]


def small(kind: type[Zhang16Finetune], **recipe: Any) -> Zhang16Finetune:
    """Few steps at a larger rate, a narrow layer, two crops of most of the image."""
    made = kind()
    brief: dict[str, Any] = {"iterations": 150, "milestones": (), "lr": 0.1, **recipe}
    return replace(
        made,
        recipe=replace(made.recipe, **brief),
        hidden=(256,) if made.hidden else (),
        augment=ResizedCrop(scale=(0.6, 1.0), ratio=(1, 1)),
        crops=2,
        dropout=0.1,
    )


def coloured(name: str, examples: int, seed: int, several: bool = False) -> Split:
    """Noise, red or not, which crops keep."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(examples) % 2)
    pixels = generator.integers(0, 120, (examples, SIZE, SIZE, 3), dtype=np.uint8)
    pixels[..., 0] += (135 * labels[:, None, None]).astype(np.uint8)
    targets = np.stack([labels, 1 - labels], 1).astype(np.uint8) if several else labels
    return make_split(name, pixels, labels=targets)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_leaves_the_encoder_alone(kind: type[Zhang16Finetune], several: bool) -> None:
    made = small(kind)
    # Frozen, features must know: brightness of red, over that of green.
    red = planted("red", (Stage("conv5", 2, 8), lambda x: F.avg_pool2d(x[:, :2] / 100, 8)))
    encoder = small_encoder() if made.trains_encoder else red
    digest = encoder.digest()
    train, val, test = (coloured(n, 96, i, several) for i, n in enumerate(("train", "val", "test")))
    fitted = made.fit(encoder, train, val, Runtime())
    assert next(iter(made.metrics(test).values()))(fitted.predict(test)["conv5"]) > 0.97
    assert fitted.train_score > 0.97
    assert encoder.digest() == digest
    assert (fitted.model.encoder.digest() == digest) is not made.trains_encoder
    assert [type(layer).__name__ for layer in fitted.model.head].count("Linear") == len(made.hidden) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_permuted_labels_stay_at_chance(kind: type[Zhang16Finetune]) -> None:
    made = small(kind, iterations=20)
    splits = single_label("train", 100, 0, permuted=True), single_label("val", 50, 1, permuted=True)
    test = single_label("test", 1000, 2)
    rows = made.fit(small_encoder(), *splits, Runtime()).predict(test)["conv5"]
    assert made.metrics(test)["top1"](rows) == pytest.approx(1 / CLASSES, abs=0.05)


def test_fc8_is_the_linear_layer_that_pytorch_trains_on_frozen_features() -> None:
    encoder, train, test = small_encoder(), multi_label("train", 40, 1), multi_label("test", 20, 2)
    made = small(Zhang16FinetuneFc8, milestones=(3, 6), iterations=8, clip=None, lr=0.02)
    made = replace(made, augment=Kept(0), crops=1)
    fitted = made.fit(encoder, train, test, Runtime(seed=3))

    def features(split: Split) -> Tensor:
        with torch.no_grad():
            return encoder(torch.from_numpy(split.pixels).permute(0, 3, 1, 2) / 255).maps["conv5"].flatten(1)

    with seeded(3, torch.device("cpu")):
        linear = FullyConnected(private_copy(encoder, torch.device("cpu")), *START).head[-1]
    assert isinstance(linear, nn.Linear)
    first = linear.weight.detach().clone()
    sgd = torch.optim.SGD(linear.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [3, 6], 0.5)
    targets = torch.from_numpy(np.asarray(train.labels)).float()
    for index in made.recipe.batches(40, torch.Generator().manual_seed(3)):
        logits = linear(features(train)[index])
        loss = F.binary_cross_entropy_with_logits(logits, targets[index], reduction="sum") / len(index)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        schedule.step()
    found = fitted.model.head[-1]
    assert isinstance(found, nn.Linear)
    torch.testing.assert_close(found.weight, linear.weight, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(found.weight, first, atol=0.01)
    with torch.no_grad():
        wanted = linear(features(test)).numpy()
    np.testing.assert_allclose(fitted.predict(test)["conv5"]["scores"], wanted, rtol=1e-3, atol=1e-5)


def test_scores_are_means_over_different_crops() -> None:
    model = FullyConnected(small_encoder(), (SIZE, SIZE), CLASSES, (8,), 0.5, 9600)
    kept, split = Kept(0.2), single_label("test", 12, 1)
    found = Crops(kept, 10).scores(model, split, Runtime())
    assert len(kept.made) == 10
    assert not torch.equal(kept.made[0], kept.made[1])
    with torch.no_grad():
        each = torch.stack([model.eval()(images) for images in kept.made])
    np.testing.assert_allclose(found, each.mean(0).numpy(), rtol=1e-5, atol=1e-6)
    assert each.std(0).min() > 0


def with_boxes(split: Split, difficult: bool) -> Split:
    """Every second image shows class 0 by one difficult object alone."""
    labels = np.asarray(split.labels).copy()
    labels[:, 0] = np.arange(len(labels)) % 4 == 1
    labels[:, 1] = 1 - labels[:, 0]
    rows = [(i, 1 - int(labels[i, 0]), False) for i in range(len(labels))]
    rows += [(i, 0, True) for i in range(0, len(labels), 2)] if difficult else []
    rows.sort()
    boxes = Boxes(
        np.searchsorted([i for i, _, _ in rows], np.arange(len(labels) + 1)),
        np.tile(np.array([[0, 0, 8, 8]], np.float32), (len(rows), 1)),
        np.array([label for _, label, _ in rows]),
        np.array([hard for _, _, hard in rows]),
    )
    return make_split(split.name, split.pixels, labels=labels[:, :2].astype(np.uint8), boxes=boxes)


def test_difficult_objects_neither_teach_nor_count() -> None:
    made = replace(small(Zhang16FinetuneFc8, iterations=6), augment=Kept(0), crops=1, dropout=0.0)
    masked, plain = (with_boxes(multi_label("train", 40, 1), hard) for hard in (True, False))
    val = with_boxes(multi_label("val", 20, 2), True)
    # Where the entry is masked its label teaches nothing: the other class's head is the same, its own is not.
    one, other = (
        made.fit(small_encoder(), train, val, Runtime()).model.head[-1] for train in (masked, plain)
    )
    assert isinstance(one, nn.Linear)
    assert isinstance(other, nn.Linear)
    torch.testing.assert_close(one.weight[1], other.weight[1])
    assert not torch.allclose(one.weight[0], other.weight[0])
    rows = made.fit(small_encoder(), masked, val, Runtime()).predict(val)["conv5"]
    assert rows["difficult"][:, 0].tolist() == [i % 2 == 0 for i in range(20)]
    better = {**rows, "scores": np.where(rows["difficult"], 99, rows["scores"])}
    for metric in made.metrics(val).values():
        assert metric(rows) == metric(better)


def test_yamls_state_what_is_published() -> None:
    for kind in KINDS:
        made = instantiate(OmegaConf.load(CONF / f"{kind.name}.yaml"), _convert_="all")
        assert made == kind()
        assert made.recipe.steps(5000) == 80_000
        assert (made.recipe.batch_size, made.recipe.lr, made.crops) == (16, 1e-3, 10)
        for step, share in ((9_999, 1), (10_000, 0.5), (19_999, 0.5), (20_000, 0.25), (79_999, 0.5**7)):
            assert made.recipe.factor(step, 80_000) == pytest.approx(share)
    assert facts(Zhang16Finetune()).frozen == "BN statistics"
    assert facts(Zhang16Finetune()).cost == "80000 steps"
    assert facts(Zhang16FinetuneFc()).frozen == "encoder"
    assert facts(Zhang16FinetuneFc()).cost == "augmented; 80000 steps"
    assert facts(Zhang16FinetuneFc8()).chosen == "nothing"


def test_fc6_sees_as_many_numbers_as_alexnets() -> None:
    model = FullyConnected(Encoder(Lightness(), AlexNet(1)), (227, 227), 20, (16, 16), 0.5, 9600)
    widths = [(layer.in_features, layer.out_features) for layer in model.head if isinstance(layer, nn.Linear)]
    assert widths == [(9216, 16), (16, 16), (16, 20)]
    for layer in model.head:
        if isinstance(layer, nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.2)
            assert (layer.bias == 0.1).all()


def test_bad_input_is_named() -> None:
    good, encoder = np.arange(40) % 3, small_encoder()
    made = small(Zhang16FinetuneFc8, iterations=1)
    with pytest.raises(ValueError, match="no example of class 1, 3"):
        made.fit(encoder, labelled(good * 2), labelled(good, "val"), Runtime())
    with pytest.raises(ValueError, match="split 'val': example 1 has label 4; train has 3 classes"):
        made.fit(encoder, labelled(good), labelled(np.array([0, 4]), "val"), Runtime())
    fitted = made.fit(encoder, labelled(good), labelled(good, "val"), Runtime())
    with pytest.raises(ValueError, match="split 'test' has several classes an image"):
        fitted.predict(labelled(np.eye(3, dtype=np.uint8), "test"))
    for name, value in (("crops", 0), ("hidden", (0,)), ("dropout", 1.0), ("dimension", 0)):
        with pytest.raises(ValueError, match=f"zhang16_finetune: {name}="):
            Zhang16Finetune(**{name: value})
    with pytest.raises(ValueError, match=r"zhang16_finetune_fc8: recipe=.* is out of range"):
        Zhang16FinetuneFc8(recipe=Zhang16Finetune().recipe)
