"""Fine-tuned classification: equal to its frozen twin at rate 0, and better than it where it can learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from planted import CLASSES, multi_label, single_label, small_encoder
from recipes import by_epochs
from torch import Tensor
from torch.nn import functional as F

from downstream.classification.finetune import ClassificationFinetune, normalised
from downstream.features.extraction import Key, extract
from downstream.features.pooling import GridPool
from downstream.protocol import Runtime
from downstream.tuning.finetuning import finetune, seeded
from pretext.data.dataset import Split
from pretext.data.split import make_split


def test_rate_zero_with_still_batchnorm_equals_the_same_head_on_frozen_features(tmp_path: Path) -> None:
    runtime, encoder = Runtime(cache=tmp_path, seed=3), small_encoder()
    train, val, test = (single_label(name, n, n) for name, n in (("train", 90), ("val", 30), ("test", 40)))
    recipe = by_epochs(epochs=3, batch_size=16, lr=0.01, backbone_lr=0.0)
    fitted = ClassificationFinetune(recipe=recipe, flip=False).fit(encoder, train, val, runtime)
    found = fitted.predict(test)["conv5"]["scores"]

    key = Key("conv5", GridPool(1))
    frozen = torch.from_numpy(np.array(extract(encoder, train, (GridPool(1),), runtime)[key]))
    labels = torch.from_numpy(np.asarray(train.labels))
    with seeded(runtime.seed, runtime.device):
        head = normalised(encoder.backbone.stage("conv5").channels, CLASSES)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        return F.cross_entropy(head(frozen[index]), labels[index])

    finetune(head, loss, len(train), recipe, runtime)
    with torch.no_grad():
        wanted = head(torch.from_numpy(np.array(extract(encoder, test, (GridPool(1),), runtime)[key])))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    assert np.abs(found).max() > 0.05


def textured(name: str, examples: int, seed: int, several: bool = False) -> Split:
    """Stripes along rows or columns: mean colour says nothing, an encoder can learn to tell."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, examples)
    stripes = 160 * (np.arange(16) // 2 % 2)
    rows = np.broadcast_to(stripes[:, None], (16, 16))
    pixels = np.where(labels[:, None, None] == 1, rows, rows.T)[..., None]
    pixels = pixels + generator.integers(0, 90, (examples, 16, 16, 3))
    targets = np.stack([labels, 1 - labels], 1).astype(np.uint8) if several else labels
    return make_split(name, pixels.astype(np.uint8), labels=targets)


@pytest.mark.parametrize("several", [False, True])
def test_training_end_to_end_learns_and_leaves_the_encoder_alone(tmp_path: Path, several: bool) -> None:
    encoder = small_encoder()
    digest = encoder.digest()
    protocol = ClassificationFinetune(recipe=by_epochs(epochs=6, batch_size=16, lr=0.01), lrs=(1e-5, 0.01))
    splits = textured("train", 96, 0, several), textured("val", 48, 1, several)
    fitted = protocol.fit(encoder, *splits, Runtime(cache=tmp_path))
    test = textured("test", 100, 2, several)
    value = next(iter(protocol.metrics(test).values()))(fitted.predict(test)["conv5"])
    assert value > 0.95
    assert fitted.train_score > 0.95
    assert fitted.selected == {"lr": 0.01}
    assert [trial.setting["lr"] for trial in fitted.trials] == [1e-5, 0.01]
    assert encoder.digest() == digest
    assert all(p.grad is None for p in encoder.parameters())
    assert fitted.model.encoder.digest() != digest


def test_permuted_labels_stay_at_chance(tmp_path: Path) -> None:
    protocol = ClassificationFinetune(recipe=by_epochs(epochs=2, batch_size=16), lrs=(1e-3, 1e-2))
    splits = single_label("train", 100, 0, permuted=True), single_label("val", 50, 1, permuted=True)
    fitted = protocol.fit(small_encoder(), *splits, Runtime(cache=tmp_path))
    test = single_label("test", 1000, 2)
    value = protocol.metrics(test)["top1"](fitted.predict(test)["conv5"])
    assert value == pytest.approx(1 / CLASSES, abs=0.05)


def test_same_seed_same_rows(tmp_path: Path) -> None:
    protocol = ClassificationFinetune(recipe=by_epochs(epochs=1, batch_size=16))
    splits = multi_label("train", 40, 0), multi_label("val", 20, 1)
    test = multi_label("test", 10, 2)

    def scores(seed: int) -> np.ndarray:
        fitted = protocol.fit(small_encoder(), *splits, Runtime(cache=tmp_path, seed=seed))
        return fitted.predict(test)["conv5"]["scores"]

    np.testing.assert_array_equal(scores(0), scores(0))
    assert not np.array_equal(scores(0), scores(1))


def test_chosen_stage_is_classified_from_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    recipe = by_epochs(epochs=1)
    splits = single_label("train", 20, 0), single_label("val", 10, 1)
    fitted = ClassificationFinetune(recipe=recipe, stage="conv2").fit(
        small_encoder(), *splits, Runtime(cache=tmp_path)
    )
    assert list(fitted.predict(splits[1])) == [fitted.stage] == ["conv2"]
    with pytest.raises(ValueError, match=r"no stage 'fc7'; its stages are: conv1, conv2"):
        ClassificationFinetune(recipe=recipe, stage="fc7").fit(small_encoder(), *splits, Runtime())


def test_labels_are_checked_before_training(tmp_path: Path) -> None:
    protocol = ClassificationFinetune()
    with pytest.raises(ValueError, match="split 'val' has several classes an image, train has one"):
        protocol.fit(small_encoder(), single_label("train", 20, 0), multi_label("val", 20, 1), Runtime())
