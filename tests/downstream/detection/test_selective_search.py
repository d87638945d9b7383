"""Selective search: grouping against a slow reference, its boxes, and how a split's are kept."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rectangles import rectangles
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from torchvision.ops import box_iou

from downstream.detection import proposals
from downstream.detection.proposals import propose
from downstream.detection.selective_search import derivatives, group, regions, selective_search
from downstream.protocol import Runtime
from pretext.data.animals import animals
from pretext.data.dataset import Split
from pretext.data.split import subset

CPU = torch.device("cpu")
SCALES = (10, 30)


def shares(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """One histogram a channel of pixels (P, C), together of sum 1."""
    counts = np.concatenate([np.histogram(channel, bins, (0, 1))[0] for channel in values.T])
    return counts / counts.sum()


def slowly_grouped(
    channels: NDArray[np.float64], segments: NDArray[np.int64], by_color: bool
) -> list[tuple[int, ...]]:
    """Every region a mask, everything measured anew for each pair in each round."""
    along_y, along_x = (
        gaussian_filter1d(gaussian_filter1d(channels, 1, axis, order=1), 1, 1 - axis) for axis in (0, 1)
    )
    rises = [
        np.clip(np.cos(turn) * along_x + np.sin(turn) * along_y, 0, None)
        for turn in np.deg2rad(np.arange(0, 360, 45))
    ]
    texture = np.concatenate(
        [rise / rise.max((0, 1)) for rise in np.split(np.concatenate(rises, 2), 8, 2)], 2
    )

    def box(mask: NDArray[np.bool_]) -> tuple[int, ...]:
        rows, columns = np.nonzero(mask)
        return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1

    def touch(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
        return bool((a[1:] & b[:-1]).any() or (a[:-1] & b[1:]).any()
                    or (a[:, 1:] & b[:, :-1]).any() or (a[:, :-1] & b[:, 1:]).any())  # fmt: skip

    def alike(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        x0, y0, x1, y1 = box(a | b)
        size, whole = (a | b).sum(), a.size
        total = 1 - size / whole + 1 - ((x1 - x0) * (y1 - y0) - size) / whole
        total += np.minimum(shares(texture[a], 10), shares(texture[b], 10)).sum()
        if by_color:
            total += np.minimum(shares(channels[a], 25), shares(channels[b], 25)).sum()
        return float(total)

    masks = [segments == label for label in range(segments.max() + 1)]
    found = [box(mask) for mask in masks]
    while len(masks) > 1:
        a, b = max(
            (pair for pair in combinations(range(len(masks)), 2) if touch(masks[pair[0]], masks[pair[1]])),
            key=lambda pair: alike(masks[pair[0]], masks[pair[1]]),
        )
        merged = masks[a] | masks[b]
        masks = [mask for i, mask in enumerate(masks) if i not in (a, b)] + [merged]
        found.append(box(merged))
    return found


@pytest.mark.parametrize("by_color", [True, False], ids=["colour", "no colour"])
def test_grouping_equals_the_slow_one(by_color: bool) -> None:
    random = np.random.default_rng(0)
    channels = gaussian_filter(random.random((24, 30, 3)), (2, 2, 0))
    channels = (channels - channels.min()) / np.ptp(channels)
    segments = (np.arange(24) // 6)[:, None] * 5 + np.arange(30) // 6  # 20 tiles
    segments[7:11, 7:11] = 20  # and one in the middle of others
    neighbours = {
        (min(a, b), max(a, b))
        for one, other in ((segments[1:], segments[:-1]), (segments[:, 1:], segments[:, :-1]))
        for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        if a != b
    }
    found = group(regions(channels, derivatives(channels), segments), neighbours, segments.size, by_color)
    assert found.tolist() == [list(map(float, box)) for box in slowly_grouped(channels, segments, by_color)]


def test_objects_that_stand_out_are_found_to_the_pixel() -> None:
    images = rectangles(20, 5)
    for image, boxes in zip(images.pixels, objects(images), strict=True):
        found = selective_search(image, SCALES)
        if len(boxes):
            overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(found)).amax(1)
            assert overlap.min() > 0.9


def test_boxes_are_of_the_image_and_no_box_comes_twice() -> None:
    image = np.random.default_rng(1).integers(0, 256, (30, 45, 3), dtype=np.uint8)
    found = selective_search(image, SCALES)
    assert found.dtype == np.float32
    assert len(np.unique(found, axis=0)) == len(found) > 20
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= [45, 30]).all()
    assert (found[:, 2:] > found[:, :2]).all()
    assert [0, 0, 45, 30] in found.tolist()
    assert np.array_equal(selective_search(image, SCALES), found)
    assert np.array_equal(selective_search(image, SCALES, count=7), found[:7])
    area = (found[:, 2:] - found[:, :2]).prod(1)
    assert area[: len(area) // 4].mean() > 2 * area[len(area) // 4 :].mean()  # large ones first


def test_an_image_of_one_colour_is_one_region() -> None:
    flat = np.full((20, 30, 3), 90, np.uint8)
    assert selective_search(flat).tolist() == [[0, 0, 30, 20]]


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"needs \(H, W, 3\) uint8, got \(4, 4\) float64"):
        selective_search(np.zeros((4, 4)))  # type: ignore[arg-type]
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"scales=\(0,\) or count=2000 is out of range"):
        selective_search(image, (0,))
    with pytest.raises(ValueError, match="count=0 is out of range"):
        selective_search(image, count=0)


def test_objects_on_photographs_are_found_better_than_by_chance(real_data: Path, tmp_path: Path) -> None:
    """Average best overlap, against that of the boxes that another photograph proposed."""
    val = subset(animals(str(real_data), str(tmp_path)).val, range(16))
    found = [torch.from_numpy(selective_search(image, (20, 50), 500)) for image in val.pixels]
    boxes = [torch.from_numpy(own) for own in objects(val)]

    def best(shift: int) -> float:
        others = found[shift:] + found[:shift]
        return float(torch.cat([box_iou(b, o).amax(1) for b, o in zip(boxes, others, strict=True)]).mean())

    own, foreign = best(0), np.mean([best(shift) for shift in range(1, 16)])
    assert own > 0.6
    assert own > foreign + 0.1


def test_a_splits_regions_are_searched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "PART", 4)
    images = rectangles(10, 2)
    found = propose(images, SCALES, 50, Runtime(cache=tmp_path))
    for index in (0, 3, 4, 9):
        (given,) = found.of([index], CPU)
        assert given["proposals"].tolist() == selective_search(images.pixels[index], SCALES, 50).tolist()
    monkeypatch.setattr(proposals, "selective_search", broken)
    again = propose(images, SCALES, 50, Runtime(cache=tmp_path))
    pairs = zip(found.of(range(10), CPU), again.of(range(10), CPU), strict=True)
    assert all(torch.equal(a["proposals"], b["proposals"]) for a, b in pairs)
    with pytest.raises(ZeroDivisionError):  # other settings are another search
        propose(images, SCALES, 51, Runtime(cache=tmp_path))


def test_a_stopped_search_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "PART", 4)
    images = rectangles(10, 2)
    searched: list[int] = []

    def stopping(image: NDArray[np.uint8], scales: tuple[int, ...], count: int) -> NDArray[np.float32]:
        searched.append(len(searched))
        if len(searched) == 7:
            raise KeyboardInterrupt
        return selective_search(image, scales, count)

    monkeypatch.setattr(proposals, "selective_search", stopping)
    with pytest.raises(KeyboardInterrupt):
        propose(images, SCALES, 50, Runtime(cache=tmp_path))
    propose(images, SCALES, 50, Runtime(cache=tmp_path))
    assert len(searched) == 7 + 6  # the first four were kept


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = rectangles(6, 2)
    alone = propose(images, SCALES, 50, Runtime(cache=tmp_path / "alone")).of(range(6), CPU)
    monkeypatch.setattr(proposals, "_ALONE", 1)
    monkeypatch.setattr(proposals, "cores", lambda: 2)
    together = propose(images, SCALES, 50, Runtime(cache=tmp_path / "together")).of(range(6), CPU)
    pairs = zip(alone, together, strict=True)
    assert all(torch.equal(a["proposals"], b["proposals"]) for a, b in pairs)


def broken(*_: object, **__: object) -> NDArray[np.float32]:
    raise ZeroDivisionError


def objects(split: Split) -> list[NDArray[np.float32]]:
    assert split.boxes is not None
    return [split.boxes.of(image)[0] for image in range(len(split))]
