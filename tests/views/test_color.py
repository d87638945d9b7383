"""Changes of colour are torchvision's at fixed parameters, and their parameters spread as they should."""

import itertools
from collections import Counter

import pytest
import torch
from made_images import generator, images
from scipy import stats
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from pretext import views
from pretext.views.jitter import CHANGES, _draw, _in_order

THEIRS = (tv.adjust_brightness, tv.adjust_contrast, tv.adjust_saturation, tv.adjust_hue)
SIZES = (0.8, 0.7, 0.6, 0.2)
MANY = 20_000


def close(ours: Tensor, theirs: list[Tensor]) -> None:
    torch.testing.assert_close(ours, torch.stack(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("i", range(4), ids=[change.__name__ for change in CHANGES])
def test_each_change_is_torchvisions(i: int) -> None:
    x = images(7)
    amounts = [-0.5, -0.21, 0.0, 0.1, 1 / 3, 0.49, 0.5] if i == 3 else [0.0, 0.3, 0.99, 1.0, 1.2, 1.8, 3.0]
    close(
        CHANGES[i](x, torch.tensor(amounts)), [THEIRS[i](one, a) for one, a in zip(x, amounts, strict=True)]
    )


def in_turn(image: Tensor, amounts: Tensor, order: Tensor) -> Tensor:
    for i in order.tolist():
        image = THEIRS[i](image, float(amounts[i]))
    return image


def test_changes_come_in_the_order_of_each_image() -> None:
    orders = torch.tensor(list(itertools.permutations(range(4)))).T  # (4, 24)
    x = images(1).expand(24, -1, -1, -1)
    amounts = torch.tensor([1.6, 0.5, 1.7, 0.3])[:, None].expand(-1, 24)
    ours = _in_order(x, amounts, orders, SIZES)
    close(ours, [in_turn(x[0], amounts[:, b], orders[:, b]) for b in range(24)])
    assert len({out.numpy().tobytes() for out in ours}) == 24, "some orders give the same image"


def test_jitter_changes_the_chosen_images_by_their_draws() -> None:
    x = images(40)
    ours = views.color_jitter(x, generator(5), *SIZES, p=0.6)
    chosen, amounts, orders = _draw(40, generator(5), SIZES, 0.6)
    assert 10 < int(chosen.sum()) < 35
    close(ours, [in_turn(x[b], amounts[:, b], orders[:, b]) if chosen[b] else x[b] for b in range(40)])
    assert torch.equal(ours[~chosen], x[~chosen])


def test_a_change_of_size_zero_is_left_out() -> None:
    x = images(8)
    assert torch.equal(views.color_jitter(x, generator(), 0, 0, 0, 0, p=1), x)
    factors = _draw(8, generator(), (0.5, 0, 0, 0), 1)[1][0].tolist()
    only = views.color_jitter(x, generator(), 0.5, 0, 0, 0, p=1)
    close(only, [tv.adjust_brightness(one, f) for one, f in zip(x, factors, strict=True)])


def test_jitter_draws_uniform_factors_orders_and_images() -> None:
    chosen, amounts, orders = _draw(MANY, generator(), (0.4, 1.5, 0.6, 0.2), 0.8)
    ends = ((0.6, 1.4), (0.0, 2.5), (0.4, 1.6), (-0.2, 0.2))
    for drawn, (low, high) in zip(amounts, ends, strict=True):
        assert stats.kstest(drawn.numpy(), stats.uniform(low, high - low).cdf).pvalue > 0.001
    counts = Counter(tuple(order) for order in orders.T.tolist())
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > 0.001
    assert abs(float(chosen.float().mean()) - 0.8) < 5 * (0.8 * 0.2 / MANY) ** 0.5
    together = torch.corrcoef(torch.cat((amounts, orders[:1].double(), chosen[None].double())))
    assert float((together - torch.eye(6)).abs().max()) < 5 / MANY**0.5, "draws depend on one another"


def test_gray_and_solarise_are_torchvisions_at_their_rates() -> None:
    x = images(2000, 4, 5)
    whole = {
        "gray": (tv.rgb_to_grayscale(x, 3), views.random_gray),
        "solarise": (tv.solarize(x, 0.5), views.random_solarise),
    }
    for name, (theirs, ours) in whole.items():
        torch.testing.assert_close(ours(x, generator(), p=1), theirs, rtol=0, atol=1e-6)
        assert torch.equal(ours(x, generator(), p=0), x)
        out = ours(x, generator(), p=0.3)
        changed = (out - theirs).abs().flatten(1).amax(1) < 1e-6
        assert ((out == x).flatten(1).all(1) ^ changed).all(), name
        assert abs(float(changed.float().mean()) - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5, name
    at = torch.tensor([0.0, 0.29, 0.3, 0.31, 1.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    torch.testing.assert_close(views.solarise(at, 0.3), tv.solarize(at, 0.3))
    torch.testing.assert_close(views.solarise(at, 0.3)[0, 0, 0], torch.tensor([0.0, 0.29, 0.7, 0.69, 0.0]))


@pytest.mark.parametrize("kernel_size", [1, 5, 23])
def test_blur_is_torchvisions(kernel_size: int) -> None:
    x = images(5, 24, 20)
    sigma = [0.1, 0.5, 1.0, 2.0, 9.0]
    ours = views.gaussian_blur(x, torch.tensor(sigma), kernel_size)
    close(ours, [tv.gaussian_blur(one, kernel_size, s) for one, s in zip(x, sigma, strict=True)])


@pytest.mark.parametrize(
    ("sigma", "kernel_size", "message"),
    [
        (1.0, 4, "odd number of pixels, got 4"),
        (1.0, 41, "41 pixels is too wide for images of 20×20"),
        (0.0, 5, "positive standard deviations, got 0.0"),
    ],
)
def test_impossible_blurs_are_refused(sigma: float, kernel_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        views.gaussian_blur(images(1), torch.tensor([sigma]), kernel_size)


def test_blur_draws_uniform_widths_at_its_rate() -> None:
    point = torch.zeros(3000, 3, 1, 9)
    point[..., 4] = 1.0
    out = views.random_blur(point.expand(-1, -1, 9, -1), generator(), 7, (0.5, 1.5), p=0.4)[:, 0, 4]
    blurred = out[:, 4] < 1
    assert abs(float(blurred.float().mean()) - 0.4) < 5 * (0.4 * 0.6 / 3000) ** 0.5
    always = views.random_blur(point.expand(-1, -1, 9, -1), generator(), 7, (0.5, 1.5), p=1)[:, 0, 4]
    # An image's width does not hang on the others; the last bits of a matrix product may, by the processor.
    torch.testing.assert_close(out[blurred], always[blurred], rtol=0, atol=1e-6)
    # exp(−1 / 2σ²) is the ratio of two neighbours.
    sigma = (-0.5 / (out[blurred, 3] / out[blurred, 4]).log()).sqrt()
    assert stats.kstest(sigma.numpy(), stats.uniform(0.5, 1.0).cdf).pvalue > 0.001
