"""Fast R-CNN: what regions see, what the loss samples, training on given regions, the published settings."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rectangles import rectangles, small

from downstream.detection.average_precision import METRICS
from downstream.detection.baselines import ConstantBox
from downstream.detection.boxes import mirror_targets
from downstream.detection.fast_rcnn import FastRcnnDetector
from downstream.detection.zhang16_fast_rcnn import Zhang16FastRcnn
from downstream.judge.catalogue import facts
from downstream.protocol import Runtime
from downstream.tuning.finetuning import Optimiser
from pretext import inputs
from pretext.backbones.alexnet import AlexNet
from pretext.encoder import Encoder

PUBLISHED = Zhang16FastRcnn()
QUICK = replace(
    PUBLISHED,
    recipe=replace(PUBLISHED.recipe, iterations=3, milestones=(2,)),
    scales=(10, 30),
    hidden=32,
    min_sizes=(64,),
    max_size=64,
)


def detector(classes: int = 3, min_sizes: tuple[int, ...] = (64,)) -> FastRcnnDetector:
    torch.manual_seed(0)
    encoder = small()
    return FastRcnnDetector(encoder, encoder.backbone.stage("conv5"), classes, 8, 32, 0.0, min_sizes, 128)


def test_settings_are_the_published_ones() -> None:
    recipe = PUBLISHED.recipe
    steps = (0, 49_999, 50_000, 99_999, 100_000, 149_999)
    rates = [recipe.lr * recipe.factor(step, recipe.iterations) for step in steps]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert (recipe.iterations, recipe.batch_size, recipe.weight_decay) == (150_000, 2, 5e-4)
    assert (facts(PUBLISHED).frozen, facts(PUBLISHED).chosen) == ("BN statistics", "nothing")


def test_alexnet_has_the_published_shapes() -> None:
    encoder = Encoder(inputs.build("rgb"), AlexNet(3))
    made = FastRcnnDetector(encoder, encoder.stages[-1], 20, 64, 4096, 0.5, (400, 600), 1000)
    fc6 = made.heads.box_head[1]
    assert fc6.weight.shape == (4096, 256 * 6 * 6)
    assert made.heads.box_predictor.cls_score.weight.shape == (21, 4096)
    assert made.heads.box_predictor.bbox_pred.weight.shape == (84, 4096)
    with torch.no_grad():
        images, sizes, _, regions = made.eval()._resized(
            torch.rand(1, 3, 300, 400), [{"proposals": torch.tensor([[40.0, 30.0, 240.0, 180.0]])}]
        )
        assert sizes == [(600, 800)]
        torch.testing.assert_close(regions[0], torch.tensor([[80.0, 60.0, 480.0, 360.0]]))
        maps = made.encoder(images, stop="conv5").maps
        assert made.heads.box_roi_pool(maps, regions, sizes).shape == (1, 256, 6, 6)


def test_regions_see_the_largest_activations_of_their_cells() -> None:
    """A region of 48 × 96 pixels at stride 8: 6 × 12 cells of the map, pooled to 6 × 6."""
    made = detector(min_sizes=(128,)).eval()
    values = torch.rand(1, 16, 16, 16)
    region = torch.tensor([[16.0, 8.0, 16.0 + 88, 8.0 + 40]])  # RoI pooling counts the last pixel in
    pooled = made.heads.box_roi_pool({"conv5": values}, [region], [(128, 128)])
    cells = values[0, :, 1:7, 2:14]
    torch.testing.assert_close(pooled[0], cells.reshape(16, 6, 6, 2).amax(3))


def test_background_lies_near_objects_but_for_images_without_any() -> None:
    made, seen = detector(), []
    made.heads.box_roi_pool.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    proposals = torch.tensor([[0.0, 0, 20, 20], [10, 0, 30, 20], [19, 0, 39, 20], [40, 40, 60, 60]])
    one = {"boxes": proposals[:1], "labels": torch.tensor([2]), "proposals": proposals[1:]}
    none = {"boxes": proposals[:0], "labels": torch.zeros(0, dtype=torch.int64), "proposals": proposals}
    loss = made.train().loss(torch.rand(2, 3, 64, 64), [one, none])
    assert torch.isfinite(loss)
    (regions,) = seen
    # Overlaps with the object: 1/3, 1/39 and 0. The object is a region itself.
    assert sorted(regions[0].tolist()) == proposals[:2].tolist()
    assert sorted(regions[1].tolist()) == sorted(proposals.tolist())


def test_losses_by_hand() -> None:
    """Zeroed predictors: every class equally likely, no box moved."""
    made = detector().train()
    for layer in (made.heads.box_predictor.cls_score, made.heads.box_predictor.bbox_pred):
        torch.nn.init.zeros_(layer.weight)
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    target = {"boxes": box, "labels": torch.tensor([1]), "proposals": box + torch.tensor([0.0, 0, 8, 0])}
    loss = made.loss(torch.rand(1, 3, 64, 64), [target])
    # Two regions: the object, and one 8 px wider. Its offsets: centre 4 px of 40, width ln(32 / 40); smooth
    # L1 with β 1/9 of ten and five times that, over two regions.
    offsets = np.array([10 * 4 / 40, 5 * np.log(40 / 32)])
    moved = np.where(offsets < 1 / 9, offsets**2 * 4.5, offsets - 1 / 18).sum() / 2
    assert loss.item() == pytest.approx(np.log(4) + moved, rel=1e-5)


def test_detections_lie_in_the_images_own_pixels() -> None:
    made = detector(min_sizes=(128,)).eval()
    proposals = [torch.tensor([[4.0, 4.0, 60.0, 30.0]]), torch.tensor([[10.0, 20.0, 30.0, 64.0]])]
    with torch.no_grad():
        torch.nn.init.zeros_(made.heads.box_predictor.bbox_pred.weight)
        found = made.detect(torch.rand(2, 3, 64, 64), [{"proposals": boxes} for boxes in proposals])
    for image, boxes in zip(found, proposals, strict=True):
        assert sorted(image["labels"].tolist()) == [0, 1, 2]
        torch.testing.assert_close(image["boxes"], boxes.expand(3, 4))


def test_proposals_are_mirrored_with_the_boxes() -> None:
    target = {"boxes": torch.tensor([[1.0, 2.0, 5.0, 6.0]]), "labels": torch.tensor([0]),
              "proposals": torch.tensor([[0.0, 0.0, 10.0, 3.0]])}  # fmt: skip
    kept, turned = mirror_targets([target, target], torch.tensor([False, True]), 20)
    assert kept["proposals"].tolist() == [[0, 0, 10, 3]]
    assert turned["boxes"].tolist() == [[15, 2, 19, 6]]
    assert turned["proposals"].tolist() == [[10, 0, 20, 3]]


@pytest.mark.slow
def test_training_moves_a_copy_and_beats_chance(tmp_path: Path) -> None:
    train, test = rectangles(64, 0), rectangles(48, 1, "test")
    recipe = replace(QUICK.recipe, iterations=150, milestones=(), batch_size=8, optimiser=Optimiser.ADAMW)
    encoder, runtime = small(), Runtime(cache=tmp_path)
    before = copy.deepcopy(encoder.state_dict())
    fitted = replace(QUICK, recipe=recipe, hidden=128).fit(encoder, train, test, runtime)
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in before.items())
    rows = fitted.predict(test)["conv5"]
    chance = ConstantBox().fit(train, test, runtime)(test)
    assert METRICS["ap50"](rows) > METRICS["ap50"](chance) + 0.3


def test_the_seed_decides(tmp_path: Path) -> None:
    images = rectangles(6, 3)

    def scores(seed: int) -> list[float]:
        fitted = QUICK.fit(small(), images, images, Runtime(cache=tmp_path, seed=seed))
        return list(fitted.detect(images).scores)

    assert scores(0) == scores(0) != scores(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scales": ()}, r"scales=\(\) is out of range"),
        ({"regions_found": 0}, "regions_found=0 is out of range"),
        ({"regions": 0}, "regions=0 is out of range"),
        ({"hidden": 0}, "hidden=0 is out of range"),
        ({"dropout": 1.0}, r"dropout=1\.0 is out of range"),
        ({"max_size": 500}, r"1 ≤ min_sizes ≤ max_size .*\(400, 500, 700, 600\) and 500"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=f"zhang16_fast_rcnn: {message}"):
        Zhang16FastRcnn(**settings)  # type: ignore[arg-type]


def test_an_unknown_stage_is_named(tmp_path: Path) -> None:
    images = rectangles(2, 3)
    with pytest.raises(ValueError, match="no stage 'fc7'; its stages are: conv1, conv2, conv3, conv4, conv5"):
        replace(QUICK, stage="fc7").fit(small(), images, images, Runtime(cache=tmp_path))
