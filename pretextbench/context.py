"""What a job works with: the data, the device, the protocols and the runs a configuration stands for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig

from downstream.judge import gates
from downstream.judge.evaluate import check as check_data
from downstream.protocol import Protocol, Runtime, silent
from pretext import inputs
from pretext.data.dataset import DataSet
from pretext.data.seal import compared_whole
from pretext.fit import Pretrained
from pretext.fit import check as check_pretraining
from pretext.fit.runtime import BF16, choose_device, choose_precision
from pretextbench import hints, runs, subjects, targets, trial
from pretextbench.console import console, progress
from pretextbench.runs import Run

NEEDS: dict[str, str | None] = {
    "classification": "label_names",
    "calibration": "label_names",
    "detection": "box_names",
    "segmentation": "mask_names",
    "representation": None,
}
"""What a data set must have for a protocol of each task; None: images alone."""


def named_on_the_line(key: str) -> bool:
    """Whether the command line sets a key, by its default or another value."""
    return any(o.lstrip("+").startswith(f"{key}=") for o in HydraConfig.get().overrides.task)


@functools.cache
def _say_once(sweep: str, line: str) -> None:
    """Print a line that the members of a sweep need not repeat."""
    console.print(line, soft_wrap=True)


def _takes(target: str, argument: str) -> bool:
    """Whether the function or class of that name takes an argument."""
    parameters = inspect.signature(get_object(target)).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@contextmanager
def opened(cfg: DictConfig, data: DataSet | None = None) -> Iterator[Context]:
    """A context for what a configuration asks for, once all that it names is held to its signature.

    Args:
        data: see `Context`.

    Raises:
        ValueError: as `targets.check`, `inputs.named` and `Context`.
    """
    targets.check(cfg)
    inputs.named(cfg.input)
    trial.check_optimizer(cfg)
    with compared_whole(cfg.verify):
        yield Context(cfg, data)


class Context:
    """Everything of a configuration as objects, each made when it is first asked for.

    Args:
        data: the set that is pretrained on, where it has been read.

    Raises:
        ValueError: a device or precision that this machine does not have.
    """

    def __init__(self, cfg: DictConfig, data: DataSet | None = None) -> None:
        self.cfg = cfg
        self._given = data
        self.output = Path(cfg.output)
        self.cache = self.output / "cache"
        self.records = self.output / "records"
        self.heads = self.output / "heads" if cfg.keep_heads else None
        self.device = choose_device(cfg.trainer.device.value)
        self.precision = choose_precision(cfg.trainer.precision.value, self.device)
        self.cache_limit = None if cfg.cache_gb is None else int(cfg.cache_gb * 1e9)

    @functools.cached_property
    def data(self) -> DataSet:
        """The set that is pretrained on."""
        return self._given or self._read(self.cfg.data)

    @functools.cached_property
    def target(self) -> DataSet:
        """The set that encoders are judged on; the pretraining set unless `data@target` names another."""
        return self._read(self.cfg.target) if self.cfg.target else self.data

    @functools.cached_property
    def monitor(self) -> DataSet | None:
        """The second set that probes look at while pretraining.

        Raises:
            ValueError: it has no labels to probe by.
        """
        found = self._read(self.cfg.monitor) if self.cfg.monitor else None
        if found is not None and found.train.labels is None:
            raise ValueError(f"data@monitor={found.name} has no labels, which probes need")
        return found

    def _read(self, config: DictConfig) -> DataSet:
        """Read a set, and say in one line what it holds. Readers may take `cache` and `progress`."""
        if "_target_" not in config:
            raise ValueError(f"no data are chosen: {', '.join(hints.options('data'))}")
        with progress("data") as move:
            offered = {"cache": str(self.cache / "data"), "progress": move}
            taken = {key: value for key, value in offered.items() if _takes(config["_target_"], key)}
            data: DataSet = instantiate(config, **taken, _convert_="all")
        if self.in_sweep:
            _say_once(str(self.job_folder.parent), data.summary())
        else:
            console.print(data.summary(), soft_wrap=True)
        return data

    @functools.cached_property
    def runs(self) -> list[Run]:
        """The run that is asked for, then its twins."""
        return runs.with_twins(self.cfg, self.data, self.precision)

    def missing_parents(self, run: Run) -> list[Run]:
        """What has to be trained or made before a run can start, first things first."""
        if run.parent is None or Pretrained.read(run.folder) is not None:
            return []
        own = [run.parent] if Pretrained.read(run.parent.folder) is None else []
        return self.missing_parents(run.parent) + own

    def check(self, wanted: Sequence[Run], judged: bool) -> None:
        """Refuse, before the first step, what data, tasks and protocols cannot do together.

        Args:
            wanted: runs that will be trained; their parents too. judged: by the protocols.

        Raises:
            ValueError: labels or colour that a task needs and the data lack; no protocol that the target has
                labels for; as `protocols`.
            GateFailed: images to be trained on that are among the target's test images.
        """
        trial.check_budget(self.cfg)
        missing = [each for run in wanted for each in (*self.missing_parents(run), run)]
        missing = [each for each in missing if Pretrained.read(each.folder) is None]
        for each in missing:
            self._check_run(each)
        if missing:
            _ = self.monitor  # read, and refused, before the first step
        if judged:
            if why := runs.unsupervised(self.data):
                console.print(f"{why}: the supervised twin is left out", style="yellow")
            self.check_protocols()
            subject = subjects.of_run(wanted[0], None)
            gates.unseen_by_pretraining(subject, (self.data.train, self.data.val), self.target)

    def _check_run(self, run: Run) -> None:
        budget, train = run.spec["budget"], self.data.train
        with trial.named(run):
            trial.check_epoch(budget, train)
            task, optimisation = trial.built(run)
            check_pretraining(
                task, train, budget["epochs"], budget["epoch_batches"], budget["batch_size"], optimisation
            )
            trial.see(task.encoder, train)
            if optimisation is not None:
                trial.show(task, train)

    def check_protocols(self) -> None:
        """Refuse to judge where there is nothing to judge by."""
        if not self.protocols:
            raise ValueError(
                f"no protocol of downstream=[{','.join(map(str, self.cfg.downstream))}] can judge on "
                f"{self.target.name}: job=pretrain trains without judging, data@target=NAME judges on "
                "another set, downstream=[health] needs no labels"
            )

    @functools.cached_property
    def named_protocols(self) -> dict[str, Protocol]:
        """The chosen protocols, whatever the target is; no data are read.

        Raises:
            ValueError: none is named; settings that one does not take, or for one that does not exist.
        """
        if not self.cfg.downstream:
            known = ", ".join(hints.options("downstream"))
            raise ValueError(f"downstream=[] names no protocol to judge by; there are {known}")
        named: dict[str, Protocol] = {}
        for name, config in self.cfg.downstream.items():
            if not isinstance(config, DictConfig):
                raise ValueError(
                    f"downstream.{name} is a protocol's settings, as of a mapping; it is {config!r}"
                )
            if "_target_" in config:
                named[str(name)] = instantiate(config, _convert_="all")
            else:  # an experiment's settings for a protocol that was not chosen
                self._check_exists(str(name))
        return named

    @functools.cached_property
    def protocols(self) -> dict[str, Protocol]:
        """The chosen protocols that the target has labels and examples for; the others are named aloud.

        Raises:
            ValueError: as `named_protocols`; one was asked for on the command line that the target does not
                suffice for.
        """
        chosen: dict[str, Protocol] = {}
        for name, protocol in self.named_protocols.items():
            reason = self._unfit(protocol)
            if reason is None:
                chosen[name] = protocol
                continue
            if named_on_the_line("downstream"):
                raise ValueError(f"{name} cannot be done on {self.target.name}: {reason}")
            console.print(f"{name} is left out on {self.target.name}: {reason}", style="yellow")
        return chosen

    def _unfit(self, protocol: Protocol) -> str | None:
        """Why the target does not suffice for a protocol."""
        needs = NEEDS[protocol.task]
        if needs is not None and not getattr(self.target, needs):
            return f"it needs {needs}, and there are none"
        try:
            check_data(protocol, self.target)
        except ValueError as error:
            return str(error)
        return None

    @staticmethod
    def _check_exists(name: str) -> None:
        known = hints.options("downstream")
        if name not in known:
            raise ValueError(f"settings for a protocol {name!r}, which is none of: {', '.join(known)}")

    def runtime(self, progress: Callable[[str, int, int], None] = silent) -> Runtime:
        """Where an evaluation runs. The head's own draw is 0: it is nested in the pretraining seed."""
        autocast = torch.bfloat16 if self.precision == BF16 else None
        features = self.cache / "features"
        return Runtime(self.device, autocast, 0, features, progress, self.cache_limit, self.cfg.redo)

    @property
    def in_sweep(self) -> bool:
        """Whether this is one member of a multirun, whose end makes the table."""
        return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN

    @property
    def job_folder(self) -> Path:
        """The folder of this command, or of this member of a sweep."""
        hydra = HydraConfig.get()
        return Path(hydra.sweep.dir) / str(hydra.job.num) if self.in_sweep else Path(hydra.run.dir)

    @property
    def group(self) -> str:
        """Name shared by the members of one sweep, or of one command."""
        hydra = HydraConfig.get()
        return Path(hydra.sweep.dir if self.in_sweep else hydra.run.dir).name

    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain values."""
        plain: dict[str, Any] = runs.plain(self.cfg)
        return plain
