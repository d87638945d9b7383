"""Segmentation, frozen and fine-tuned, on masks that are planted in the pixels."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import CLASSES, SIZE, constant, masked, one_hot_mask, planted, small_encoder
from recipes import by_epochs
from sheet_cut import cut
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from torchvision.models.segmentation.fcn import FCNHead

from downstream.features.extraction import frozen, load_images
from downstream.heads.linear_grid import LinearGrid
from downstream.metrics.scores import confusion, miou
from downstream.protocol import Protocol, Runtime
from downstream.segmentation.baselines import blind_segmenters
from downstream.segmentation.fcn import FCNFinetune
from downstream.segmentation.linear import SegmentationLinear
from downstream.segmentation.pictures import palette, side_by_side
from downstream.segmentation.pixel_heads import convolve
from downstream.tuning.finetuning import finetune, seeded
from pretext.backbones import Stage
from pretext.data.dataset import IGNORE, Split
from pretext.data.split import make_split
from pretext.encoder import Encoder

GRID = LinearGrid(lrs=(1e-2, 1e-1), weight_decays=(0.0, 1e-4), epochs=6, batch_size=256)
LINEAR = SegmentationLinear(grid=GRID, pixels=32, val_pixels=64)


def splits(permuted: bool = False, ignore: bool = False) -> tuple[Split, Split]:
    return masked("train", 120, 1, permuted, ignore), masked("val", 60, 2, permuted, ignore)


def score(protocol: Protocol, encoder: Encoder, runtime: Runtime, permuted: bool = False) -> float:
    fitted = protocol.fit(encoder, *splits(permuted), runtime)
    test = masked("test", 100, 3)
    return protocol.metrics(test)["mIoU"](fitted.predict(test)[fitted.stage])


def test_mask_features_at_full_resolution_give_everything(tmp_path: Path) -> None:
    assert score(LINEAR, one_hot_mask(1), Runtime(cache=tmp_path)) == 1.0


@pytest.mark.parametrize("stride", [2, 4])
def test_mask_features_reach_the_ceiling_of_their_stride(tmp_path: Path, stride: int) -> None:
    """The ceiling: softmax regression on every training pixel of the upsampled maps, by scikit-learn."""

    def pixels(split: Split) -> tuple[np.ndarray, np.ndarray]:
        masks = np.asarray(split.masks)
        one_hot = F.one_hot(torch.from_numpy(masks).long(), CLASSES).permute(0, 3, 1, 2).float()
        cells = F.avg_pool2d(one_hot, stride)
        upsampled = F.interpolate(cells, (SIZE, SIZE), mode="bilinear", align_corners=False)
        return upsampled.permute(0, 2, 3, 1).reshape(-1, CLASSES).numpy(), masks

    train, test = pixels(splits()[0]), pixels(masked("test", 100, 3))
    oracle = LogisticRegression(C=1e4, max_iter=500).fit(train[0], train[1].ravel())
    ceiling = miou(confusion(oracle.predict(test[0]).reshape(test[1].shape), test[1], CLASSES))
    assert 0.5 < ceiling < 0.95
    found = score(LINEAR, one_hot_mask(stride), Runtime(cache=tmp_path))
    assert found == pytest.approx(ceiling, abs=0.03)


def test_constant_features_predict_the_background(tmp_path: Path) -> None:
    test = masked("test", 100, 3)
    fitted = LINEAR.fit(constant(), *splits(), Runtime(cache=tmp_path))
    blind = blind_segmenters()["all_background"].fit(*splits(), Runtime())(test)
    np.testing.assert_array_equal(fitted.predict(test)["constant"]["confusion"], blind["confusion"])


def test_permuted_masks_stay_at_chance_through_selection(tmp_path: Path) -> None:
    test = masked("test", 100, 3)
    chance = max(
        LINEAR.metrics(test)["mIoU"](predictor.fit(*splits(), Runtime())(test))
        for predictor in blind_segmenters().values()
    )
    assert score(LINEAR, one_hot_mask(1), Runtime(cache=tmp_path), permuted=True) <= chance + 0.05


def test_head_is_a_convolution_on_standardised_maps(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    fitted = LINEAR.fit(encoder, *splits(), runtime)
    test = masked("test", 5, 3)
    head = fitted.chosen["conv2"].head
    with frozen(encoder, runtime) as forward:
        maps = forward(torch.from_numpy(test.pixels[:]).permute(0, 3, 1, 2) / 255).maps["conv2"]
    standard = (maps - head.scaling.mean[:, None, None]) * head.scaling.inverse[:, None, None]
    logits = F.conv2d(standard, head.weight.T[:, :, None, None], head.bias)
    torch.testing.assert_close(convolve(head, maps), logits, atol=1e-4, rtol=1e-4)
    upsampled = F.interpolate(logits, (SIZE, SIZE), mode="bilinear", align_corners=False).argmax(1)
    assert test.masks is not None
    wanted = confusion(upsampled.numpy(), test.masks, CLASSES)
    np.testing.assert_array_equal(fitted.predict(test)["conv2"]["confusion"], wanted)


def test_every_stage_and_setting_is_tried(tmp_path: Path) -> None:
    fitted = LINEAR.fit(small_encoder(), *splits(), Runtime(cache=tmp_path))
    assert len(fitted.trials) == 5 * 4
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert (fitted.stage, fitted.selected) == (best.stage, best.setting)
    rows = fitted.predict(masked("test", 10, 3))
    assert set(rows) == set(small_encoder().stage_names)
    assert all(r["confusion"].shape == (10, CLASSES, CLASSES) for r in rows.values())
    deepest = replace(LINEAR, deepest=2).fit(small_encoder(), *splits(), Runtime(cache=tmp_path))
    assert {trial.stage for trial in deepest.trials} == {"conv4", "conv5"}


def test_adjustment_takes_the_share_of_each_class_off_its_logit(tmp_path: Path) -> None:
    runtime = Runtime(cache=tmp_path)
    even = replace(LINEAR, adjustments=(1.0,)).fit(constant(), *splits(), runtime).chosen["constant"].head
    plain = LINEAR.fit(constant(), *splits(), runtime).chosen["constant"].head
    train = splits()[0]
    counts = np.bincount(np.asarray(train.masks).ravel(), minlength=CLASSES)
    # A constant feature leaves the shares as the only thing to learn: nothing is left without them.
    assert float(plain.bias.max() - plain.bias.min()) == pytest.approx(
        np.log(counts.max() / counts.min()), rel=0.1
    )
    assert float(even.bias.max() - even.bias.min()) < 0.3


def test_adjustments_are_tried_beside_the_plain_head(tmp_path: Path) -> None:
    runtime = Runtime(cache=tmp_path)
    plain = LINEAR.fit(small_encoder(), *splits(), runtime)
    both = replace(LINEAR, adjustments=(0.0, 0.5)).fit(small_encoder(), *splits(), runtime)
    assert [t for t in both.trials if t.setting["adjustment"] == 0] == list(plain.trials)
    assert len(both.trials) == 2 * len(plain.trials)
    assert max(t.val for t in both.trials) > max(t.val for t in plain.trials)
    assert both.selected["adjustment"] == 0.5
    with pytest.raises(ValueError, match="adjustments is empty"):
        replace(LINEAR, adjustments=())


def test_val_score_on_all_pixels_is_the_metric_on_val(tmp_path: Path) -> None:
    encoder = one_hot_mask(1)
    train, val = splits(ignore=True)
    every = replace(LINEAR, val_pixels=SIZE * SIZE)
    fitted = every.fit(encoder, train, val, Runtime(cache=tmp_path))
    value = every.metrics(val)["mIoU"](fitted.predict(val)["mask"])
    assert value == pytest.approx(fitted.chosen["mask"].trial.val, abs=1e-3)


def test_unlabelled_pixels_are_neither_learned_nor_scored(tmp_path: Path) -> None:
    train, val = splits(ignore=True)
    encoder = one_hot_mask(1)
    fitted = LINEAR.fit(encoder, train, val, Runtime(cache=tmp_path))
    test = masked("test", 50, 3, ignore=True)
    assert test.masks is not None
    rows = fitted.predict(test)["mask"]
    assert LINEAR.metrics(test)["mIoU"](rows) == 1.0
    labelled = (test.masks != IGNORE).sum((1, 2))
    np.testing.assert_array_equal(rows["confusion"].sum((1, 2)), labelled)


def test_metrics_name_the_classes_of_the_split(tmp_path: Path) -> None:
    test = masked("test", 20, 3, ignore=True)
    metrics = LINEAR.metrics(test)
    assert list(metrics) == ["mIoU", "pixel_accuracy", *(f"IoU_{k}" for k in range(CLASSES))]
    fitted = LINEAR.fit(one_hot_mask(4), *splits(), Runtime(cache=tmp_path))
    rows = fitted.predict(test)["mask"]
    each = [metrics[f"IoU_{k}"](rows) for k in range(CLASSES)]
    assert metrics["mIoU"](rows) == pytest.approx(np.mean(each))
    total = rows["confusion"].sum(0)
    assert metrics["pixel_accuracy"](rows) == pytest.approx(np.trace(total) / total.sum())


def with_masks(masks: np.ndarray, name: str = "train", size: int = SIZE) -> Split:
    pixels = np.zeros((len(masks), size, size, 3), dtype=np.uint8)
    return Split(name, pixels, f"{name}{masks.shape}{masks.sum()}", masks=masks)


@pytest.mark.parametrize("protocol", [LINEAR, FCNFinetune(recipe=by_epochs(epochs=1))])
def test_bad_masks_are_named(protocol: Protocol, tmp_path: Path) -> None:
    encoder, good = small_encoder(), splits()
    runtime = Runtime(cache=tmp_path)

    def fit(train: Split, val: Split) -> Callable[[], object]:
        return lambda: protocol.fit(encoder, train, val, runtime)

    unlabelled = make_split("train", np.zeros((3, SIZE, SIZE, 3), dtype=np.uint8))
    other_size = with_masks(np.zeros((4, SIZE, SIZE + 1), dtype=np.uint8))
    gap = np.zeros((4, SIZE, SIZE), dtype=np.uint8)
    gap[0, 0, 0] = 2
    background = with_masks(np.zeros((4, SIZE, SIZE), dtype=np.uint8))
    foreign = np.zeros((4, SIZE, SIZE), dtype=np.uint8)
    foreign[3, 1, 1] = 9
    cases = {
        "split 'train' has no masks": fit(unlabelled, good[1]),
        "must have the height and width of its image": fit(other_size, good[1]),
        "no pixel of class 1: it cannot": fit(with_masks(gap), good[1]),
        "no pixel of class 1:": fit(background, good[1]),
        "split 'val': the mask of image 3 has class 9; train has 5": fit(good[0], with_masks(foreign, "val")),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()


def test_position_priors_by_hand() -> None:
    masks = np.zeros((4, 2, 2), dtype=np.uint8)
    masks[:3, 0, 0] = 1  # mostly class 1
    masks[0, 1, 1] = 1  # rarely, but class 1 is rare elsewhere as well
    masks[0, 0, 1] = IGNORE
    split = with_masks(masks, size=2)
    # Counts of class 0: [[1, 3], [4, 3]] of 11; of class 1: [[3, 0], [0, 1]] of 4.
    expected = {
        "all_background": [[0, 0], [0, 0]],
        "position_prior": [[1, 0], [0, 0]],
        "balanced_position_prior": [[1, 0], [0, 0]],
        "adjusted_position_prior": [[1, 0], [0, 0]],
    }
    for name, prediction in expected.items():
        rows = blind_segmenters()[name].fit(split, split, Runtime())(split)
        wanted = confusion(np.broadcast_to(np.array(prediction), masks.shape), masks, 2)
        np.testing.assert_array_equal(rows["confusion"], wanted)
    masks[1, 1, 1] = 1  # 2 of 10 against 2 of 5: balanced, the rare class wins where it is at home
    split = with_masks(masks, size=2)
    rows = blind_segmenters()["balanced_position_prior"].fit(split, split, Runtime())(split)
    wanted = confusion(np.broadcast_to(np.array([[1, 0], [0, 1]]), masks.shape), masks, 2)
    np.testing.assert_array_equal(rows["confusion"], wanted)


def test_the_adjusted_prior_takes_the_power_that_is_best_on_val() -> None:
    masks = np.zeros((4, 2, 2), dtype=np.uint8)
    masks[:3, 0, 0] = 1
    masks[:2, 1, 1] = 1
    train = with_masks(masks, size=2)
    # As above: divided by the shares, class 1 also wins at the lower right, which is right on one val only.
    for corner in (0, 1):
        truth = np.array([[1, 0], [0, corner]], dtype=np.uint8)
        val = with_masks(np.broadcast_to(truth, (3, 2, 2)).copy(), "val", size=2)
        rows = blind_segmenters()["adjusted_position_prior"].fit(train, val, Runtime())(val)
        np.testing.assert_array_equal(rows["confusion"], confusion(val.masks, val.masks, 2))


def test_position_prior_refuses_another_size() -> None:
    predict = blind_segmenters()["position_prior"].fit(*splits(), Runtime())
    with pytest.raises(ValueError, match="a position prior needs the same size"):
        predict(with_masks(np.zeros((2, 4, 4), dtype=np.uint8), "test", size=4))


def test_fcn_at_rate_zero_equals_the_same_head_on_frozen_maps(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path, seed=2)
    train, val = splits(ignore=True)
    test = masked("test", 20, 3)
    recipe = by_epochs(epochs=2, batch_size=16, lr=0.01, backbone_lr=0.0)
    fitted = FCNFinetune(recipe=recipe, stage="conv3", flip=False).fit(encoder, train, val, runtime)

    def maps(split: Split) -> torch.Tensor:
        with frozen(encoder, runtime) as forward:
            return forward(load_images(split, slice(None), runtime.device)).maps["conv3"]

    def upsampled(logits: torch.Tensor) -> torch.Tensor:
        return F.interpolate(logits, (SIZE, SIZE), mode="bilinear", align_corners=False)

    with seeded(runtime.seed, runtime.device):
        head = FCNHead(8, CLASSES)
    features, masks = maps(train), torch.from_numpy(np.asarray(train.masks)).long()

    def loss(index: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return F.cross_entropy(upsampled(head(features[index])), masks[index], ignore_index=IGNORE)

    finetune(head, loss, len(train), recipe, runtime)
    with torch.no_grad():
        wanted = upsampled(head(maps(test)))
        found = fitted.model(load_images(test, slice(None), runtime.device))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_fcn_learns_end_to_end_and_leaves_the_encoder_alone(tmp_path: Path) -> None:
    encoder = small_encoder(widths=(16, 16, 16, 16, 16))
    digest = encoder.digest()
    protocol = FCNFinetune(
        recipe=by_epochs(epochs=10, batch_size=16, lr=0.01), lrs=(1e-5, 0.01), stage="conv1"
    )
    bright = [brightened(split) for split in splits()]
    fitted = protocol.fit(encoder, *bright, Runtime(cache=tmp_path))
    test = brightened(masked("test", 50, 3))
    value = protocol.metrics(test)["mIoU"](fitted.predict(test)["conv1"])
    chance = blind_segmenters()["position_prior"].fit(*bright, Runtime())(test)
    assert value > protocol.metrics(test)["mIoU"](chance) + 0.2
    assert fitted.selected == {"lr": 0.01}
    assert fitted.train_score > 0.3
    assert encoder.digest() == digest


def brightened(split: Split) -> Split:
    """Masks that can be seen: the green channel shows the class in steps of 50 levels."""
    pixels = np.array(split.pixels[:]) // 4
    pixels[..., 1] = 50 * split.masks
    return make_split(split.name, pixels, masks=split.masks)


def test_pictures_show_image_truth_and_prediction(tmp_path: Path) -> None:
    few = masked("test", 3, 3, ignore=True)
    assert few.masks is not None
    fitted = LINEAR.fit(one_hot_mask(1), *splits(), Runtime(cache=tmp_path))
    picture = fitted.show(few)
    assert picture.dtype == np.uint8
    for i in range(3):
        image, truth, prediction = (cut(picture, i, k, 3, (SIZE, SIZE)) for k in range(3))
        np.testing.assert_array_equal(image, few.pixels[:][i])
        np.testing.assert_array_equal(truth, palette()[few.masks[i]])
        np.testing.assert_array_equal(prediction, truth)


def test_pictures_name_the_classes_that_they_show() -> None:
    few = masked("test", 3, 3, ignore=True)
    assert few.masks is not None
    plain = side_by_side(few, np.zeros_like(few.masks))
    named = side_by_side(few, np.zeros_like(few.masks), ["ground", "a name that is much longer than others"])
    assert plain.shape[1] == named.shape[1]
    assert not np.array_equal(plain[-60:], named[-60:])
    for label in np.unique(few.masks):
        assert (plain[-60:] == palette()[label]).all(-1).sum() > 100, label


def test_palette_is_pascal_vocs() -> None:
    first = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert [tuple(colour) for colour in palette()[:5].tolist()] == first
    assert tuple(palette()[255].tolist()) == (224, 224, 192)
    assert len(np.unique(palette(), axis=0)) == 256


def test_extra_stage_without_knowledge_is_not_chosen(tmp_path: Path) -> None:
    knows = one_hot_mask(1).backbone.blocks["mask"].function
    encoder = planted(
        "both", (Stage("mask", CLASSES, 1), knows), (Stage("after", CLASSES, 1), torch.zeros_like)
    )
    fitted = LINEAR.fit(encoder, *splits(), Runtime(cache=tmp_path))
    assert fitted.stage == "mask"
