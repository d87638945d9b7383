"""The jobs of the command, a module each: `run(cfg)`, which imports what that job alone needs."""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path
from typing import cast

from omegaconf import DictConfig

from pretextbench import heap, places, preflight

READERS = ("leaderboard", "plan", "status", "protocols")
"""Jobs that only say what is there: they import neither torch nor anything that needs it."""

NAMES = tuple(sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py")))


def run(cfg: DictConfig) -> list[str]:
    """Do the job of a configuration; return the digests of the evaluations it stands for.

    Raises:
        ValueError: a configuration that the job cannot work with.
        FileNotFoundError: a path that the job needs and where nothing is; before torch is imported.
    """
    name: str = cfg.job.name
    if name not in NAMES:
        raise ValueError(f"there is no job {name!r}; the jobs are: {', '.join(NAMES)}")
    if name not in READERS:
        places.check(cfg)
        preflight.check()
        heap.keep()
    job = import_module(f"{__name__}.{name}")
    if name not in READERS:
        gc.enable()  # after what is imported for good
    return cast("list[str]", job.run(cfg))
