"""Checkpoints of today's projects: the same features as there, or an error that says what does not fit."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from foreign_checkpoints import IMAGES, network, plain
from foreign_released import RELEASED, ijepa, lightning, mmpretrain, timms, under
from timm.models import eva
from torch import Tensor
from torchvision.models import resnet18

from pretext.backbones.timm_vit import TimmVit
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import load
from pretext.foreign import open_foreign

CASES = Path(__file__).parents[2] / "shared" / "cases" / "make_checkpoints.py"


def saved(content: Any, folder: Path) -> str:
    torch.save(content, folder / "checkpoint.pth")
    return str(folder / "checkpoint.pth")


@pytest.mark.parametrize("name", RELEASED)
def test_features_are_those_of_the_project(name: str, tmp_path: Path) -> None:
    made = RELEASED[name]()
    encoder = open_foreign(saved(made.content, tmp_path), None, made.arguments)
    with torch.no_grad():
        features = encoder(IMAGES)
    torch.testing.assert_close(features.maps[encoder.stage_names[-1]], made.map, atol=1e-4, rtol=1e-4)
    assert ("cls" in features.vectors) == (made.cls is not None)
    if made.cls is not None:
        torch.testing.assert_close(features.vectors["cls"], made.cls, atol=1e-4, rtol=1e-4)
    about = encoder.provenance
    assert about["layout"] == made.layout
    assert tuple(about["left_out"]) == made.left
    assert about["arguments"] == made.arguments
    if isinstance(encoder.backbone, TimmVit):
        assert load(encoder.save(tmp_path / "saved")).digest() == encoder.digest()


def dinov3_state(biased: bool) -> tuple[dict[str, Tensor], torch.nn.Module]:
    """A state dict under facebookresearch/dinov3's names, and timm's network as timm fills it."""
    torch.manual_seed(0)
    made = timm.create_model("vit_small_patch16_dinov3" + ("_qkvb" if biased else "")).eval()
    state = {}
    for name, value in made.state_dict().items():
        value = value + 0.05 * torch.randn_like(value)
        name = re.sub(r"gamma_([12])$", r"ls\1.gamma", name).replace("reg_token", "storage_tokens")
        if not name.endswith(("q_bias", "k_bias", "v_bias")) and "rope" not in name:
            state[name] = value
    for i in range(12):
        bias = torch.zeros(3 * 384)
        if biased:
            bias[:384], bias[768:] = torch.randn(384), torch.randn(384)
        state |= {f"blocks.{i}.attn.qkv.bias": bias, f"blocks.{i}.attn.qkv.bias_mask": torch.ones(3 * 384)}
    state |= {"mask_token": torch.ones(1, 384), "rope_embed.periods": 100 ** (torch.arange(16) / 16)}
    made.load_state_dict(eva.checkpoint_filter_fn(dict(state), made), strict=False)
    return state, made


@pytest.mark.parametrize("biased", [False, True])
@torch.no_grad()
def test_dinov3(biased: bool, tmp_path: Path) -> None:
    state, made = dinov3_state(biased)
    encoder = open_foreign(saved(state, tmp_path))
    features = encoder(IMAGES)
    tokens = timm.create_model(encoder.backbone.arguments["model"], dynamic_img_size=True).eval()
    tokens.load_state_dict(made.state_dict())
    wanted = tokens.forward_features(encoder.input(IMAGES))
    torch.testing.assert_close(features.vectors["cls"], wanted[:, 0], atol=1e-4, rtol=1e-4)
    last = features.maps[encoder.stage_names[-1]].flatten(2).transpose(1, 2)
    torch.testing.assert_close(last, wanted[:, 5:], atol=1e-4, rtol=1e-4)
    assert ("q_bias" in " ".join(encoder.backbone.state_dict())) == biased
    with pytest.raises(ValueError, match=r"rope_embed\.periods are .* not those of base 100"):
        open_foreign(saved(state | {"rope_embed.periods": torch.ones(16)}, tmp_path))
    del state["blocks.3.attn.proj.weight"]
    with pytest.raises(ValueError, match=r"missing: network\.blocks\.3\.attn\.proj\.weight"):
        open_foreign(saved(state, tmp_path))


class TestChoosing:
    def test_several_encoders_are_listed(self, tmp_path: Path) -> None:
        path = saved(ijepa().content, tmp_path)
        with pytest.raises(
            ValueError, match=r"several encoders: encoder, target_encoder; say which .*\.key="
        ):
            open_foreign(path)
        with pytest.raises(ValueError, match=r"no encoder at 'teacher': encoder, target_encoder"):
            open_foreign(path, None, {"key": "teacher"})
        target, other = (open_foreign(path, None, {"key": k}) for k in ("target_encoder", "encoder"))
        assert target.digest() != other.digest()
        assert target.provenance["recipe"] != other.provenance["recipe"]

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (("state_dict",), ("state_dict_ema",)),
            (("model",), ("model_ema",)),
            (("model",), ("ema", "shadow")),
        ],
    )
    def test_an_average_beside_the_weights_is_another_encoder(
        self, one: tuple[str, ...], other: tuple[str, ...], tmp_path: Path
    ) -> None:
        """As timm, DeiT and averaging callbacks write them, where the usual place alone would have done."""
        torch.manual_seed(0)
        body = resnet18(weights=None).state_dict()
        content: dict[str, Any] = {"epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
        average = {f"module.{key}": x + 1 for key, x in body.items()} | {"n_averaged": torch.tensor(3)}
        for path, state in ((one, body), (other, average)):
            for step in reversed(path[1:]):
                state = {step: state}
            content[path[0]] = state
        path = saved(content, tmp_path)
        places = ".".join(one), ".".join(other)
        with pytest.raises(
            ValueError, match=r"several encoders: {}, {}; say".format(*map(re.escape, places))
        ):
            open_foreign(path)
        first, second = (open_foreign(path, None, {"key": place}) for place in places)
        assert first.digest() != second.digest()
        assert f"{places[1]}." in first.provenance["left_out"]
        assert f"{places[0]}." in second.provenance["left_out"]

    def test_what_nobody_knows_beside_an_encoder_is_refused_until_it_is_chosen(self, tmp_path: Path) -> None:
        made = lightning("model", "backbone")
        made.content["state_dict"]["model.adapter.weight"] = torch.ones(3)
        path = saved(made.content, tmp_path)
        with pytest.raises(ValueError, match=r"unexpected: model\.adapter\.weight"):
            open_foreign(path)
        chosen = open_foreign(path, None, {"key": "state_dict.model.backbone"})
        assert "model.adapter." in chosen.provenance["left_out"]
        with torch.no_grad():
            last = chosen(IMAGES).maps[chosen.stage_names[-1]]
        torch.testing.assert_close(last, made.map, atol=1e-4, rtol=1e-4)

    def test_what_is_inside_must_fit(self, tmp_path: Path) -> None:
        made = mmpretrain()
        made.content["state_dict"]["backbone.layers.2.extra.weight"] = torch.ones(3)
        with pytest.raises(ValueError, match=r"unexpected: .*2\.extra\.weight"):
            open_foreign(saved(made.content, tmp_path))
        state = dict(timms(init_values=0.1).state_dict())
        del state["blocks.1.ls2.gamma"]
        with pytest.raises(ValueError, match=r"missing: network\.blocks\.1\.ls2\.gamma"):
            open_foreign(saved(state, tmp_path))

    def test_clips_activation_has_to_be_said(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"cannot be told from weights; say .*quick_gelu=true"):
            open_foreign(saved(RELEASED["clip"]().content, tmp_path))
        made = RELEASED["clip"]()
        wrong = open_foreign(saved(made.content, tmp_path), None, {"quick_gelu": False})
        with torch.no_grad():
            assert not torch.allclose(wrong(IMAGES).vectors["cls"], made.cls, atol=1e-2)

    def test_a_resnet_of_openmmlab(self, tmp_path: Path) -> None:
        state = under(
            "backbone.", {k: x for k, x in network().state_dict().items() if not k.startswith("fc.")}
        )
        state |= {"neck.mlp.0.weight": torch.ones(4, 512), "head.criterion.weight": torch.ones(4)}
        encoder = open_foreign(saved({"meta": {"epoch": 5}, "state_dict": state}, tmp_path))
        with torch.no_grad():
            last = encoder(IMAGES).maps["layer4"]
        torch.testing.assert_close(last, plain("bare").truth, atol=1e-4, rtol=1e-4)
        assert encoder.provenance["left_out"] == ["head.", "neck."]
        assert encoder.provenance["layout"] == "torchvision"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a git-lfs pointer"),
        (b"<!DOCTYPE html><html><title>404</title></html>", "is a web page, not a checkpoint"),
        (b"\n <HTML><body>", "is a web page, not a checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_named(text: bytes, said: str, tmp_path: Path) -> None:
    for name in ("net.pth", "net.safetensors"):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(ValueError, match=said):
            open_foreign(str(tmp_path / name))


@pytest.mark.skipif(not CASES.is_file(), reason="the cases beside this project are not here")
def test_the_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(CASES), str(tmp_path)])
    runpy.run_path(str(CASES))
    for path in sorted(tmp_path.glob("*_r18.pth")):
        assert open_foreign(str(path)).network == "ResNet18", path.name
    for path in sorted(tmp_path.glob("mae_*.pth")):
        assert isinstance(open_foreign(str(path)).backbone, VisionTransformer), path.name
    found = {path.stem: open_foreign(str(path)).backbone for path in sorted(tmp_path.glob("dinov2_*.pth"))}
    assert {name: network.arguments.get("registers", 0) for name, network in found.items()} == {
        "dinov2_released": 0, "dinov2_reg4": 4, "dinov2_teacher": 0,
    }  # fmt: skip
