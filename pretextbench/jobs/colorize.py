"""`job=colorize`: photographs, coloured by a pretrained run or by a system of `conf/colorizer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.utils import get_class, instantiate
from omegaconf import DictConfig

from pretext.colorizers.beside import read_reference, read_scribbles
from pretext.colorizers.contract import Colorizer, Division, Hints
from pretext.colorizers.photograph import colorize_file
from pretext.data.decode import LONGEST, measure
from pretext.data.loader import EpochLoader
from pretext.data.named_images import find, targets
from pretext.fit import Pretrained, load_task
from pretext.names import shown
from pretext.tasks.coloring import ColoringTask
from pretextbench import runs
from pretextbench.console import console
from pretextbench.context import Context, opened
from pretextbench.finished import finished_alike, may_be_finished
from pretextbench.images import each

_HOW_TO_COLOUR = "run the same line with job=pretrain, or name a run's folder with encoder=FOLDER"
GIVEN = {"references": "reference=", "scribbles": "scribbles="}
"""Hints that this job takes, and the keys that name their files."""
FITTED_BY = 64
"""Training images that a system sees at once."""


def run(cfg: DictConfig) -> list[str]:
    """Colour photographs: gray | coloured | original, side by side.

    Raises:
        ValueError: no image is named, the run is not there or cannot colour, or hints that the system does
            not read or lacks; images that could not be coloured, when the others are.
    """
    with opened(cfg) as context:
        return _work(context)


def _work(context: Context) -> list[str]:
    wanted = targets(Path(context.cfg.image), Path())
    if len(wanted) == 1:
        measure(next(iter(wanted)))  # nothing is fitted for an image that cannot be read
    hints = _hints(context.cfg)
    system = None if context.cfg.colorizer is None else runs.plain(context.cfg.colorizer)
    if system is not None:
        _check_hints(system, hints)
    elif hints.references or hints.scribbles:
        raise ValueError("reference= and scribbles= are read by systems, named by colorizer=, not by tasks")
    folder = colorizer = None
    if system is None or "task" in system:
        folder = _folder(context, _of_task(context.cfg, system))
    else:
        colorizer = _system(context, system)
    name = None if system is None else str(system["name"])
    if context.cfg.dry_run:
        by = " from ".join(map(str, filter(None, (name, folder))))
        console.print(f"{len(wanted)} images would be coloured by {by}", soft_wrap=True)
        return []
    if folder is not None:
        colorizer = _task(context, folder, system)
    assert colorizer is not None
    how = (context.cfg.size, context.device, hints)
    own = "_".join(filter(None, (name, None if folder is None else folder.resolve().name)))

    def work(image: Path) -> str:
        into = context.output / "colorized" / own / wanted[image]
        colorize_file(colorizer, image, into, *how)
        return shown(into, LONGEST)

    each(wanted, work, "coloured")
    return []


def _hints(cfg: DictConfig) -> Hints:
    """What the command line lays beside every image."""
    hints = Hints()
    if cfg.reference is not None:
        hints = hints._replace(references=tuple(map(read_reference, find(Path(cfg.reference)))))
    if cfg.scribbles is not None:
        hints = hints._replace(scribbles=read_scribbles(Path(cfg.scribbles)))
    return hints


def _check_hints(config: dict[str, Any], hints: Hints) -> None:
    """Raise ValueError for hints that a system does not read, or lacks."""
    name, reads = str(config["name"]), set(config["reads"])
    if Division(config["division"]) is Division.ORACLE or reads - GIVEN.keys():
        what = ", ".join(sorted(reads - GIVEN.keys())) or "the answer"
        raise ValueError(f"colorizer={name} reads {what}, which job=colorize cannot give it")
    for hint, key in GIVEN.items():
        if bool(getattr(hints, hint)) != (hint in reads):
            raise ValueError(
                f"colorizer={name} {f'needs {key}FILE' if hint in reads else f'reads no {key}'}: it takes "
                f"{', '.join(GIVEN[each] for each in sorted(reads)) or 'nothing beside the image'}"
            )


def _system(context: Context, config: dict[str, Any]) -> Any:
    """A system, fitted on the training images where it is one that learns."""
    system = instantiate(config["system"], _convert_="all")
    # One that is given its colours looks none up.
    if hasattr(system, "fit") and not config["reads"] and not context.cfg.dry_run:
        train = context.data.train
        system.fit(EpochLoader(train, FITTED_BY, shuffle=False, drop_last=False), context.cfg.seed)
    return system


def _of_task(cfg: DictConfig, system: dict[str, Any] | None) -> DictConfig:
    """The configuration that asks for the run whose checkpoint colours."""
    if system is None:
        return cfg
    found = cfg.copy()
    found.pretext = runs.pretext_config(system["task"])
    return found


def _task(context: Context, folder: Path, system: dict[str, Any] | None) -> Colorizer:
    """The task of a run, or a system's way to read its predictions."""
    task = load_task(folder).to(context.device)
    if not isinstance(task, ColoringTask):
        raise ValueError(f"{type(task).__name__} in {folder} predicts no colours")
    if system is not None:
        wanted = get_class(runs.pretext_config(system["task"]).task["_target_"])
        if not isinstance(task, wanted):
            raise ValueError(
                f"colorizer={system['name']} reads what {wanted.__name__} predicts; {folder} holds "
                f"{type(task).__name__}"
            )
        found: Colorizer = instantiate(system["system"], task=task, _convert_="all")
        return found
    return task


def _folder(context: Context, cfg: DictConfig) -> Path:
    """The folder of the run that colours: the one that is named, else the one of this configuration."""
    if cfg.encoder is not None:
        return Path(cfg.encoder)
    alike = finished_alike(cfg, context.precision)
    if len(alike) == 1:
        return alike[0]
    name = cfg.pretext.name
    if not alike and not list((context.output / "runs").glob(f"{name}_*")):
        raise ValueError(f"no {name} was pretrained under {context.output}; {_HOW_TO_COLOUR}")
    if not may_be_finished(cfg, context.precision):
        raise ValueError(
            f"no {name} under {context.output} is pretrained under this configuration, to its end; "
            f"{_HOW_TO_COLOUR}"
        )
    # Several, of data that changed on disk, or one from before a key of the configuration: by its digest.
    run = runs.one(cfg, cfg.pretext, context.data, context.precision)
    if Pretrained.read(run.folder) is None:
        raise ValueError(
            f"{run.name} is not pretrained under this configuration ({run.folder} is not finished); "
            f"{_HOW_TO_COLOUR}"
        )
    return run.folder
