"""The adapter against timm's own feature levels; what it cannot cut, and what must never be fetched."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from pathlib import Path

import pytest
import timm
import torch

from pretext import backbones, inputs
from pretext.backbones.timm_net import TimmNet, from_timm_names
from pretext.encoder import Encoder, from_state_dict, load

MODELS = ("resnet10t", "convnext_atto", "regnetx_002")


def images() -> torch.Tensor:
    return torch.randn(2, 2, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", MODELS)
def test_maps_are_timms_feature_levels(model: str) -> None:
    network = TimmNet(2, model).eval()
    reference = timm.create_model(model, features_only=True, pretrained=False, in_chans=2).eval()
    own = {".".join(name.split(".")[2:]): value for name, value in network.state_dict().items()}
    reference.load_state_dict(own)  # strict: every name of timm's is there
    with torch.no_grad():
        expected, maps = reference(images()), network(images()).maps
    assert tuple(maps) == network.stage_names
    for stage, level, values in zip(network.stages, expected, maps.values(), strict=True):
        torch.testing.assert_close(values, level)
        assert values.shape[1:] == (stage.channels, ceil(64 / stage.stride), ceil(96 / stage.stride))


@pytest.mark.parametrize("model", MODELS)
def test_parts_compose_to_the_whole(model: str) -> None:
    network = TimmNet(2, model).eval()
    with torch.no_grad():
        whole = network(images()).maps
        for first, second in pairwise(network.stage_names):
            head = network(images(), stop=first).maps
            tail = network(head[first], start=second).maps
            assert list(head | tail) == list(whole)
            assert all(torch.equal(values, whole[name]) for name, values in (head | tail).items())


@pytest.mark.parametrize("model", MODELS)
def test_takes_the_weights_of_the_whole_model(model: str) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(model, pretrained=False, in_chans=3).eval()
    encoder = Encoder(inputs.build("rgb", mean=[0.0] * 3, std=[1.0] * 3), TimmNet(3, model)).eval()
    head = ("head.", "fc.", "final_conv.")
    from_state_dict(encoder, from_timm_names(encoder.backbone, whole.state_dict()), ignore=head)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        last = encoder(x).maps[encoder.stage_names[-1]]
        torch.testing.assert_close(last, whole.forward_features(x))


def test_survives_saving(tmp_path: Path) -> None:
    encoder = Encoder(inputs.build("sobel"), TimmNet(2, "resnet10t"))
    encoder.save(tmp_path)
    assert load(tmp_path).digest() == encoder.digest()


@pytest.mark.parametrize("model", ["efficientnet_b0", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_networks_that_timm_reads_by_hooks_are_refused(model: str) -> None:
    with pytest.raises(
        ValueError, match=f"{model}.*(cannot be cut into stages.*backbone=timm_whole|no feature levels)"
    ):
        TimmNet(3, model)


@pytest.mark.parametrize(
    "model",
    ["hf-hub:timm/resnet18", "hf_hub:timm/resnet18", "local-dir:/tmp", "resnet18.a1_in1k", "resnet9000", ""],
)
def test_only_names_of_timms_own_list_are_taken(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved encoder of unknown origin must not make anything be fetched."""

    def create(*arguments: object, **options: object) -> None:
        raise AssertionError("timm was asked to build it")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(ValueError, match="has no model"):
        backbones.build("pretext.backbones.timm_net.TimmNet", {"model": model}, in_channels=3)


def test_weights_are_random_and_never_timms_own() -> None:
    with pytest.raises(ValueError, match="cannot be built"):
        backbones.build("pretext.backbones.timm_net.TimmNet", {"model": "resnet10t", "pretrained": True}, 3)
    torch.manual_seed(0)
    one = TimmNet(1, "resnet10t")
    torch.manual_seed(1)
    assert not torch.equal(
        one.blocks["act1"].conv1[0].weight, TimmNet(1, "resnet10t").blocks["act1"].conv1[0].weight
    )
