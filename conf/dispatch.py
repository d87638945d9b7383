"""Compose a configuration, dispatch its job, explain what went wrong."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from conf import hints, jobs, schema, sweep
from conf.console import console
from conf.locks import locked
from downstream.gates import GateFailed
from pretext.fit import SIGTERM_STATUS, NonFiniteLoss

USER_ERRORS = (ValueError, OSError, FloatingPointError, NonFiniteLoss, GateFailed)
"""Errors whose message says all; anything else is a fault of ours and keeps its traceback."""

GOES_ON = "Stopped; the same command continues from the last finished epoch."


@hydra.main(config_path=".", config_name="config", version_base="1.3")
def dispatch(cfg: DictConfig) -> None:
    """Run one job; a failing member of a sweep is written down and does not stop the others."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        jobs.run(cfg)
        return
    folder = Path(hydra_config.sweep.dir) / str(hydra_config.job.num)
    overrides = list(hydra_config.overrides.task)
    console.rule(" ".join(overrides) or "defaults", style="dim")
    with locked(folder):  # tells a member that runs from one that was killed
        try:
            outcome = sweep.Outcome(overrides, jobs.run(cfg), None)
        except Exception as error:
            outcome = sweep.failed(overrides, error)
            console.print(f"failed: {type(error).__name__}: {error}", style="red", highlight=False)
        sweep.write(folder, outcome)


def main() -> int:
    """Return the exit status: 0, 1 for an error, 2 for a command line that cannot be, 130 for Ctrl-C."""
    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of exiting, so that errors are explained here
    schema.register()
    sweep.failures.clear()
    try:
        dispatch()
    except (HydraException, *USER_ERRORS) as error:
        if asked == "1":
            raise
        return _explain(error)
    except KeyboardInterrupt:
        console.print(GOES_ON, highlight=False)
        return 130
    except SystemExit as stop:
        if stop.code == SIGTERM_STATUS:
            console.print(GOES_ON, highlight=False)
        raise
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked
    return 1 if sweep.failures else 0


def _explain(error: Exception) -> int:
    """Print what went wrong without a traceback; HYDRA_FULL_ERROR=1 shows it."""
    cause = error.__cause__ if isinstance(error, InstantiationException) else None
    if isinstance(error, HydraException) and not isinstance(cause, USER_ERRORS):
        said, status = hints.explain(error, sys.argv[1:]), 2
    else:
        shown = cause or error
        notes = "".join(f"\n{note}" for note in getattr(shown, "__notes__", ()))
        said, status = f"{type(shown).__name__}: {shown}{notes}", 1
    console.print(said, style="red", highlight=False, soft_wrap=True, markup=False)
    return status
