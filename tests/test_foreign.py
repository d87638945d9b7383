"""Encoders of other projects: the same features as there, or an error that says what does not fit."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from foreign_checkpoints import CASES, IMAGES, lightning, moco, network, plain, vit
from foreign_released import RELEASED
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18, resnet50

from pretext import inputs
from pretext.backbones import Backbone, ResNet50
from pretext.backbones.timm_net import TimmNet
from pretext.backbones.timm_whole import TimmWhole
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import Encoder, load
from pretext.foreign import LAYOUTS, open_foreign


@torch.no_grad()
def last(encoder: Encoder) -> Tensor:
    return encoder(IMAGES).maps[encoder.stage_names[-1]]


class TestLayouts:
    @pytest.mark.parametrize("name", CASES)
    def test_features_are_those_of_the_project(self, name: str, tmp_path: Path) -> None:
        made = CASES[name]()
        path = tmp_path / "checkpoint.pth"
        torch.save(made.content, path)
        torch.manual_seed(11)
        before = torch.get_rng_state()
        encoder = open_foreign(str(path))
        assert torch.equal(torch.get_rng_state(), before)
        torch.testing.assert_close(last(encoder), made.truth, atol=1e-4, rtol=1e-4)
        assert not encoder.training
        about = encoder.provenance
        assert about["layout"] == made.layout
        assert about["file_sha256"] == sha256(path.read_bytes()).hexdigest()
        assert about["task"] == f"{made.layout}:{about['file_sha256'][:12]}"
        assert tuple(about["left_out"]) == made.left
        again = load(encoder.save(tmp_path / "saved"))
        assert again.digest() == encoder.digest()
        assert again.provenance == about

    def test_every_layout_is_among_the_cases(self) -> None:
        found = {make().layout for make in [*CASES.values(), *RELEASED.values()]}
        assert found == {layout.name for layout in LAYOUTS}

    def test_every_layout_is_described(self) -> None:
        text = (Path(__file__).parent.parent / "docs" / "encoders.md").read_text()
        assert all(f"`{layout.name}`" in text for layout in LAYOUTS)

    def test_safetensors_are_read(self, tmp_path: Path) -> None:
        made = plain("bare")
        save_file({k: v.contiguous() for k, v in made.content.items()}, tmp_path / "net.safetensors")
        encoder = open_foreign(str(tmp_path / "net.safetensors"))
        torch.testing.assert_close(last(encoder), made.truth, atol=1e-4, rtol=1e-4)

    def test_files_of_the_older_format_are_read(self, tmp_path: Path) -> None:
        made = moco(second=False)
        torch.save(made.content, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
        encoder = open_foreign(str(tmp_path / "old.pth.tar"))
        torch.testing.assert_close(last(encoder), made.truth, atol=1e-4, rtol=1e-4)

    def test_half_precision_weights_become_floats(self, tmp_path: Path) -> None:
        state = {k: v.half() if v.is_floating_point() else v for k, v in network().state_dict().items()}
        torch.save(state, tmp_path / "half.pt")
        assert last(open_foreign(str(tmp_path / "half.pt"))).dtype == torch.float32

    def test_resnet50_is_told_from_resnet18(self, tmp_path: Path) -> None:
        torch.manual_seed(0)
        torch.save(resnet50(weights=None).state_dict(), tmp_path / "r50.pt")
        assert isinstance(open_foreign(str(tmp_path / "r50.pt")).backbone, ResNet50)

    def test_the_input_can_be_said(self, tmp_path: Path) -> None:
        path = tmp_path / "net.pt"
        torch.save(network().state_dict(), path)
        assert open_foreign(str(path)).input.arguments == inputs.build("rgb").arguments
        raw = inputs.build("rgb", mean=[0.5] * 3, std=[0.25] * 3)
        encoder = open_foreign(str(path), raw)
        assert encoder.input.arguments == {"mean": [0.5] * 3, "std": [0.25] * 3}
        assert encoder.digest() != open_foreign(str(path)).digest()

    def test_one_channel_needs_its_input(self, tmp_path: Path) -> None:
        torch.save(network(channels=1).state_dict(), tmp_path / "gray.pt")
        with pytest.raises(ValueError, match=r"takes 1 channels; say which input .*: lightness, gray$"):
            open_foreign(str(tmp_path / "gray.pt"))
        encoder = open_foreign(str(tmp_path / "gray.pt"), inputs.build("lightness", scale=1))
        assert encoder.input_name == "lightness"
        with pytest.raises(ValueError, match=r"takes 1 channels, but input RGB gives 3"):
            open_foreign(str(tmp_path / "gray.pt"), inputs.build("rgb"))

    def test_heads_that_cannot_be_told_have_to_be_said(self, tmp_path: Path) -> None:
        made = vit(heads=12, fixed=True)
        torch.save(made.state_dict(), tmp_path / "vit.pt")
        with pytest.raises(ValueError, match=r"how many attention heads .* of width 192 .*argument heads"):
            open_foreign(str(tmp_path / "vit.pt"))
        encoder = open_foreign(str(tmp_path / "vit.pt"), None, {"heads": 12})
        assert encoder.backbone.arguments["heads"] == 12
        assert encoder.provenance["arguments"] == {"heads": 12}
        with pytest.raises(ValueError, match=r"cannot be built from .*'head': 12"):
            open_foreign(str(tmp_path / "vit.pt"), None, {"heads": 12, "head": 12})


class TestTorchvision:
    @pytest.fixture
    def stored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where downloaded weights would be stored; the network is not there."""

        def unreachable(*_: object, **__: object) -> None:
            raise URLError("Name or service not known")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("torch.hub.urlopen", unreachable)
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        return tmp_path / "hub" / "checkpoints"

    def test_stored_weights(self, stored: Path) -> None:
        made = plain("bare")
        torch.save(made.content, stored / Path(ResNet18_Weights.IMAGENET1K_V1.url).name)
        for spec in ("torchvision:resnet18", "torchvision:resnet18@IMAGENET1K_V1"):
            encoder = open_foreign(spec)
            torch.testing.assert_close(last(encoder), made.truth, atol=1e-4, rtol=1e-4)
            assert encoder.provenance["task"] == "torchvision:resnet18@IMAGENET1K_V1"
            assert encoder.provenance["data_name"] == "imagenet"
        preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
        assert encoder.input.arguments == {"mean": preset.mean, "std": preset.std}

    @pytest.mark.usefixtures("stored")
    def test_without_a_network_there_is_no_encoder(self) -> None:
        with pytest.raises(ConnectionError, match=r"weights of torchvision:resnet50@IMAGENET1K_V2 cannot be"):
            open_foreign("torchvision:resnet50")

    @pytest.mark.usefixtures("stored")
    def test_random_weights_are_had_when_asked_for(self) -> None:
        first, again, other = (open_foreign("torchvision:resnet18@random", seed=s) for s in (0, 0, 1))
        assert first.digest() == again.digest() != other.digest()
        assert first.provenance["task"] == "torchvision:resnet18@random"
        assert first.provenance["data_name"] == ""

    def test_names_that_do_not_exist(self) -> None:
        with pytest.raises(ValueError, match=r"no torchvision:vgg16 here; networks: resnet18, resnet50"):
            open_foreign("torchvision:vgg16")
        with pytest.raises(
            ValueError, match=r"no weights 'V9'; it has: IMAGENET1K_V1, IMAGENET1K_V2, random"
        ):
            open_foreign("torchvision:resnet50@V9")
        with pytest.raises(ValueError, match=r"it takes no arguments \{'heads': 3\}"):
            open_foreign("torchvision:resnet18", None, {"heads": 3})


class TestTimm:
    @pytest.mark.parametrize(
        ("model", "kind"),
        [
            ("vit_tiny_patch16_224", VisionTransformer), ("resnet18", TimmNet), ("convnext_atto", TimmNet),
            ("mobilenetv3_small_050", TimmWhole), ("eva02_tiny_patch14_224", TimmWhole),
        ],
    )  # fmt: skip
    def test_published_weights(
        self, model: str, kind: type[Backbone], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torch.manual_seed(0)
        truth = timm.create_model(model, pretrained=False).eval()
        fetched: list[str] = []

        def hub(where: str, *_: object, **__: object) -> dict[str, Tensor]:
            fetched.append(where)
            return dict(truth.state_dict())

        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", hub)
        monkeypatch.setattr("timm.models._builder.load_custom_from_hf", hub)
        encoder = open_foreign(f"timm:{model}")
        assert len(fetched) == 1
        assert type(encoder.backbone) is kind
        mean, std = truth.pretrained_cfg["mean"], truth.pretrained_cfg["std"]
        assert encoder.input.arguments == {"mean": list(mean), "std": list(std)}
        images = torch.rand(1, 3, 224, 224)
        with torch.no_grad():
            found = encoder(images)
            wanted = truth.forward_features(encoder.input(images))
        ours = found.maps[encoder.stage_names[-1]]
        if wanted.ndim == 3:
            wanted, cls = wanted[:, 1:].transpose(1, 2).reshape(ours.shape), wanted[:, 0]
            torch.testing.assert_close(found.vectors["cls"], cls, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)
        assert encoder.provenance["task"] == f"timm:{model}@{timm.get_pretrained_cfg(model).tag}"
        tag = timm.get_pretrained_cfg(model).tag
        assert encoder.provenance["data_name"] == ("imagenet" if tag.endswith("in1k") else "unknown")
        assert encoder.provenance["made_for"] == {
            "size": list(truth.pretrained_cfg["input_size"][1:]), "mean": list(mean), "std": list(std),
            "interpolation": truth.pretrained_cfg["interpolation"],
        }  # fmt: skip
        assert open_foreign(f"timm:{model}@random").backbone.arguments == encoder.backbone.arguments

    def test_without_a_network_there_is_no_encoder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unreachable(*_: object, **__: object) -> None:
            raise RuntimeError("Connection refused")

        monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
        with pytest.raises(
            ConnectionError, match=r"timm:resnet18 cannot be fetched \(RuntimeError: Connection"
        ):
            open_foreign("timm:resnet18")

    def test_random_weights_are_had_when_asked_for(self) -> None:
        first, again, other = (open_foreign("timm:resnet10t@random", seed=seed) for seed in (0, 0, 1))
        assert first.digest() == again.digest() != other.digest()
        assert first.provenance["task"] == "timm:resnet10t@random"

    def test_names_that_do_not_exist(self) -> None:
        with pytest.raises(ValueError, match=r"no model 'vit_smal' of its own"):
            open_foreign("timm:vit_smal")
        with pytest.raises(ValueError, match=r"no model 'hf-hub:timm/resnet18'"):
            open_foreign("timm:hf-hub:timm/resnet18")
        with pytest.raises(
            ValueError, match=r"offers no weights 'resnet18.nope'; of resnet18 it has: .*a1_in1k"
        ):
            open_foreign("timm:resnet18.nope")
        with pytest.raises(ValueError, match=r"write NETWORK, NETWORK\.TAG or NETWORK@random"):
            open_foreign("timm:resnet18@nope")

    def test_more_than_a_plain_vision_transformer_is_run_as_a_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another activation has no weights of its own: only features tell."""
        plain_create = timm.create_model

        def create(name: str, **options: object) -> nn.Module:
            return plain_create(name, act_layer=nn.ReLU, **options)

        monkeypatch.setattr(timm, "create_model", create)
        encoder = open_foreign("timm:vit_tiny_patch16_224@random", seed=4)
        assert isinstance(encoder.backbone, TimmWhole)
        torch.manual_seed(4)
        truth = plain_create("vit_tiny_patch16_224", act_layer=nn.ReLU).eval()
        with torch.no_grad():
            images = torch.rand(1, 3, 224, 224)
            wanted = truth.forward_features(encoder.input(images))
            torch.testing.assert_close(encoder(images).vectors["cls"], wanted[:, 0], atol=1e-4, rtol=1e-4)

    def test_arguments_are_those_of_a_whole_network(self) -> None:
        encoder = open_foreign("timm:levit_128s@random", None, {"image_size": 64})
        assert encoder.backbone.arguments["image_size"] == 64
        assert encoder.provenance["left_out"]
        with pytest.raises(ValueError, match=r"timm:levit_128s cannot be built from \{'heads': 3\}"):
            open_foreign("timm:levit_128s@random", None, {"heads": 3})


def test_lightning_alone_is_no_layout(tmp_path: Path) -> None:
    torch.save(lightning(resnet18(weights=None)), tmp_path / "plain.ckpt")
    assert open_foreign(str(tmp_path / "plain.ckpt")).provenance["layout"] == "torchvision"
