"""Where a score comes from: code, versions, time.

The digest of the scoring code is that of what computes a protocol's values: its module, what that imports of
`downstream`, and the bootstrap. It addresses nothing, and says whether a score would be made by the same code
today.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from downstream.digest import files_digest, source_digest
from downstream.judge.records import Provenance

LIBRARIES = ("pretextbench", "torch", "torchvision", "numpy", "scipy", "scikit-learn")
ROOM = Path(__file__).parent
PACKAGE = "downstream"
CODE = ("../../pretext", "../../downstream", "../../pretextbench", "../../conf", ":(top,exclude)*.jsonl.gz")
"""What makes a score, from here; what it is compared with lies among the configurations."""
BOOTSTRAP = "downstream.metrics.bootstrap"
ALIKE = ROOM / "alike.json"
"""Digests of scoring code that gave the same scores to the bit, in groups, by module of the protocol's class;
`benchmarks/suites.py alike` judges so and writes it."""

_IMPORT = re.compile(r"^\s*from (downstream[\w.]*) import (\([^)]*\)|[^\n]*)", re.M)
"""As this package imports from itself, without any other form."""


def provenance(config: Mapping[str, Any], weights: str, module: str = "") -> Provenance:
    """Provenance of a score that was measured now.

    Args:
        config: the resolved configuration as plain JSON values.
        weights: digest of the encoder; empty where there is none.
        module: of the class of the protocol.
    """
    commit, dirty = code_version()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Provenance(dict(config), commit, dirty, _versions(), now, scoring_digest(module), weights)


@cache
def scoring_digest(module: str = "") -> str:
    """Digest of the code that computes the values of a protocol. Read once, as code is loaded once.

    Args:
        module: of the class of the protocol; of one of somebody's own, or of none, all scoring code counts.
    """
    if module.partition(".")[0] != PACKAGE:
        return source_digest(ROOM.parent, leave_out=("leaderboard", "study"))
    waiting, found = [module, BOOTSTRAP], dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name not in found and (path := _file(name)) is not None:
            found[name] = path
            waiting += _imported(path)
    return files_digest(ROOM.parent, found.values())


def outdated(scoring: str, module: str) -> bool:
    """Whether a score was made by other code than scores today, which was not seen to score alike.

    Args:
        scoring: of its provenance; older ones are of all scoring code.
        module: of the class of its protocol.
    """
    alike_now = code_of(scoring, module) == code_of(scoring_digest(module), module)
    return not alike_now and scoring != scoring_digest()  # of all code, which takes longer to read


def code_of(scoring: str, module: str) -> str:
    """What stands for scoring code: the first digest of those that were seen to score alike."""
    return next((min(group) for group in alike().get(module, ()) if scoring in group), scoring)


@cache
def alike() -> dict[str, tuple[frozenset[str], ...]]:
    """Groups of digests of scoring code that gave the same scores, by module."""
    kept: dict[str, list[list[str]]] = json.loads(ALIKE.read_text(encoding="utf-8"))
    return {module: tuple(map(frozenset, groups)) for module, groups in kept.items()}


@cache
def _imported(path: Path) -> tuple[str, ...]:
    """Modules of this package that a file imports, and names that may be modules."""
    found = []
    for package, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
        found += [package, *(f"{package}.{name}" for name in re.findall(r"\w+", names))]
    return tuple(found)


def _file(module: str) -> Path | None:
    """The file of a module of this package; None for what is none."""
    base = ROOM.parent.parent.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def code_version() -> tuple[str, bool]:
    """Commit of this code and whether that differs from it; ("", False) outside its repository.

    Code is the packages beside this one, with their configurations: a page or a result that was written
    since makes no other score, and a file that nobody added does.
    """
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    commit = _git("rev-parse", "HEAD") if tracked else None
    if not commit:
        return "", False
    return commit, bool(_git("status", "--porcelain", "--", *CODE))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOM, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _versions() -> dict[str, str]:
    """Of Python and what a score may hang on; read once, and changed by nobody."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:  # a library that tests or a bare checkout do without
            continue
    return versions
