"""`scenes`: the same picture every time, and labels that say what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from pretext.data.scenes import CLASSES, MIN_SIZE, Colour, SceneBatch, generate
from pretext.data.scenes.layout import draw_layout
from pretext.data.scenes.palette import (
    CHROMA_SPREAD,
    LIGHTNESS_RANGE,
    MODES,
    chroma_scale,
    lab_to_rgb8,
    linear_rgb,
    mode_ab,
)
from pretext.data.scenes.render import MIN_VISIBLE, cover, visible_things
from pretext.data.scenes.shapes import AREA, REACH, SHAPES
from pretext.data.scenes.textures import TEXTURE_DRAWS, TEXTURES, smooth_noise

GOLDEN = Path(__file__).parent / "golden" / "scenes.npz"
FIELDS = ("pixels", "labels", "box_offsets", "boxes", "box_labels", "masks")


@pytest.fixture(scope="module")
def batch() -> SceneBatch:
    return generate(0, 128, seed=3)


def lightness(batch: SceneBatch) -> np.ndarray:
    return rgb2lab(batch.pixels)[..., 0]


def assert_same(left: SceneBatch, right: SceneBatch) -> None:
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field), err_msg=field)


def test_golden_scenes() -> None:
    """Four scenes of seed 0, stored. Another machine's sine may turn a level, or a pixel on an outline."""
    golden, made = np.load(GOLDEN), generate(0, 4, seed=0)
    difference = np.abs(made.pixels.astype(int) - golden["pixels"].astype(int))
    assert difference.max() <= 1
    assert (made.masks != golden["masks"]).mean() < 1e-3
    np.testing.assert_array_equal(made.labels, golden["labels"])
    np.testing.assert_array_equal(made.box_labels, golden["box_labels"])
    np.testing.assert_array_equal(made.box_offsets, golden["box_offsets"])
    np.testing.assert_allclose(made.boxes, golden["boxes"], atol=1)


def test_shapes_and_types(batch: SceneBatch) -> None:
    n, m, c = 128, len(batch.boxes), len(CLASSES)
    contract = {
        "pixels": ((n, 64, 64, 3), np.uint8),
        "labels": ((n, c), np.uint8),
        "box_offsets": ((n + 1,), np.int64),
        "boxes": ((m, 4), np.float32),
        "box_labels": ((m,), np.int64),
        "masks": ((n, 64, 64), np.uint8),
    }
    for field, (shape, dtype) in contract.items():
        assert getattr(batch, field).shape == shape, field
        assert getattr(batch, field).dtype == dtype, field


def test_scene_does_not_depend_on_its_neighbours() -> None:
    whole, part = generate(0, 8, seed=1), generate(5, 3, seed=1)
    np.testing.assert_array_equal(whole.pixels[5:], part.pixels)
    np.testing.assert_array_equal(whole.masks[5:], part.masks)
    np.testing.assert_array_equal(whole.boxes[whole.box_offsets[5] :], part.boxes)
    np.testing.assert_array_equal(np.diff(whole.box_offsets)[5:], np.diff(part.box_offsets))


def test_workers_change_nothing() -> None:
    assert_same(generate(3, 300, seed=2, size=16, workers=1), generate(3, 300, seed=2, size=16, workers=2))


def test_seeds_and_indices_make_different_scenes(batch: SceneBatch) -> None:
    assert len(np.unique(batch.pixels.reshape(128, -1), axis=0)) == 128
    assert (generate(0, 4, seed=4).pixels != batch.pixels[:4]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("size", [MIN_SIZE, 24, 64])
def test_labels_boxes_and_masks_agree(size: int) -> None:
    batch = generate(0, 128, seed=3, size=size)
    for i in range(128):
        rows = slice(batch.box_offsets[i], batch.box_offsets[i + 1])
        boxes, owners, mask = batch.boxes[rows].astype(int), batch.box_labels[rows], batch.masks[i]
        assert 1 <= len(boxes) <= 4
        present = np.flatnonzero(batch.labels[i])
        np.testing.assert_array_equal(present, np.unique(owners))
        np.testing.assert_array_equal(present, np.setdiff1d(mask, [0]) - 1)
        for label in present:
            seen = mask == 1 + label
            covered = np.zeros_like(seen)
            for x1, y1, x2, y2 in boxes[owners == label]:
                assert 0 <= x1 < x2 <= size
                assert 0 <= y1 < y2 <= size
                covered[y1:y2, x1:x2] = True
                inside = seen[y1:y2, x1:x2]  # every side of a tight box touches its object
                assert inside[0].any()
                assert inside[-1].any()
                assert inside[:, 0].any()
                assert inside[:, -1].any()
            assert not (seen & ~covered).any()


def test_objects_in_sight_are_mostly_in_sight() -> None:
    shares = []
    for index in range(200):
        taken = np.zeros((64, 64), dtype=bool)
        for thing in visible_things(draw_layout(3, index)):
            window, _, inside = cover(thing, 64)
            part = taken[window.rows, window.cols]
            shares.append((inside & ~part).sum() / (AREA * thing.radius**2))
            part |= inside
    assert min(shares) > MIN_VISIBLE - 0.05  # judged on a coarser grid
    assert max(shares) < 1.1
    assert np.mean(np.array(shares) < 0.9) > 0.1  # occlusion does occur


def test_occlusion_removes_objects(batch: SceneBatch) -> None:
    drawn = [len(draw_layout(3, i).things) for i in range(128)]
    kept = np.diff(batch.box_offsets)
    assert (kept <= drawn).all()
    assert kept.sum() < sum(drawn)


@pytest.mark.parametrize("size", [32, 96, 128])
def test_same_scene_at_every_size(batch: SceneBatch, size: int) -> None:
    other = generate(0, 32, seed=3, size=size)
    np.testing.assert_array_equal(other.labels, batch.labels[:32])
    count = batch.box_offsets[32]
    np.testing.assert_array_equal(other.box_labels, batch.box_labels[:count])
    # A side moves by up to a pixel of either grid, further where a thin corner shows past another object.
    moved = np.abs(other.boxes / size - batch.boxes[:count] / 64) * min(size, 64)
    assert np.quantile(moved, 0.98) < 1.5
    assert moved.max() < 8
    coarse = np.gcd(size, 64)

    def pooled(values: np.ndarray) -> np.ndarray:
        step = values.shape[1] // coarse
        return values.reshape(32, coarse, step, coarse, step).mean(axis=(2, 4))

    left, right = pooled(lightness(other)), pooled(rgb2lab(batch.pixels[:32])[..., 0])
    assert np.corrcoef(left.ravel(), right.ravel())[0, 1] > 0.97
    assert np.abs(left - right).mean() < 1.5


def test_colour_never_moves_lightness() -> None:
    """L is the same under every control, up to what 8 bits can hold; labels are the same to the bit."""
    semantic = generate(0, 64, seed=3)
    variants = [generate(0, 64, seed=3, colour=colour) for colour in Colour]
    variants += [generate(0, 64, seed=3, colour_information=0.5)]
    for variant in variants:
        np.testing.assert_array_equal(variant.masks, semantic.masks)
        np.testing.assert_array_equal(variant.boxes, semantic.boxes)
        np.testing.assert_array_equal(variant.labels, semantic.labels)
        difference = lightness(variant) - lightness(semantic)
        assert np.abs(difference).max() < 0.08
        assert difference.std() < 0.016
    for variant, least in zip(variants[1:], (0.9, 0.9, 0.6), strict=True):
        assert (variant.pixels != semantic.pixels).any(axis=(1, 2, 3)).mean() > least


def test_no_information_is_random_colour() -> None:
    assert_same(
        generate(0, 8, seed=3, colour_information=0.0), generate(0, 8, seed=3, colour=Colour.OBJECT_RANDOM)
    )


def test_information_keeps_its_share_of_colours() -> None:
    semantic, random = generate(0, 256, seed=5), generate(0, 256, seed=5, colour=Colour.OBJECT_RANDOM)
    half = generate(0, 256, seed=5, colour_information=0.5)
    keeps = (half.pixels == semantic.pixels).all(axis=-1)[:, 0, 0]  # the corner shows the ground
    strays = (half.pixels == random.pixels).all(axis=-1)[:, 0, 0]
    assert (keeps | strays).all()
    assert 0.45 < keeps.mean() < 0.7  # a half keeps its own, a quarter of an eighth meets it by chance


def test_permuted_images_swap_their_colours() -> None:
    """Where both scenes of a pair show ground, each has the other's ground colour at its own lightness."""
    own, swapped = generate(0, 16, seed=3), generate(0, 16, seed=3, colour=Colour.IMAGE_PERMUTED)
    for i in range(16):
        ground = (own.masks[i] == 0) & (own.masks[i ^ 1] == 0)
        ground[1:-1, 1:-1] &= ~_near_object(own.masks[i ^ 1])[1:-1, 1:-1]
        a = np.median(rgb2lab(swapped.pixels[i])[ground][:, 1:], axis=0)
        b = np.median(rgb2lab(own.pixels[i ^ 1])[ground][:, 1:], axis=0)
        turn = np.angle(np.exp(1j * (np.arctan2(*a[::-1]) - np.arctan2(*b[::-1]))), deg=True)
        assert abs(turn) < 4, i


def _near_object(mask: np.ndarray) -> np.ndarray:
    near = mask > 0
    for axis in (0, 1):
        for step in (-1, 1):
            near = near | np.roll(mask > 0, step, axis)
    return near


def test_every_colour_is_in_gamut() -> None:
    """Modes at the ends of their spread, and their mixtures at antialiased edges, at every L that occurs."""
    corners = [mode_ab(m, h, c) for m in range(len(MODES)) for h in (0, 0.5, 1) for c in (0, 1)]
    mixed = [(p + q) / 2 for p in corners for q in corners]
    levels = np.linspace(*LIGHTNESS_RANGE, 200, dtype=np.float32)
    ab = np.array(corners + mixed)[:, None] * chroma_scale(levels)[:, None]  # (K, 200, 2)
    linear = np.stack(linear_rgb(np.broadcast_to(levels, ab.shape[:2]), ab))
    assert linear.min() >= 0
    assert linear.max() <= 1


def test_rgb_agrees_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    light = rng.uniform(*LIGHTNESS_RANGE, (64, 64)).astype(np.float32)
    ab = np.stack([mode_ab(m, *rng.random(2)) for m in rng.integers(0, 8, 64 * 64)]).reshape(64, 64, 2)
    ab *= chroma_scale(light)[..., None]
    made = lab_to_rgb8(light, ab)
    lab = np.concatenate([light[..., None], ab], axis=-1).astype(np.float64)
    nearest = np.rint(lab2rgb(lab) * 255)
    np.testing.assert_array_equal(made[..., 1], nearest[..., 1])  # green is rounded as ever
    back = rgb2lab(made)
    assert np.abs(back - lab)[..., 0].max() < 0.06
    assert np.abs(rgb2lab(nearest / 255) - lab)[..., 0].max() > 0.12  # what ordinary rounding does
    assert np.abs(back - lab)[..., 1:].mean() < 0.6


def test_mode_spread() -> None:
    for mode, (_, chroma) in enumerate(MODES):
        draws = np.random.default_rng(mode).random((50, 2))
        radii = [np.hypot(*mode_ab(mode, *draw)) for draw in draws]
        assert chroma * (1 - CHROMA_SPREAD) - 1e-3 <= min(radii)
        assert max(radii) <= chroma + 1e-3


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_cover_the_same_area(name: str) -> None:
    axis = (np.arange(800, dtype=np.float32) + 0.5) / 200 - 2
    distance = SHAPES[name](axis[None, :], axis[:, None])
    assert (distance < 0).mean() * 16 == pytest.approx(AREA, rel=0.005)
    radius = np.hypot(axis[None, :], axis[:, None])[distance < 0].max()
    assert radius <= REACH + 0.01
    slope = np.hypot(*np.gradient(distance, 1 / 200))
    assert np.median(slope) == pytest.approx(1, abs=0.01)  # a distance changes by as much as one moves


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_are_light_on_one_half(name: str) -> None:
    axis = np.arange(600, dtype=np.float32)
    draws = np.random.default_rng(0).random(TEXTURE_DRAWS).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    tone = TEXTURES[name](x, y, 17.3, 0.1, draws)
    assert np.abs(tone).max() <= 1
    assert (tone > 0).mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(tone).mean() > 0.9


def test_noise_has_unit_variance_and_one_content() -> None:
    knots = np.random.default_rng(0).random((67, 67)).astype(np.float32)
    noise = smooth_noise(knots, 256)
    assert noise.shape == (256, 256)
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    np.testing.assert_allclose(smooth_noise(np.full((8, 8), 0.5, np.float32), 64), 0, atol=1e-5)
    half = noise.reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert np.corrcoef(smooth_noise(knots, 128).ravel(), half.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": -1}, "start=-1"),
        ({"count": 0}, "count=0"),
        ({"seed": -3}, "seed=-3"),
        ({"size": 8}, "size must be ≥ 16 px, got 8"),
        ({"colour_information": 1.5}, "colour_information must lie in \\[0, 1\\], got 1.5"),
        ({"workers": 0}, "workers must be ≥ 1 or None, got 0"),
        ({"colour": "sepia"}, "semantic, object_random, image_permuted.*'sepia'"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(**{"start": 0, "count": 1, "seed": 0, **arguments})
