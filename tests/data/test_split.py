"""Splits are named by content, held-out images depend on content alone, no image is in two splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import photo

from pretext.data.dataset import Boxes, Split
from pretext.data.pixels import SORT_ABOVE, Packed, colourless, image_digest, pixel_digests
from pretext.data.split import (
    Leak,
    carve,
    check_disjoint,
    drop_duplicates,
    make_split,
    select_boxes,
    subset,
    three_splits,
)


def pictures(count: int, first: int = 0) -> np.ndarray:
    return np.stack([photo(first + i, 8, 8) for i in range(count)])


def pack(images: np.ndarray) -> Packed:
    return Packed(images, pixel_digests(images))


def some_boxes(counts: list[int]) -> Boxes:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    total = int(offsets[-1])
    low = np.arange(total, dtype=np.float32)[:, None].repeat(2, 1) % 6
    xyxy = np.concatenate([low, low + 2], 1)
    return Boxes(offsets, xyxy, np.arange(total) % 3, np.arange(total) % 2 == 0)


def full(count: int = 12, first: int = 0) -> Split:
    return make_split(
        "train",
        pack(pictures(count, first)),
        labels=np.arange(count) % 3,
        boxes=some_boxes([i % 4 for i in range(count)]),
        masks=pictures(count, first)[..., 0] % 5,
        colourless=np.arange(count) % 2 == 0,
    )


def test_packed_indexes_like_the_array_it_shows() -> None:
    images = pictures(10)
    rows = np.array([7, 2, 2, 9])
    for view, array in ((pack(images), images), (pack(images).select(rows), images[rows])):
        assert view.shape == array.shape
        assert len(view) == len(array)
        np.testing.assert_array_equal(np.asarray(view), array)
        for index in (
            slice(1, 3),
            np.array([3, 0, 3]),
            np.array([-1]),
            [1, 2],
            2,
            np.arange(len(array)) % 2 == 0,
        ):
            np.testing.assert_array_equal(view[index], array[index])
        np.testing.assert_array_equal(view.digests, pixel_digests(array))
        with pytest.raises(IndexError):
            view[np.array([len(array)])]
    np.testing.assert_array_equal(pack(images).select(rows).select(np.array([3, 0]))[:], images[[9, 7]])


def test_what_packed_returns_is_a_copy() -> None:
    images = pictures(3)
    images.flags.writeable = False
    for index in (slice(None), slice(0, 1), 1, np.array([0])):
        out = pack(images)[index]
        out[:] = 0
    assert images.any()


def test_large_arrays_are_read_in_rising_order_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(10)
    assert images.nbytes < SORT_ABOVE
    monkeypatch.setattr("pretext.data.pixels.SORT_ABOVE", 0)
    np.testing.assert_array_equal(pack(images)[np.array([7, 2, 2, 9])], images[[7, 2, 2, 9]])


def test_digests_see_pixels_and_size() -> None:
    image = photo(0, 8, 4)
    assert (image_digest(image) == image_digest(image.copy())).all()
    assert (image_digest(image) != image_digest(image.reshape(4, 8, 3))).any()
    changed = image.copy()
    changed[3, 2, 1] ^= 1
    assert (image_digest(image) != image_digest(changed)).any()


def test_colourless_takes_differences_up_to_the_tolerance() -> None:
    images = np.repeat(pictures(3)[..., :1] // 2, 3, axis=3)
    images[1, 4, 4, 2] += 8
    images[2, 4, 4, 2] += 9
    np.testing.assert_array_equal(colourless(pack(images)), [True, True, False])


@pytest.mark.parametrize("what", ["pixels", "labels", "masks", "xyxy", "box_labels", "difficult"])
def test_the_digest_sees_every_part(what: str) -> None:
    images, labels, masks, boxes = pictures(4), np.arange(4), pictures(4)[..., 0], some_boxes([1, 2, 0, 1])

    def digest() -> str:
        return make_split("a", pack(images), labels=labels, masks=masks, boxes=boxes).digest

    parts = {
        "pixels": images,
        "labels": labels,
        "masks": masks,
        "xyxy": boxes.xyxy,
        "box_labels": boxes.labels,
        "difficult": boxes.difficult,
    }
    before = digest()
    assert digest() == before
    part = parts[what]
    part.reshape(-1)[-1] = not part.reshape(-1)[-1] if part.dtype == bool else part.reshape(-1)[-1] + 1
    assert digest() != before


def test_the_digest_does_not_depend_on_name_or_storage() -> None:
    split = full()
    assert subset(split, np.arange(len(split)), "other").digest == split.digest
    assert make_split("x", np.asarray(split.pixels)).digest == make_split("y", split.pixels).digest
    assert make_split("x", split.pixels).digest != split.digest


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="4 images but labels of 3"):
        make_split("a", pack(pictures(4)), labels=np.arange(3))
    with pytest.raises(ValueError, match=r"masks \(4, 4\)"):
        make_split("a", pack(pictures(4)), masks=np.zeros((4, 4, 4), np.uint8))
    boxes = some_boxes([1, 2, 0, 1])
    boxes.xyxy[2] = [0, 0, 8.5, 8]
    with pytest.raises(
        ValueError, match=r"box \[0\.0, 0\.0, 8\.5, 8\.0\] of image 1 has no extent or leaves"
    ):
        make_split("a", pack(pictures(4)), boxes=boxes)
    boxes.xyxy[2] = [3, 3, 3, 4]
    with pytest.raises(ValueError, match="of image 1"):
        make_split("a", pack(pictures(4)), boxes=boxes)


def test_a_subset_takes_everything_along() -> None:
    split = full()
    rows = [5, 3, 3, 11, 4]
    part = subset(split, rows)
    np.testing.assert_array_equal(np.asarray(part.pixels), np.asarray(split.pixels)[rows])
    np.testing.assert_array_equal(part.labels, split.labels[rows])
    np.testing.assert_array_equal(part.masks, split.masks[rows])
    np.testing.assert_array_equal(part.colourless, split.colourless[rows])
    for i, row in enumerate(rows):
        for mine, theirs in zip(part.boxes.of(i), split.boxes.of(row), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    for wrong in ([12], [-1]):
        with pytest.raises(ValueError, match="positions 0 to 11"):
            subset(split, wrong)


def test_no_boxes_can_be_selected() -> None:
    none = select_boxes(some_boxes([0, 2, 0]), np.array([0, 2]))
    assert none.xyxy.shape == (0, 4)
    np.testing.assert_array_equal(none.offsets, [0, 0, 0])


def test_carving_keeps_proportions_and_order() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    pool = make_split("train", pack(pictures(100)), labels=labels)
    rest, held = carve(pool, 10, "val")
    np.testing.assert_array_equal(np.bincount(held.labels), [5, 3, 2])
    assert len(rest) == 90
    check_disjoint(rest, held)
    assert (rest.name, held.name) == ("train", "val")
    assert (np.diff(rest.labels) >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_shares_add_up_and_miss_proportion_by_less_than_one(sizes: list[int], data: st.DataObject) -> None:
    total = sum(sizes)
    if total < 2:
        return
    count = data.draw(st.integers(1, total - 1))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    pixels = np.zeros((total, 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.arange(total) % 256, np.arange(total) // 256
    _, held = carve(make_split("train", pack(pixels), labels=labels), count, "val")
    got = np.bincount(held.labels, minlength=len(sizes))
    assert got.sum() == count
    assert (abs(got - np.array(sizes) * count / total) < 1).all()


@pytest.mark.parametrize("labelled", [True, False])
def test_who_is_held_out_does_not_depend_on_the_order(labelled: bool) -> None:
    images, labels = pictures(40), np.arange(40) % 4
    order = np.random.default_rng(0).permutation(40)

    def held(rows: np.ndarray) -> set[bytes]:
        pool = make_split("train", pack(images[rows]), labels=labels[rows] if labelled else None)
        return {row.tobytes() for row in carve(pool, 8, "val")[1].pixels.digests}

    assert held(np.arange(40)) == held(order)


def test_multi_hot_labels_are_not_strata() -> None:
    labels = np.zeros((10, 3), np.uint8)
    rest, held = carve(make_split("train", pack(pictures(10)), labels=labels), 4, "val")
    assert (rest.labels.shape, held.labels.shape) == ((6, 3), (4, 3))


@pytest.mark.parametrize("count", [0, 12, 13])
def test_a_split_cannot_be_carved_empty(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot hold {count} images out of the 12"):
        carve(full(12), count, "val")


def test_duplicates_are_found_dropped_and_counted() -> None:
    train, test = full(12), full(5, first=10)  # pictures 10 and 11 are in both
    with pytest.raises(Leak, match=r"2 images of split 'train' occur in 'train' too: positions 10, 11"):
        check_disjoint(train, test)
    kept, dropped = drop_duplicates(train, test)
    assert (len(kept), dropped) == (10, 2)
    np.testing.assert_array_equal(kept.labels, train.labels[:10])
    check_disjoint(kept, test)
    assert drop_duplicates(kept, test) == (kept, 0)


def test_three_splits_share_no_image_and_say_what_was_left_out() -> None:
    images = np.concatenate([pictures(20), pictures(20)])  # everything twice: a copy must not be in train
    pool = make_split("train", pack(images), labels=np.tile([0, 1], 20))
    data = three_splits("twice", pool, full(5, first=18), 3, label_names=["a", "b"])
    names = list(data.splits)
    assert names == ["train", "val", "test"] == [split.name for split in data.splits.values()]
    for first in names:
        for second in names:
            if first != second:
                check_disjoint(data.splits[first], data.splits[second])
    assert "4 training images left out: their pixels occur in test" in data.notes
    assert len(data.val) == 3  # a pair of one class, one of a pair of the other, whose copy must go
    assert len(data.train) == 36 - 3 - 1
    assert "1 training images left out: their pixels occur in val" in data.notes
    assert data.label_names == ("a", "b")
