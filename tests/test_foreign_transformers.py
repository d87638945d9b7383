"""Image models of transformers from a folder: the library's own features, weights and statistics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pretext.encoder import load
from pretext.foreign import open_foreign

SIZE = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
}
MLP = {"intermediate_size": 48}
KINDS: dict[str, tuple[str, dict[str, Any], int | None]] = {
    "ViTModel": ("ViTConfig", SIZE | MLP, 1),
    "Dinov2Model": ("Dinov2Config", SIZE, 1),
    "Dinov2WithRegistersModel": ("Dinov2WithRegistersConfig", SIZE | {"num_register_tokens": 4}, 5),
    "DINOv3ViTModel": ("DINOv3ViTConfig", SIZE | MLP | {"num_register_tokens": 4}, 5),
    "SiglipVisionModel": ("SiglipVisionConfig", SIZE | MLP, 0),
    "CLIPVisionModel": ("CLIPVisionConfig", SIZE | MLP, 1),
    "ViTMAEModel": ("ViTMAEConfig", SIZE | MLP | {"mask_ratio": 0.0}, 1),
    "BeitModel": (
        "BeitConfig", SIZE | MLP | {"use_relative_position_bias": True, "use_mean_pooling": False}, 1,
    ),
    "ConvNextModel": ("ConvNextConfig", {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, None),
    "ResNetModel": (
        "ResNetConfig", {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, None,
    ),
    "SwinModel": (
        "SwinConfig",
        {
            "image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
            "window_size": 4,
        },
        0,
    ),
}  # fmt: skip
"""By class: its configuration, and how many tokens stand before the patches; None for maps."""

STATISTICS = {
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.3, 0.25],
    "size": {"height": 32, "width": 32},
}


def library() -> Any:
    """Imported by the tests that need it: collecting others takes no seconds for it."""
    return pytest.importorskip("transformers", reason="the extra `transformers` is not installed")


def saved(kind: str, folder: Path) -> Any:
    name, values, _ = KINDS[kind]
    transformers = library()
    torch.manual_seed(0)
    made = getattr(transformers, kind)(getattr(transformers, name)(**values)).eval()
    with torch.no_grad():
        for value in made.parameters():
            value.add_(torch.randn_like(value), alpha=0.05)
    made.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(STATISTICS))
    return made


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_features_are_the_librarys(kind: str, tmp_path: Path) -> None:
    made = saved(kind, tmp_path / "model")
    encoder = open_foreign(f"hf:{tmp_path / 'model'}")
    assert encoder.input.arguments == {"mean": STATISTICS["image_mean"], "std": STATISTICS["image_std"]}
    assert encoder.provenance["made_for"]["size"] == [32, 32]
    images = torch.rand(2, 3, 32, 32)
    features = encoder(images)
    output = made(pixel_values=encoder.input(images))
    truth, restore = output.last_hidden_state, getattr(output, "ids_restore", None)
    if restore is not None:  # MAE shuffles the patches, at random each time
        unshuffled = truth[:, 1:].gather(1, restore[..., None].expand(-1, -1, truth.shape[2]))
        truth = torch.cat([truth[:, :1], unshuffled], 1)
    last, before = features.maps[encoder.stage_names[-1]], KINDS[kind][2]
    if before is None:
        torch.testing.assert_close(last, truth, atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(last.flatten(2).transpose(1, 2), truth[:, before:], atol=1e-4, rtol=1e-4)
    assert ("cls" in features.vectors) == bool(before)
    if before:
        torch.testing.assert_close(features.vectors["cls"], truth[:, 0], atol=1e-4, rtol=1e-4)
    assert tuple(features.maps) == encoder.stage_names
    assert [m.shape[1] for m in features.maps.values()] == [s.channels for s in encoder.stages]
    again = load(encoder.save(tmp_path / "saved"))
    assert again.digest() == encoder.digest()
    torch.testing.assert_close(again(images).maps[encoder.stage_names[-1]], last)


@torch.no_grad()
def test_an_encoder_of_mae_sees_every_patch_whatever_it_was_trained_with(tmp_path: Path) -> None:
    made = saved("ViTMAEModel", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "mask_ratio": 0.75}))
    encoder, images = open_foreign(f"hf:{tmp_path}"), torch.rand(1, 3, 32, 32)
    assert encoder(images).maps["block4"].shape == (1, 24, 4, 4)
    truth = made(pixel_values=encoder.input(images)).last_hidden_state
    torch.testing.assert_close(encoder(images).vectors["cls"], truth[:, 0], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_positions_are_resampled_as_the_library_does(tmp_path: Path) -> None:
    made = saved("Dinov2Model", tmp_path)
    encoder = open_foreign(f"hf:{tmp_path}")
    images = torch.rand(1, 3, 48, 64)
    last = encoder(images).maps["block4"]
    assert last.shape == (1, 24, 6, 8)
    truth = made(pixel_values=encoder.input(images)).last_hidden_state
    torch.testing.assert_close(last.flatten(2).transpose(1, 2), truth[:, 1:], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_image_tower_of_a_pair_is_taken_and_a_classifier_left_out(tmp_path: Path) -> None:
    transformers = library()
    vision = SIZE | MLP
    text = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "vocab_size": 50}
    pair = transformers.CLIPModel(transformers.CLIPConfig(vision_config=vision, text_config=text)).eval()
    pair.save_pretrained(tmp_path / "pair")
    encoder = open_foreign(f"hf:{tmp_path / 'pair'}")
    images = torch.rand(1, 3, 32, 32)
    truth = pair.vision_model(pixel_values=encoder.input(images)).last_hidden_state
    torch.testing.assert_close(encoder(images).vectors["cls"], truth[:, 0], atol=1e-4, rtol=1e-4)
    assert any(name.startswith("text_") for name in encoder.provenance["left_out"])
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**SIZE, **MLP, num_labels=3)).eval()
    model.save_pretrained(tmp_path / "classes")
    encoder = open_foreign(f"hf:{tmp_path / 'classes'}")
    truth = model.vit(pixel_values=encoder.input(images)).last_hidden_state
    torch.testing.assert_close(encoder(images).vectors["cls"], truth[:, 0], atol=1e-4, rtol=1e-4)
    assert encoder.provenance["made_for"] == {}


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    saved("ViTModel", tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(key for key in weights if key.endswith(("layernorm.weight", "layernorm_before.weight")))
    save_file(
        {k: x for k, x in weights.items() if k != name}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match=rf"do not fit the configuration: missing: .*{name.split('.')[-2]}"):
        open_foreign(f"hf:{tmp_path}")
    save_file(weights | {"extra.weight": torch.ones(2)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"unexpected: extra\.weight"):
        open_foreign(f"hf:{tmp_path}")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no weights in safetensors"):
        open_foreign(f"hf:{tmp_path}")
    shutil.copy(tmp_path / "preprocessor_config.json", tmp_path / "config.json")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json"):
        open_foreign(f"hf:{tmp_path}")


def test_the_hub_out_of_reach_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        library().AutoConfig,
        "from_pretrained",
        lambda *_, **__: (_ for _ in ()).throw(OSError("no connection")),
    )
    with pytest.raises(ConnectionError, match=r"hf:facebook/dinov2-small cannot be fetched \(OSError"):
        open_foreign("hf:facebook/dinov2-small")


@pytest.mark.parametrize("name", ["./models/dino", "/nowhere/dinov2-small", "models/dino/v2", "../x"])
def test_a_folder_that_is_not_there_is_not_asked_of_the_hub(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library().AutoConfig, "from_pretrained", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        open_foreign(f"hf:{name}")
