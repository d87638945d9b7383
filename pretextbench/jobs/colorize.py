"""`job=colorize`: photographs, coloured by a pretrained run."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from pretext.colorizers.photograph import colorize_file, comparisons
from pretext.data.decode import BadImage
from pretext.fit import Pretrained, load_task
from pretext.tasks.colouring import ColouringTask
from pretextbench import members
from pretextbench.console import console
from pretextbench.workbench import Workbench, opened

_HOW_TO_COLOUR = "run the same line with job=pretrain, or name a run's folder with encoder=FOLDER"


def run(cfg: DictConfig) -> list[str]:
    """Colour photographs with a pretrained run: gray | coloured | original, side by side.

    Raises:
        ValueError: no image is named, or the run is not there or cannot colour; images that could not be
            read, when the others are coloured.
    """
    with opened(cfg) as bench:
        return _work(bench)


def _work(bench: Workbench) -> list[str]:
    targets = comparisons(Path(bench.cfg.image), bench.output / "colorized")
    folder = _colorizer(bench)
    if bench.cfg.dry_run:
        console.print(f"{len(targets)} images would be coloured by {folder}", soft_wrap=True)
        return []
    task = load_task(folder).to(bench.device)
    if not isinstance(task, ColouringTask):
        raise ValueError(f"{type(task).__name__} in {folder} predicts no colours")
    bad: list[BadImage] = []
    for image, target in targets.items():
        try:
            colorize_file(task, image, target, bench.cfg.size, bench.device)
        except BadImage as error:
            bad.append(error)
            console.print(f"left out: {error}", style="red", soft_wrap=True)
        else:
            console.print(str(target), soft_wrap=True)
    if bad:
        listed = "".join(f"\n  {error}" for error in bad)
        raise ValueError(f"{len(bad)} of {len(targets)} images could not be read:{listed}")
    return []


def _colorizer(bench: Workbench) -> Path:
    """The folder of the run that colours: the one that is named, else the one of this configuration."""
    if bench.cfg.encoder is not None:
        return Path(bench.cfg.encoder)
    alike = members.finished_alike(bench.cfg, bench.precision)
    if len(alike) == 1:
        return alike[0]
    name = bench.cfg.pretext.name
    if not alike and not list((bench.output / "runs").glob(f"{name}_*")):
        raise ValueError(f"no {name} was pretrained under {bench.output}; {_HOW_TO_COLOUR}")
    # Several, of data that changed on disk, or one from before a key of the configuration: by its digest.
    member = members.member(bench.cfg, bench.cfg.pretext, bench.data, bench.precision)
    if Pretrained.read(member.folder) is None:
        raise ValueError(
            f"{member.name} is not pretrained under this configuration ({member.folder} is not finished); "
            f"{_HOW_TO_COLOUR}"
        )
    return member.folder
