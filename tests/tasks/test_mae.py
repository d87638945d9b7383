"""MAE against the release's steps, one image and one patch at a time."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from torch import Tensor
from toy_fit import At, die, fit

from pretext.backbones import TokenBackbone
from pretext.backbones.positions import sincos_positions
from pretext.backbones.vit import VisionTransformer
from pretext.encoder import load
from pretext.task import Images
from pretext.tasks.mae import Masked, MaskedAutoencoder, at, patches, put, unpatched

SIDE, COUNT, KEPT = 8, 16, 4
"""Of the toy network's patches on 32 pixels, three quarters of them hidden."""


def task(input: str = "lightness", **more: Any) -> MaskedAutoencoder:
    encoder = toy.token_encoder(input)
    torch.manual_seed(1)
    return MaskedAutoencoder(encoder, **{"width": 32, "depth": 2, "heads": 4} | more)


def drawn(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def patch_of(image: Tensor, number: int) -> Tensor:
    """One patch of (C, H, W), its numbers in the release's order: row, column, channel."""
    down, right = divmod(number, image.shape[2] // SIDE)
    cells = [
        image[c, SIDE * down + y, SIDE * right + x]
        for y in range(SIDE)
        for x in range(SIDE)
        for c in range(len(image))
    ]
    return torch.stack(cells)


def released(mae: MaskedAutoencoder, image: Tensor, visible: list[int]) -> tuple[Tensor, Tensor]:
    """Predictions (N, P) of all patches of an image (C, H, W) and their targets, as the release does it.

    The visible tokens are encoded, the mask token stands for all others, and all are brought into the
    image's order before the decoder sees them.
    """
    backbone = mae.encoder.backbone
    assert isinstance(backbone, TokenBackbone)
    embedding = backbone.blocks["embed"]
    kernel, bias = embedding.proj.weight, embedding.proj.bias  # (D, C, side, side)
    tokens = []
    for number in visible:
        pixels = patch_of(image, number).view(SIDE, SIDE, -1).permute(2, 0, 1)
        tokens.append((kernel * pixels).sum((1, 2, 3)) + bias + embedding.pos_embed[0, 1 + number])
    state = torch.stack([(embedding.cls_token + embedding.pos_embed[:, :1])[0, 0], *tokens])[None]
    for name in backbone.stage_names[1:]:
        state = backbone.blocks[name](state)
    state = mae.reduce(state)[0]  # (1 + K, W)
    places = sincos_positions(image.shape[1] // SIDE, image.shape[2] // SIDE, state.shape[1])
    whole = [state[0]]
    for number, place in enumerate(places):
        known = number in visible
        whole.append((state[1 + visible.index(number)] if known else mae.mask_token[0, 0]) + place)
    x = torch.stack(whole)[None]
    for block in mae.blocks:
        x = block(x)
    predictions = mae.predict(mae.norm(x))[0, 1:]
    targets = []
    for number in range(len(places)):
        values = patch_of(image, number)
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / (len(values) - 1)
        targets.append((values - mean) / sqrt(variance + 1e-6))
    return predictions, torch.stack(targets)


@pytest.mark.parametrize("input", ["lightness", "lab"])
def test_the_loss_is_that_of_the_release_patch_by_patch(input: str) -> None:
    mae = task(input).eval()
    with torch.no_grad():
        for value in mae.parameters():  # initial weights are so small that places would hardly count
            if value.dim() > 1:
                value.normal_(std=0.3)
    batch = mae.views(toy.batch(3), drawn())
    total, terms, zero = 0.0, 0, 0.0
    with torch.no_grad():
        for image, visible in zip(batch.seen, batch.visible.tolist(), strict=True):
            predictions, targets = released(mae, image, visible)
            for number in set(range(COUNT)) - set(visible):
                total += float((predictions[number] - targets[number]).square().mean())
                zero += float(targets[number].square().mean())
                terms += 1
        assert terms == 3 * (COUNT - KEPT)
        assert float(mae.loss(batch).loss) == pytest.approx(total / terms, rel=1e-4)
        assert mae.chance(batch)["loss"] == pytest.approx(zero / terms, rel=1e-4)


def test_each_image_has_its_own_quarter_drawn_by_the_generator_alone() -> None:
    for mae in (task(), task().eval()):
        one, again, other = (mae.views(toy.batch(8), drawn(seed)) for seed in (3, 3, 4))
        assert one.visible.shape == (8, KEPT)
        assert one.hidden.shape == (8, COUNT - KEPT)
        together = torch.cat([one.visible, one.hidden], dim=1).sort(dim=1).values
        assert torch.equal(together, torch.arange(COUNT).expand(8, -1))
        assert torch.equal(one.visible, again.visible)
        assert not torch.equal(one.visible, other.visible)
        assert len({tuple(sorted(row)) for row in one.visible.tolist()}) > 1
    drawn_often = task().views(toy.batch(1000), drawn()).visible
    shares = torch.bincount(drawn_often.flatten(), minlength=COUNT) / 1000
    assert torch.allclose(shares, torch.tensor(KEPT / COUNT), atol=0.05)  # 3.7 standard deviations


def test_training_images_are_cropped_and_others_are_seen_as_they_are() -> None:
    images, mae = toy.batch(8), task()
    assert not torch.equal(mae.views(images, drawn(1)).seen, mae.views(images, drawn(2)).seen)
    mae.eval()
    torch.testing.assert_close(mae.views(images, drawn()).seen, mae.encoder.input(images.pixels))
    wide = Images(torch.rand(2, 3, 37, 50), images.positions[:2], None)
    assert mae.views(wide, drawn()).seen.shape == (2, 1, 32, 32)
    assert task(crop=48).eval().views(wide, drawn()).seen.shape == (2, 1, 48, 48)
    with pytest.raises(ValueError, match="images of 7×50 hold no patch of 8 pixels"):
        mae.views(Images(torch.rand(2, 3, 7, 50), images.positions[:2], None), drawn())


def test_hidden_pixels_do_not_reach_the_prediction() -> None:
    mae = task().eval()
    batch = mae.views(toy.batch(2), drawn())
    noise = torch.randn(2, COUNT, SIDE**2, generator=drawn())
    whole = patches(batch.seen, SIDE)

    def changed(index: Tensor) -> Masked:
        values = put(whole, index, at(noise, index))
        return batch._replace(seen=unpatched(values, SIDE, batch.seen.shape))

    with torch.no_grad():
        plain = mae._predicted(batch)
        assert torch.equal(mae._predicted(changed(batch.hidden)), plain)
        assert not torch.allclose(mae._predicted(changed(batch.visible[:, :1])), plain)


def test_a_prediction_of_zero_scores_almost_one_and_training_starts_there() -> None:
    pixels = torch.rand(16, 3, 32, 32, generator=drawn())  # no patch is flat
    mae = task("rgb").eval()
    batch = mae.views(Images(pixels, torch.arange(16), None), drawn())
    size = 3 * SIDE**2
    assert mae.chance(batch)["loss"] == pytest.approx((size - 1) / size, abs=1e-4)
    with torch.no_grad():
        assert float(mae.loss(batch).loss) == pytest.approx(mae.chance(batch)["loss"], rel=0.05)
    mae, flat = task().eval(), Images(torch.full((2, 3, 32, 32), 0.4), torch.arange(2), None)
    assert mae.chance(mae.views(flat, drawn()))["loss"] == pytest.approx(0, abs=1e-6)


def test_patches_go_back_to_their_places() -> None:
    images = torch.randn(2, 3, 16, 24)
    cut = patches(images, SIDE)
    assert cut.shape == (2, 6, 192)
    for number in range(6):
        assert torch.equal(cut[1, number], patch_of(images[1], number))
    assert torch.equal(unpatched(cut, SIDE, images.shape), images)
    order = torch.rand(2, 6).argsort(dim=1)
    assert torch.equal(put(torch.zeros_like(cut), order, at(cut, order)), cut)


def test_pictures_show_visible_patches_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    mae = task().eval()
    images = toy.batch(3)
    # A decoder that knows everything: the picture comes back whole.
    monkeypatch.setattr(mae, "_predicted", mae._wanted)
    with torch.no_grad():
        shown = mae.show(images)
    torch.testing.assert_close(shown["reconstructed"], shown["seen"], atol=1e-5, rtol=0)
    batch = mae.views(images, drawn(0))
    same = patches((shown["masked"] == shown["seen"])[:, :1], SIDE).all(dim=2)  # (B, N)
    assert bool(same.gather(1, batch.visible).all())
    assert not bool(same.gather(1, batch.hidden).any())


def test_encoder_learns_from_every_image_of_a_batch() -> None:
    mae = task()
    step = mae.loss(mae.views(toy.batch(8), drawn()))
    step.loss.backward()
    for name, value in mae.named_parameters():
        assert value.grad is not None, name
        assert bool(value.grad.isfinite().all()), name
        assert bool(value.grad.any()), name


def test_overfits_eight_images() -> None:
    mae = task()
    batch = mae.views(toy.batch(8), drawn())
    optimizer = torch.optim.AdamW(mae.param_groups(), lr=3e-3)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        loss = mae.loss(batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_that_was_stopped_goes_on_bit_for_bit_with_branches_left_out_at_random(tmp_path: Path) -> None:
    def dropping() -> MaskedAutoencoder:
        mae = task()
        assert isinstance(mae.encoder.backbone, VisionTransformer)
        mae.encoder.backbone.set_drop_path(0.5)
        return mae

    whole = fit(tmp_path / "whole", dropping(), epochs=2)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", dropping(), epochs=2, callbacks=[At(1, 2, die)])
    again = fit(tmp_path / "broken", dropping(), epochs=2)
    assert load(again.folder).digest() == load(whole.folder).digest()
    assert (whole.images_seen, whole.views) == (80, 80)


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(TypeError, match="takes a TokenBackbone, got SmallNet"):
        MaskedAutoencoder(toy.encoder())
    for wrong, said in (
        ({"ratio": 1.0}, r"ratio is a share in \(0, 1\), got 1.0"),
        ({"area": 0.0}, r"area is a share in \(0, 1\], got 0.0"),
        ({"crop": 12}, "crop is a multiple of the patch of 8, or None, got 12"),
        ({"width": 30}, "a multiple of 4 and of heads, got width=30"),
        ({"depth": 0}, "at least one block.*depth=0"),
    ):
        with pytest.raises(ValueError, match=said):
            task(**wrong)
    with pytest.raises(ValueError, match=r"ratio=0.95 shows 0 of the 16 patches of 8 pixels"):
        task(ratio=0.95).views(toy.batch(2), drawn())
