"""The 313 bins and their soft targets against known answers and a search of all bins."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from pretext.color import N_BINS, SoftTargets, bins, has_color, nearest_bin, rgb_to_lab, soft_encode


def one_color(a: float, b: float) -> Tensor:
    return torch.tensor([a, b], dtype=torch.float32).view(1, 2, 1, 1)


def dense(targets: SoftTargets) -> Tensor:
    """(B, 313, h, w)."""
    batch, _, height, width = targets.bins.shape
    return torch.zeros(batch, N_BINS, height, width).scatter_(1, targets.bins, targets.weights)


def test_the_bins_are_the_authors():
    colors = bins()
    assert colors.shape == (313, 2) == (N_BINS, 2)
    assert colors.dtype == torch.float32
    assert colors[120].tolist() == [0, 0]
    assert colors.sum(0).tolist() == [4910, 2090]
    counts = Counter(colors[:, 0].int().tolist())
    assert list(counts) == list(range(-90, 101, 10))
    assert list(counts.values()) == [
        5,
        8,
        10,
        12,
        14,
        15,
        16,
        16,
        17,
        18,
        18,
        18,
        19,
        20,
        19,
        20,
        20,
        19,
        19,
        10,
    ]
    pairs = [tuple(color) for color in colors.tolist()]
    assert pairs == sorted(pairs)
    assert len(set(pairs)) == 313


def test_the_weights_of_gray():
    five = soft_encode(one_color(0, 0))
    assert five.weights.flatten().tolist() == pytest.approx([0.6488] + [0.0878] * 4, abs=5e-5)
    assert five.bins[0, 0].item() == 120
    neighbors = {tuple(color) for color in bins()[five.bins.flatten()[1:]].tolist()}
    assert neighbors == {(-10, 0), (10, 0), (0, -10), (0, 10)}
    ten = soft_encode(one_color(0, 0), neighbors=10).weights.flatten().tolist()
    assert ten == pytest.approx([0.6192] + [0.0838] * 4 + [0.0113] * 4 + [0.0002], abs=5e-5)


def test_the_lowest_reachable_cross_entropy_is_the_targets_entropy():
    for neighbors, nats in ((5, 1.13), (10, 1.33)):
        entropy = torch.special.entr(soft_encode(one_color(0, 0), neighbors).weights).sum().item()
        assert entropy == pytest.approx(nats, abs=0.006)


def sampled_colors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    uniform = torch.rand(4, 2, 40, 50, generator=generator) * 2 - 1
    rgb = torch.rand(4, 3, 40, 50, generator=generator)
    saturated = (rgb * 3 - 1).clamp(0, 1)
    return {
        "gamut": rgb_to_lab(rgb)[:, 1:],
        "edge of the gamut": rgb_to_lab(saturated)[:, 1:],
        "square": uniform * 128,
        "far outside": uniform * 250,
        "half steps": (uniform * 24).round() * 5,  # corners and middles of the grid: ties everywhere
        "table corners": (uniform * 48).round() * 2.5,
    }


@pytest.mark.parametrize("neighbors", [1, 5, 10, 16])
@pytest.mark.parametrize("where", sampled_colors())
def test_equals_a_search_of_all_bins(where, neighbors):
    ab = sampled_colors()[where]
    found = soft_encode(ab, neighbors)
    points = ab.permute(0, 2, 3, 1).reshape(-1, 1, 2).double()
    squared = (points - bins().double()).square().sum(2)  # (N, 313)
    nearest, order = squared.sort(dim=1, stable=True)
    found_bins = found.bins.permute(0, 2, 3, 1).reshape(-1, neighbors)
    found_weights = found.weights.permute(0, 2, 3, 1).reshape(-1, neighbors)
    assert all(len(set(row)) == neighbors for row in found_bins[:500].tolist())
    # Where the distances of two bins are the same to float32's last digits, either is right.
    torch.testing.assert_close(squared.gather(1, found_bins), nearest[:, :neighbors], rtol=1e-6, atol=1e-4)
    clear = (nearest.diff(dim=1)[:, :neighbors] > 1e-5 * nearest[:, :neighbors]) | (
        nearest.diff(dim=1)[:, :neighbors] == 0
    )
    clear = clear.all(1)
    assert clear.double().mean() > 0.98
    assert torch.equal(found_bins[clear], order[clear, :neighbors])
    expected = torch.softmax(nearest[:, :neighbors] / -50, 1).float()
    tolerance = 3e-4 if where == "far outside" else 2e-5  # float32's last digit of a squared distance of 5e4
    torch.testing.assert_close(found_weights, expected, rtol=0, atol=tolerance)


def test_weights_are_a_distribution_nearest_first():
    targets = soft_encode(sampled_colors()["square"])
    torch.testing.assert_close(targets.weights.sum(1), torch.ones(4, 40, 50))
    assert (targets.weights.diff(dim=1) <= 0).all()
    assert torch.equal(targets.bins[:, 0], nearest_bin(sampled_colors()["square"]))
    assert targets.weights.dtype == torch.float32
    assert targets.bins.dtype == torch.int64


def test_every_bin_is_its_own_nearest():
    assert nearest_bin(bins().t()[None, :, None]).flatten().tolist() == list(range(N_BINS))


def test_mirrored_colors_have_mirrored_targets():
    mirror = torch.tensor([-1, 1])
    ab = torch.rand(1, 2, 20, 20, generator=torch.Generator().manual_seed(1)) * 30 + 0.1
    means = [
        torch.tensordot(dense(soft_encode(colors)), bins(), ([1], [0]))
        for colors in (ab, ab * mirror[:, None, None])
    ]
    torch.testing.assert_close(means[1], means[0] * mirror, atol=1e-3, rtol=0)


def test_values_out_of_reach_are_clamped():
    far = soft_encode(one_color(4000, -300))
    near = soft_encode(one_color(250, -250))
    assert torch.equal(far.bins, near.bins)
    assert torch.equal(far.weights, near.weights)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_not_hidden(bad):
    ab = torch.zeros(1, 2, 1, 2)
    ab[0, 1, 0, 1] = bad
    targets = soft_encode(ab)
    assert targets.weights[..., 1].isnan().all()
    assert targets.weights[..., 0].isfinite().all()
    assert ((targets.bins >= 0) & (targets.bins < N_BINS)).all()


def test_gray_images_have_no_color():
    ab = torch.zeros(4, 2, 3, 3)
    ab[1, 0, 0, 0] = 5
    ab[2, 0, 2, 2] = 5.01
    ab[3, 1, 1, 0] = -5.01
    assert has_color(ab).tolist() == [False, False, True, True]
    ab[0, 0, 1, 1] = float("nan")  # broken is not gray
    assert has_color(ab)[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"ab must be a floating-point \(B, 2, h, w\).*\(1, 3, 2, 2\)"):
        soft_encode(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r"neighbors must be in \[1, 16\]; got 0"):
        soft_encode(one_color(0, 0), neighbors=0)
    with pytest.raises(ValueError, match="sigma must be positive; got 0"):
        soft_encode(one_color(0, 0), sigma=0)


def test_an_empty_batch_stays_empty():
    assert soft_encode(torch.zeros(0, 2, 4, 4)).bins.shape == (0, 5, 4, 4)
