"""Records that runs of a W&B project logged, fetched to be read like any other file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wandb

from pretext.names import slug
from pretextbench import tracking
from pretextbench.console import console

PROJECT = re.compile(r"[\w.-]+/[^/\\#?%:\s]+")
LATEST = "latest"
"""Alias of the newest version of an artifact: what a run logged again took the place of the old."""


def pull(project: str, folder: Path, api: Any = None) -> list[Path]:
    """Fetch the records of a project, a file a run, each once: what was fetched before stays.

    Args:
        project: ENTITY/PROJECT.
        folder: that files are kept in.
        api: of W&B; made without it, for which a key must be at hand.

    Raises:
        ValueError: no such name, no key, nothing logged there, or what W&B failed on.
    """
    if not PROJECT.fullmatch(project):
        raise ValueError(f"wandb:{project} is none: records of W&B are named wandb:ENTITY/PROJECT")
    if api is None and not tracking.has_key():
        raise ValueError(f"wandb:{project} needs a key of W&B: set WANDB_API_KEY, or `wandb login`")
    try:
        api = api or wandb.Api(timeout=tracking.LOGIN_SECONDS)
        found = list(_fetched(api, project, folder / slug(project, 128)))
    except Exception as error:  # the server's, the network's, or of a project that is not there
        raise ValueError(f"wandb:{project} cannot be read ({type(error).__name__}: {error})") from error
    if not found:
        raise ValueError(
            f"wandb:{project}: none of its runs logged records; runs with logger=wandb do, and "
            "job=leaderboard leaderboard.push=true"
        )
    console.print(f"wandb:{project}: records of {len(found)} runs", soft_wrap=True)
    return found


def _fetched(api: Any, project: str, folder: Path) -> Iterator[Path]:
    for run in api.runs(project):
        for artifact in run.logged_artifacts():
            if artifact.type != tracking.RECORDS or LATEST not in artifact.aliases:
                continue
            place = folder / slug(str(run.id)) / slug(str(artifact.digest))
            path = place / tracking.RECORDS_FILE
            if not path.is_file():
                artifact.download(root=str(place), path_prefix=tracking.RECORDS_FILE)
            yield path
