"""Hypercolumns: what no stage knows alone, and the head as one convolution on all maps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import CLASSES, SIZE, masked, one_hot_mask, planted, small_encoder
from sheet_cut import cut
from torch.nn import functional as F

from downstream.features.extraction import frozen
from downstream.heads.linear_grid import LinearGrid
from downstream.metrics.scores import confusion
from downstream.protocol import Runtime
from downstream.segmentation.hypercolumn import COLUMN, Cells, Hypercolumn
from downstream.segmentation.linear import SegmentationLinear
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.encoder import Encoder

GRID = LinearGrid(lrs=(1e-2, 1e-1), weight_decays=(0.0, 1e-4), epochs=6, batch_size=256)
COLUMNS = Hypercolumn(grid=GRID, pixels=32, val_pixels=64)


def splits(permuted: bool = False) -> tuple[Split, Split]:
    return masked("train", 120, 1, permuted), masked("val", 60, 2, permuted)


def score(
    protocol: Hypercolumn | SegmentationLinear, encoder: Encoder, cache: Path, permuted: bool = False
) -> float:
    fitted = protocol.fit(encoder, *splits(permuted), Runtime(cache=cache))
    test = masked("test", 100, 3)
    return protocol.metrics(test)["mIoU"](fitted.predict(test)[fitted.stage])


def in_halves() -> Encoder:
    """The first stage shows pairs of classes, the second which of a pair: the first has that as an XOR."""

    def low(x: torch.Tensor) -> torch.Tensor:
        classes = x[:, 1].round().long()
        noise, even = x[:, 0].round().long() % 2, ((classes == 2) | (classes == 4)).long()
        pairs = [classes == 0, (classes == 1) | (classes == 2), classes >= 3]
        return torch.stack([*pairs, noise, noise ^ even], 1).float()

    def high(x: torch.Tensor) -> torch.Tensor:
        even = (x[:, 3] - x[:, 4]).abs()
        return torch.stack([even, 1 - even], 1)

    return planted("halves", (Stage("low", 5, 1), low), (Stage("high", 2, 1), high))


def test_a_column_knows_what_no_stage_knows_alone(tmp_path: Path) -> None:
    alone = SegmentationLinear(grid=GRID, pixels=32, val_pixels=64)
    assert score(alone, in_halves(), tmp_path) < 0.7
    assert score(COLUMNS, in_halves(), tmp_path) == 1.0


def test_mask_features_give_everything(tmp_path: Path) -> None:
    assert score(COLUMNS, one_hot_mask(1), tmp_path) == 1.0


def test_permuted_masks_stay_at_chance_through_selection(tmp_path: Path) -> None:
    assert score(COLUMNS, one_hot_mask(1), tmp_path, permuted=True) < 0.25


def test_head_is_one_convolution_on_all_maps_upsampled(tmp_path: Path) -> None:
    encoder, runtime = small_encoder(), Runtime(cache=tmp_path)
    fitted = COLUMNS.fit(encoder, *splits(), runtime)
    test = masked("test", 5, 3)
    with frozen(encoder, runtime) as forward:
        maps = forward(torch.from_numpy(test.pixels[:]).permute(0, 3, 1, 2) / 255).maps
    column = torch.cat(
        [
            F.interpolate(maps[s], (SIZE, SIZE), mode="bilinear", align_corners=False)
            for s in encoder.stage_names
        ],
        1,
    )
    heads = [fitted.column.heads[stage] for stage in encoder.stage_names]
    mean = torch.cat([head.scaling.mean for head in heads])
    inverse = torch.cat([head.scaling.inverse for head in heads])
    weight = torch.cat([head.weight for head in heads])
    standard = (column - mean[:, None, None]) * inverse[:, None, None]
    logits = F.conv2d(standard, weight.T[:, :, None, None], heads[0].bias) + fitted.column.place
    assert test.masks is not None
    wanted = confusion(logits.argmax(1).numpy(), test.masks, CLASSES)
    found = fitted.predict(test)[COLUMN]["confusion"]
    # Rounding may move a pixel whose two best classes are equal to six digits.
    assert np.abs(found.astype(int) - wanted).sum() <= 2


def test_place_is_known_without_features(tmp_path: Path) -> None:
    """Halves of the image that features cannot tell apart: the cells do, as finely as they are cut."""
    blank = planted("blank", (Stage("only", 1, 1), lambda x: torch.rand(len(x), 1, SIZE, SIZE)))
    half = np.zeros((SIZE, SIZE), dtype=np.uint8)
    half[:, SIZE // 2 :] = 1
    train, val = (replace(split, masks=np.tile(half, (len(split), 1, 1))) for split in splits())
    fitted = replace(COLUMNS, cell=SIZE // 4).fit(blank, train, val, Runtime(cache=tmp_path))
    assert COLUMNS.metrics(val)["mIoU"](fitted.predict(val)[COLUMN]) == 1.0


def test_cells_cut_an_image_that_they_do_not_divide() -> None:
    cells = Cells(5, 7, 3)
    assert cells.count == 6
    wanted = [[0, 0, 0, 1, 1, 1, 2]] * 3 + [[3, 3, 3, 4, 4, 4, 5]] * 2
    np.testing.assert_array_equal(cells.of(np.arange(35)).reshape(5, 7), wanted)
    np.testing.assert_array_equal(cells.one_hot(np.arange(35)).argmax(1).reshape(5, 7), wanted)


def test_every_setting_is_tried_once_and_val_chooses(tmp_path: Path) -> None:
    fitted = replace(COLUMNS, adjustments=(0.0, 0.5)).fit(small_encoder(), *splits(), Runtime(cache=tmp_path))
    assert len(fitted.trials) == 4 * 2
    assert {trial.stage for trial in fitted.trials} == {fitted.stage} == {COLUMN}
    assert fitted.selected == max(fitted.trials, key=lambda trial: trial.val).setting


@pytest.mark.parametrize("wrong", [{"cell": 0}, {"pixels": 0}, {"val_pixels": -1}, {"adjustments": ()}])
def test_bad_settings_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(COLUMNS, **wrong)


def test_pictures_show_image_truth_and_prediction(tmp_path: Path) -> None:
    few = masked("test", 3, 3)
    picture = COLUMNS.fit(one_hot_mask(1), *splits(), Runtime(cache=tmp_path)).show(few)
    image, truth, prediction = (cut(picture, 0, k, 3, (SIZE, SIZE)) for k in range(3))
    np.testing.assert_array_equal(image, few.pixels[:][0])
    np.testing.assert_array_equal(truth, prediction)
