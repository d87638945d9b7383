"""Where a score comes from: code, versions, time."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from downstream.digest import source_digest
from downstream.judge.records import Provenance

LIBRARIES = ("pretextbench", "torch", "torchvision", "numpy", "scipy", "scikit-learn")
ROOM = Path(__file__).parent


def provenance(config: Mapping[str, Any], weights: str) -> Provenance:
    """Provenance of a score that was measured now.

    Args:
        config: the resolved configuration as plain JSON values.
        weights: digest of the encoder; empty where there is none.
    """
    commit, dirty = code_version()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Provenance(dict(config), commit, dirty, _versions(), now, scoring_digest(), weights)


@cache
def scoring_digest() -> str:
    """Digest of the code that scores; tables are none of it. Read once, as code is loaded once."""
    return source_digest(ROOM.parent, leave_out=("leaderboard", "study"))


@cache
def code_version() -> tuple[str, bool]:
    """Commit of this code and whether tracked files differ from it; ("", False) outside its repository."""
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if tracked else None
    if not commit:
        return "", False
    return commit, bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOM, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:  # a library that tests or a bare checkout do without
            continue
    return versions
