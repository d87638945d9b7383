"""Extraction: one forward pass, exact values, a cache that is whole or absent."""

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import SIZE, masked, one_hot_label, planted, single_label, small_encoder
from torch import Tensor
from torch.nn import functional as F

from downstream.detection.maps import AtMost
from downstream.features import extraction as features
from downstream.features.extraction import Key, batches, extract, load_images
from downstream.features.pooling import GridPool, Maps, PixelSample
from downstream.protocol import Runtime
from pretext.backbones import Features, Stage
from pretext.data.split import limit, make_split


def runtime(folder: Path) -> Runtime:
    return Runtime(cache=folder)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(features.BATCH_PIXELS, "cpu", 8 * SIZE * SIZE)


def count_forwards(monkeypatch: pytest.MonkeyPatch, encoder: torch.nn.Module) -> list[int]:
    sizes: list[int] = []
    plain = encoder.forward

    def counted(rgb: Tensor, start: str | None = None, stop: str | None = None) -> Features:
        sizes.append(len(rgb))
        result: Features = plain(rgb, start, stop)
        return result

    monkeypatch.setattr(encoder, "forward", counted)
    return sizes


@pytest.mark.usefixtures("small_batches")
def test_every_stage_comes_from_one_pass_and_is_what_the_encoder_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, split = small_encoder(), single_label("train", 21, 0)
    sizes = count_forwards(monkeypatch, encoder)
    reductions = (GridPool(1), GridPool(2), Maps(half=False))
    found = extract(encoder, split, reductions, runtime(tmp_path))
    assert sizes == [8, 8, 5]
    with torch.no_grad():
        maps = encoder(torch.from_numpy(split.pixels[:]).permute(0, 3, 1, 2) / 255).maps
    assert {key.stage for key in found} == set(encoder.stage_names)
    for stage, truth in maps.items():
        pooled = truth.mean((2, 3)).numpy()
        np.testing.assert_allclose(found[Key(stage, GridPool(1))], pooled, atol=1e-5)
        cells = F.adaptive_avg_pool2d(truth, 2).flatten(1).numpy()
        np.testing.assert_allclose(found[Key(stage, GridPool(2))], cells, atol=1e-5)
        np.testing.assert_allclose(found[Key(stage, Maps(half=False))], truth.numpy(), atol=1e-5)


def test_second_call_reads_the_same_values_without_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, split = small_encoder(), single_label("train", 10, 0)
    first = extract(encoder, split, (GridPool(1),), runtime(tmp_path))
    sizes = count_forwards(monkeypatch, encoder)
    second = extract(encoder, split, (GridPool(1),), runtime(tmp_path))
    assert sizes == []
    for key, values in first.items():
        assert isinstance(second[key], np.memmap)
        assert not second[key].flags.writeable
        np.testing.assert_array_equal(values, second[key])


def test_whatever_changes_the_values_changes_the_address(tmp_path: Path) -> None:
    encoder, split = small_encoder(), single_label("train", 10, 0)
    where = runtime(tmp_path)
    extract(encoder, split, (GridPool(1),), where)
    extract(small_encoder(seed=1), split, (GridPool(1),), where)
    extract(encoder, single_label("train", 10, 1), (GridPool(1),), where)
    extract(encoder, split, (GridPool(2),), where)
    extract(encoder, split, (GridPool(1),), where, stages=("conv2",))
    extract(encoder, split, (GridPool(1),), replace(where, autocast=torch.bfloat16))
    assert len(list((tmp_path / "features").iterdir())) == 6


def test_chosen_stages_stop_the_pass_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, split = small_encoder(), single_label("train", 4, 0)
    ran: list[str] = []
    for name, block in encoder.backbone.blocks.items():
        block.register_forward_hook(lambda *_, name=name: ran.append(name))
    found = extract(encoder, split, (GridPool(1),), runtime(tmp_path), stages=("conv3", "conv1"))
    assert [key.stage for key in found] == ["conv1", "conv3"]
    assert ran == ["conv1", "conv2", "conv3"]
    with pytest.raises(ValueError, match="no stage 'conv9'; its stages are: conv1, conv2"):
        extract(encoder, split, (GridPool(1),), runtime(tmp_path), stages=("conv9",))


def test_encoder_is_left_as_it_was(tmp_path: Path) -> None:
    encoder, split = small_encoder(), single_label("train", 8, 0)
    encoder.train()
    encoder.backbone.blocks["conv2"].eval()
    modes = [module.training for module in encoder.modules()]
    digest = encoder.digest()
    found = extract(encoder, split, (GridPool(1),), runtime(tmp_path))
    assert [module.training for module in encoder.modules()] == modes
    assert encoder.digest() == digest
    evaluated = extract(encoder.eval(), split, (GridPool(1),), runtime(tmp_path / "again"))
    for key, values in found.items():
        np.testing.assert_array_equal(values, evaluated[key])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("small_batches")
def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    def die(what: str, done: int, total: int) -> None:
        if done >= 16:
            os.kill(os.getpid(), signal.SIGKILL)

    encoder, split = small_encoder(), single_label("train", 32, 0)
    child = os.fork()
    if child == 0:
        try:
            extract(encoder, split, (GridPool(1),), Runtime(cache=tmp_path, progress=die))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    (leftover,) = (tmp_path / "features").iterdir()
    assert leftover.name.startswith(".")
    found = extract(encoder, split, (GridPool(1),), runtime(tmp_path))
    fresh = extract(encoder, split, (GridPool(1),), runtime(tmp_path / "fresh"))
    for key, values in fresh.items():
        np.testing.assert_array_equal(values, found[key])
    assert not leftover.exists(), "the next writer sweeps up"


def test_old_features_make_room_for_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors of a probe and maps of a detector lie in one cache, under one limit."""
    split = single_label("train", 200, 0)
    extract(small_encoder(0), split, (GridPool(1),), runtime(tmp_path))
    one = sum(file.stat().st_size for file in (tmp_path / "features").rglob("*.*"))
    limited = replace(runtime(tmp_path), cache_limit=2 * one)
    extract(small_encoder(1), split, (AtMost(1, 1),), limited)
    assert len(list((tmp_path / "features").iterdir())) == 2
    extract(small_encoder(0), split, (GridPool(1),), limited)  # used again
    extract(small_encoder(2), split, (GridPool(1),), limited)
    assert len(list((tmp_path / "features").iterdir())) == 2
    encoder = small_encoder(0)
    sizes = count_forwards(monkeypatch, encoder)
    kept = extract(encoder, split, (GridPool(1),), limited)
    assert sizes == []
    encoder = small_encoder(1)
    sizes = count_forwards(monkeypatch, encoder)
    extract(encoder, split, (AtMost(1, 1),), limited)
    assert sum(sizes) == 200
    fresh = extract(small_encoder(0), split, (GridPool(1),), runtime(tmp_path / "fresh"))
    for key, values in fresh.items():
        np.testing.assert_array_equal(values, kept[key])


def test_a_failed_pass_leaves_no_folder(tmp_path: Path) -> None:
    def fail(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    where = Runtime(cache=tmp_path, progress=fail)
    with pytest.raises(KeyboardInterrupt):
        extract(small_encoder(), single_label("train", 8, 0), (GridPool(1),), where)
    assert list((tmp_path / "features").iterdir()) == []


@pytest.mark.usefixtures("small_batches")
def test_feature_that_is_not_finite_is_named(tmp_path: Path) -> None:
    def read(x: Tensor) -> Tensor:
        return torch.where(x[:, :1].round() == 250, torch.nan, 1.0)

    split = single_label("val", 20, 0)
    pixels = np.minimum(np.asarray(split.pixels), 249)
    pixels[13, 3, 3, 0] = 250
    encoder = planted("nan", (Stage("bad", 1, 1), read))
    with pytest.raises(FloatingPointError, match="stage 'bad': the feature of example 13 of split 'val'"):
        extract(encoder, make_split("val", pixels), (GridPool(1),), runtime(tmp_path))
    assert list((tmp_path / "features").iterdir()) == []


def test_half_precision_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    encoder = planted("large", (Stage("large", 3, 1), lambda x: x * 1000))
    split = make_split("train", np.full((2, SIZE, SIZE, 3), 200, dtype=np.uint8))
    with pytest.raises(FloatingPointError, match="float16 ends at 65504"):
        extract(encoder, split, (Maps(),), runtime(tmp_path))
    (kept,) = extract(encoder, split, (Maps(half=False),), runtime(tmp_path)).values()
    assert kept.max() == pytest.approx(200_000)


def test_half_precision_maps_round_by_less_than_their_docstring_says(tmp_path: Path) -> None:
    encoder, split = small_encoder(), single_label("train", 4, 0)
    half = extract(encoder, split, (Maps(),), runtime(tmp_path))
    full = extract(encoder, split, (Maps(half=False),), runtime(tmp_path))
    for stage in encoder.stage_names:
        values = half[Key(stage, Maps())]
        assert values.dtype == np.float16
        truth = full[Key(stage, Maps(half=False))]
        assert (np.abs(values - truth) <= 5e-4 * np.abs(truth) + 1e-7).all()


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (3, 5), (16, 16)])
def test_sampled_pixels_are_those_of_the_upsampled_map(size: tuple[int, int]) -> None:
    maps = torch.randn(6, 3, *size)
    sample = PixelSample(SIZE, SIZE + 4, 17)
    index = torch.arange(40, 46)
    upsampled = F.interpolate(maps, (SIZE, SIZE + 4), mode="bilinear", align_corners=False)
    positions = sample.positions(index)
    wanted = upsampled.flatten(2).gather(2, positions[:, None].expand(-1, 3, -1)).transpose(1, 2)
    torch.testing.assert_close(sample(maps, index), wanted, atol=1e-5, rtol=1e-5)


def test_pixel_sample_is_fixed_by_image_without_repetition_and_uniform() -> None:
    sample = PixelSample(SIZE, SIZE, 16)
    positions = sample.positions(torch.arange(4000))
    assert (positions.sort(1).values.diff(dim=1) > 0).all()
    torch.testing.assert_close(sample.positions(torch.tensor([7, 3])), positions[[7, 3]])
    counts = torch.bincount(positions.flatten(), minlength=SIZE * SIZE).float()
    expected = 4000 * 16 / SIZE**2
    # χ² of 256 cells: mean 255 less the 16 runs' own totals, standard deviation about 22.
    assert abs(((counts - expected) ** 2 / expected).sum().item() - 240) < 100
    everything = PixelSample(SIZE, SIZE, 1000).positions(torch.arange(2))
    torch.testing.assert_close(everything, torch.arange(SIZE * SIZE).expand(2, -1))


@dataclass(frozen=True)
class Odd(GridPool):
    """Another class with the same fields."""


def test_reductions_are_told_apart_by_their_class(tmp_path: Path) -> None:
    encoder, split = one_hot_label(), single_label("train", 5, 0)
    extract(encoder, split, (GridPool(1),), runtime(tmp_path))
    extract(encoder, split, (Odd(1),), runtime(tmp_path))
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_empty_requests_are_refused(tmp_path: Path) -> None:
    encoder = small_encoder()
    with pytest.raises(ValueError, match="at least one reduction"):
        extract(encoder, single_label("train", 5, 0), (), runtime(tmp_path))
    empty = make_split("val", np.zeros((0, SIZE, SIZE, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="split 'val' is empty"):
        extract(encoder, empty, (GridPool(1),), runtime(tmp_path))
    with pytest.raises(ValueError, match="grid must be at least 1, got 0"):
        GridPool(0)


@pytest.mark.usefixtures("small_batches")
def test_batches_cover_the_split_in_order() -> None:
    split = single_label("train", 19, 0)
    seen = list(batches(split, torch.device("cpu")))
    assert [(rows.start, rows.stop) for rows, _ in seen] == [(0, 8), (8, 16), (16, 19)]
    whole = torch.cat([pixels for _, pixels in seen])
    assert torch.equal(whole, torch.from_numpy(split.pixels[:]).permute(0, 3, 1, 2) / 255)
    assert torch.equal(load_images(split, np.array([3, 1]), torch.device("cpu")), whole[[3, 1]])


def test_limit_is_stable_and_nested() -> None:
    split = masked("train", 40, 0)
    small, large = limit(split, 8), limit(split, 20)
    assert limit(split, None) is split
    assert limit(split, 40) is split
    assert (len(small), len(large)) == (8, 20)
    assert limit(split, 8).digest == small.digest != large.digest
    inside = {image.tobytes() for image in large.pixels[:]}
    assert all(image.tobytes() in inside for image in small.pixels[:])
    # Pixels and masks still belong together: the green channel is the mask.
    assert small.masks is not None
    np.testing.assert_array_equal(small.pixels[:][..., 1], small.masks)
    with pytest.raises(ValueError, match="cannot be limited to 0"):
        limit(split, 0)
