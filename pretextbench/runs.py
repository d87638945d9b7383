"""From a configuration to the runs it stands for, each addressed by the digest of what determines it."""

from __future__ import annotations

import functools
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf

from downstream.digest import digest, short
from pretext import described, inputs
from pretext.atomic import write_json
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder
from pretext.fit import Optimisation
from pretext.fit.calibrate import Magnitude
from pretext.names import slug
from pretext.task import Task
from pretextbench.identities import VERSION, of_run, optimisation_options
from pretextbench.targets import TARGET, given, inside

TWINS = ("random", "supervised")

BUDGET = (
    "batch_size", "epoch_batches", "warmup", "gradient_clip", "accumulate", "drops", "decay_end",
)  # fmt: skip
"""What the trainer's configuration says of a run beside its epochs."""

CONFIG = "config.json"
"""What a run was asked for by, in its folder."""


class Run(NamedTuple):
    """One pretraining run: everything that determines it, and where it lives.

    spec: plain values, by which it is addressed and built. parent: the run it starts from, or calibrates.
    budget: what it and its twins are given alike, see `pretext.described.budget`; empty without any step.
    twins: recipes of the runs it is read against, by name.
    config: the whole resolved configuration that asks for this very run, whoever's twin or parent it is.
    """

    name: str
    title: str
    spec: dict[str, Any]
    folder: Path
    parent: Run | None
    budget: str
    twins: dict[str, str]
    config: dict[str, Any]

    @property
    def trained_on(self) -> str:
        """The images that its weights, or those that it starts from, come trained on by others."""
        own = _task_class(self.spec["task"]).trained_on
        return own or (self.parent.trained_on if self.parent else "")

    @property
    def digest(self) -> str:
        """Address of the run."""
        return digest(of_run(self.spec))

    @property
    def recipe(self) -> str:
        """What runs of several seeds share."""
        parent = self.parent.recipe if self.parent else None
        return digest(of_run({**self.spec, "seed": None, "parent": parent}))


def plain(node: Any) -> Any:
    """Resolve a configuration node into dicts, lists and scalars."""
    return OmegaConf.to_container(node, resolve=True, enum_to_str=True) if OmegaConf.is_config(node) else node


def pretext_config(name: str) -> DictConfig:
    """Compose the pretext task of that name as its YAML states it."""
    return _pretext_config(GlobalHydra.instance().config_loader(), name)


@functools.lru_cache(maxsize=64)
def _pretext_config(loader: ConfigLoader, name: str) -> DictConfig:
    """The same, once for each place that configurations come from: runs of a sweep have the same twins."""
    found: DictConfig = compose("config", overrides=[f"pretext={name}"]).pretext
    return found


def one(cfg: DictConfig, pretext: DictConfig, data: DataSet, precision: str, twin: bool = False) -> Run:
    """Describe one run of `pretext` under the backbone, data, input, budget and seed of `cfg`.

    Args:
        twin: start from random weights whatever `cfg.initialisation` says, and train for as long as the rows
            that it is a twin of: the trainer's epochs, or more where the asked-for task says so.

    Raises:
        ValueError: an unknown input, an initialisation that trains, or no labels to supervise by, before
            anything is computed.
    """
    if pretext.name == "supervised" and (why := unsupervised(data)):
        raise ValueError(f"pretext=supervised: {why}")
    inputs.build(cfg.input, **plain(cfg.input_arguments))
    _check_network(cfg, pretext)
    most = max(cfg.trainer.epochs, cfg.pretext.epochs or 0)
    own = most if twin else cfg.trainer.epochs
    epochs = own if pretext.epochs is None else pretext.epochs
    budget = {"epochs": epochs} | {key: plain(cfg.trainer[key]) for key in BUDGET}
    if pretext.epoch_batches is not None:
        budget["epoch_batches"] = pretext.epoch_batches
    asked = None if twin else _initialisation(cfg)
    initialisation = asked if epochs else None  # none for a row without training, in a sweep of others
    source = pretext.parent or initialisation
    parent = one(cfg, pretext_config(source), data, precision, twin) if source else None
    spec = {
        "version": VERSION,
        "pretext": pretext.name,
        "task": _of_data(plain(pretext.task), data),
        "optimizer": given(plain(pretext.optimizer)),
        "input": cfg.input,
        "input_arguments": plain(cfg.input_arguments),
        "backbone": plain(cfg.backbone),
        "data": {"name": data.name, "train": data.train.digest, "val": data.val.digest},
        "budget": budget,
        "precision": precision,
        "seed": cfg.seed,
        "parent": parent.digest if parent else None,
        "calibration": None,
    }
    shape = spec["backbone"]["_target_"].rsplit(".", 1)[-1].lower()
    name = f"{pretext.name}_from_{initialisation}" if initialisation else pretext.name
    folder = f"{slug(name)}_{shape}_{slug(data.name)}_s{cfg.seed}_{short(digest(of_run(spec)))}"
    shared = described.budget(most, cfg.trainer.epoch_batches, cfg.trainer.batch_size) if epochs else ""
    shared = shared or ("unknown" if _task_class(spec["task"]).trained_on else "")
    config = _alone(cfg, pretext, initialisation, own, precision)
    place = Path(cfg.output) / "runs" / folder
    return Run(name, pretext.title, spec, place, parent, shared, {}, config)


def _task_class(node: dict[str, Any]) -> type[Task]:
    found: type[Task] = get_class(node[TARGET])
    return found


def _check_network(cfg: DictConfig, pretext: DictConfig) -> None:
    """Raise ValueError where a task cannot train the backbone; names those that it can."""
    task = plain(pretext.task)
    if TARGET not in task:
        raise ValueError(f"pretext={pretext.name}: its YAML names no class of a task (task: _target_: …)")
    kind = get_class(task[TARGET])
    if not issubclass(kind, Task):
        raise ValueError(f"pretext={pretext.name}: {task[TARGET]} is no pretext.task.Task")
    nodes = [task, *(inner for value in task.values() for inner in inside(value).values())]
    network = get_class(cfg.backbone["_target_"])
    wanted = [kind.takes for kind in (get_class(node[TARGET]) for node in nodes) if issubclass(kind, Task)]
    takes = next((takes for takes in wanted if not issubclass(network, takes)), None)
    if takes is None:
        return
    loader = GlobalHydra.instance().config_loader()
    options = {name: compose("config", [f"backbone={name}"]) for name in loader.get_group_options("backbone")}
    fit = [name for name, option in options.items() if _is(option.backbone, takes)]
    given = cfg.backbone["_target_"].rpartition(".")[2]
    able = " or ".join(fit)
    raise ValueError(
        f"pretext={pretext.name} trains a {takes.__name__}, and {given} is none; backbone={able} is"
    )


def _is(node: DictConfig, kind: type) -> bool:
    """Whether a configuration names a class of this kind; one that cannot be imported is none."""
    try:
        return issubclass(get_class(node[TARGET]), kind)
    except (ImportError, ValueError, KeyError):
        return False


def _alone(
    cfg: DictConfig, pretext: DictConfig, initialisation: str | None, epochs: int, precision: str
) -> dict[str, Any]:
    """The whole resolved configuration that asks for one run and means the same run on every machine."""
    resolved: dict[str, Any] = plain(cfg)
    trainer = resolved["trainer"] | {"epochs": epochs, "precision": precision}
    own = {"pretext": plain(pretext), "initialisation": initialisation, "calibration": None}
    return resolved | own | {"trainer": trainer}


def _initialisation(cfg: DictConfig) -> str | None:
    """The task of zero images that trained runs start from."""
    name: str | None = cfg.initialisation
    if name is None:
        return None
    known = GlobalHydra.instance().config_loader().get_group_options("pretext")
    if name in known and pretext_config(name).epochs == 0:
        return name
    why = f"initialisation={name} trains" if name in known else f"there is no initialisation={name}"
    able = ", ".join(task for task in known if _of_zero_images(task))
    raise ValueError(f"{why}; it is a task of zero images: {able}")


def _of_zero_images(name: str) -> bool:
    """Whether the YAML of a task says so itself; to compose each takes its time."""
    path = f"pretext/{name}"
    sources = GlobalHydra.instance().config_loader().get_sources()
    stated = next(source.load_config(path).config for source in sources if source.is_config(path))
    return bool(OmegaConf.select(stated, "epochs") == 0)


def _of_data(task: dict[str, Any], data: DataSet) -> dict[str, Any]:
    """Fill in what a task takes from the labels, where its YAML leaves it open."""
    known = {
        "classes": len(data.label_names),
        "multilabel": data.train.labels is not None and data.train.labels.ndim == 2,
    }

    def filled(key: str, value: Any) -> Any:
        if tasks := inside(value):
            return {**value, **{name: _of_data(inner, data) for name, inner in tasks.items()}}
        return known.get(key) if value is None else value

    return {key: filled(key, value) for key, value in task.items()}


def with_twins(cfg: DictConfig, data: DataSet, precision: str) -> list[Run]:
    """Return the asked-for run and its twins, the twins of the same input, backbone, data and budget."""
    names = [name for name in TWINS if name != cfg.pretext.name]
    if "supervised" in names and unsupervised(data):
        names.remove("supervised")
    asked = calibrated(cfg, one(cfg, cfg.pretext, data, precision))
    twins = [calibrated(cfg, one(cfg, _twin(cfg, name), data, precision, twin=True)) for name in names]
    if asked.budget and asked.name not in TWINS:
        asked = asked._replace(twins={run.name: run.recipe for run in twins})
    return [asked, *twins]


def _twin(cfg: DictConfig, name: str) -> DictConfig:
    """The task of a twin, at the rate that the network of the rows asks for."""
    found = pretext_config(name)
    if name == "supervised" and cfg.trainer.twin_lr is not None:
        found = found.copy()
        found.optimizer.lr = cfg.trainer.twin_lr
    return found


def unsupervised(data: DataSet) -> str:
    """Why nothing can be trained on the labels of a set; empty where it can."""
    if data.train.labels is None:
        return f"{data.name} has no image labels"
    if data.train.labels.ndim == 1 and len(data.label_names) < 2:
        return f"{data.name} has one class, and there is nothing to tell apart"
    return ""


def calibrated(cfg: DictConfig, run: Run) -> Run:
    """Return the run that calibrates `run` as `cfg` says; without calibration `run` itself.

    Raises:
        ValueError: a network that cannot be calibrated, before it is trained.
    """
    if cfg.calibration is None:
        return run
    build_calibration(cfg.calibration).check(build_encoder(run).backbone)
    spec = {**run.spec, "calibration": plain(cfg.calibration), "parent": run.digest}
    begin, address = run.folder.name.rpartition("_")[0], digest(of_run(spec))
    folder = run.folder.with_name(f"{begin}_calibrated_{short(address)}")
    config = {**run.config, "calibration": plain(cfg.calibration)}
    return run._replace(spec=spec, folder=folder, parent=run, config=config)


def build_calibration(config: Any) -> Magnitude:
    """Return the calibration that a configuration, or a run's spec, names."""
    calibration: Magnitude = instantiate(config, _convert_="all")
    return calibration


def images(run: Run) -> str:
    """Names of the images that a run's weights have seen."""
    own: str = run.spec["data"]["name"]
    trains = run.spec["budget"]["epochs"] or not run.trained_on
    return "+".join(filter(None, (run.trained_on, own if trains else "")))


def build_task(run: Run) -> Task:
    """Build the task of a run from its seed: the encoder first, so that every task starts from the same one.

    Raises:
        ValueError: an unknown input or argument; the message lists what exists.
    """
    torch.manual_seed(run.spec["seed"])
    # A task's arguments are plain; tasks that it is made of it builds itself, on the same encoder.
    encoder = build_encoder(run)
    task: Task = instantiate(run.spec["task"], encoder=encoder, _convert_="all", _recursive_=False)
    return task


def build_encoder(run: Run) -> Encoder:
    """Build the encoder of a run with its initial weights, as torch's random state has them."""
    seen = inputs.build(run.spec["input"], **run.spec["input_arguments"])
    return Encoder(seen, instantiate(run.spec["backbone"], in_channels=seen.channels, _convert_="all"))


def build_optimisation(run: Run) -> Optimisation | None:
    """Return the optimiser and schedule of a run; None for one of no steps."""
    if not run.spec["budget"]["epochs"]:
        return None
    return Optimisation(optimizer_of(run.spec["optimizer"]), **optimisation_options(run.spec))


def optimizer_of(node: dict[str, Any]) -> partial[Any]:
    """What makes the optimiser of a plain configuration from parameters."""
    arguments = {key: value for key, value in node.items() if not key.startswith("_")}
    return partial(get_class(node["_target_"]), **arguments)


def provenance(run: Run) -> dict[str, Any]:
    """What is kept with the encoder beside what pretraining itself knows."""
    about: dict[str, Any] = {
        "run": run.digest,
        "recipe": run.recipe,
        "data_name": images(run),
        "budget": run.budget,
        "twins": run.twins,
    }
    if run.trained_on:  # by others: which images, and what it took, nobody here can say
        about |= {"data": "", "effort": None}
    if run.parent is None or run.spec["calibration"]:
        return about
    return about | {"initialisation": run.parent.name}


def write_spec(run: Run, data: DataSet) -> None:
    """Write what determines a run, the configuration that asks for it alone, and how its data were read."""
    run.folder.mkdir(parents=True, exist_ok=True)
    kept = {"run": run.digest, "spec": run.spec, "config": run.config, "data": list(data.notes)}
    write_json(run.folder / CONFIG, kept)
