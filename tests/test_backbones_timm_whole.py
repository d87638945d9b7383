"""Networks of timm that run as a whole, against timm's own `forward_features`."""

from __future__ import annotations

from functools import cache
from math import ceil
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from pretext import backbones, inputs
from pretext.backbones.timm_levels import HEAD
from pretext.backbones.timm_whole import TimmWhole, from_timm_whole
from pretext.encoder import Encoder, load

PATH = "pretext.backbones.timm_whole.TimmWhole"
TOKENS = {
    "test_vit": 1,
    "vit_small_patch14_reg4_dinov2": 5,  # a class token and four registers
    "vit_small_patch16_dinov3": 5,  # the same, and positions that are turned into queries and keys
    "eva02_tiny_patch14_224": 1,
    "deit_tiny_distilled_patch16_224": 2,  # the second is for distillation
}
"""Tokens in front of the patches, by network."""
OTHERS = {
    "mobilenetv3_small_050": 0,
    "tf_efficientnet_lite0": 1280,
    "swin_tiny_patch4_window7_224": 0,
    "test_nfnet": 0,
}
"""Channels of the features behind the last level, by network; 0 where they are of it."""


@cache
def reference(model: str) -> nn.Module:
    """timm's network with weights that are not its initial ones, many of which are zero."""
    torch.manual_seed(0)
    network = timm.create_model(model, pretrained=False).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn_like(value), alpha=0.02)
    return network


@cache
def whole(model: str, **options: int) -> TimmWhole:
    made = TimmWhole(3, model, **options).eval()
    state = from_timm_whole(reference(model).state_dict())
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return made


@cache
def images(model: str) -> Tensor:
    side = reference(model).pretrained_cfg["input_size"][-1]
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


@cache
@torch.no_grad()
def truth(model: str) -> Tensor:
    found: Tensor = reference(model).forward_features(images(model))
    return found


@pytest.mark.parametrize("model", TOKENS)
@torch.no_grad()
def test_patches_and_class_token_are_timms(model: str) -> None:
    network = whole(model)
    features = network(images(model))
    last = features.maps[network.stage_names[-1]]
    patches, cls = truth(model)[:, TOKENS[model] :], truth(model)[:, 0]
    side = round(patches.shape[1] ** 0.5)
    torch.testing.assert_close(last, patches.unflatten(1, (side, side)).movedim(-1, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.vectors["cls"], cls, atol=1e-4, rtol=1e-4)
    assert tuple(features.maps) == network.stage_names
    tokens = network.last_tokens(images(model), 2)
    assert len(tokens) == 2
    torch.testing.assert_close(tokens[1], torch.cat([cls[:, None], patches], 1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(tokens[0], tokens[1], atol=0.1)


@pytest.mark.parametrize("model", OTHERS)
@torch.no_grad()
def test_maps_are_timms(model: str) -> None:
    network = whole(model)
    features = network(images(model))
    wanted = truth(model)
    wanted = wanted.movedim(-1, 1) if model.startswith("swin") else wanted
    torch.testing.assert_close(features.maps[network.stage_names[-1]], wanted, atol=1e-4, rtol=1e-4)
    assert not features.vectors
    assert not network.has_class_token
    assert (network.stage_names[-1] == HEAD) == bool(OTHERS[model])
    levels = [s for s in network.stages if s.name != HEAD]
    info = reference(model).feature_info
    assert [s.channels for s in levels] == [each["num_chs"] for each in info]
    side = images(model).shape[-1]
    for stage in network.stages:
        shape = (1, stage.channels, ceil(side / stage.stride), ceil(side / stage.stride))
        assert features.maps[stage.name].shape == shape
    if OTHERS[model]:
        assert wanted.shape[1] == OTHERS[model]
    with pytest.raises(TypeError, match="no class token"):
        network.last_tokens(images(model), 1)


@pytest.mark.parametrize("model", ["test_vit", "tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"])
@torch.no_grad()
def test_a_pass_ends_where_it_is_told_to(model: str) -> None:
    network = whole(model)
    full = network(images(model)).maps
    for last, stop in enumerate(network.stage_names[:-1]):
        part = network(images(model), stop=stop)
        assert tuple(part.maps) == network.stage_names[: last + 1]
        assert not part.vectors
        assert all(torch.allclose(part.maps[name], full[name], atol=1e-5) for name in part.maps)
    with pytest.raises(ValueError, match=f"timm's {model} runs as a whole: no pass begins at"):
        network(images(model), start=network.stage_names[-1])
    with pytest.raises(ValueError, match="no stage 'nowhere'"):
        network(images(model), stop="nowhere")
    with pytest.raises(ValueError, match="frozen alone"):
        network.blocks[network.stage_names[0]].requires_grad_(False)


@torch.no_grad()
def test_registers_are_read_by_nobody() -> None:
    """Their last states could be anything: what is read of the last block does not change."""
    model = "vit_small_patch14_reg4_dinov2"
    network, x = whole(model), images(model)[..., :56, :56]
    before = network(x)

    def spoil(module: nn.Module, given: object, tokens: Tensor) -> Tensor:
        return torch.cat([tokens[:, :1], tokens[:, 1:5] + 9, tokens[:, 5:]], 1)

    hook = network.network.norm.register_forward_hook(spoil)
    try:
        after = network(x)
        assert all(torch.equal(after.maps[name], before.maps[name]) for name in before.maps)
        assert torch.equal(after.vectors["cls"], before.vectors["cls"])
        assert network.last_tokens(x, 1)[0].shape == (1, 1 + 16, 384)
    finally:
        hook.remove()


@torch.no_grad()
def test_positions_are_resampled_as_timm_does_and_images_padded_to_patches() -> None:
    model = "vit_small_patch14_reg4_dinov2"
    x = torch.randn(2, 3, 64, 50, generator=torch.Generator().manual_seed(2))
    last = whole(model)(x).maps["blocks_11"]
    assert last.shape == (2, 384, 5, 4)
    other = timm.create_model(model, pretrained=False, dynamic_img_size=True).eval()
    other.load_state_dict(reference(model).state_dict())
    padded = torch.zeros(2, 3, 70, 56)
    padded[..., :64, :50] = x
    wanted = other.forward_features(padded)[:, 5:].unflatten(1, (5, 4)).movedim(-1, 1)
    torch.testing.assert_close(last, wanted, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_network_of_one_size_says_so() -> None:
    network = whole("deit_tiny_distilled_patch16_224")
    assert network(torch.zeros(1, 3, 64, 64)).vectors["cls"].shape == (1, 192)  # positions can be resampled
    fixed = TimmWhole(3, "levit_128s").eval()
    with pytest.raises(ValueError, match=r"timm's levit_128s is made for images of 224×224 .* none of 64×64"):
        fixed(torch.zeros(1, 3, 64, 64))
    fixed = TimmWhole(3, "levit_128s", image_size=64).eval()
    assert fixed.arguments == {"model": "levit_128s", "image_size": 64}
    assert fixed(torch.zeros(1, 3, 64, 64)).maps[fixed.stage_names[-1]].shape[1] == 384


def test_stages_are_a_quarter_of_the_blocks_or_as_many_as_asked_for() -> None:
    network = whole("vit_small_patch16_dinov3")
    assert network.stage_names == ("blocks_2", "blocks_5", "blocks_8", "blocks_11")
    assert network.arguments == {"model": "vit_small_patch16_dinov3"}
    finer = TimmWhole(3, "vit_small_patch16_dinov3", every=1)
    assert finer.stage_names == tuple(f"blocks_{i}" for i in range(12))
    assert finer.arguments == {"model": "vit_small_patch16_dinov3", "every": 1}
    with pytest.raises(ValueError, match="has 12 levels, which every=5 does not divide"):
        TimmWhole(3, "vit_small_patch16_dinov3", every=5)


def test_layers_go_from_the_image_up() -> None:
    """As timm decays rates: the embedding with class token, positions and registers, then each block."""
    network = whole("vit_small_patch14_reg4_dinov2")
    owner = {id(p): name for name, p in network.network.named_parameters()}
    layers = [{owner[id(p)] for m in layer for p in m.parameters()} for layer in network.layers()]
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= layers[0]
    for i in range(12):
        assert {n for n in owner.values() if n.startswith(f"blocks.{i}.")} <= layers[1 + i]
    assert sum(map(len, layers)) == len(set.union(*layers))


def test_nothing_of_the_classifier_is_left() -> None:
    for model in ("test_vit", "vit_base_patch16_siglip_224", "beit_base_patch16_224"):
        with torch.device("meta"):
            names = {name.split(".")[1] for name in TimmWhole(3, model).state_dict()}
        assert not names & {"head", "fc_norm", "attn_pool", "classifier"}, model


def test_survives_saving(tmp_path: Path) -> None:
    encoder = Encoder(inputs.build("sobel"), TimmWhole(2, "test_efficientnet"))
    encoder.save(tmp_path)
    assert load(tmp_path).digest() == encoder.digest()


@pytest.mark.parametrize("model", ["hf-hub:timm/resnet18", "local-dir:/tmp", "resnet18.a1_in1k", ""])
def test_only_names_of_timms_own_list_are_taken(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*arguments: object, **options: object) -> None:
        raise AssertionError("timm was asked to build it")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(ValueError, match="has no model"):
        backbones.build(PATH, {"model": model}, in_channels=3)
