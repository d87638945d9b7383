"""Every task of `conf/pretext`, as its YAML states it, on the smallest network that it takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import toy
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from pretext import inputs
from pretext.backbones import Backbone, SmallNet
from pretext.backbones.cost import parameter_count
from pretext.encoder import Encoder
from pretext.task import Task
from pretextbench import schema

CONF = Path(__file__).parents[1] / "conf"
NAMES = sorted(path.stem for path in (CONF / "pretext").glob("*.yaml"))
OPTIONS = {
    "multilabel": ("pretext=supervised", "pretext.task.multilabel=true"),
    "adversarial": ("pretext=inpainting", "pretext.task.adversarial=0.001"),
}
"""Options that make another task of one."""

OF_DATA = {"classes": toy.CLASSES, "multilabel": False}
"""What the data set fills in."""

NARROW = {
    "hidden": 16, "outputs": 256, "clusters": 8, "prototypes": 128, "queue": 16, "splits": 1, "seeds": 24,
    "cells": 2,
}  # fmt: skip
"""Sizes for a handful of images: widths of heads, of outputs whose cosines are small by chance, numbers of
clusters, prototypes, keys and seeds, parts of a batch, half of the cells that a last map has on a side."""


@cache
def composed(*overrides: str) -> DictConfig:
    schema.register()
    if GlobalHydra.instance().is_initialized():  # by the fixture of a test, on the same folder
        return compose("config", [*overrides])
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose("config", [*overrides])


def asked(name: str) -> DictConfig:
    return composed(*OPTIONS.get(name, (f"pretext={name}",)))


@cache
def kind(name: str) -> type[Task]:
    """The class of a task, read without composing, which takes many times longer for all."""
    option, *_ = OPTIONS.get(name, (f"pretext={name}",))
    stated = OmegaConf.load(CONF / "pretext" / f"{option.partition('=')[2]}.yaml")
    if target := OmegaConf.select(stated, "task._target_"):
        found: type[Task] = get_class(target)
        return found
    (base,) = (each for each in stated.defaults if isinstance(each, str) and each != "_self_")
    return kind(base)


TRAINED = [name for name in [*NAMES, *OPTIONS] if not kind(name).untrained]
assert TRAINED


def build(name: str) -> Task:
    cfg = asked(name)
    stated: dict[str, Any] = OmegaConf.to_container(cfg.pretext.task, resolve=True)  # type: ignore[assignment]
    filled = {key: OF_DATA.get(key) if value is None else value for key, value in stated.items()}
    narrow = {key: value for key, value in NARROW.items() if key in filled}
    seen = encoder(kind(name), cfg.input)
    task: Task = instantiate({**filled, **narrow}, encoder=seen, _convert_="all", _recursive_=False)
    return task


def encoder(task: type[Task], sees: str) -> Encoder:
    if issubclass(SmallNet, task.takes):
        return toy.encoder(sees)
    torch.manual_seed(0)
    channels = inputs.INPUTS[sees].channels
    return Encoder(inputs.build(sees), networks(task.takes, channels)[smallest(task.takes)]())


@cache
def smallest(takes: type[Backbone]) -> str:
    """Of the networks of `conf/backbone` that are one, that of the fewest parameters."""
    built = {name: build() for name, build in networks(takes, 3).items()}
    return min(built, key=lambda name: parameter_count(built[name]))


def networks(takes: type[Backbone], channels: int) -> dict[str, Callable[[], Backbone]]:
    """What builds the networks of `conf/backbone` that are one."""
    nodes = {p.stem: composed(f"backbone={p.stem}").backbone for p in (CONF / "backbone").glob("*.yaml")}
    return {
        name: partial(instantiate, node, in_channels=channels, _convert_="all")
        for name, node in nodes.items()
        if issubclass(get_class(node["_target_"]), takes)
    }
