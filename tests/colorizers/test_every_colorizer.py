"""Every YAML of conf/colorizer is held to the contract the moment it exists."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import every
import numpy as np
import pytest
import torch
import toy
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from pretext.color import rgb_to_lab
from pretext.colorizers.contract import Division, Hints, Scribbles
from pretext.data.loader import EpochLoader

CONF = Path(__file__).parents[2] / "conf" / "colorizer"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


def stated(name: str) -> dict[str, Any]:
    made = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    assert isinstance(made, dict)
    return {str(key): value for key, value in made.items()}


LONG = {"cheng_deep", "deshpande_learch", "deshpande_learch_histogram"}
"""Systems that learn for seconds on whatever they are given."""
EVERY = [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NAMES]


@cache
def fitted(name: str) -> Any:
    """The system as its YAML states it, on a few training images."""
    said = stated(name)
    if "task" in said:
        torch.manual_seed(0)
        return instantiate(said["system"], task=every.build(said["task"]).eval(), _convert_="all")
    system = instantiate(said["system"], _convert_="all")
    if hasattr(system, "fit"):
        system.fit(EpochLoader(toy.split(24, 5), 8, shuffle=False, drop_last=False), seed=0)
    return system


def images(size: tuple[int, int]) -> tuple[torch.Tensor, list[Hints]]:
    """Lightness of two images, and all that can be given beside them; the first reference is the truth."""
    rgb = torch.nn.functional.interpolate(toy.batch(2, seed=9).pixels, size, mode="bilinear")
    lab = rgb_to_lab(rgb)
    marked = torch.zeros(size, dtype=torch.bool)
    marked[:: max(1, size[0] // 3), :: max(1, size[1] // 3)] = True
    mask = torch.zeros(size, dtype=torch.bool)
    mask[size[0] // 4 : -(-3 * size[0] // 4), size[1] // 4 : -(-3 * size[1] // 4)] = True
    hints = [
        Hints(
            references=(rgb[i], rgb[i] * 0.8, rgb[i] * 0.6),
            scribbles=Scribbles(lab[i, 1:], marked),
            label=i,
            mask=mask,
        )
        for i in range(2)
    ]
    return lab[:, :1], hints


def test_there_are_some() -> None:
    assert {"gray", "mean", "random_colours", "ground_truth"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_yaml_says_what_it_is_and_agrees_with_the_signature(name: str) -> None:
    said = stated(name)
    assert said.keys() - {"task"} == {"name", "title", "paper", "division", "reads", "system"}
    assert said["name"] == name
    assert said["title"]
    assert said["paper"]
    assert Division(said["division"])
    assert set(said["reads"]) <= set(Hints._fields)
    assert (said["division"] == "automatic") == (not said["reads"])
    kind = get_class(said["system"]["_target_"])
    defaults = {
        key: parameter.default
        for key, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    values = {key: value for key, value in said["system"].items() if key in defaults}
    given = {"task"} & said.keys()
    assert set(said["system"]) - {"_target_"} == set(inspect.signature(kind).parameters) - given
    if given:
        assert issubclass(every.kind(said["task"]), get_type_hints(kind.__init__)["task"])
    for key, value in values.items():
        assert value == defaults[key] or isinstance(value, dict), f"{name}: {key}"


@pytest.mark.parametrize("name", EVERY)
def test_it_colours_images_and_the_same_ones_alike(name: str) -> None:
    light, hints = images((32, 32))
    before = light.clone()
    system = fitted(name)
    ab = system.colorize(light, hints)
    assert ab.shape[:2] == (2, 2)
    assert bool(torch.isfinite(ab).all())
    assert float(ab.abs().max()) < 200
    assert torch.equal(light, before)
    assert torch.equal(system.colorize(light, hints), ab), "the same call twice"
    assert torch.equal(fitted.__wrapped__(name).colorize(light, hints), ab), "fitted anew"
    alone = torch.cat([system.colorize(light[i : i + 1], hints[i : i + 1]) for i in range(2)])
    np.testing.assert_allclose(alone, ab, atol=1e-3, err_msg="an image's colours depend on no other's")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [(37, 51), (1, 20), (1, 1)])
def test_other_sizes_are_coloured_or_refused_by_name(name: str, size: tuple[int, int]) -> None:
    light, hints = images(size)
    system = fitted(name)
    try:
        ab = system.colorize(light, hints)
    except ValueError as error:
        refusal = str(error)
    else:
        assert ab.shape[:2] == (2, 2)
        assert bool(torch.isfinite(ab).all())
        return
    assert min(size) == 1, f"an image that is no line is coloured: {refusal}"
    assert "image 0 of the batch of 2" in refusal


@pytest.mark.parametrize("name", EVERY)
def test_it_reads_the_hints_that_its_yaml_names_and_no_others(name: str) -> None:
    light, hints = images((32, 32))
    system, reads = fitted(name), stated(name)["reads"]
    few = [Hints(**{key: getattr(each, key) for key in reads}) for each in hints]
    assert torch.equal(system.colorize(light, hints), system.colorize(light, few))
    for left_out in reads:
        without = [each._replace(**{left_out: Hints()._asdict()[left_out]}) for each in few]
        with pytest.raises(ValueError, match="image 0 of the batch of 2"):
            system.colorize(light, without)
    if not reads:
        assert torch.equal(system.colorize(light), system.colorize(light, hints))
