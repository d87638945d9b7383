"""From a configuration to the runs it stands for, each addressed by the digest of what determines it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from downstream.records import digest
from pretext import inputs
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretext.task import Task

VERSION = 1
"""Raised when a change of code changes what a pretraining run computes."""

TWINS = ("random", "supervised")


class Member(NamedTuple):
    """One pretraining run: everything that determines it, and where it lives.

    spec: plain values, all of them under the digest. parent: the run it is initialised from.
    """

    name: str
    title: str
    spec: dict[str, Any]
    folder: Path
    parent: Member | None

    @property
    def digest(self) -> str:
        """Address of the run."""
        return digest(self.spec)


def plain(node: Any) -> Any:
    """Resolve a configuration node into dicts, lists and scalars."""
    return OmegaConf.to_container(node, resolve=True, enum_to_str=True) if OmegaConf.is_config(node) else node


def pretext_config(name: str) -> DictConfig:
    """Compose the pretext task of that name as its YAML states it."""
    return compose("config", overrides=[f"pretext={name}"]).pretext


def member(cfg: DictConfig, pretext: DictConfig, data: DataSet, precision: str) -> Member:
    """Describe one run of `pretext` under the backbone, data, input, budget and seed of `cfg`."""
    parent = member(cfg, pretext_config(pretext.parent), data, precision) if pretext.parent else None
    epochs = cfg.trainer.epochs if pretext.epochs is None else pretext.epochs
    budget: dict[str, Any] = {"epochs": epochs, "batch_size": cfg.trainer.batch_size}
    optimizer: dict[str, Any] = {}
    if epochs:
        optimizer = plain(pretext.optimizer)
        budget |= {key: cfg.trainer[key] for key in ("warmup", "gradient_clip", "accumulate")}
    spec = {
        "version": VERSION,
        "pretext": pretext.name,
        "task": plain(pretext.task),
        "optimizer": optimizer,
        "input": cfg.input,
        "backbone": plain(cfg.backbone),
        "data": {"name": data.name, "train": data.train.digest, "val": data.val.digest},
        "budget": budget,
        "precision": precision,
        "seed": cfg.seed,
        "parent": parent.digest if parent else None,
    }
    shape = spec["backbone"]["_target_"].rsplit(".", 1)[-1].lower()
    folder = f"{pretext.name}_{shape}_{data.name}_s{cfg.seed}_{digest(spec)[:12]}"
    return Member(pretext.name, pretext.title, spec, Path(cfg.output) / "runs" / folder, parent)


def members(cfg: DictConfig, data: DataSet, precision: str) -> list[Member]:
    """Return the asked-for run and its twins, the twins of the same input, backbone, data and budget."""
    names = [name for name in TWINS if name != cfg.pretext.name]
    if data.train.labels is None and "supervised" in names:
        names.remove("supervised")
    return [member(cfg, p, data, precision) for p in (cfg.pretext, *map(pretext_config, names))]


def build_task(run: Member) -> Task:
    """Build the task of a run from its seed: the encoder first, so that every task starts from the same one.

    Raises:
        ValueError: an unknown input or argument; the message lists what exists.
    """
    torch.manual_seed(run.spec["seed"])
    seen = inputs.build(run.spec["input"])
    backbone = instantiate(run.spec["backbone"], in_channels=seen.channels, _convert_="all")
    return build_head(run, Encoder(seen, backbone))


def build_head(run: Member, encoder: Encoder) -> Task:
    """Build the task round an encoder."""
    task: Task = instantiate(run.spec["task"], encoder=encoder, _convert_="all")
    return task


def build_optimizer(run: Member) -> Any:
    """Return a function from parameter groups to an optimiser."""
    arguments = {key: value for key, value in run.spec["optimizer"].items() if not key.startswith("_")}
    return partial(get_class(run.spec["optimizer"]["_target_"]), **arguments)


def write_spec(run: Member, path: Path) -> None:
    """Write the resolved configuration of a run as JSON."""
    path.write_text(json.dumps(run.spec, indent=2, sort_keys=True) + "\n")
