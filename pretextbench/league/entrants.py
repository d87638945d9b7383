"""Who takes part in the league: systems of `conf/colorizer`, and pretext tasks that colour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hydra import compose
from hydra.utils import get_class, instantiate

from downstream.digest import digest
from downstream.judge.evaluate import effort_of
from downstream.judge.records import Effort, Subject
from pretext.colorizers.contract import Colorizer, Division
from pretext.data.loader import EpochLoader
from pretext.fit import load_task
from pretext.tasks.coloring import ColoringTask
from pretextbench import hints, runs, subjects
from pretextbench.context import Context
from pretextbench.identities import of_node
from pretextbench.league import beside
from pretextbench.running import train
from pretextbench.runs import Run

TOGETHER = 64
"""Training images that a system sees at once."""


class Ready(NamedTuple):
    """What colours, and what making it took.

    parameters: of a network; 0 for what has none. effort: of its pretraining. here: whether it colours in
    this process, as a network on its device does; others work in processes of their own. flags: what a reader
    must know of the colours, asked when all images have them.
    """

    colorizer: Colorizer
    parameters: int = 0
    effort: Effort | None = None
    here: bool = False
    flags: Callable[[], tuple[str, ...]] = tuple


class Entrant(NamedTuple):
    """One who takes part.

    Attributes:
        division: who it is ranked with. reads: hints that must lie beside an image.
        subject: whose scores they are; its `budget` names the division.
        make: trains, fits or opens it.
        config: by which it is asked for, plain JSON.
        run: the pretraining run of a task.
    """

    name: str
    division: Division
    reads: frozenset[str]
    subject: Subject
    make: Callable[[], Ready]
    config: dict[str, Any]
    run: Run | None = None


def entrants(context: Context, wanted: Sequence[str]) -> tuple[list[Entrant], list[str]]:
    """Those that are asked for by name, and why others are left out.

    Args:
        wanted: names of systems and of tasks; without any all that the target's images have hints for.

    Raises:
        ValueError: an unknown name, one twice, or one whose hints the target does not have.
    """
    systems = hints.options("colorizer")
    names = list(wanted) or [*coloring_tasks(), *systems]
    if unknown := [name for name in wanted if name not in systems and not _colours(name)]:
        raise ValueError(
            f"colorizers: {', '.join(unknown)} colours nothing; systems are {', '.join(systems)}, and so is "
            "every pretext task that colours, as colorization"
        )
    if twice := sorted({name for name in wanted if list(wanted).count(name) > 1}):
        raise ValueError(f"colorizers: {', '.join(twice)} is named twice")
    found, notes = [], []
    for name in names:
        try:
            one = entrant(context, name)
            if lacking := beside.lacking(one.reads, one.division, context.data, context.target):
                raise ValueError(f"{name} cannot take part on {context.target.name}: {lacking}")
        except ValueError as error:
            if wanted:
                raise
            notes.append(f"left out: {error}")
        else:
            found.append(one)
    return found, notes


def entrant(context: Context, name: str) -> Entrant:
    """One who takes part, whatever lies beside the target's images.

    Raises:
        ValueError: the network is not one that the task can train.
    """
    if name not in hints.options("colorizer"):
        return _task(context, name)
    config = runs.plain(compose("config", [f"colorizer={name}"]).colorizer)
    return _read_otherwise(context, name, config) if "task" in config else _system(context, name, config)


def coloring_tasks() -> list[str]:
    """Pretext tasks that colour, by the names of their YAMLs."""
    return [name for name in hints.options("pretext") if _colours(name)]


def _colours(name: str) -> bool:
    """Whether a pretext task of that name is there, and colours."""
    there = name in hints.options("pretext")
    return there and issubclass(get_class(runs.pretext_config(name).task["_target_"]), ColoringTask)


def _task(context: Context, name: str) -> Entrant:
    run = runs.one(context.cfg, runs.pretext_config(name), context.data, context.precision)
    subject = replace(subjects.of_run(run, None), budget=Division.AUTOMATIC.value)

    def make() -> Ready:
        train(context, run, None)
        task = load_task(run.folder).to(context.device)
        assert isinstance(task, ColoringTask)
        weights = sum(p.numel() for p in task.parameters())
        return Ready(task, weights, effort_of(task.encoder), here=True)

    return Entrant(name, Division.AUTOMATIC, frozenset(), subject, make, _alone(run.config, name), run)


def _read_otherwise(context: Context, name: str, config: dict[str, Any]) -> Entrant:
    """A pretext task that colours, whose predictions are read in another way."""
    trained, node = _task(context, config["task"]), config["system"]

    def of(address: str) -> str:
        return digest({"colorizer": of_node(node), "task": address})

    def make() -> Ready:
        ready = trained.make()
        return ready._replace(colorizer=instantiate(node, task=ready.colorizer, _convert_="all"))

    own = trained.subject
    subject = replace(
        own,
        pretext=name,
        budget=Division(config["division"]).value,
        recipe=of(own.recipe),
        run=of(own.run),
    )
    asked = _alone(trained.config | {"colorizer": config}, name)
    return trained._replace(name=name, subject=subject, make=make, config=asked)


def _system(context: Context, name: str, config: dict[str, Any]) -> Entrant:
    division, images, seed = Division(config["division"]), context.data.train, int(context.cfg.seed)
    learns = hasattr(get_class(config["system"]["_target_"]), "fit")
    seen = images.digest if learns else ""
    recipe = digest({"colorizer": of_node(config["system"]), "images": seen})
    subject = subject_of(name, division, recipe, seed, context.data.name * learns, seen)

    def make() -> Ready:
        system: Any = instantiate(config["system"], _convert_="all")
        if learns:
            system.fit(EpochLoader(images, TOGETHER, shuffle=False, drop_last=False), seed)
        return Ready(system)

    asked = {key: value for key, value in context.resolved().items() if key not in ("pretext", "downstream")}
    asked |= {"colorizer": config}
    return Entrant(name, division, frozenset(config["reads"]), subject, make, _alone(asked, name))


def _alone(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The configuration of the league that only one takes part in."""
    return config | {"colorizers": [name], "league": config["league"] | {"entries": [], "export": None}}


def subject_of(
    name: str, division: Division, recipe: str, seed: int, pretraining: str, images: str
) -> Subject:
    """Whose scores those of something that is no encoder are.

    Args:
        recipe: digest of what determines it, but its seed. pretraining: name of the images that it learned
            from, `images` their digest; empty where unknown or none.
    """
    return Subject(
        pretext=name,
        backbone="",
        input="lightness",
        calibration="none",
        pretraining=pretraining,
        pretraining_digest=images,
        budget=division.value,
        images_seen=0,
        recipe=recipe,
        twins={},
        run=digest({"recipe": recipe, "seed": seed}),
        seed=seed,
        precision="float32",
    )
