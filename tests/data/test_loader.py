"""Batches hold the right pixels, and their order is a function of seed and epoch alone."""

import numpy as np
import pytest
import torch
from pictures import photo
from torchvision.transforms.functional import to_tensor

from pretext.data.loader import EpochLoader, as_float, batches, fetch
from pretext.data.pixels import Packed, pixel_digests
from pretext.data.split import make_split, subset

IMAGES = np.stack([photo(i, 6, 8) for i in range(23)])


def split(labels: np.ndarray | None = None):  # type: ignore[no-untyped-def]
    images = IMAGES.copy()
    images.flags.writeable = False  # as a mapped array is
    return make_split("train", Packed(images, pixel_digests(images)), labels=labels)


def visited(loader: EpochLoader) -> list[int]:
    return [int(i) for batch in loader for i in batch.positions]


def test_as_float_is_torchvisions_to_tensor() -> None:
    floats = as_float(torch.from_numpy(IMAGES))
    assert floats.is_contiguous()
    torch.testing.assert_close(floats, torch.stack([to_tensor(i) for i in IMAGES]), rtol=0, atol=0)
    every = torch.arange(256, dtype=torch.uint8).repeat_interleave(3).view(1, 16, 16, 3)
    assert ((as_float(every) * 255).round().to(torch.uint8).permute(0, 2, 3, 1) == every).all()


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, 4, 3), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)])
def test_as_float_refuses_other_forms(wrong: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected \(B, H, W, 3\) uint8"):
        as_float(wrong)


def test_batches_come_in_order_and_end_short() -> None:
    found = list(batches(split(), 10))
    assert [len(b) for b in found] == [10, 10, 3]
    torch.testing.assert_close(torch.cat(found), as_float(torch.from_numpy(IMAGES)), rtol=0, atol=0)
    some = torch.cat(list(batches(split(), 2, np.array([5, 1, 9]))))
    torch.testing.assert_close(some, fetch(IMAGES, np.array([5, 1, 9])), rtol=0, atol=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        next(batches(split(), 0))
    with pytest.raises(ValueError, match="positions 0 to 22"):
        next(batches(split(), 2, np.array([23])))


def test_an_epoch_shows_every_image_once_with_its_own_label() -> None:
    labels = np.arange(23) * 2
    loader = EpochLoader(split(labels), 5, drop_last=False)
    seen = []
    for batch in loader:
        assert batch.pixels.dtype == torch.float32
        torch.testing.assert_close(batch.pixels, fetch(IMAGES, batch.positions.numpy()), rtol=0, atol=0)
        assert batch.labels.dtype == torch.int64
        assert (batch.labels == batch.positions * 2).all()
        seen.append(len(batch.positions))
    assert seen == [5, 5, 5, 5, 3]
    assert len(loader) == 5
    assert sorted(visited(loader)) == list(range(23))


def test_multi_hot_labels_are_floats_and_missing_ones_none() -> None:
    hot = np.eye(23, 4, dtype=np.uint8)
    batch = next(iter(EpochLoader(split(hot), 5)))
    assert batch.labels.dtype == torch.float32
    np.testing.assert_array_equal(batch.labels.numpy(), hot[batch.positions.numpy()])
    assert next(iter(EpochLoader(split(), 5))).labels is None


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else() -> None:
    torch.manual_seed(0)
    loader = EpochLoader(split(), 5, seed=3)
    first = visited(loader)
    before = torch.get_rng_state()
    assert visited(loader) == first
    assert torch.equal(torch.get_rng_state(), before)
    loader.set_epoch(1)
    assert visited(loader) != first
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global state is what must not matter
    resumed = EpochLoader(split(), 5, seed=3)
    resumed.set_epoch(1)
    assert visited(resumed) == visited(loader)
    assert visited(EpochLoader(split(), 5, seed=4)) != first


def test_seed_and_epoch_do_not_run_into_each_other() -> None:
    orders = {tuple(EpochLoader(split(), 5, seed=s).order(e)) for s in range(6) for e in range(6)}
    assert len(orders) == 36


def test_drop_last_and_no_shuffle() -> None:
    assert len(EpochLoader(split(), 5)) == 4
    assert len(visited(EpochLoader(split(), 5))) == 20
    plain = EpochLoader(split(), 5, shuffle=False, drop_last=False)
    assert visited(plain) == list(range(23))
    plain.set_epoch(4)
    assert visited(plain) == list(range(23))


def test_indices_restrict_the_draw_and_the_digest() -> None:
    rows = np.array([2, 3, 5, 7, 11])
    loader = EpochLoader(split(), 2, indices=rows, drop_last=False)
    assert sorted(visited(loader)) == rows.tolist()
    assert loader.digest != split().digest
    assert EpochLoader(split(), 2).digest == split().digest
    assert EpochLoader(split(), 2, indices=rows[::-1].copy()).digest != loader.digest


def test_weights_draw_in_proportion_with_replacement_and_never_at_zero() -> None:
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0] + [0.0] * 19)
    loader = EpochLoader(split(), 23, weights=weights)
    drawn = np.concatenate([loader.order(epoch) for epoch in range(200)])  # 4,600 draws
    counts = np.bincount(drawn, minlength=23)
    assert counts[[1, 3]].sum() == 4600
    assert abs(counts[3] / 4600 - 0.75) < 5 * (0.75 * 0.25 / 4600) ** 0.5
    assert not np.array_equal(loader.order(0), loader.order(1))
    loader.set_weights(None)
    assert sorted(loader.order(0)) == list(range(23))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.ones(22), "expected 23 weights"),
        (-torch.ones(23), "at least 0"),
        (torch.zeros(23), "not all 0"),
        (torch.full((23,), torch.nan), "finite"),
    ],
)
def test_weights_that_make_no_sense_are_refused(weights: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpochLoader(split(), 5).set_weights(weights)
    with pytest.raises(ValueError, match="need shuffle=True"):
        EpochLoader(split(), 5, shuffle=False, weights=torch.ones(23))


def test_a_loader_without_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'train' gives no batch: 23 images, batch_size=24, drop_last=True"):
        EpochLoader(split(), 24)
    assert len(EpochLoader(split(), 24, drop_last=False)) == 1


def test_torchs_data_loader_passes_batches_through() -> None:
    loader = EpochLoader(split(np.arange(23)), 5)
    wrapped = torch.utils.data.DataLoader(_Stream(loader), batch_size=None)
    for ours, theirs in zip(loader, wrapped, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)


class _Stream(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __init__(self, loader: EpochLoader) -> None:
        self.loader = loader

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.loader)


def test_a_subset_loads_its_own_images() -> None:
    part = subset(split(np.arange(23)), [4, 8, 15])
    batch = next(iter(EpochLoader(part, 3, shuffle=False)))
    torch.testing.assert_close(batch.pixels, fetch(IMAGES, np.array([4, 8, 15])), rtol=0, atol=0)
    assert batch.labels.tolist() == [4, 8, 15]
    assert batch.positions.tolist() == [0, 1, 2]
