"""The paper's own colour head: counts, sizes, and its place in the two tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy
from torch import nn
from torch.nn import functional as F

from pretext import inputs
from pretext.backbones import ColorNet, ResNet18
from pretext.backbones.cost import macs, parameter_count
from pretext.color import N_BINS
from pretext.data.loader import EpochLoader
from pretext.described import chosen, defaults
from pretext.encoder import Encoder
from pretext.fit import load_task, save_task
from pretext.tasks.block8 import Block8
from pretext.tasks.colorization import Colorization
from pretext.tasks.colorization_l2 import ColorizationL2


@pytest.mark.parametrize(("affine", "published"), [(False, 32_230_393), (True, 32_235_385)])
def test_trunk_and_head_have_the_published_number_of_parameters(affine: bool, published: int) -> None:
    with torch.device("meta"):
        encoder = Encoder(inputs.build("lightness", scale=1.0), ColorNet(1, affine=affine))
        task = Colorization(encoder, hidden=256, block8=True)
    assert parameter_count(task) == published
    assert sum(m.numel() for m in task.head.parameters()) == 3_358_009


def test_trunk_and_head_cost_what_is_published() -> None:
    """Open Model Zoo lists 83.6 GFLOP at 256 pixels for the released model, its decode to ab
    included, and presumably biases too."""

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = ColorNet(1), Block8(512, 256, N_BINS)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.trunk(x).maps["conv7"], (64, 64))

    with torch.device("meta"):
        network = Whole()
    decode = N_BINS * 2 * 64**2
    assert 2 * (macs(network, 256, channels=1) + decode) / 1e9 == pytest.approx(83.6, rel=1e-3)


def test_is_the_release_layer_by_layer() -> None:
    torch.manual_seed(0)
    head = Block8(6, 5, 4)
    x = torch.randn(2, 6, 7, 9)
    with torch.no_grad():
        y = F.conv_transpose2d(x, head.up.weight, head.up.bias, stride=2, padding=1).relu()
        for conv in head.convs:
            y = F.conv2d(y, conv.weight, conv.bias, padding=1).relu()
        y = F.conv2d(y, head.out.weight, head.out.bias)
        torch.testing.assert_close(head(x, (14, 18)), y)
        assert head(x, (13, 17)).shape == (2, 4, 13, 17)


def test_keeps_the_scale_of_what_it_is_given() -> None:
    torch.manual_seed(0)
    head = Block8(64, 64, 3)
    with torch.no_grad():
        up = head.up(torch.randn(8, 64, 16, 16).relu() * 2**0.5)  # unit second moment
    assert up.square().mean().item() == pytest.approx(2, rel=0.15)  # He: ReLU halves it


@pytest.mark.parametrize("kind", [Colorization, ColorizationL2])
@pytest.mark.parametrize("size", [(32, 32), (37, 45)])
def test_colours_images_of_any_size(
    kind: type[Colorization | ColorizationL2], size: tuple[int, int], tmp_path: Path
) -> None:
    task = kind(toy.encoder(), hidden=8, block8=True).eval()
    task.prepare(EpochLoader(toy.split(24, 5), 8, shuffle=False), tmp_path)
    assert task.colorize(torch.full((1, 1, *size), 40.0)).shape == (1, 2, *size)


def test_survives_saving_and_is_shared_with_the_regression(tmp_path: Path) -> None:
    parent = Colorization(toy.encoder(), hidden=8, block8=True)
    save_task(parent.eval(), tmp_path)
    again = load_task(tmp_path)
    assert isinstance(again.head, Block8)
    assert torch.equal(again.head.up.weight, parent.head.up.weight)
    child = ColorizationL2(toy.encoder(seed=3), hidden=8, block8=True)
    child.initialise_from(again)
    assert torch.equal(child.head.up.weight, parent.head.up.weight)
    with pytest.raises(ValueError, match="differing arguments: block8"):
        ColorizationL2(toy.encoder(), hidden=8).initialise_from(again)


def test_a_stage_that_needs_more_than_one_doubling_is_refused() -> None:
    with pytest.raises(ValueError, match="'layer4' has stride 32, and target_stride=4 needs 8"):
        Colorization(Encoder(inputs.build("lightness"), ResNet18(1)), block8=True)


def test_where_it_is_off_a_tasks_arguments_are_those_of_before() -> None:
    for kind in (Colorization, ColorizationL2):
        assert not chosen(kind(toy.encoder()).arguments, defaults(kind))
