"""What a job works with: the data, the device, the protocols and the runs a configuration stands for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from conf import members
from conf.console import console, progress
from conf.members import Member
from downstream.protocol import Protocol, Runtime, silent
from pretext.data.dataset import DataSet
from pretext.fit.runtime import BF16, choose_device, choose_precision

CONF = Path(__file__).parent

NEEDS: dict[str, str | None] = {
    "classification": "label_names",
    "calibration": "label_names",
    "detection": "box_names",
    "segmentation": "mask_names",
    "representation": None,
}
"""What a data set must have for a protocol of each task; None: images alone."""


class Workbench:
    """Everything of a configuration as objects, each made when it is first asked for.

    Raises:
        ValueError: a device or precision that this machine does not have, a negative size of the cache.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self.output = Path(cfg.output)
        self.cache = self.output / "cache"
        self.records = self.output / "records"
        self.device = choose_device(cfg.trainer.device.value)
        self.precision = choose_precision(cfg.trainer.precision.value, self.device)
        if cfg.cache_gb is not None and cfg.cache_gb < 0:
            raise ValueError(f"cache_gb must be at least 0, or null for no limit; it is {cfg.cache_gb}")
        self.cache_limit = None if cfg.cache_gb is None else int(cfg.cache_gb * 1e9)

    @functools.cached_property
    def data(self) -> DataSet:
        """The set that is pretrained on."""
        return self._read(self.cfg.data)

    @functools.cached_property
    def target(self) -> DataSet:
        """The set that encoders are judged on; the pretraining set unless `data@target` names another."""
        return self._read(self.cfg.target) if self.cfg.target else self.data

    def _read(self, config: DictConfig) -> DataSet:
        with progress("data") as move:
            data: DataSet = instantiate(
                config, cache=str(self.cache / "data"), progress=move, _convert_="all"
            )
        return data

    @property
    def members(self) -> list[Member]:
        """The run that is asked for, then its twins."""
        return members.members(self.cfg, self.data, self.precision)

    @functools.cached_property
    def protocols(self) -> dict[str, Protocol]:
        """The chosen protocols that the target has labels for; the others are named aloud.

        Raises:
            ValueError: a protocol was asked for on the command line that the target has no labels for, or
                settings are given for one that does not exist.
        """
        chosen: dict[str, Protocol] = {}
        for name, config in self.cfg.downstream.items():
            if "_target_" not in config:  # an experiment's settings for a protocol that was not chosen
                self._check_exists(str(name))
                continue
            protocol: Protocol = instantiate(config, _convert_="all")
            needs = NEEDS[protocol.task]
            if needs is None or getattr(self.target, needs):
                chosen[str(name)] = protocol
                continue
            if any(o.startswith("downstream=") for o in HydraConfig.get().overrides.task):
                raise ValueError(f"{name} needs {needs}; {self.target.name} has none")
            console.print(f"{self.target.name} has no labels for {name}: left out", style="yellow")
        return chosen

    @staticmethod
    def _check_exists(name: str) -> None:
        known = sorted(path.stem for path in (CONF / "downstream").glob("*.yaml"))
        if name not in known:
            raise ValueError(f"settings for a protocol {name!r}, which is none of: {', '.join(known)}")

    def runtime(self, progress: Callable[[str, int, int], None] = silent) -> Runtime:
        """Where an evaluation runs. The head's own draw is 0: it is nested in the pretraining seed."""
        autocast = torch.bfloat16 if self.precision == BF16 else None
        return Runtime(self.device, autocast, 0, self.cache / "features", progress, self.cache_limit)

    @property
    def in_sweep(self) -> bool:
        """Whether this is one member of a multirun, whose end makes the table."""
        return HydraConfig.get().mode == RunMode.MULTIRUN

    @property
    def group(self) -> str:
        """Name shared by the members of one sweep, or of one command."""
        hydra = HydraConfig.get()
        return Path(hydra.sweep.dir if self.in_sweep else hydra.run.dir).name

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain values."""
        plain: dict[str, Any] = members.plain(self.cfg)
        return plain
