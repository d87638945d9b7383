"""Every backbone's contract, and each network against counts and statistics worked out by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50

from pretext import backbones
from pretext.backbones import (
    AlexNet,
    Backbone,
    ColorNet,
    MapBackbone,
    NetworkInNetwork,
    ResNet18,
    ResNet50,
    SmallNet,
    Stage,
    class_path,
)
from pretext.backbones.batchnorm import norm_eval, norms
from pretext.backbones.cost import macs, parameter_count
from pretext.backbones.resnet import ResNet, from_torchvision_names
from pretext.backbones.side_by_side import SideBySide

NETWORKS: dict[str, tuple[type[Backbone], dict[str, Any]]] = {
    "small": (SmallNet, {}),
    "small-narrow": (SmallNet, {"widths": [4, 8, 8, 12, 16]}),
    "alexnet": (AlexNet, {}),
    "alexnet-fc": (AlexNet, {"fully_connected": True}),
    "colornet": (ColorNet, {}),
    "colornet-affine": (ColorNet, {"affine": True}),
    "nin": (NetworkInNetwork, {}),
    "resnet18": (ResNet18, {}),
    "resnet18-small-stem": (ResNet18, {"small_stem": True}),
    "resnet50": (ResNet50, {}),
    "side-by-side": (
        SideBySide,
        {"network": class_path(SmallNet), "arguments": {"widths": [4, 8, 8, 12, 16]}},
    ),
    "resnets-side-by-side": (SideBySide, {"network": class_path(ResNet18)}),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Backbone:
    kind, arguments = NETWORKS[request.param]
    torch.manual_seed(0)
    return kind(in_channels=2, **arguments).eval()


def maps_of(channels: int, height: int = 32, width: int = 32, count: int = 2) -> Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


class TestEveryBackbone:
    @pytest.mark.parametrize("size", [(32, 32), (65, 97), (33, 47)])
    def test_maps_have_the_declared_channels_and_strides(
        self, network: Backbone, size: tuple[int, int]
    ) -> None:
        with torch.no_grad():
            features = network(maps_of(2, *size, count=1))
        assert features.vectors == {}
        assert tuple(features.maps) == network.stage_names
        for stage in network.stages:
            expected = (1, stage.channels, ceil(size[0] / stage.stride), ceil(size[1] / stage.stride))
            assert features.maps[stage.name].shape == expected

    def test_parts_compose_to_the_whole(self, network: Backbone) -> None:
        x = maps_of(2)
        with torch.no_grad():
            whole = network(x).maps
            for first, second in zip(network.stage_names, network.stage_names[1:], strict=False):
                head = network(x, stop=first).maps
                tail = network(head[first], start=second).maps
                assert list(head | tail) == list(whole)
                for name, values in (head | tail).items():
                    assert torch.equal(values, whole[name])

    def test_its_layers_are_its_stages(self, network: Backbone) -> None:
        assert network.layers() == [[network.blocks[name]] for name in network.stage_names]

    def test_one_stage_runs_alone(self, network: Backbone) -> None:
        name = network.stage_names[0]
        with torch.no_grad():
            assert list(network(maps_of(2), start=name, stop=name).maps) == [name]

    def test_an_unknown_stage_lists_the_stages(self, network: Backbone) -> None:
        listed = ", ".join(network.stage_names)
        for call in (
            network.stage,
            lambda n: network(maps_of(2), stop=n),
            lambda n: network(maps_of(2), start=n),
        ):
            with pytest.raises(ValueError, match=f"no stage 'conv9'.*{listed}"):
                call("conv9")

    def test_start_behind_stop_is_refused(self, network: Backbone) -> None:
        first, last = network.stage_names[0], network.stage_names[-1]
        with pytest.raises(ValueError, match="comes after"):
            network(maps_of(2), start=last, stop=first)

    def test_every_parameter_gets_a_finite_gradient(self, network: Backbone) -> None:
        network.train()
        with norm_eval(network):
            last = network(maps_of(2)).maps[network.stage_names[-1]]
            last.square().mean().backward()
        network.eval()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name
        network.zero_grad()

    def test_a_map_is_not_changed_by_the_stages_behind_it(self, network: Backbone) -> None:
        first = network.stage_names[0]
        with torch.no_grad():
            assert torch.equal(network(maps_of(2)).maps[first], network(maps_of(2), stop=first).maps[first])

    def test_is_rebuilt_from_its_path_and_arguments(self, network: Backbone) -> None:
        path = backbones.class_path(type(network))
        with torch.device("meta"):
            again = backbones.build(path, json.loads(json.dumps(network.arguments)), in_channels=2)
        assert type(again) is type(network)
        assert again.stages == network.stages
        assert [p.shape for p in again.parameters()] == [p.shape for p in network.parameters()]

    def test_no_convolution_in_front_of_batchnorm_has_a_bias(self, network: Backbone) -> None:
        if isinstance(network, ColorNet):  # BatchNorm stands behind the ReLU there: biases are not cancelled
            assert all(m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d))
        else:
            assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))

    def test_initial_weights_follow_he(self, network: Backbone) -> None:
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
                area = module.kernel_size[0] * module.kernel_size[1]
                fan_out = isinstance(network, ResNet | NetworkInNetwork) or "resnet" in str(
                    network.arguments.get("network")
                )
                fan = area * (module.out_channels if fan_out else module.in_channels // module.groups)
                assert module.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)


def test_two_stages_of_one_name_are_refused() -> None:
    stage = Stage("conv1", 1, 1)
    with pytest.raises(ValueError, match="names a stage twice: conv1, conv1"):
        MapBackbone(1, [stage, stage], [nn.Identity(), nn.Identity()], {})


def test_small_net_costs_what_it_says() -> None:
    network = SmallNet(in_channels=1)
    by_hand = (
        25 * 1 * 32 * 32**2  # conv1: 5×5 to 32²
        + 9 * 32 * 64 * 16**2
        + 9 * 64 * 96 * 16**2
        + 9 * 96 * 128 * 8**2
        + 9 * 128 * 128 * 8**2
    )
    assert macs(network, 64, channels=1) == by_hand == 36_208_640
    weights = 25 * 32 + 9 * (32 * 64 + 64 * 96 + 96 * 128 + 128 * 128)
    assert parameter_count(network) == weights + 2 * (32 + 64 + 96 + 128 + 128) == 333_472
    assert [stage.stride for stage in network.stages] == [2, 4, 4, 8, 8]


def test_network_in_network_is_the_releases() -> None:
    network = NetworkInNetwork(in_channels=3).eval()
    plan = {
        "conv1": [(3, 192, 5), (192, 160, 1), (160, 96, 1)],
        "conv2": [(96, 192, 5), (192, 192, 1), (192, 192, 1)],
        "conv3": [(192, 192, 3), (192, 192, 1), (192, 192, 1)],
        "conv4": [(192, 192, 3), (192, 192, 1), (192, 192, 1)],
    }
    for name, convs in plan.items():
        found = [m for m in network.blocks[name].modules() if isinstance(m, nn.Conv2d)]
        assert [(m.in_channels, m.out_channels, *m.kernel_size) for m in found] == [(*c, c[2]) for c in convs]
    weights = sum(a * b * k * k for convs in plan.values() for a, b, k in convs)
    scales = 2 * sum(b for convs in plan.values() for _, b, _ in convs)
    assert parameter_count(network) == weights + scales == 1_406_016 + 4_352
    # Of ones, a max-pool makes ones; the mean-pool counts its border as zeros: 4, 6 or 9 of 9 cells.
    pools = {name: network.blocks[name][-1] for name in ("conv1", "conv2")}
    ones = torch.ones(1, 1, 32, 32)
    assert torch.equal(pools["conv1"](ones), torch.ones(1, 1, 16, 16))
    torch.testing.assert_close(pools["conv2"](ones)[0, 0, :2, :2], torch.tensor([[4, 6], [6, 9]]) / 9)


def test_small_net_takes_five_widths() -> None:
    for widths in ([8, 8], [8, 8, 8, 8, 0]):
        with pytest.raises(ValueError, match="five positive widths"):
            SmallNet(1, widths=widths)


def test_alexnet_costs_what_it_says() -> None:
    convolutions = 121 * 96 + 25 * 48 * 256 + 9 * 256 * 384 + 9 * 192 * 384 + 9 * 192 * 256
    assert parameter_count(AlexNet(in_channels=1)) == convolutions  # BatchNorm has no parameters here
    connected = 36 * 256 * 4096 + 4096 * 4096
    with torch.device("meta"):
        assert parameter_count(AlexNet(in_channels=1, fully_connected=True)) == convolutions + connected


def test_alexnet_makes_split_brains_maps_and_probes_read_before_pooling() -> None:
    with torch.no_grad():
        maps = AlexNet(in_channels=1).eval()(maps_of(1, 180, 180, count=1)).maps
    assert [tuple(m.shape[1:]) for m in maps.values()] == [
        (96, 45, 45),
        (256, 23, 23),
        (384, 12, 12),
        (384, 12, 12),
        (256, 12, 12),
    ]
    # Goyal et al.'s poolings of conv1 … conv5 keep about nine thousand values only before the max-pool.
    sizes = [55, 27, 13, 13, 13]
    pooled = [
        ((s - k) // t + 1) ** 2
        for s, (k, t) in zip(sizes, [(19, 4), (12, 3), (9, 1), (9, 1), (8, 1)], strict=True)
    ]
    assert [n * m.shape[1] for n, m in zip(pooled, maps.values(), strict=True)] == [
        9600,
        9216,
        9600,
        9600,
        9216,
    ]


def test_alexnet_has_batchnorm_without_scale_and_no_response_normalisation() -> None:
    network = AlexNet(in_channels=1)
    assert len(norms(network)) == 5
    assert not any(norm.affine for norm in norms(network))
    assert not any(isinstance(m, nn.LocalResponseNorm) for m in network.modules())


def test_resnet_costs_what_torchvisions_does() -> None:
    reference = resnet18(weights=None)
    reference.fc = nn.Identity()
    network = ResNet18(in_channels=3)
    assert parameter_count(network) == parameter_count(reference) == 11_176_512
    assert macs(network, 224) == macs(reference, 224) == 1_813_561_344


def test_resnet50_is_torchvisions() -> None:
    torch.manual_seed(0)
    reference = resnet50(weights=None).train()
    with torch.no_grad():
        reference(torch.randn(4, 3, 64, 64))  # statistics that are not zero and one
    reference.fc = nn.Identity()
    network = ResNet50(in_channels=3).eval()
    network.load_state_dict(from_torchvision_names(reference.eval().state_dict()))
    assert parameter_count(network) == parameter_count(reference) == 23_508_032
    assert macs(network, 64) == macs(reference, 64)
    images = maps_of(3, 64, 96)
    with torch.no_grad():
        x = reference.relu(reference.bn1(reference.conv1(images)))
        expected = {"stem": x}
        x = reference.maxpool(x)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            expected[name] = x = getattr(reference, name)(x)
        found = network(images).maps
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(found[name], values)
        torch.testing.assert_close(found["layer4"].mean((2, 3)), reference(images))


def test_colornet_follows_the_papers_table() -> None:
    layers = {"conv1": 2 * [64], "conv2": 2 * [128], "conv3": 3 * [256]}
    layers |= {name: 3 * [512] for name in ("conv4", "conv5", "conv6", "conv7")}
    dilated = {"conv5": 2, "conv6": 2}
    with torch.device("meta"):
        network = ColorNet(in_channels=1)
        for size, expected in ((176, (88, 44, 22)), (224, (112, 56, 28)), (256, (128, 64, 32))):
            maps = network(torch.empty(1, 1, size, size)).maps
            assert [m.shape[-1] for m in maps.values()] == [*expected, *4 * [expected[-1]]]
    for name, channels in layers.items():
        kinds = [type(m) for m in network.blocks[name]]
        assert kinds == [*len(channels) * [nn.Conv2d, nn.ReLU], nn.BatchNorm2d]
        convs = [m for m in network.blocks[name] if isinstance(m, nn.Conv2d)]
        assert [c.out_channels for c in convs] == channels
        assert {c.dilation[0] for c in convs} == {c.padding[0] for c in convs} == {dilated.get(name, 1)}
        halves = 2 if name in ("conv1", "conv2", "conv3") else 1
        assert [c.stride[0] for c in convs] == [*(len(convs) - 1) * [1], halves]
    assert not any(norm.affine for norm in norms(network))


def test_colornet_has_the_parameters_and_costs_of_its_trunk() -> None:
    plan = [1, 64, 64, 128, 128, 256, 256, 256, *12 * [512]]
    by_hand = sum(9 * a * b + b for a, b in pairwise(plan))
    with torch.device("meta"):
        assert parameter_count(ColorNet(in_channels=1)) == by_hand == 28_872_384
        assert parameter_count(ColorNet(1, affine=True)) == by_hand + 2 * (64 + 128 + 256 + 4 * 512)
        strides = [1, 2, 2, 4, 4, 4, 8, *12 * [8]]
        cost = sum(9 * a * b * (64 // s) ** 2 for (a, b), s in zip(pairwise(plan), strides, strict=True))
    network = ColorNet(in_channels=1)
    assert macs(network, 64, channels=1) == cost


def test_counting_costs_nothing_of_the_networks_state() -> None:
    network = SmallNet(1, widths=[2, 2, 2, 2, 2]).train()
    network.blocks["conv3"].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert macs(network, (32, 16), channels=1) == macs(network, (16, 32), channels=1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    assert not network.blocks["conv3"].training


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "torch.nn.Linear",
        "pretext.encoder.Encoder",
        "pretext.encoder.encoder.Encoder",
        "pretext.backbones.base.Backbone",
        "pretext.backbones.base.MapBackbone",
        "pretext.backbones.base.TokenBackbone",
        "pretext.backbones.base.Stage",
        "pretext.backbones.resnet.BasicBlock",
        "pretext.backbones.resnet.SmallNet",
        "pretext.backbones.alexnet.Backbone",
        "pretext.backbones.small.build",
        "pretext.backbones.small.SmallNet.__init__",
        "pretext.backbones.no_such_module.SmallNet",
        "pretext.backbones...os.system",
        "pretext.backbones.small.SmallNet\n",
        "",
    ],
)
def test_only_own_backbone_classes_are_resolved(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no backbone class.*pretext\.backbones\.small\.SmallNet"):
        backbones.resolve(path)


def test_a_backbone_that_a_module_only_imports_is_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(MapBackbone):
        pass

    monkeypatch.setattr("pretext.backbones.small.Elsewhere", Elsewhere, raising=False)
    with pytest.raises(ValueError, match="is no backbone class"):
        backbones.resolve("pretext.backbones.small.Elsewhere")


@pytest.mark.parametrize("arguments", [{"depth": 3}, {"in_channels": 5}, {"widths": 3}])
def test_arguments_that_a_backbone_does_not_take_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="SmallNet cannot be built from"):
        backbones.build("pretext.backbones.small.SmallNet", arguments, in_channels=1)
