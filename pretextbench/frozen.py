"""The locks and the reference rows that ship with frozen benchmarks; read without torch.

A lock file beside a suite's YAML holds the digests of its data and of the settings of its protocols.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from downstream.judge.record_files import import_jsonl
from downstream.judge.records import Record
from pretextbench.configurations import CONF

FOLDER = CONF / "suite"


class Target(NamedTuple):
    """What a lock says of one set that a suite judges on.

    config: digest of how the set is read. splits, protocols: digests of its splits, and of their settings.
    """

    config: str
    splits: dict[str, str]
    protocols: dict[str, str]


class Lock(NamedTuple):
    """The digests of a frozen suite.

    pretraining: digest of how the set is read that is pretrained on. splits: digests of its splits.
    """

    name: str
    version: int
    pretraining: str
    splits: dict[str, str]
    targets: dict[str, Target]

    @property
    def label(self) -> str:
        """How records name the suite."""
        return label_of(self.name, self.version)

    def holds(self, splits: Mapping[str, str], protocol: str, settings: str) -> bool:
        """Whether an evaluation on these splits, with these settings of a protocol, is one of the suite."""
        return any(
            target.splits == splits and target.protocols.get(protocol) == settings
            for target in self.targets.values()
        )


def label_of(name: str, version: int) -> str:
    """How records name a suite."""
    return f"{name} v{version}"


@functools.cache
def locks() -> tuple[Lock, ...]:
    """The locks of all suites."""
    return tuple(read_lock(path) for path in sorted(FOLDER.glob("*.lock.json")))


def read_lock(path: Path) -> Lock:
    """Read a lock file."""
    kept: dict[str, Any] = json.loads(path.read_text())
    return Lock(**{**kept, "targets": {name: Target(**target) for name, target in kept["targets"].items()}})


def lock_path(suite: str) -> Path:
    """Where the lock of a suite lies."""
    return FOLDER / f"{suite}.lock.json"


def reference_path(label: str) -> Path:
    """Where the reference rows of a suite lie, by its name and version."""
    return FOLDER / f"{label.replace(' ', '.')}.jsonl.gz"


def reference(label: str) -> tuple[Record, ...]:
    """The reference rows of a suite; none where it has none."""
    return _read(reference_path(label))


@functools.cache
def _read(path: Path) -> tuple[Record, ...]:
    return tuple(import_jsonl(path)) if path.is_file() else ()
