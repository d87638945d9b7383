"""Encoders: saved and opened to the bit, refused with reasons, exchanged with torchvision."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_save
from torch import Tensor, nn
from torchvision.models import resnet18

import pretext
from pretext import inputs
from pretext.backbones import AlexNet, Backbone, ResNet18, SmallNet, Stage
from pretext.backbones.resnet import from_torchvision_names
from pretext.encoder import (
    Encoder,
    from_state_dict,
    load,
    macs,
    open_encoder,
    parameter_count,
    read_state_dict,
    recalibrate_batchnorm,
    to_torchvision,
)

PROVENANCE = {
    "task": "colorization",
    "data": "d1",
    "images_seen": 40000,
    "seed": 1,
    "calibration": None,
    "commit": "c0",
}


def save(state: dict[str, torch.Tensor]) -> bytes:
    return safetensors_save({name: value.contiguous() for name, value in state.items()})


def images(count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


def small(name: str = "lightness", seed: int = 0, **arguments: object) -> Encoder:
    """A tiny encoder with BatchNorm statistics of its own."""
    torch.manual_seed(seed)
    seen = inputs.build(name, **arguments)
    encoder = Encoder(seen, SmallNet(seen.channels, widths=[4, 4, 6, 6, 8]), PROVENANCE)
    recalibrate_batchnorm(encoder, [images()])
    return encoder.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    small().save(tmp_path)
    return tmp_path


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
        class Constant(Backbone):
            def __init__(self) -> None:
                super().__init__(1, [Stage("only", 1, 1)], [nn.Identity()], {})

        encoder = Encoder(inputs.build("gray"), Constant())
        assert len(encoder.digest()) == 64
        with pytest.raises(ValueError, match=r"Constant' is no backbone class"):
            encoder.save("nowhere")
        assert not Path("nowhere").exists()


NETWORKS: dict[str, Callable[[int], Backbone]] = {
    "small": SmallNet,
    "alexnet": AlexNet,
    "resnet18": ResNet18,
    "resnet18-small-stem": lambda channels: ResNet18(channels, small_stem=True),
}


class TestFiles:
    @pytest.mark.parametrize("kind", NETWORKS.values(), ids=NETWORKS)
    def test_every_backbone_comes_back_to_the_bit(
        self, kind: Callable[[int], Backbone], tmp_path: Path
    ) -> None:
        torch.manual_seed(0)
        encoder = Encoder(inputs.build("sobel"), kind(2), PROVENANCE)
        recalibrate_batchnorm(encoder, [images()])
        encoder.save(tmp_path / "run")
        again = load(tmp_path / "run")
        assert not again.training
        assert again.provenance == PROVENANCE
        assert again.digest() == encoder.digest()
        before, after = encoder.state_dict(), again.state_dict()
        assert list(before) == list(after)
        assert all(torch.equal(before[name], after[name]) for name in before)
        with torch.no_grad():
            expected, found = encoder.eval()(images()).maps, again(images()).maps
        assert all(torch.equal(found[name], expected[name]) for name in expected)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_other_types_come_back(self, dtype: torch.dtype, tmp_path: Path) -> None:
        encoder = small().to(dtype)
        again = load(encoder.save(tmp_path))
        assert {p.dtype for p in again.parameters()} == {dtype}
        assert all(p.requires_grad for p in again.parameters())
        assert again.digest() == encoder.digest() != small().digest()

    def test_memory_layout_makes_no_difference(self, tmp_path: Path) -> None:
        encoder = small().to(memory_format=torch.channels_last)
        assert load(encoder.save(tmp_path)).digest() == encoder.digest() == small().digest()

    @pytest.mark.parametrize("name", inputs.INPUTS)
    def test_every_input_comes_back(self, name: str, tmp_path: Path) -> None:
        encoder = small(name)
        again = load(encoder.save(tmp_path))
        assert again.input_name == name
        assert again.input.arguments == encoder.input.arguments
        with torch.no_grad():
            assert torch.equal(again(images()).maps["conv5"], encoder(images()).maps["conv5"])

    def test_arguments_of_the_input_come_back(self, tmp_path: Path) -> None:
        small("lightness", scale=1).save(tmp_path)
        assert load(tmp_path).input(torch.ones(1, 3, 1, 1)).item() == pytest.approx(50, abs=1e-3)

    def test_every_name_opens_the_same(self, saved: Path) -> None:
        digests = {
            load(p).digest() for p in (saved, saved / "encoder.json", str(saved / "encoder.safetensors"))
        }
        assert (
            digests
            == {small().digest()}
            == {pretext.load(saved).digest()}
            == {open_encoder(str(saved)).digest()}
        )

    def test_a_pair_may_have_another_name(self, tmp_path: Path) -> None:
        written = small().save(tmp_path / "made" / "best.v1.json")
        assert sorted(os.listdir(written.parent)) == ["best.v1.json", "best.v1.safetensors"]
        assert (
            load(written).digest() == load(written.with_suffix(".safetensors")).digest() == small().digest()
        )

    def test_the_json_describes_the_encoder(self, saved: Path) -> None:
        about = json.loads((saved / "encoder.json").read_text())
        assert about["format"] == 1
        assert about["backbone"] == {
            "class": "pretext.backbones.small.SmallNet",
            "arguments": {"widths": [4, 4, 6, 6, 8]},
        }
        assert about["input"] == {"name": "lightness", "arguments": {"scale": 0.02}}
        assert about["provenance"] == PROVENANCE
        assert about["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
        assert about["weights_sha256"] == sha256((saved / "encoder.safetensors").read_bytes()).hexdigest()
        assert about["digest"] == small().digest()

    def test_loading_draws_no_random_numbers(self, saved: Path) -> None:
        torch.manual_seed(4)
        before = torch.get_rng_state()
        load(saved)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_loaded_encoder_owns_its_weights(self, saved: Path) -> None:
        first, second = load(saved), load(saved)
        with torch.no_grad():
            for parameter in first.parameters():
                parameter.zero_()
        assert second.digest() == load(saved).digest() != first.digest()

    def test_weights_are_written_before_the_json(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[str] = []
        replace = os.replace
        monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).name), replace(a, b)))
        small().save(tmp_path)
        assert order == ["encoder.safetensors", "encoder.json"]

    def test_a_failed_write_leaves_the_old_file(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            small(seed=1).save(saved)
        assert sorted(os.listdir(saved)) == ["encoder.json", "encoder.safetensors"]
        assert load(saved).digest() == small().digest()

    def test_a_crash_between_the_two_writes_is_seen(self, saved: Path) -> None:
        other = small(seed=1)
        (saved / "encoder.safetensors").write_bytes(save(other.state_dict()))
        with pytest.raises(ValueError, match=r"not the file that .*encoder\.json describes"):
            load(saved)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_weights(folder: Path, state: dict[str, Tensor]) -> None:
    """Swap the weights and make the JSON name the new file."""
    content = save(state)
    (folder / "encoder.safetensors").write_bytes(content)
    edit(folder, weights_sha256=sha256(content).hexdigest())


class TestDamage:
    @pytest.mark.parametrize("name", ["encoder.json", "encoder.safetensors"])
    def test_a_missing_file_is_named(self, saved: Path, name: str) -> None:
        (saved / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name} is missing"):
            load(saved)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"encoder\.json is missing"):
            load(tmp_path)
        with pytest.raises(
            FileNotFoundError, match=r"no encoder at 'torchvision:resnet18'.*encoder\.safetensors"
        ):
            open_encoder("torchvision:resnet18")

    @pytest.mark.parametrize("kept", [0, 7, 100, -1])
    def test_truncated_weights(self, saved: Path, kept: int) -> None:
        path = saved / "encoder.safetensors"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"encoder\.safetensors is damaged"):
            load(saved)

    def test_one_flipped_bit(self, saved: Path) -> None:
        path = saved / "encoder.safetensors"
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"encoder\.safetensors is damaged"):
            load(saved)

    @pytest.mark.parametrize("kept", [0, 30, -3])
    def test_truncated_json(self, saved: Path, kept: int) -> None:
        path = saved / "encoder.json"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"encoder\.json is damaged"):
            load(saved)

    def test_weights_that_are_no_safetensors(self, saved: Path) -> None:
        content = pickle.dumps({"a": 1})
        (saved / "encoder.safetensors").write_bytes(content)
        edit(saved, weights_sha256=sha256(content).hexdigest())
        with pytest.raises(ValueError, match=r"encoder\.json cannot be loaded"):
            load(saved)

    def test_unmatched_entries_are_named(self, saved: Path) -> None:
        state = load_file(saved / "encoder.safetensors")
        state["backbone.blocks.extra"] = state.pop("backbone.blocks.conv2.conv.weight")
        state["backbone.blocks.conv1.norm.bias"] = torch.zeros(5)
        replace_weights(saved, state)
        with pytest.raises(ValueError, match="do not fit") as caught:
            load(saved)
        for part in (
            "missing: backbone.blocks.conv2.conv.weight",
            "unexpected: backbone.blocks.extra",
            "of another shape: backbone.blocks.conv1.norm.bias (5,) instead of (4,)",
        ):
            assert part in str(caught.value)

    def test_other_weights_of_the_same_shape_are_seen(self, saved: Path) -> None:
        replace_weights(saved, small(seed=1).state_dict())
        with pytest.raises(ValueError, match="was altered"):
            load(saved)

    def test_another_scale_of_the_input_is_seen(self, saved: Path) -> None:
        edit(saved, input={"name": "lightness", "arguments": {"scale": 1.0}})
        with pytest.raises(ValueError, match="was altered"):
            load(saved)

    @pytest.mark.parametrize(
        "path", ["os.system", "torch.nn.Linear", "pretext.encoder.encoder.Encoder", "tests.X", 3]
    )
    def test_a_class_from_outside_is_refused(self, saved: Path, path: object) -> None:
        edit(saved, backbone={"class": path, "arguments": {}})
        with pytest.raises(ValueError, match="is no backbone class"):
            load(saved)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"format": 2}, "format 2; this version reads format 1"),
            ({"backbone": "SmallNet"}, "must hold class and arguments"),
            (
                {"backbone": {"class": "pretext.backbones.small.SmallNet", "arguments": [1]}},
                "must hold class",
            ),
            (
                {"backbone": {"class": "pretext.backbones.small.SmallNet", "arguments": {"depth": 1}}},
                "'depth'",
            ),
            (
                {"backbone": {"class": "pretext.backbones.small.SmallNet", "arguments": {}}},
                "of another shape",
            ),
            (
                {
                    "backbone": {
                        "class": "pretext.backbones.small.SmallNet",
                        "arguments": {"widths": [10**8] * 5},
                    }
                },
                "of another shape",
            ),
            ({"input": {"name": "luma", "arguments": {}}}, "no input 'luma'"),
            ({"input": {"name": ["gray"], "arguments": {}}}, "cannot be loaded"),
            ({"input": {"name": "rgb", "arguments": {}}}, "of another shape"),
            ({"input": {"name": "lightness", "arguments": {"name": "gray"}}}, "cannot be loaded"),
            ({"provenance": [1]}, "cannot be loaded"),
        ],
    )
    def test_a_json_that_describes_something_else(
        self, saved: Path, changes: dict[str, Any], message: str
    ) -> None:
        edit(saved, **changes)
        with pytest.raises(ValueError, match=message):
            load(saved)

    @pytest.mark.parametrize("name", ["backbone", "input", "provenance", "weights_sha256", "digest"])
    def test_a_json_that_lacks_something(self, saved: Path, name: str) -> None:
        path = saved / "encoder.json"
        about = json.loads(path.read_text())
        del about[name]
        path.write_text(json.dumps(about))
        with pytest.raises(ValueError, match=f"lacks {name}"):
            load(saved)


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
        for name in ("code.pt", "cut.pt", "cut.safetensors"):
            with pytest.raises(ValueError, match=f"{name} cannot be read as plain weights"):
                read_state_dict(tmp_path / name)
        assert not marker.exists()
        with pytest.raises(FileNotFoundError, match="no weights at"):
            read_state_dict(tmp_path / "absent.pt")


def test_cost_of_an_encoder_is_that_of_its_backbone() -> None:
    encoder = Encoder(inputs.build("lightness"), SmallNet(1)).train()
    before = encoder.digest()
    assert macs(encoder, 64) == 36_208_640
    assert parameter_count(encoder) == 333_472
    assert encoder.training
    assert encoder.digest() == before
