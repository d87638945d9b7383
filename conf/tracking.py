"""Set up W&B so that it never asks, never waits for long, and is never the only record."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb
from wandb.errors import CommError, UsageError

_LOGIN_SECONDS = 15


def mode() -> str:
    """Return "online", "offline" or "disabled": WANDB_MODE if set, else online exactly with a key."""
    asked = os.environ.get("WANDB_MODE", "")
    if asked:
        return {"dryrun": "offline", "run": "online"}.get(asked, asked)
    return "online" if _has_key() else "offline"


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
        run = wandb.init(mode=wanted, settings=settings, **arguments)  # type: ignore[arg-type]
    except (CommError, UsageError, TimeoutError) as error:
        print(f"W&B cannot be reached ({type(error).__name__}); logging offline.")
        run = wandb.init(mode="offline", settings=settings, **arguments)
    failed = 1
    try:
        yield run
        failed = 0
    finally:
        run.finish(exit_code=failed)


def sync_command(run: wandb.Run) -> str | None:
    """Return the command that uploads an offline run; None for a run that is online or disabled."""
    if run.settings.mode != "offline":
        return None
    folder = Path(run.settings.sync_dir)
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    return f"wandb sync {shown}"
