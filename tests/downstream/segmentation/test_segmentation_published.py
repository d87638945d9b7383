"""FCN-32s and DeepLabv3 on masks that are planted in the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CLASSES, SIZE, masked, one_hot_mask, small_encoder
from recipes import by_epochs, polynomial, stepped
from sheet_cut import cut
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import deeplabv3 as torchvision_deeplab
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from downstream.features.extraction import load_images
from downstream.protocol import Protocol, Runtime
from downstream.segmentation.baselines import blind_segmenters
from downstream.segmentation.deeplabv3 import DeepLabV3
from downstream.segmentation.end_to_end import FittedSegmenter, Segmenter
from downstream.segmentation.zhang16_fcn32s import Zhang16Fcn32s, score_layer
from downstream.tuning.finetuning import private_copy
from pretext.backbones.resnet import ResNet18, from_torchvision_names
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.inputs import RGB

FCN = Zhang16Fcn32s()
DEEPLAB = DeepLabV3()
BRIEF = polynomial(iterations=2, batch_size=4, lr=0.01)


def brightened(split: Split) -> Split:
    """Masks that can be seen: the green channel shows the class in steps of 50 levels."""
    pixels = np.array(split.pixels[:]) // 4
    pixels[..., 1] = 50 * split.masks
    return make_split(split.name, pixels, masks=split.masks)


def miou_above_position(protocol: Protocol) -> float:
    """How much better than the position prior, learnt on masks that can be seen."""
    train, val, test = (brightened(masked(name, 60, i)) for i, name in enumerate(("train", "val", "test")))
    encoder = small_encoder(widths=(16, 16, 16, 16, 16))
    digest = encoder.digest()
    fitted = protocol.fit(encoder, train, val, Runtime())
    assert encoder.digest() == digest
    metrics = protocol.metrics(test)
    assert list(metrics) == ["mIoU", "pixel_accuracy", *(f"IoU_{k}" for k in range(CLASSES))]
    chance = blind_segmenters()["position_prior"].fit(train, val, Runtime())(test)
    rows = fitted.predict(test)[fitted.stage]
    each = [metrics[f"IoU_{k}"](rows) for k in range(CLASSES)]
    assert metrics["mIoU"](rows) == pytest.approx(np.mean(each))
    return metrics["mIoU"](rows) - metrics["mIoU"](chance)


def test_fcn32s_learns_what_can_be_seen() -> None:
    recipe = replace(FCN.recipe, iterations=150, milestones=(100,), batch_size=8, lr=0.1)
    assert miou_above_position(Zhang16Fcn32s(recipe, stage="conv1")) > 0.15


@pytest.mark.slow
def test_deeplabv3_learns_what_can_be_seen() -> None:
    recipe = replace(BRIEF, iterations=60, batch_size=8)
    assert miou_above_position(DeepLabV3(recipe, stage="conv1", rates=(1, 2))) > 0.15


def test_score_layer_alone_reads_a_planted_mask_through_bilinear_upsampling() -> None:
    """On one-hot cells the best scores are the cells themselves, upsampled; their stride alone loses."""
    train, val, test = (masked(name, 60, i) for i, name in enumerate(("train", "val", "test")))
    recipe = replace(FCN.recipe, iterations=200, milestones=(), lr=20.0, backbone_lr=0.0, weight_decay=0.0)
    protocol = Zhang16Fcn32s(recipe, dropout=0.0)
    fitted = protocol.fit(one_hot_mask(2), train, val, Runtime())
    cells = F.avg_pool2d(
        F.one_hot(torch.from_numpy(np.asarray(test.masks)).long(), CLASSES).permute(0, 3, 1, 2).float(), 2
    )
    wanted = F.interpolate(cells, (SIZE, SIZE), mode="bilinear", align_corners=False).argmax(1)
    found = fitted.model(load_images(test, slice(None), torch.device("cpu"))).argmax(1)
    assert (found == wanted).float().mean() > 0.97


def test_score_layer_starts_from_zero_behind_dropout() -> None:
    head = score_layer(8, CLASSES, 0.5)
    assert not head(torch.rand(2, 8, 3, 3)).any()
    assert [type(module) for module in head] == [nn.Dropout, nn.Conv2d]
    assert head.dropout.p == 0.5


def test_equals_torchvisions_network_of_the_same_weights() -> None:
    torch.manual_seed(0)
    body = resnet18(weights=None).eval()
    head = DeepLabHead(512, CLASSES, (6, 12, 18)).eval()
    whole = torchvision_deeplab.DeepLabV3(IntermediateLayerGetter(body, {"layer4": "out"}), head).eval()
    backbone = ResNet18(3)
    names = from_torchvision_names(body.state_dict())
    backbone.load_state_dict({name: value for name, value in names.items() if not name.startswith("fc")})
    encoder = Encoder(RGB(), backbone)
    model = Segmenter(encoder, "layer4", CLASSES, lambda channels, classes: head).eval()
    rgb = torch.rand(2, 3, 96, 80)
    with torch.no_grad():
        torch.testing.assert_close(model(rgb), whole(encoder.input(rgb))["out"], rtol=1e-4, atol=1e-5)


def test_defaults_are_what_the_papers_state() -> None:
    assert (FCN.recipe.iterations, FCN.recipe.milestones, FCN.recipe.batch_size) == (
        150_000,
        (50_000, 100_000),
        20,
    )
    assert (FCN.recipe.lr, FCN.recipe.weight_decay, FCN.recipe.optimiser) == (1e-4, 5e-4, "sgd")
    assert FCN.selects == DEEPLAB.selects == ()
    assert DeepLabV3(lrs=(0.1, 0.2)).selects == ("lr",)


def test_learning_rate_is_chosen_on_val() -> None:
    train, val = (brightened(masked(name, 20, i)) for i, name in enumerate(("train", "val")))
    fitted = DeepLabV3(replace(BRIEF, iterations=10), lrs=(1e-6, 0.01), stage="conv1", rates=(1,)).fit(
        small_encoder(), train, val, Runtime()
    )
    best = max(fitted.trials, key=lambda trial: trial.val)
    assert fitted.selected == best.setting
    rows = fitted.predict(val)["conv1"]
    assert DEEPLAB.metrics(val)["mIoU"](rows) == pytest.approx(best.val)


@pytest.mark.parametrize(
    "protocol",
    [Zhang16Fcn32s(stepped(iterations=2, batch_size=2)), DeepLabV3(BRIEF)],
    ids=lambda protocol: protocol.name,
)
def test_bad_masks_are_named(protocol: Protocol) -> None:
    good = masked("train", 8, 1)
    foreign = np.array(masked("val", 8, 2).masks)
    foreign[3, 1, 1] = 9
    wrong = make_split("val", np.array(good.pixels[:]), masks=foreign)
    with pytest.raises(ValueError, match="split 'val': the mask of image 3 has class 9; train has 5"):
        protocol.fit(small_encoder(), good, wrong, Runtime())
    with pytest.raises(ValueError, match="'val' has no masks"):
        protocol.fit(small_encoder(), good, replace(good, name="val", masks=None), Runtime())


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"zhang16_fcn32s: dropout=1\.0 is out of range"):
        Zhang16Fcn32s(dropout=1.0)
    with pytest.raises(ValueError, match=r"deeplabv3: rates=\(0,\) is out of range"):
        DeepLabV3(rates=(0,))
    with pytest.raises(ValueError, match="deeplabv3: batch_size=1 is out of range"):
        DeepLabV3(by_epochs(batch_size=1))


def test_pictures_show_the_prediction() -> None:
    few = brightened(masked("test", 3, 3))
    head = score_layer(8, CLASSES, 0.0)
    with torch.no_grad():
        head.score.bias[2] = 1.0
    copied = private_copy(small_encoder(), torch.device("cpu"))
    model = Segmenter(copied, "conv1", CLASSES, lambda channels, classes: head)
    fitted = FittedSegmenter(
        stage="conv1", trials=(), at_edge=(), train_score=0.0, setting={}, model=model, runtime=Runtime()
    )
    picture = fitted.show(few)
    assert (cut(picture, 0, 2, 3, (SIZE, SIZE)) == [0, 128, 0]).all()
