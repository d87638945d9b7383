"""The Vision Transformer against timm's, and what methods that drop tokens need."""

from __future__ import annotations

import json
from functools import cache
from math import cos, sin, sqrt

import pytest
import timm
import torch
from timm.layers.drop import DropPath
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from pretext import backbones, inputs
from pretext.backbones.cost import macs, parameter_count
from pretext.backbones.positions import sincos_positions
from pretext.backbones.vit import VisionTransformer, from_timm_names
from pretext.encoder import Encoder, from_state_dict, load

SMALL = {"image_size": 32, "patch_size": 8, "width": 24, "depth": 4, "heads": 3, "every": 2}


def images(height: int = 32, width: int = 32, count: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


@cache
def reference() -> nn.Module:
    """timm's ViT-S/16 with weights that are not its initial ones, which are close to zero."""
    torch.manual_seed(0)
    network = timm.create_model("vit_small_patch16_224", pretrained=False, dynamic_img_size=True).eval()
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "norm" not in name:
                value.normal_(std=0.05)
    return network


@cache
def copied() -> VisionTransformer:
    network = VisionTransformer(in_channels=3).eval()
    encoder = Encoder(inputs.build("rgb"), network)
    from_state_dict(encoder, from_timm_names(network, reference().state_dict()), ignore=["head."])
    return network


@pytest.fixture
def small() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(2, **SMALL).eval()


@pytest.mark.parametrize("size", [(64, 96), (80, 48)])
def test_is_timms_vit_small(size: tuple[int, int]) -> None:
    """At sizes other than 224, so that resampled positions are compared as well."""
    x = images(*size)
    with torch.no_grad():
        expected = reference().forward_features(x)  # (B, 1 + N, D)
        levels = reference().forward_intermediates(x, indices=[2, 5, 8], intermediates_only=True)
        features = copied()(x)
    assert tuple(features.maps) == ("embed", "block3", "block6", "block9", "block12")
    torch.testing.assert_close(features.vectors["cls"], expected[:, 0])
    last = features.maps["block12"]
    assert last.shape == (2, 384, size[0] // 16, size[1] // 16)
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), expected[:, 1:])
    for name, level in zip(("block3", "block6", "block9"), levels, strict=True):
        torch.testing.assert_close(features.maps[name], level)


def test_has_vit_smalls_parameters_and_costs() -> None:
    whole = timm.create_model("vit_small_patch16_224", pretrained=False, num_classes=0)
    with torch.device("meta"):
        network = VisionTransformer(in_channels=3)
    assert parameter_count(network) == parameter_count(whole) == 21_665_664
    tokens, width = 197, 384
    block = tokens * width * (3 + 1 + 4 + 4) * width + 2 * tokens**2 * width
    by_hand = 196 * 3 * 16**2 * width + 12 * block
    with torch.device("meta"):
        assert macs(network, 224) == by_hand


def test_maps_cover_images_of_any_size(small: VisionTransformer) -> None:
    with torch.no_grad():
        features = small(images(33, 47, channels=2))
    assert {tuple(m.shape) for m in features.maps.values()} == {(2, 24, 5, 6)}
    assert [stage.stride for stage in small.stages] == [8, 8, 8]
    assert all(m.is_contiguous() for m in features.maps.values())


def test_padding_shows_zeros_and_nothing_else(small: VisionTransformer) -> None:
    x = images(29, 30, channels=2)
    padded = nn.functional.pad(x, (0, 2, 0, 3))
    with torch.no_grad():
        assert torch.equal(small(x).maps["block4"], small(padded).maps["block4"])


def test_encoding_all_tokens_is_the_forward_pass(small: VisionTransformer) -> None:
    x = images(channels=2)
    with torch.no_grad():
        tokens = small.embed(x)
        (encoded,) = small.encode(tokens.values, tokens.positions)
        features = small(x)
    assert tokens.values.shape == (2, 16, 24)
    assert tokens.positions.shape == (1, 16, 24)
    assert tokens.grid == (4, 4)
    torch.testing.assert_close(encoded[:, 0], features.vectors["cls"])
    torch.testing.assert_close(encoded[:, 1:].transpose(1, 2).unflatten(2, (4, 4)), features.maps["block4"])


def test_dropped_tokens_are_neither_seen_nor_missed(small: VisionTransformer) -> None:
    x, other = images(channels=2), images(channels=2)
    other[:, :, :8, :8] += 5  # the first patch
    keep = torch.tensor([[3, 7, 1], [2, 15, 9]])  # each image its own, in any order
    results = []
    with torch.no_grad():
        for batch in (x, other):
            values, positions, _ = small.embed(batch)
            rows = torch.arange(2)[:, None]
            results += small.encode(values[rows, keep], positions.expand(2, -1, -1)[rows, keep])
        values, positions, _ = small.embed(x)
        (alone,) = small.encode(values[1:, keep[1]], positions[:, keep[1]])
    assert results[0].shape == (2, 4, 24)
    assert torch.equal(results[0], results[1])
    torch.testing.assert_close(results[0][1:], alone)


def test_a_stop_leaves_later_blocks_and_the_vector_out(small: VisionTransformer) -> None:
    x = images(channels=2)
    with torch.no_grad():
        whole, part = small(x), small(x, stop="block2")
    assert list(part.maps) == ["embed", "block2"]
    assert part.vectors == {}
    assert all(torch.equal(part.maps[name], whole.maps[name]) for name in part.maps)
    with torch.no_grad():
        assert torch.equal(small(x, start="embed").maps["block4"], whole.maps["block4"])


def test_a_later_start_is_refused_and_an_unknown_stage_named(small: VisionTransformer) -> None:
    with pytest.raises(ValueError, match="class token is not in the maps"):
        small(images(channels=2), start="block2")
    for place in ("start", "stop"):
        with pytest.raises(ValueError, match=r"no stage 'block3'.*embed, block2, block4"):
            small(images(channels=2), **{place: "block3"})


def test_every_parameter_gets_a_finite_gradient(small: VisionTransformer) -> None:
    features = small(images(channels=2))
    (features.maps["block4"].square().mean() + features.vectors["cls"].sum()).backward()
    for name, parameter in small.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def test_survives_saving(small: VisionTransformer, tmp_path: object) -> None:
    encoder = Encoder(inputs.build("sobel"), small)
    encoder.save(str(tmp_path))
    again = load(str(tmp_path))
    assert again.digest() == encoder.digest()
    path = backbones.class_path(type(small))
    assert backbones.build(path, json.loads(json.dumps(small.arguments)), 2).stages == small.stages


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"image_size": 60}, "image_size by patch_size"),
        ({"heads": 5}, "width by heads"),
        ({"every": 5}, "depth"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=f"needs {said}.*to divide"):
        VisionTransformer(3, **wrong)


def test_reads_the_last_blocks_behind_the_final_norm(small: VisionTransformer) -> None:
    x = images(channels=2)
    with torch.no_grad():
        tokens = small.embed(x)
        found = small.encode(tokens.values, tokens.positions, last=3)
        state = small.blocks["embed"].begin(tokens.values, tokens.positions)
        wanted = []
        for block in (m for m in small.modules() if isinstance(m, Block)):
            state = block(state)
            wanted.append(small.blocks["block4"].norm(state))
    assert len(found) == 3
    for one, other in zip(found, wanted[1:], strict=True):
        assert torch.equal(one, other)
    for last in (0, 5):
        with pytest.raises(ValueError, match=f"has 4 blocks, which cannot be the last {last}"):
            small.encode(tokens.values, tokens.positions, last=last)


def test_tokens_may_come_in_any_order(small: VisionTransformer) -> None:
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = small.embed(images(channels=2))
        (whole,) = small.encode(tokens.values, tokens.positions)
        (mixed,) = small.encode(tokens.values[:, order], tokens.positions[:, order])
    torch.testing.assert_close(mixed[:, 1:], whole[:, 1:][:, order])
    torch.testing.assert_close(mixed[:, 0], whole[:, 0])


def test_its_layers_are_the_embedding_and_the_blocks(small: VisionTransformer) -> None:
    layers = small.layers()
    assert [type(module) for (module,) in layers[1:]] == [Block] * 4
    assert layers[0] == [small.blocks["embed"]]
    within = {id(p) for layer in layers for module in layer for p in module.parameters()}
    outside = [name for name, p in small.named_parameters() if id(p) not in within]
    assert outside == ["blocks.block4.norm.weight", "blocks.block4.norm.bias"]


def test_stochastic_depth_is_timms_and_of_training_alone(small: VisionTransformer) -> None:
    other = timm.create_model(
        "vit_tiny_patch16_224", embed_dim=24, depth=6, num_heads=2, drop_path_rate=0.1, num_classes=0
    )
    wanted = [0.0 if isinstance(b.drop_path1, nn.Identity) else b.drop_path1.drop_prob for b in other.blocks]
    network = VisionTransformer(2, **SMALL | {"depth": 6}, drop_path=0.1)
    drops = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert drops == pytest.approx([p for p in wanted for _ in range(2)])

    dropping = VisionTransformer(2, **SMALL, drop_path=0.9)
    dropping.load_state_dict(small.state_dict())
    x = images(channels=2)
    with torch.no_grad():
        plain, trained = dropping.eval()(x), dropping.train()(x)
        assert torch.equal(plain.vectors["cls"], small(x).vectors["cls"])
        assert not torch.allclose(plain.vectors["cls"], trained.vectors["cls"])
    with pytest.raises(ValueError, match=r"drop_path is a probability in \[0, 1\), got 1"):
        VisionTransformer(2, **SMALL, drop_path=1.0)


def test_later_options_are_named_where_they_are_asked_for(small: VisionTransformer) -> None:
    """Digests of saved encoders and finished runs are over arguments."""
    assert small.arguments == SMALL
    asked = {"drop_path": 0.1, "fixed_positions": True, "xavier": True}
    network = VisionTransformer(2, **SMALL, **asked)
    assert network.arguments == SMALL | asked
    again = backbones.build(backbones.class_path(VisionTransformer), network.arguments, 2)
    assert again.state_dict().keys() == network.state_dict().keys()


def test_fixed_positions_are_those_of_the_release_and_not_trained() -> None:
    network = VisionTransformer(2, **SMALL, fixed_positions=True)
    positions = network.state_dict()["blocks.embed.pos_embed"]
    assert not [name for name, _ in network.named_parameters() if "pos_embed" in name]
    assert not positions[:, 0].any()
    for cell in range(16):
        for half, place in enumerate((cell % 4, cell // 4)):  # the column first
            for i in range(6):
                angle = place / 10000 ** (i / 6)
                found = positions[0, 1 + cell, 12 * half + i], positions[0, 1 + cell, 12 * half + 6 + i]
                assert [float(x) for x in found] == pytest.approx([sin(angle), cos(angle)], abs=1e-6)
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        sincos_positions(2, 2, 6)


def test_xavier_starts_every_matrix_as_wide_as_its_sides_say() -> None:
    """Uniform up to √(6 / (inputs + outputs)); the projection counts the numbers of a patch as inputs."""
    torch.manual_seed(0)
    network = VisionTransformer(2, **SMALL, xavier=True)
    weights = {
        name: value
        for name, value in network.named_parameters()
        if name.endswith("weight") and value.ndim > 1
    }
    assert any("embed.proj" in name for name in weights)
    assert len(weights) == 1 + 4 * SMALL["depth"]
    for name, value in weights.items():
        bound = sqrt(6 / (len(value) + value[0].numel()))
        assert 0.98 * bound < float(value.detach().abs().max()) <= bound, name
        assert float(value.detach().std()) == pytest.approx(bound / sqrt(3), rel=0.04), name
