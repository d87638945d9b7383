"""The sparse loss against a dense one written out."""

import math

import pytest
import torch
from torch import Tensor

from pretext.color import N_BINS, SoftTargets, has_color, soft_cross_entropy, soft_encode

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def example(dtype: torch.dtype = torch.float64) -> tuple[Tensor, SoftTargets, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, N_BINS, 4, 5, dtype=dtype, generator=generator) * 3
    ab = (torch.rand(3, 2, 4, 5, generator=generator) - 0.5) * 160
    ab[1] *= 0.02  # a gray image
    weights = torch.rand(N_BINS, generator=generator) + 0.1
    return logits, soft_encode(ab), weights, has_color(ab)


def dense_losses(
    logits: Tensor, targets: SoftTargets, weights: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    target = torch.zeros_like(logits).scatter_(1, targets.bins, targets.weights.to(logits))
    entropy = -(target * logits.log_softmax(1)).sum(1)[mask]
    weight = weights.to(logits)[target.argmax(1)][mask]
    return (entropy * weight).mean(), entropy.mean()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equals_the_dense_loss_and_its_gradient(layout):
    logits, targets, weights, mask = example()
    assert mask.tolist() == [True, False, True]
    logits = logits.to(memory_format=layout)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses = soft_cross_entropy(ours, targets, weights, mask)
    expected = dense_losses(theirs, targets, weights, mask)
    torch.testing.assert_close(tuple(losses), expected)
    (losses.balanced + 0.3 * losses.unbalanced).backward()
    (expected[0] + 0.3 * expected[1]).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    assert not ours.grad[1].any()
    assert ours.grad.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradcheck(layout):
    logits, targets, weights, mask = example()
    logits = logits[:2, :, :1, :2].clone().contiguous(memory_format=layout).requires_grad_()
    targets = SoftTargets(targets.bins[:2, :, :1, :2], targets.weights[:2, :, :1, :2])
    assert torch.autograd.gradcheck(
        lambda x: soft_cross_entropy(x, targets, weights, mask[:2]), logits, check_batched_grad=False
    )


def test_a_retained_graph_gives_the_same_gradient_again():
    logits, targets, weights, mask = example()
    logits.requires_grad_()
    losses = soft_cross_entropy(logits, targets, weights, mask)
    first = torch.autograd.grad(losses.balanced, logits, retain_graph=True)[0].clone()
    torch.autograd.grad(losses.unbalanced, logits, retain_graph=True)[0].zero_()
    assert torch.equal(torch.autograd.grad(losses.balanced, logits)[0], first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(losses.balanced, logits)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pieces_make_no_difference(layout, monkeypatch):
    logits, targets, weights, mask = example(torch.float32)
    logits = logits.to(memory_format=layout).requires_grad_()
    losses, gradients = [], []
    for chunk in (1, 7, 10**6):
        monkeypatch.setattr("pretext.color.loss._CHUNK", chunk)
        losses.append(soft_cross_entropy(logits, targets, weights, mask).balanced)
        gradients.append(torch.autograd.grad(losses[-1], logits)[0])
    torch.testing.assert_close(losses[0], losses[2])
    torch.testing.assert_close(gradients[0], gradients[2])
    torch.testing.assert_close(gradients[1], gradients[2])


def test_uniform_logits_cost_ln_313():
    _, targets, _, _ = example()
    losses = soft_cross_entropy(torch.zeros(3, N_BINS, 4, 5), targets)
    assert losses.unbalanced.item() == pytest.approx(math.log(313), rel=1e-6)
    assert losses.balanced.item() == losses.unbalanced.item()


def test_logits_that_are_the_targets_cost_their_entropy():
    targets = soft_encode(torch.zeros(1, 2, 1, 1))
    logits = torch.full((1, N_BINS, 1, 1), -1e4).scatter_(1, targets.bins, targets.weights.log())
    assert soft_cross_entropy(logits, targets).unbalanced.item() == pytest.approx(1.135, abs=1e-3)


def test_huge_logits_stay_finite():
    _, targets, _, _ = example()
    logits = torch.zeros(3, N_BINS, 4, 5)
    logits[:, 0] = 1e4
    logits.requires_grad_()
    loss = soft_cross_entropy(logits, targets).unbalanced
    loss.backward()
    assert loss.item() == pytest.approx(1e4, rel=0.01)
    assert logits.grad.isfinite().all()


def test_half_precision_logits_are_summed_in_float32():
    logits, targets, weights, mask = example(torch.bfloat16)
    logits.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = soft_cross_entropy(logits, targets, weights, mask)
    losses.balanced.backward()
    expected = dense_losses(logits.detach().double(), targets, weights, mask)
    assert losses.balanced.dtype == torch.float32
    assert logits.grad.dtype == torch.bfloat16
    torch.testing.assert_close(losses.balanced.double(), expected[0], rtol=1e-5, atol=1e-5)


def test_only_gray_images_give_a_loss_of_zero():
    logits, targets, weights, _ = example()
    logits.requires_grad_()
    losses = soft_cross_entropy(logits, targets, weights, torch.zeros(3, dtype=torch.bool))
    losses.balanced.backward()
    assert losses.balanced.item() == losses.unbalanced.item() == 0
    assert not logits.grad.any()


def test_no_gradient_without_need():
    logits, targets, weights, _ = example()
    assert not soft_cross_entropy(logits, targets, weights).balanced.requires_grad
    weights.requires_grad_()
    assert not soft_cross_entropy(logits, targets, weights).balanced.requires_grad


def test_a_colour_that_is_not_finite_makes_the_loss_nan():
    ab = torch.zeros(1, 2, 2, 2)
    ab[0, 0, 0, 0] = float("nan")
    assert soft_cross_entropy(torch.zeros(1, N_BINS, 2, 2), soft_encode(ab)).balanced.isnan()


def test_bad_shapes_are_named():
    logits, targets, weights, mask = example()
    with pytest.raises(ValueError, match=r"logits must be \(B, 313, h, w\); got \(3, 312, 4, 5\)"):
        soft_cross_entropy(logits[:, 1:], targets)
    with pytest.raises(ValueError, match=r"targets.bins must be \(3, K, 2, 5\); got \(3, 5, 4, 5\)"):
        soft_cross_entropy(logits[:, :, :2], targets)
    with pytest.raises(ValueError, match=r"bin_weights must be \(313,\)"):
        soft_cross_entropy(logits, targets, weights[1:])
    with pytest.raises(ValueError, match=r"has_color must be \(3,\)"):
        soft_cross_entropy(logits, targets, weights, mask[1:])
