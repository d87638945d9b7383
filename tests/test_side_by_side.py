"""Two networks side by side: what each computes alone, and nothing that crosses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pretext import inputs
from pretext.backbones import SmallNet, class_path
from pretext.backbones.batchnorm import norms, recalibrate_batchnorm
from pretext.backbones.calibration import calibrate_magnitudes, chain, without_batchnorm
from pretext.backbones.kmeans import initialise_by_kmeans
from pretext.backbones.side_by_side import SideBySide
from pretext.encoder import Encoder, from_state_dict, load

SMALL = class_path(SmallNet)
WIDTHS = [4, 6, 6, 8, 8]


def images(channels: int = 3, count: int = 8) -> Tensor:
    return torch.randn(count, channels, 32, 32, generator=torch.Generator().manual_seed(1))


def halves_of(network: SideBySide) -> tuple[SmallNet, SmallNet]:
    """Networks built on their own, with the weights copied by name."""
    built = []
    for part, channels in (("first", 1), ("second", 2)):
        half = SmallNet(channels, WIDTHS)
        marks = f".{part}."
        half.load_state_dict(
            {k.replace(marks, "."): v for k, v in network.state_dict().items() if marks in k}
        )
        built.append(half.train(network.training))
    return built[0], built[1]


@pytest.fixture
def network() -> SideBySide:
    torch.manual_seed(0)
    made = SideBySide(3, SMALL, first=1, arguments={"widths": WIDTHS})
    recalibrate_batchnorm(made, [images()])
    return made.eval()


def test_maps_are_those_of_both_networks_alone(network: SideBySide) -> None:
    one, other = halves_of(network)
    with torch.no_grad():
        found = network(images()).maps
        first, second = one(images()[:, :1]).maps, other(images()[:, 1:]).maps
    assert [stage.channels for stage in network.stages] == [2 * width for width in WIDTHS]
    for name, values in found.items():
        torch.testing.assert_close(values, torch.cat([first[name], second[name]], dim=1))


@pytest.mark.parametrize("train", [False, True])
def test_nothing_crosses_between_the_halves(network: SideBySide, train: bool) -> None:
    network.train(train)
    x = images().requires_grad_()
    for name, channels in zip(network.stage_names, WIDTHS, strict=True):
        values = network(x).maps[name]
        (left,) = torch.autograd.grad(values[:, :channels].square().sum(), x, retain_graph=True)
        (right,) = torch.autograd.grad(values[:, channels:].square().sum(), x)
        assert bool(left[:, :1].any())
        assert not bool(left[:, 1:].any()), name
        assert bool(right[:, 1:].any())
        assert not bool(right[:, :1].any()), name
    first = [p for name, p in network.named_parameters() if ".first." in name]
    network(x).maps["conv5"][:, WIDTHS[-1] :].square().sum().backward()
    assert first
    assert all(p.grad is None or not bool(p.grad.any()) for p in first)


def test_the_halves_are_views_of_its_weights(network: SideBySide) -> None:
    state = torch.random.get_rng_state()
    one, other = network.halves()
    assert torch.equal(state, torch.random.get_rng_state())
    assert {id(p) for p in network.parameters()} == {
        id(p) for half in (one, other) for p in half.parameters()
    }
    left, right = network.shown(images())
    with torch.no_grad():
        together = torch.cat([one(left).maps["conv5"], other(right).maps["conv5"]], dim=1)
        assert torch.equal(together, network(images()).maps["conv5"])


def test_an_encoder_of_it_survives_saving_and_takes_foreign_weights(
    network: SideBySide, tmp_path: Path
) -> None:
    encoder = Encoder(inputs.build("lab"), network)
    encoder.save(tmp_path)
    again = load(tmp_path)
    assert again.digest() == encoder.digest()
    assert again.network == encoder.network
    assert encoder.network.startswith("SideBySide(arguments=")
    other = Encoder(inputs.build("lab"), SideBySide(3, SMALL, arguments={"widths": WIDTHS}))
    assert from_state_dict(other, network.state_dict()).digest() == encoder.digest()
    with pytest.raises(ValueError, match=r"missing: blocks.conv1.second"):
        from_state_dict(other, {k: v for k, v in network.state_dict().items() if ".second." not in k})


def test_each_half_is_calibrated_as_it_is_alone(network: SideBySide) -> None:
    plain = without_batchnorm(network)
    assert isinstance(plain, SideBySide)
    assert norms(plain) == []
    with torch.no_grad():
        for name, values in network(images()).maps.items():
            torch.testing.assert_close(plain(images()).maps[name], values, rtol=1e-3, atol=1e-4)
    assert len(chain(plain)) == 10
    alone = [without_batchnorm(half) for half in halves_of(network)]
    rounds = calibrate_magnitudes(plain, images())
    shown = (images()[:, :1], images()[:, 1:])
    assert rounds == max(calibrate_magnitudes(half, x) for half, x in zip(alone, shown, strict=True))
    for own, half in zip(plain.halves(), alone, strict=True):
        for (name, value), wanted in zip(own.state_dict().items(), half.state_dict().values(), strict=True):
            torch.testing.assert_close(value, wanted, msg=name)


def test_filters_start_from_clusters_of_what_each_half_sees(network: SideBySide) -> None:
    before = network.state_dict()["blocks.conv1.second.conv.weight"].clone()
    initialise_by_kmeans(network, images(), patches=500)
    after = network.state_dict()["blocks.conv1.second.conv.weight"]
    assert after.shape == (4, 2, 5, 5)
    assert not torch.equal(after, before)


def test_what_cannot_stand_side_by_side_is_refused() -> None:
    for first in (0, 3):
        with pytest.raises(ValueError, match=rf"first={first} of 3 channels leaves a network none to see"):
            SideBySide(3, SMALL, first=first)
    with pytest.raises(ValueError, match="is no backbone class"):
        SideBySide(3, "torch.nn.Linear")
    with pytest.raises(ValueError, match=r"stand in a row, not pretext\.backbones\.vit"):
        SideBySide(3, "pretext.backbones.vit.VisionTransformer")
