"""Compose a configuration, dispatch its job, explain what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from pretextbench import arguments, front_page, jobs, reasons, schema, sweep
from pretextbench.composed import composed
from pretextbench.configurations import CONF
from pretextbench.console import console, errors, open_door
from pretextbench.locks import locked

GOES_ON = (
    "Stopped; what is finished is kept. The same command goes on: pretraining from its last whole epoch, a "
    "head from its beginning."
)
HELP = ("--help", "-h")
VERSION = "--version"
"""A flag of Hydra's, which tells Hydra's own."""
SIGTERM_STATUS = 143  # as pretext.fit has it, which takes seconds to import

_stopped: list[Exception] = []
"""What ended the one job of this process: raised out of Hydra, it would be announced by a line of Hydra's."""


def _job(cfg: DictConfig) -> None:
    """Run one job; a failing member of a sweep is written down and does not stop the others."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        try:
            _run(cfg)
        except Exception as error:
            _stopped.append(error)
        return
    folder = Path(hydra_config.sweep.dir) / str(hydra_config.job.num)
    overrides = list(hydra_config.overrides.task)
    console.rule(" ".join(overrides) or "defaults", style="dim")
    with locked(folder):  # tells a member that runs from one that was killed
        try:
            outcome = sweep.Outcome(overrides, _run(cfg), None)
        except Exception as error:
            outcome = sweep.failed(overrides, error)
            errors.print(f"failed: {outcome.reason}", style="red", soft_wrap=True)
        sweep.write(folder, outcome)


dispatch = hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(_job)
"""All that Hydra's command line can do: sweeps, flags, configurations from another folder."""


def _run(cfg: DictConfig) -> list[str]:
    """Check what was typed before anything slow is imported, then do the job."""
    schema.check(cfg)
    return jobs.run(cfg)


def _plain(words: Sequence[str]) -> bool:
    """Whether these words ask for one job, and for nothing else of Hydra."""
    return not any(word.startswith(("-", "hydra")) for word in words)


def _reads(words: Sequence[str]) -> bool:
    """Whether the job that they ask for only says what is there."""
    asked = [word.partition("=")[2] for word in words if word.startswith("job=")]
    return asked[-1:] != [] and asked[-1] in jobs.READERS


def _once(words: Sequence[str]) -> None:
    """Do one job, composed once: `hydra.main` composes twice, first to see whether it is one."""
    with hydra.initialize_config_dir(config_dir=str(CONF), job_name="dispatch", version_base="1.3"):
        made = GlobalHydra.instance().hydra
        assert made is not None
        made.run("config", _job, [*words, "hydra.mode=RUN"])


def _read(words: Sequence[str]) -> None:
    """Do a job that only says what is there: composed once, and without a folder for its logs."""
    with composed(words) as cfg:
        _run(cfg)


def main() -> int:
    """Return the exit status: 0, 1 for an error, 2 for a command line that cannot be, 130 for Ctrl-C."""
    open_door()
    if VERSION in sys.argv[1:]:
        console.print(front_page.version())
        return 0
    typed = sys.argv[1:]
    sys.argv[1:] = arguments.quoted(typed)
    asked = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises instead of exiting, so that errors are explained here
    schema.register()
    sweep.failures.clear()
    _stopped.clear()
    try:
        words = [word for word in sys.argv[1:] if word not in HELP]
        if not _plain(words):
            arguments.check_one_output(words)
            dispatch()
        elif len(words) < len(sys.argv[1:]):
            console.out(front_page.text(words), highlight=False)
        else:
            (_read if _reads(words) else _once)(words)
        if _stopped:
            raise _stopped.pop()
    except reasons.explained() as error:
        if asked == "1":
            raise
        errors.print(reasons.reason(error, typed), style="red", soft_wrap=True)
        return reasons.status(error)
    except KeyboardInterrupt:
        errors.print(GOES_ON)
        return 130
    except SystemExit as stop:
        if stop.code == SIGTERM_STATUS:
            errors.print(GOES_ON)
        raise
    finally:
        del os.environ["HYDRA_FULL_ERROR"]
        if asked is not None:
            os.environ["HYDRA_FULL_ERROR"] = asked
    return 1 if sweep.failures else 0
