"""MAE's fine-tuning: rates, stochastic depth and losses as timm has them; it learns what can be learned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from planted import CLASSES, SIZE, labelled, single_label, small_encoder
from recipes import by_layers
from timm.data.mixup import mixup_target
from timm.layers import DropPath
from timm.loss import SoftTargetCrossEntropy
from timm.optim import param_groups_layer_decay
from torch.nn import functional as F

from downstream.classification.mae_finetune import (
    MaeFinetune,
    averaged,
    mixing,
    soft_loss,
)
from downstream.images.augment import ShiftedCrop
from downstream.images.erasing import RandomErasing
from downstream.judge.catalogue import facts
from downstream.protocol import Runtime
from pretext.backbones.vit import VisionTransformer, from_timm_names
from pretext.data.dataset import Split
from pretext.data.split import make_split
from pretext.encoder import Encoder
from pretext.inputs import RGB

CONF = Path(__file__).parents[3] / "conf" / "downstream"


def transformer(depth: int = 4) -> Encoder:
    torch.manual_seed(0)
    backbone = VisionTransformer(3, image_size=16, patch_size=4, width=16, depth=depth, heads=2, every=2)
    return Encoder(RGB(), backbone).eval()


def small(**more: Any) -> MaeFinetune:
    """Some epochs at a larger rate, less mixing."""
    recipe = replace(MaeFinetune().recipe, epochs=12, batch_size=32, lr=0.03, weight_decay=1e-4)
    plain = {"augment": ShiftedCrop(shift=0.1), "mixup": 0.2, "cutmix": 0.2, **more}
    return replace(MaeFinetune(recipe=recipe), **plain)


def striped(name: str, examples: int, seed: int, several: bool = False) -> Split:
    """Stripes along rows or columns: mean colour says nothing, an encoder can learn to tell."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(examples) % 2)
    rows = np.broadcast_to(160 * (np.arange(SIZE) // 2 % 2)[:, None], (SIZE, SIZE))
    pixels = np.where(labels[:, None, None] == 1, rows, rows.T)[..., None]
    pixels = (pixels + generator.integers(0, 60, (examples, SIZE, SIZE, 3))).astype(np.uint8)
    targets = np.stack([labels, 1 - labels], 1).astype(np.uint8) if several else labels
    return make_split(name, pixels, labels=targets)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("build", [small_encoder, transformer])
def test_it_learns_and_leaves_the_encoder_alone(build: Any, several: bool) -> None:
    encoder = build()
    digest = encoder.digest()
    made = small()
    train, val, test = (striped(n, 128, i, several) for i, n in enumerate(("train", "val", "test")))
    fitted = made.fit(encoder, train, val, Runtime())
    stage = encoder.stage_names[-1]
    assert next(iter(made.metrics(test).values()))(fitted.predict(test)[stage]) > 0.97
    assert fitted.train_score > 0.97
    assert encoder.digest() == digest
    assert fitted.model.encoder.digest() != digest
    assert not any(isinstance(module, DropPath) for module in encoder.modules())


def test_permuted_labels_stay_at_chance() -> None:
    made = small()
    made = replace(made, recipe=replace(made.recipe, epochs=2))
    splits = single_label("train", 100, 0, permuted=True), single_label("val", 50, 1, permuted=True)
    test = single_label("test", 1000, 2)
    rows = made.fit(small_encoder(), *splits, Runtime()).predict(test)["conv5"]
    assert made.metrics(test)["top1"](rows) == pytest.approx(1 / CLASSES, abs=0.05)


def test_same_seed_same_rows() -> None:
    made = small()
    made = replace(made, recipe=replace(made.recipe, epochs=2))
    train, val = striped("train", 40, 0), striped("val", 20, 1)

    def scores(seed: int) -> np.ndarray:
        torch.manual_seed(100 + len(seen))  # what was drawn before must not matter
        seen.append(made.fit(transformer(), train, val, Runtime(seed=seed)).predict(val)["block4"]["scores"])
        return seen[-1]

    seen: list[np.ndarray] = []
    np.testing.assert_array_equal(scores(0), scores(0))
    assert not np.allclose(seen[0], scores(1))


def test_rates_by_layer_are_timms() -> None:
    encoder = transformer(depth=6)
    model = averaged(encoder, 5)
    recipe = by_layers(lr=0.5, batch_size=512, layer_decay=0.65, weight_decay=0.05)
    given = {id(p): (g["lr"], g["weight_decay"]) for g in recipe.groups(model, encoder) for p in g["params"]}
    assert len(given) == len(list(model.parameters()))
    other = timm.create_model(
        "vit_tiny_patch16_224", img_size=16, patch_size=4, embed_dim=16, depth=6, num_heads=2, num_classes=5
    )
    spared = {"pos_embed", "cls_token"}
    groups = param_groups_layer_decay(other, 0.05, no_weight_decay_list=spared, layer_decay=0.65)
    timms = {id(p): (g["lr_scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    backbone = encoder.backbone
    assert isinstance(backbone, VisionTransformer)
    own = dict(backbone.named_parameters())
    renamed = from_timm_names(backbone, dict(other.named_parameters()))
    assert own.keys() <= renamed.keys()
    for name, p in own.items():
        scale, decay = timms[id(renamed[name])]
        if ".norm." in name:
            scale = 1.0  # MAE's release has it beside the head, timm beside the last block
        assert given[id(p)] == pytest.approx((0.5 * 2 * scale, decay)), name
    for p in model.head.parameters():
        assert given[id(p)] == (1.0, 0.05 if p.ndim > 1 else 0.0)
    assert given[id(backbone.blocks["embed"].cls_token)][0] == pytest.approx(0.65**7)


def test_stages_are_the_layers_of_other_networks() -> None:
    encoder = small_encoder()
    model = averaged(encoder, 5)
    recipe = by_layers(lr=0.5, batch_size=256, layer_decay=0.5, weight_decay=0.1)
    given = {id(p): g["lr"] for g in recipe.groups(model, encoder) for p in g["params"]}
    for i, name in enumerate(encoder.stage_names):
        rates = {given[id(p)] for p in encoder.backbone.blocks[name].parameters()}
        assert rates == {0.5 * 0.5 ** (5 - i)}
    assert len(encoder.backbone.layers()) == 5
    still = by_layers(lr=0.5, backbone_lr=0.0)
    assert {g["lr"] for g in still.groups(model, encoder)} == {0.0, 0.5 * 32 / 256}
    with pytest.raises(ValueError, match="LayerDecayRecipe: layer_decay=0 is out of range"):
        by_layers(layer_decay=0)


def test_erasing_by_area_share_and_seed() -> None:
    images = torch.full((600, 3, 32, 32), 2.0)
    erase = RandomErasing(probability=0.25)
    found = erase(images, torch.Generator().manual_seed(0))
    changed = (found != 2).all(1)  # (B, H, W)
    torch.testing.assert_close(changed, (found != 2).any(1))
    share = changed.float().mean((1, 2))
    assert (share > 0).float().mean() == pytest.approx(0.25, abs=0.06)
    erased = share[share > 0]
    assert erased.min() > 0.01
    assert 0.3 < erased.max() < 0.36
    assert erased.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.03)
    noise = found[found != 2]
    assert (noise.min() >= 0, noise.max() <= 1) == (True, True)
    assert noise.mean() == pytest.approx(0.5, abs=0.02)
    for mask in changed[share > 0][:20]:  # one full rectangle
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns)
        assert torch.equal(rows, torch.zeros(32, dtype=torch.bool).scatter(0, rows.nonzero()[:, 0], True))
        assert int(rows.sum()) == int(rows.nonzero()[-1] - rows.nonzero()[0]) + 1
    torch.testing.assert_close(found, erase(images, torch.Generator().manual_seed(0)), rtol=0, atol=0)
    assert torch.equal(RandomErasing(probability=0)(images, torch.Generator()), images)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0), (0, 1.0), (0.8, 1.0)])
def test_images_and_targets_are_mixed_alike(mixup: float, cutmix: float) -> None:
    torch.manual_seed(0)
    mix = mixing(mixup, cutmix)
    blended = cut = 0
    for _ in range(40):
        code = torch.randperm(6)
        images = F.one_hot(code, 6)[:, :3, None, None].expand(-1, -1, 8, 8).float()
        targets = F.one_hot(code, 6).float()
        mixed, wanted = mix(images.clone(), targets.clone())
        # What share of an image is of a class is its target.
        torch.testing.assert_close(mixed.mean((2, 3)), wanted[:, :3])
        torch.testing.assert_close(wanted.sum(1), torch.ones(6))
        inner = ((mixed > 1e-6) & (mixed < 1 - 1e-6)).any()
        blended, cut = blended + bool(inner), cut + (not inner)
    assert (blended > 0) == (mixup > 0)
    assert cut > 0 or cutmix == 0
    images = torch.rand(4, 3, 8, 8)
    assert mixing(0, 0)(images, targets)[0] is images


def test_the_loss_is_timms() -> None:
    logits, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    hot = F.one_hot(labels, 5).float()
    mixed = 0.3 * hot + 0.7 * hot.flip(0)
    wanted = SoftTargetCrossEntropy()(logits, mixup_target(labels, 5, lam=0.3, smoothing=0.1))
    torch.testing.assert_close(soft_loss(logits, mixed, 0.1, False), wanted)
    # By hand: one image, two classes, truth (1, 0) smoothed to (0.95, 0.05), both logits 0.
    two = soft_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), 0.1, True)
    assert float(two) == pytest.approx(2 * np.log(2))
    slope = torch.zeros(1, 2, requires_grad=True)
    soft_loss(slope, torch.tensor([[1.0, 0.0]]), 0.1, True).backward()
    assert slope.grad is not None
    torch.testing.assert_close(slope.grad, torch.tensor([[-0.45, 0.45]]))


def test_the_yaml_states_what_is_published() -> None:
    made = instantiate(OmegaConf.load(CONF / "mae_finetune.yaml"), _convert_="all")
    assert made == MaeFinetune()
    recipe = made.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.layer_decay) == (100, 1024, 5e-4, 0.65)
    encoder = transformer()
    peak = max(group["lr"] for group in recipe.groups(averaged(encoder, 5), encoder))
    assert peak == pytest.approx(2e-3)
    steps = recipe.steps(102_400)
    assert steps == 10_000
    assert recipe.factor(499, steps) < 1
    assert recipe.factor(500, steps) == 1
    assert (made.mixup, made.cutmix, made.smoothing, made.drop_path) == (0.8, 1.0, 0.1, 0.1)
    assert (made.erase.probability, recipe.weight_decay) == (0.25, 0.05)
    assert facts(made).cost == "100 epochs"
    assert facts(made).frozen == "nothing"
    assert facts(made).chosen == "nothing"


def test_bad_input_is_named() -> None:
    good, encoder, made = np.arange(40) % 3, small_encoder(), small()
    with pytest.raises(ValueError, match="no example of class 1, 3"):
        made.fit(encoder, labelled(good * 2), labelled(good, "val"), Runtime())
    with pytest.raises(ValueError, match="split 'val': example 1 has label 4; train has 3 classes"):
        made.fit(encoder, labelled(good), labelled(np.array([0, 4]), "val"), Runtime())
    for name, value in (("mixup", -1), ("cutmix", -1), ("smoothing", 1), ("drop_path", 1)):
        with pytest.raises(ValueError, match=f"mae_finetune: {name}="):
            MaeFinetune(**{name: value})
    for values, word in (
        ({"probability": 2}, "probability must be in"),
        ({"scale": (0.5, 0.1)}, "scale must be two positive numbers"),
        ({"scale": (0.5, 1)}, "scale must end below 1"),
        ({"ratio": (0, 1)}, "ratio must be two positive numbers"),
    ):
        with pytest.raises(ValueError, match=f"RandomErasing: {word}"):
            RandomErasing(**values)
