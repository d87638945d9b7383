"""Encoders: forward pass, digest, cost, exchange with torchvision."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_encoder import images, save, small
from torch import Tensor, nn
from torchvision.models import resnet18

from pretext import inputs
from pretext.backbones import MapBackbone, ResNet18, SmallNet, Stage
from pretext.backbones.resnet import from_torchvision_names
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import (
    Encoder,
    from_state_dict,
    macs,
    parameter_count,
    read_state_dict,
    to_torchvision,
)


class TestForward:
    def test_is_the_input_followed_by_the_backbone(self) -> None:
        encoder = small("lab")
        with torch.no_grad():
            expected = encoder.backbone(encoder.input(images())).maps
            found = encoder(images()).maps
        assert list(found) == list(encoder.stage_names) == ["conv1", "conv2", "conv3", "conv4", "conv5"]
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert encoder.stages == encoder.backbone.stages
        assert encoder.input_name == "lab"

    def test_start_and_stop_compose(self) -> None:
        encoder = small()
        with torch.no_grad():
            whole = encoder(images()).maps
            head = encoder(images(), stop="conv2").maps
            tail = encoder(head["conv2"], start="conv3", stop="conv4").maps
        assert [*head, *tail] == ["conv1", "conv2", "conv3", "conv4"]
        assert all(torch.equal(values, whole[name]) for name, values in (head | tail).items())

    def test_refuses_what_is_no_batch_of_images(self) -> None:
        encoder = small()
        with pytest.raises(ValueError, match=r"RGB images \(B, 3, H, W\), got \(2, 1, 32, 32\)"):
            encoder(images()[:, :1])
        with pytest.raises(ValueError, match=r"got \(3, 32, 32\)"):
            encoder(images()[0])
        with pytest.raises(TypeError, match=r"\[0, 1\], got torch\.uint8"):
            encoder((images() * 255).byte())
        with pytest.raises(ValueError, match="no stage 'fc6'; its stages are: conv1, conv2"):
            encoder(images(), stop="fc6")

    def test_colours_are_converted_in_full_precision_under_autocast(self) -> None:
        class Weighted(inputs.Input):
            """A matrix product, which autocast would run in bfloat16."""

            name = "weighted"
            channels = 1

            def __init__(self) -> None:
                super().__init__({})

            def forward(self, rgb: Tensor) -> Tensor:
                return nn.functional.conv2d(rgb, torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))

        encoder = Encoder(Weighted(), SmallNet(1)).eval()
        seen: list[Tensor] = []
        encoder.backbone.blocks["conv1"].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
            maps = encoder(images()).maps
        assert seen[0].dtype == torch.float32
        assert torch.equal(seen[0], encoder.input(images()))
        assert maps["conv5"].dtype == torch.bfloat16

    def test_input_and_backbone_must_agree_on_channels(self) -> None:
        with pytest.raises(ValueError, match="SmallNet takes 3 channels, but input Lightness gives 1"):
            Encoder(inputs.build("lightness"), SmallNet(3))

    def test_provenance_must_be_json(self) -> None:
        for value in (Path("x"), float("nan"), torch.ones(1)):
            with pytest.raises((TypeError, ValueError), match="JSON"):
                Encoder(inputs.build("gray"), SmallNet(1), {"seed": value})


class TestDigest:
    def test_is_that_of_the_content_alone(self) -> None:
        encoder = small()
        digest = encoder.digest()
        assert digest == small().digest() == encoder.train().digest()
        encoder.provenance["seed"] = 7
        assert encoder.digest() == digest

    @pytest.mark.parametrize(
        "name", ["backbone.blocks.conv3.conv.weight", "backbone.blocks.conv1.norm.running_var"]
    )
    def test_moves_with_one_bit_of_a_weight_or_a_buffer(self, name: str) -> None:
        encoder = small()
        before = encoder.digest()
        weights = encoder.state_dict()[name]
        first = weights[(0,) * weights.ndim]  # a view, whatever the layout
        first.copy_(torch.nextafter(first, torch.tensor(9.0)))
        assert encoder.digest() != before

    def test_moves_with_the_architecture_and_the_input(self) -> None:
        assert small().digest() != small(scale=1).digest()
        assert small("lightness").digest() != small("gray").digest()
        wide, pooled = (Encoder(inputs.build("rgb"), ResNet18(3, small_stem=s)) for s in (True, False))
        assert wide.digest() != pooled.digest()

    def test_works_for_networks_that_are_not_saved(self) -> None:
        class Constant(MapBackbone):
            def __init__(self) -> None:
                super().__init__(1, [Stage("only", 1, 1)], [nn.Identity()], {})

        encoder = Encoder(inputs.build("gray"), Constant())
        assert len(encoder.digest()) == 64
        with pytest.raises(ValueError, match=r"Constant' is no backbone class"):
            encoder.save("nowhere")
        assert not Path("nowhere").exists()


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """torchvision's ResNet-18 with statistics that are not zero and one."""
    torch.manual_seed(0)
    network = resnet18(weights=None).train()
    with torch.no_grad():
        network(torch.randn(4, 3, 48, 48))
    return network.eval()


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(1)
    return Encoder(inputs.build("rgb"), ResNet18(3)).eval()


class TestForeign:
    @torch.no_grad()
    def test_torchvision_and_back(self, reference: nn.Module, encoder: Encoder) -> None:
        state = reference.state_dict()
        from_state_dict(encoder, from_torchvision_names(state), ignore=["fc."])
        rgb = images(size=65)
        x = reference.bn1(reference.conv1(encoder.input(rgb))).relu()
        expected = {"stem": x}
        x = reference.maxpool(x)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = expected[name] = getattr(reference, name)(x)
        found = encoder(rgb).maps
        assert list(found) == list(expected)
        assert all(torch.equal(found[name], expected[name]) for name in expected)

        exported = to_torchvision(encoder)
        assert [*exported, "fc.weight", "fc.bias"] == list(state)
        assert all(torch.equal(exported[name], state[name]) for name in exported)
        again = resnet18(weights=None)
        missing, unexpected = again.load_state_dict(exported, strict=False)
        assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
        again.fc.load_state_dict(reference.fc.state_dict())
        assert torch.equal(again.eval()(encoder.input(rgb)), reference(encoder.input(rgb)))

    def test_only_resnets_have_torchvisions_layout(self) -> None:
        with pytest.raises(ValueError, match="takes a ResNet18 or ResNet50, got SmallNet"):
            to_torchvision(small())

    def test_what_is_left_over_is_named_and_nothing_changed(
        self, reference: nn.Module, encoder: Encoder
    ) -> None:
        before = encoder.digest()
        state = from_torchvision_names(reference.state_dict())
        with pytest.raises(ValueError, match=r"do not fit ResNet18: unexpected: fc\.weight, fc\.bias$"):
            from_state_dict(encoder, state)
        with pytest.raises(
            ValueError, match=r"missing: blocks\.stem\.conv1\.weight; unexpected: conv1\.weight$"
        ):
            from_state_dict(
                encoder,
                state | {"conv1.weight": state["blocks.stem.conv1.weight"]},
                ignore=["fc", "blocks.stem.conv1"],
            )
        with pytest.raises(
            ValueError, match=r"of another shape: blocks\.stem\.bn1\.bias \(3,\) instead of \(64,\)"
        ):
            from_state_dict(encoder, state | {"blocks.stem.bn1.bias": torch.ones(3)}, ignore=["fc."])
        assert encoder.digest() == before

    def test_batchnorms_counter_may_be_absent(self) -> None:
        state = {k: v for k, v in small(seed=1).state_dict().items() if not k.endswith("num_batches_tracked")}
        filled = from_state_dict(small(), state)
        assert filled.digest() == small(seed=1).digest()

    def test_files_of_others_are_read_as_plain_weights(self, tmp_path: Path) -> None:
        state = dict(small().state_dict())
        torch.save(state, tmp_path / "plain.pt")
        torch.save({"epoch": 3, "model": state}, tmp_path / "nested.pt")
        (tmp_path / "plain.safetensors").write_bytes(save(state))
        for found in (
            read_state_dict(tmp_path / "plain.pt"),
            read_state_dict(tmp_path / "nested.pt", key="model"),
            read_state_dict(tmp_path / "plain.safetensors"),
        ):
            assert from_state_dict(small(seed=1), found).digest() == small().digest()
        with pytest.raises(ValueError, match="choose the entry that is by `key` out of: epoch, model"):
            read_state_dict(tmp_path / "nested.pt")
        with pytest.raises(ValueError, match="no entry 'state_dict'; it has: epoch, model"):
            read_state_dict(tmp_path / "nested.pt", key="state_dict")

    def test_files_that_are_damaged_or_run_code_are_refused(self, tmp_path: Path) -> None:
        marker = tmp_path / "ran"

        class Payload:
            def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
                return os.mkdir, (str(marker),)

        torch.save({"weight": Payload()}, tmp_path / "code.pt")
        torch.save(small().state_dict(), tmp_path / "cut.pt")
        (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:200])
        (tmp_path / "cut.safetensors").write_bytes(save(small().state_dict())[:200])
        for name, said in {
            "code.pt": r"Trying to load unsupported GLOBAL \w+\.mkdir whose module \w+ is blocked\.",
            "cut.pt": "it is cut short: what is packed in it has no end",
            "cut.safetensors": "[^.]*",
        }.items():
            with pytest.raises(ValueError, match=f"{name} cannot be read as plain weights: {said}$"):
                read_state_dict(tmp_path / name)
        assert not marker.exists()
        (tmp_path / "other.pt").write_bytes(save(small().state_dict()))
        torch.save(small().state_dict(), tmp_path / "other.safetensors")
        with (tmp_path / "arrays.pt").open("wb") as file:
            np.savez(file, weight=np.zeros(3))
        for name, said in {
            "other.pt": "it is a safetensors file under another name: name it .safetensors",
            "other.safetensors": "it is no safetensors file but a zip, as torch.save writes: name it .pt",
            "arrays.pt": "it is a zip, and not one that torch.save wrote",
        }.items():
            with pytest.raises(ValueError, match=f"{name} cannot be read as plain weights: {said}$"):
                read_state_dict(tmp_path / name)
        with pytest.raises(FileNotFoundError, match="no weights at"):
            read_state_dict(tmp_path / "absent.pt")


def test_cost_of_an_encoder_is_that_of_its_backbone() -> None:
    encoder = Encoder(inputs.build("lightness"), SmallNet(1)).train()
    before = encoder.digest()
    assert macs(encoder, 64) == 36_208_640
    assert parameter_count(encoder) == 333_472
    assert encoder.training
    assert encoder.digest() == before


def test_one_vector_an_image_is_the_last_map_averaged_or_the_class_token() -> None:
    torch.manual_seed(0)
    convolutional = small().eval()
    transformer = VisionTransformer(1, image_size=32, patch_size=8, width=24, depth=2, heads=2, every=1)
    tokens = Encoder(inputs.build("lightness"), transformer).eval()
    rgb = torch.rand(2, 3, 32, 40)
    with torch.no_grad():
        assert torch.equal(tokens.vector(rgb), tokens(rgb).vectors["cls"])
        last = convolutional(rgb).maps["conv5"]
        torch.testing.assert_close(convolutional.vector(rgb), last.flatten(2).sum(2) / last[0, 0].numel())
        for encoder in (convolutional, tokens):
            assert encoder.vector(rgb).shape == (2, encoder.width)
