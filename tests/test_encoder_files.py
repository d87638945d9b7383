"""Encoders on disk: saved and opened to the bit, refused with reasons."""

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
from small_encoder import PROVENANCE, images, save, small
from torch import Tensor

import pretext
from pretext import inputs
from pretext.backbones import AlexNet, Backbone, ResNet18, SmallNet
from pretext.encoder import (
    Encoder,
    load,
    open_encoder,
    recalibrate_batchnorm,
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    small().save(tmp_path)
    return tmp_path


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
