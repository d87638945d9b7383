"""`job=colorize`: photographs, coloured by a pretrained run."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from pretext.colorizers.photograph import colorize_file, comparisons
from pretext.data.decode import BadImage
from pretext.fit import Pretrained, load_task
from pretext.tasks.coloring import ColoringTask
from pretextbench import runs
from pretextbench.console import console
from pretextbench.context import Context, opened

_HOW_TO_COLOUR = "run the same line with job=pretrain, or name a run's folder with encoder=FOLDER"


def run(cfg: DictConfig) -> list[str]:
    """Colour photographs with a pretrained run: gray | coloured | original, side by side.

    Raises:
        ValueError: no image is named, or the run is not there or cannot colour; images that could not be
            read, when the others are coloured.
    """
    with opened(cfg) as context:
        return _work(context)


def _work(context: Context) -> list[str]:
    targets = comparisons(Path(context.cfg.image), context.output / "colorized")
    folder = _colorizer(context)
    if context.cfg.dry_run:
        console.print(f"{len(targets)} images would be coloured by {folder}", soft_wrap=True)
        return []
    task = load_task(folder).to(context.device)
    if not isinstance(task, ColoringTask):
        raise ValueError(f"{type(task).__name__} in {folder} predicts no colours")
    bad: list[BadImage] = []
    for image, target in targets.items():
        try:
            colorize_file(task, image, target, context.cfg.size, context.device)
        except BadImage as error:
            bad.append(error)
            console.print(f"left out: {error}", style="red", soft_wrap=True)
        else:
            console.print(str(target), soft_wrap=True)
    if bad:
        listed = "".join(f"\n  {error}" for error in bad)
        raise ValueError(f"{len(bad)} of {len(targets)} images could not be read:{listed}")
    return []


def _colorizer(context: Context) -> Path:
    """The folder of the run that colours: the one that is named, else the one of this configuration."""
    if context.cfg.encoder is not None:
        return Path(context.cfg.encoder)
    alike = runs.finished_alike(context.cfg, context.precision)
    if len(alike) == 1:
        return alike[0]
    name = context.cfg.pretext.name
    if not alike and not list((context.output / "runs").glob(f"{name}_*")):
        raise ValueError(f"no {name} was pretrained under {context.output}; {_HOW_TO_COLOUR}")
    # Several, of data that changed on disk, or one from before a key of the configuration: by its digest.
    run = runs.one(context.cfg, context.cfg.pretext, context.data, context.precision)
    if Pretrained.read(run.folder) is None:
        raise ValueError(
            f"{run.name} is not pretrained under this configuration ({run.folder} is not finished); "
            f"{_HOW_TO_COLOUR}"
        )
    return run.folder
