"""Dahl: what is asked of every pixel, blurs against scipy, and where the trunk's maps come in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import toy
from scipy.ndimage import correlate
from skimage import color
from torch import Tensor, nn

from pretext.backbones import Stage
from pretext.color import lab_to_rgb, lightness, rgb_to_lab
from pretext.task import Images
from pretext.tasks import coloring
from pretext.tasks.dahl import Chrominance, Dahl, ResidualDecoder, errors


def batch(learner: Dahl, images: Images | None = None) -> Chrominance:
    return learner.views(images or toy.batch(4), torch.Generator().manual_seed(1))


def shaken(learner: Dahl) -> Dahl:
    torch.manual_seed(2)
    nn.init.normal_(learner.decoder.out.weight)
    return learner.eval()


def test_every_pixel_is_asked_for_its_u_and_v() -> None:
    found = batch(Dahl(toy.encoder()))
    yuv = color.rgb2yuv(found.pixels.double().numpy(), channel_axis=1)
    np.testing.assert_allclose(found.uv[:, 0], yuv[:, 1] / 0.872 + 0.5, atol=1e-3)
    np.testing.assert_allclose(found.uv[:, 1], yuv[:, 2] / 1.23 + 0.5, atol=1e-3)


def gaussian(side: int, sigma: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    line = np.exp(-0.5 * ((np.arange(side) - side // 2) / sigma) ** 2)
    square = np.outer(line, line)
    return square / square.sum()


def test_errors_are_squared_as_they_are_and_blurred_within_a_channel() -> None:
    difference = torch.randn(2, 2, 9, 11, generator=torch.Generator().manual_seed(0))
    difference[1, 1] = 0  # U alone is wrong
    found = errors(difference)
    for i in range(2):
        planes = difference[i].double().numpy()
        blurred = [
            [correlate(p, gaussian(*size), mode="mirror") for p in planes] for size in ((3, 0.8), (5, 1.1))
        ]
        expected = [np.square(x).mean() for x in (planes, *blurred)]
        assert found[i].tolist() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_the_loss_is_the_mean_of_three_over_images_with_colour() -> None:
    learner = shaken(Dahl(toy.encoder()))
    gray = coloring.gray(lightness(toy.batch(1, seed=9).pixels))
    found = batch(learner, Images(torch.cat([toy.batch(3).pixels, gray]), torch.arange(4), None))
    step = learner.loss(found)
    assert step.weight is not None
    assert int(step.weight) == 3
    guess = learner._logits(found.pixels).sigmoid()
    assert float(step.loss) == pytest.approx(float(errors(guess - found.uv)[:3].mean()), rel=1e-5)


@torch.no_grad()
def test_starts_at_gray() -> None:
    learner = Dahl(toy.encoder())
    found = batch(learner)
    step = learner.loss(found)
    assert float(step.loss) == pytest.approx(learner.chance(found)["loss"], rel=1e-2)
    # Colours of one plane are their own blur.
    flat = found._replace(uv=torch.tensor([0.3, 0.6]).view(1, 2, 1, 1).expand_as(found.uv))
    assert learner.chance(flat)["loss"] == pytest.approx((0.2**2 + 0.1**2) / 2, rel=1e-4)


def moves(decoder: ResidualDecoder, seen: Tensor, maps: dict[str, Tensor]) -> set[str]:
    """Names of the maps, and of the image, that matter to what comes out."""
    before, found = decoder(seen, maps), set()
    for name, value in maps.items():
        if not torch.equal(decoder(seen, {**maps, name: torch.randn_like(value)}), before):
            found.add(name)
    return found | ({"image"} if not torch.equal(decoder(torch.randn_like(seen), maps), before) else set())


@torch.no_grad()
def test_the_last_map_of_every_resolution_is_added() -> None:
    learner = shaken(Dahl(toy.encoder()))
    seen = torch.randn(2, 1, 32, 32)
    assert moves(learner.decoder, seen, learner.encoder.backbone(seen).maps) == {
        "conv1",
        "conv3",
        "conv5",
        "image",
    }


@torch.no_grad()
def test_a_map_is_added_where_its_resolution_is_reached() -> None:
    """From 8 pixels a cell to the image: 1×1 to the next map's channels, then 3×3; added after upsampling."""
    torch.manual_seed(0)
    decoder = ResidualDecoder((Stage("a", 5, 2), Stage("b", 7, 4)), 1).eval()
    maps = {"a": torch.randn(1, 5, 6, 6), "b": torch.randn(1, 7, 3, 3)}
    seen = torch.randn(1, 1, 12, 12)
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    scale = (1 + 1e-5) ** -0.5  # of BatchNorm that has seen nothing
    x = up((decoder.convs[0][0](maps["b"] * scale) * scale).relu()) + maps["a"] * scale
    x = up((decoder.convs[1][0](x) * scale).relu()) + (seen * scale).repeat(1, 3, 1, 1)
    x = decoder.out((decoder.mix[0](x) * scale).relu())
    torch.testing.assert_close(decoder(seen, maps), x)
    assert [conv[0].kernel_size for conv in decoder.convs] == [(1, 1), (3, 3)]


@torch.no_grad()
def test_a_trunk_of_one_resolution_is_decoded_alone() -> None:
    learner = shaken(Dahl(toy.token_encoder()))
    seen = torch.randn(2, 1, 32, 32)
    assert moves(learner.decoder, seen, learner.encoder.backbone(seen).maps) == {"block2", "image"}
    assert [conv[0].out_channels for conv in learner.decoder.convs] == [16, 16, 3]
    assert learner.colorize(torch.full((1, 1, 32, 40), 50.0)).shape == (1, 2, 32, 40)


@torch.no_grad()
def test_colors_are_u_and_v_beside_the_images_own_y() -> None:
    learner = Dahl(toy.encoder()).eval()
    nn.init.zeros_(learner.decoder.out.weight)
    learner.decoder.out.bias.copy_(torch.tensor([0.55, 0.47]).logit())
    pixels = torch.full((1, 3, 8, 8), 0.5)
    rgb = color.yuv2rgb([0.5, 0.05 * 0.872, -0.03 * 1.23])
    np.testing.assert_allclose(learner.paint(pixels)[0, :, 3, 4], color.rgb2lab(rgb)[1:], atol=0.05)
    painted = lab_to_rgb(torch.cat([lightness(pixels), learner.paint(pixels)], 1))
    assert float(rgb_to_lab(painted)[0, 2].max()) < 0, "blue"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'rgb' shows"):
        Dahl(toy.encoder("rgb"))
    with pytest.raises(
        ValueError, match="stage 'a' has stride 14; it must be target_stride=1 times a power of two"
    ):
        ResidualDecoder((Stage("a", 5, 14),), 1)
