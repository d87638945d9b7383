"""Set up W&B so that it never asks, never waits for long, and is never the only record."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import wandb
from wandb.errors import CommError, UsageError

from conf.console import console
from downstream.evaluate import picture_path
from downstream.records import Record
from pretext.atomic import write_json

_LOGIN_SECONDS = 15
Mode = Literal["online", "offline", "disabled", "shared"]
_MODES: dict[str, Mode] = {
    "online": "online", "offline": "offline", "disabled": "disabled", "shared": "shared",
    "run": "online", "dryrun": "offline",
}  # fmt: skip
"""What WANDB_MODE may say, and what W&B calls it today."""


def mode() -> Mode:
    """W&B's mode: WANDB_MODE if set, else online exactly with a key.

    Raises:
        ValueError: WANDB_MODE is none of W&B's modes.
    """
    asked = os.environ.get("WANDB_MODE", "")
    if not asked:
        os.environ.pop("WANDB_MODE", None)  # W&B itself stumbles over an empty one
        return "online" if _has_key() else "offline"
    if asked not in _MODES:
        raise ValueError(f"WANDB_MODE must be one of {', '.join(_MODES)}; it is {asked!r}")
    return _MODES[asked]


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = wandb.Settings().base_url.split("://")[-1].split("/")[0]
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return netrc.is_file() and host in netrc.read_text()


@contextmanager
def tracked(
    *,
    project: str,
    entity: str | None,
    folder: Path,
    name: str,
    group: str,
    job: str,
    tags: list[str],
    config: dict[str, Any],
) -> Iterator[wandb.Run]:
    """Open a run, offline where online fails, and close it whatever happens.

    Args:
        folder: where W&B keeps its files. group: the sweep. job: W&B's job type.
        config: the resolved configuration as plain values.
    """
    folder = folder.absolute()  # W&B's server keeps the working directory it was first started in
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "project": project, "entity": entity, "dir": str(folder), "name": name,
        "group": group, "job_type": job, "tags": tags, "config": config, "reinit": "create_new",
    }  # fmt: skip
    settings = wandb.Settings(
        silent=True, console="off", init_timeout=_LOGIN_SECONDS, login_timeout=_LOGIN_SECONDS
    )
    wanted = mode()
    try:
        run = wandb.init(mode=wanted, settings=settings, **arguments)
    except (CommError, UsageError, TimeoutError) as error:
        console.print(f"W&B cannot be reached ({type(error).__name__}); logging offline.", soft_wrap=True)
        run = wandb.init(mode="offline", settings=settings, **arguments)
    failed = 1
    try:
        yield run
        failed = 0
    finally:
        run.finish(exit_code=failed)


@functools.cache
def _tell(command: str) -> None:
    console.print(f"W&B logged offline; to upload: {command}", soft_wrap=True)


def tell_how_to_sync(run: wandb.Run) -> None:
    """Print, once a process, the command that uploads what was logged offline."""
    if run.settings.mode == "offline":
        _tell(f"wandb sync --sync-all {shlex.quote(str(Path(run.settings.sync_dir).parent))}")


def remember(run: wandb.Run, folder: Path) -> None:
    """Store the W&B run's id beside the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "wandb.json", {"id": run.id, "project": run.project, "mode": run.settings.mode})


def log_results(run: wandb.Run, records: Sequence[Record], pictures: Path, encoder: Path | None) -> None:
    """Log the scores as summary and table, the pictures, and the encoder as an artifact.

    Args:
        records: of one encoder, every stage and metric.
        pictures: folder of the evaluations' pictures.
        encoder: folder of the encoder; None keeps it local.
    """
    columns: list[str | int] = ["task", "protocol", "version", "stage", "selected", "metric", "value"]
    rows: list[Iterable[Any]] = []
    for record in records:
        e, r = record.evaluation, record.result
        rows.append([e.task, e.protocol, e.version, e.stage, r.selected, e.metric, r.value])
        if r.selected:
            run.summary[f"{e.data}/{e.protocol}/{e.metric}"] = r.value
    run.log({"records": wandb.Table(columns=columns, data=rows)})
    for name, digest in {record.evaluation.protocol: record.evaluation.digest for record in records}.items():
        if (drawn := picture_path(pictures, digest)).is_file():
            run.log({f"pictures/{name}": wandb.Image(str(drawn))})
    if encoder is not None:
        artifact = wandb.Artifact(encoder.name, type="encoder")
        for file in ("encoder.safetensors", "encoder.json"):
            artifact.add_file(str(encoder / file))
        run.log_artifact(artifact)
