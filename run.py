"""Compose a configuration and dispatch its job: `python run.py [job=NAME] [key=value …]`, `-m` to sweep."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from conf import preflight

preflight.check()  # before torchvision's import can fail on a wrong torch

import hydra  # noqa: E402
from hydra.core.hydra_config import HydraConfig  # noqa: E402
from hydra.errors import HydraException  # noqa: E402
from hydra.types import RunMode  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from conf import hints, jobs, schema, sweep  # noqa: E402
from conf.console import console  # noqa: E402

USER_ERRORS = (ValueError, OSError, LookupError, FloatingPointError)
"""Errors whose message says all; anything else is a fault of ours and keeps its traceback."""


@hydra.main(config_path="conf", config_name="config", version_base="1.3")
def dispatch(cfg: DictConfig) -> None:
    """Run one job; a failing member of a sweep is written down and does not stop the others."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        jobs.run(cfg)
        return
    folder = Path(hydra_config.sweep.dir) / str(hydra_config.job.num)
    overrides = list(hydra_config.overrides.task)
    console.rule(" ".join(overrides) or "defaults", style="dim")
    try:
        outcome = sweep.Outcome(overrides, jobs.run(cfg), None)
    except Exception as error:
        outcome = sweep.failed(overrides, error)
        console.print(f"failed: {type(error).__name__}: {error}", style="red", highlight=False)
    sweep.write(folder, outcome)


def main() -> int:
    """Return the exit status: 0, 1 for an error, 2 for a command line that cannot be, 130 for Ctrl-C."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of exiting, so that errors are explained here
    schema.register()
    try:
        dispatch()
    except HydraException as error:
        console.print(hints.explain(error, sys.argv[1:]), style="red", highlight=False, soft_wrap=True)
        return 2
    except USER_ERRORS as error:
        console.print(f"{type(error).__name__}: {error}", style="red", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped; the same command continues from the last finished epoch.", highlight=False)
        return 130
    return 1 if sweep.failures else 0


if __name__ == "__main__":
    warnings.simplefilter("default")
    sys.exit(main())
