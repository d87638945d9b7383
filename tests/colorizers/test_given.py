"""What does not fit an image is refused at the door, by system and place in the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pretext.colorizers import given
from pretext.colorizers.arrays import together
from pretext.colorizers.contract import Hints, Scribbles
from pretext.colorizers.draws import drawn_from

LIGHT = torch.full((2, 1, 4, 5), 50.0)
WHERE = "Somebody, image 1 of the batch of 2"


def second(**hints: Any) -> given.Given:
    """The second image, with hints."""
    return list(given.one_by_one("Somebody", LIGHT, [Hints(), Hints(**hints)]))[1]


def test_images_come_one_by_one_with_their_hints() -> None:
    light = torch.rand(3, 1, 4, 5) * 100
    found = list(given.one_by_one("Somebody", light, [Hints(label=i) for i in range(3)]))
    assert [one.hints.label for one in found] == [0, 1, 2]
    assert all(np.allclose(one.lightness, its[0]) for one, its in zip(found, light, strict=True))
    assert all(one.hints == Hints() for one in given.one_by_one("Somebody", light, ()))


@pytest.mark.parametrize(
    ("light", "said"),
    [
        (LIGHT[0], r"must be a floating-point \(B, 1, H, W\)"),
        (LIGHT.int(), "torch.int32"),
        (LIGHT.expand(2, 3, 4, 5), r"got \(2, 3, 4, 5\)"),
        (LIGHT[..., :0], "need a pixel"),
        (torch.tensor([50.0, 101.0]).view(2, 1, 1, 1), "image 1 of the batch of 2: lightness must lie in"),
        (torch.tensor([50.0, torch.nan]).view(2, 1, 1, 1), "from nan to nan"),
    ],
)
def test_lightness_of_another_kind_is_refused(light: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(given.one_by_one("Somebody", light, ()))


def test_hints_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="Somebody: 1 hints for 2 images"):
        list(given.one_by_one("Somebody", LIGHT, [Hints()]))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (torch.rand(3, 4), "reference 0 must be a floating-point"),
        (torch.rand(1, 4, 4), r"got \(1, 4, 4\)"),
        (2 * torch.rand(3, 40, 40), "must lie in"),
        (torch.full((3, 4, 4), torch.nan), "must lie in"),
        (torch.rand(1, 4, 4).expand(3, 4, 4), "reference 0 has no colour"),
    ],
)
def test_references_of_another_kind_are_refused(picture: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"{WHERE}.*{said}"):
        given.references(second(references=(picture,)))


def test_missing_hints_are_named() -> None:
    with pytest.raises(ValueError, match=f"{WHERE}: needs 3 references or more, in colour; got 1"):
        given.references(second(references=(torch.rand(3, 4, 4),)), 3)
    with pytest.raises(ValueError, match=f"{WHERE}: needs scribbles"):
        given.scribbles(second())
    with pytest.raises(ValueError, match=f"{WHERE}: needs a mask"):
        given.mask(second())


AB, NONE = torch.zeros(2, 4, 5), torch.zeros(4, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ab", "marked", "said"),
    [
        (AB[:, :3], NONE[:3], "scribbles must be ab"),
        (AB, NONE.float(), "torch.float32"),
        (AB, NONE, "mark no pixel"),
        (AB + torch.nan, ~NONE, "not finite"),
    ],
)
def test_scribbles_that_do_not_fit_are_refused(ab: Tensor, marked: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"{WHERE}.*{said}"):
        given.scribbles(second(scribbles=Scribbles(ab, marked)))


@pytest.mark.parametrize(
    ("mask", "said"), [(NONE[:, :4], "bool map"), (NONE.float(), "float32"), (NONE, "marks no pixel")]
)
def test_masks_that_do_not_fit_are_refused(mask: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=f"{WHERE}.*{said}"):
        given.mask(second(mask=mask))


def test_colours_that_are_not_finite_are_named_by_image() -> None:
    """Whatever made them: a solver that did not converge, a division by zero."""
    good, bad = np.zeros((2, 4, 5)), np.zeros((2, 4, 5))
    for value in (np.nan, np.inf):
        bad[1, 3, 4] = value
        with pytest.raises(ValueError, match=f"{WHERE}: colours are not finite"):
            together("Somebody", [good, bad], LIGHT)
    assert together("Somebody", [good, good], LIGHT).shape == (2, 2, 4, 5)


def test_the_same_picture_and_seed_draw_the_same() -> None:
    picture = np.arange(6.0).reshape(2, 3)
    draws = [drawn_from(p, seed).random() for p, seed in [(picture, 0), (picture.copy(), 0), (picture, 1)]]
    assert draws[0] == draws[1] != draws[2]
    assert drawn_from(picture + 1, 0).random() != draws[0]
