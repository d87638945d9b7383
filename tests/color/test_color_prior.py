"""Prior, weights and chance levels against hand counts, the formula and the loss itself."""

import math

import pytest
import torch
from torch import Tensor

from pretext.color import (
    N_BINS,
    Prior,
    ab_at_stride,
    bins,
    cached_prior,
    count_colors,
    empirical_prior,
    has_color,
    lab_to_rgb,
    load_prior,
    save_prior,
    soft_cross_entropy,
    soft_encode,
)


def some_images(count: int = 12) -> Tensor:
    """Skewed colours, and one gray image."""
    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(count, 3, 32, 32, generator=generator) ** torch.tensor([1.0, 2.0, 4.0])[:, None, None]
    rgb[3] = rgb[3].mean(0)
    return rgb


def of_counts(counts: dict[int, float]) -> Prior:
    joint = torch.zeros(N_BINS, N_BINS, dtype=torch.float64)
    for where, count in counts.items():
        joint[where, where] = count
    return Prior(joint)


def test_counts_of_known_colors():
    ab = torch.tensor([[0.0, 0.0], [51.0, -20.0], [49.0, -19.0]]).t().reshape(1, 2, 1, 3)
    counts = count_colors(ab)
    purple = bins().tolist().index([50, -20])
    assert counts.sum(1)[120].item() == pytest.approx(1)
    assert counts.sum(1)[purple].item() == pytest.approx(2)
    assert counts.sum().item() == pytest.approx(3)
    targets = soft_encode(ab)
    soft = torch.zeros(N_BINS).index_add_(0, targets.bins.flatten(), targets.weights.flatten())
    torch.testing.assert_close(counts.sum(0).float(), soft)


def test_gray_images_are_not_counted():
    assert not count_colors(torch.full((2, 2, 4, 4), 4.0)).any()
    both = torch.full((2, 2, 4, 4), 4.0)
    both[1, 0, 0, 0] = 60
    assert count_colors(both).sum().item() == pytest.approx(16)


def test_batches_and_bytes_make_no_difference():
    pixels = (some_images() * 255).round().to(torch.uint8)
    whole = empirical_prior([pixels])
    parts = empirical_prior(part.float() / 255 for part in pixels.split(5))
    torch.testing.assert_close(whole.joint, parts.joint)
    assert whole.joint.sum().item() == pytest.approx(11 * 64)


def test_smoothing_spreads_a_bin_by_the_targets_gaussian():
    smoothed = of_counts({120: 7}).smoothed
    ten = soft_encode(torch.zeros(1, 2, 1, 1), neighbors=10)
    found = smoothed[ten.bins.flatten()[:9]].float()
    torch.testing.assert_close(found, ten.weights.flatten()[:9], atol=2e-4, rtol=0)
    assert smoothed.sum().item() == pytest.approx(1)
    assert (smoothed > 0).sum() == 9


@pytest.mark.parametrize("lam", [0, 0.3, 0.5, 1])
def test_the_weights_are_the_papers_formula(lam):
    prior = empirical_prior([some_images()])
    p = prior.smoothed
    seen = p > 0
    assert 20 < seen.sum() < N_BINS  # some bins stay empty in this small set
    expected = 1 / ((1 - lam) * p[seen] + lam / seen.sum())
    expected = expected / (p[seen] * expected).sum()
    weights = prior.weights(lam)
    torch.testing.assert_close(weights[seen].double(), expected, rtol=1e-5, atol=0)
    assert (p * weights).sum().item() == pytest.approx(1, rel=1e-5)
    assert weights[~seen].unique().tolist() == [weights[seen].max().item()]


def test_lambda_one_is_no_rebalancing_and_zero_counts_bins_alike():
    prior = empirical_prior([some_images()])
    torch.testing.assert_close(prior.weights(1), torch.ones(N_BINS))
    shares = prior.smoothed * prior.weights(0)
    shares = shares[prior.smoothed > 0]
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / len(shares)), rtol=1e-5, atol=0)
    order = prior.smoothed.argsort()
    assert prior.weights()[order[-1]] < 1 < prior.weights()[order[0]]
    assert (prior.weights()[order].diff() <= 0).all()


def test_chance_of_known_counts():
    even = of_counts({0: 5, 312: 5})  # far apart, and targets without spread
    assert even.chance(1) == pytest.approx((math.log(2),) * 3)
    once = of_counts({120: 3})  # gray is smoothed over 9 bins: its own p and weight are those of the kernel
    assert once.chance() == pytest.approx((0, 0, 0), abs=1e-12)
    twice = of_counts({120: 5, bins().tolist().index([50, 0]): 5})  # both well inside, so of equal weight
    assert twice.chance().balanced == pytest.approx(twice.weights()[120].item() * math.log(2), rel=1e-5)
    assert twice.weights()[120] < 1
    uniform = of_counts(dict.fromkeys(range(N_BINS), 1))
    assert uniform.chance(1) == pytest.approx((math.log(313),) * 3)


def test_no_constant_prediction_beats_chance():
    images = some_images()
    chance = empirical_prior([images]).chance(0.5)
    prior = empirical_prior([images])
    ab = ab_at_stride(images)
    targets, mask, weights = soft_encode(ab), has_color(ab), prior.weights(0.5)
    soft = prior.joint / prior.joint.sum()

    def losses(probabilities: Tensor) -> tuple[float, float]:
        logits = probabilities.log().float().view(1, N_BINS, 1, 1).expand(len(ab), N_BINS, *ab.shape[2:])
        found = soft_cross_entropy(logits, targets, weights, mask)
        return found.balanced.item(), found.unbalanced.item()

    tiny = 1e-30  # a bin without any share costs nothing and must not give 0 * inf
    best = soft.sum(0) + tiny
    balanced_best = weights.double() @ soft + tiny
    balanced_best = balanced_best / balanced_best.sum()
    assert losses(best)[1] == pytest.approx(chance.soft, rel=1e-4)
    assert losses(balanced_best)[0] == pytest.approx(chance.balanced, rel=1e-4)
    for step in range(5):
        noise = torch.rand(N_BINS, dtype=torch.float64, generator=torch.Generator().manual_seed(step)) + 0.5
        assert losses(best * noise / (best * noise).sum())[1] > chance.soft
        moved = balanced_best * noise
        assert losses(moved / moved.sum())[0] > chance.balanced
    assert 1.1 < chance.soft < math.log(313)
    assert chance.hard < chance.soft


def test_saving_and_loading(tmp_path):
    prior = empirical_prior([some_images()], sigma=4.0)
    save_prior(prior, tmp_path / "deep" / "prior.npz")
    found = load_prior(tmp_path / "deep" / "prior.npz")
    assert torch.equal(found.joint, prior.joint)
    assert found.sigma == 4
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["prior.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "prior.npz"
    save_prior(of_counts({120: 1}), path)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_prior(of_counts({0: 1}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_cache_computes_once_and_keeps_settings_apart(tmp_path):
    images = some_images()

    def never():
        raise AssertionError("the images were read again")
        yield

    first = cached_prior(tmp_path, "abc-123", [images])
    assert torch.equal(cached_prior(tmp_path, "abc-123", never()).joint, first.joint)
    ten = cached_prior(tmp_path, "abc-123", [images], neighbors=10)
    assert not torch.equal(ten.joint, first.joint)
    with pytest.raises(AssertionError, match="read again"):
        cached_prior(tmp_path, "another", never())
    assert len(list(tmp_path.iterdir())) == 2


def test_a_broken_file_is_named(tmp_path):
    cached_prior(tmp_path, "abc", [some_images()])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not an archive"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"prior-abc.*not a readable colour prior"):
            cached_prior(tmp_path, "abc", [])


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="counts no colour"):
        empirical_prior([torch.full((2, 3, 8, 8), 0.5)])
    bad = some_images()
    bad[0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        empirical_prior([bad])
    with pytest.raises(ValueError, match=r"lam must be in \[0, 1\]; got 2"):
        of_counts({0: 1}).weights(2)
    with pytest.raises(ValueError, match=r"digest must consist of .* got '../x'"):
        cached_prior(tmp_path, "../x", [])
    with pytest.raises(ValueError, match="joint must be"):
        Prior(torch.zeros(3, 3, dtype=torch.float64))


def test_the_prior_of_colors_that_were_put_in():
    lab = torch.cat((torch.full((2, 1, 8, 8), 60.0), torch.full((2, 2, 8, 8), 20.0)), 1)
    prior = empirical_prior([lab_to_rgb(lab)])
    assert prior.probabilities.argmax() == bins().tolist().index([20, 20])
    assert prior.chance().hard == 0
    assert prior.chance().soft == pytest.approx(
        1.135, abs=1e-2
    )  # nothing is left but the targets' own spread
