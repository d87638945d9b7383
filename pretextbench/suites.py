"""Frozen benchmarks: what a suite judges on, and whether an evaluation is one of it.

A record belongs to a suite if its data and its settings are in the suite's lock, however they were asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig

from downstream.digest import digest
from downstream.judge.address import evaluation_digest
from downstream.judge.records import Record
from downstream.protocol import Protocol
from pretext.data.dataset import DataSet
from pretext.data.source import MissingData
from pretext.identity import identity_of
from pretextbench import runs, subjects
from pretextbench.console import console
from pretextbench.context import Context
from pretextbench.frozen import Lock, Target, locks, reference
from pretextbench.identities import of_node

GROUP = "suite"


class Parts(NamedTuple):
    """The contexts of a command, one a target, and what a reader must know of those that are left out."""

    contexts: list[Context]
    notes: tuple[str, ...]


def parts(context: Context) -> Parts:
    """One context for each target of the suite that is asked for; this one itself without a suite of several.

    Targets whose data are not at hand are left out aloud.

    Raises:
        ValueError: no target's data are at hand.
    """
    suite = context.cfg.suite
    if suite is None or not suite.targets:
        return Parts([context], ())
    contexts, notes = [], []
    for name in suite.targets:
        part = Context(of_target(suite.name, name), context.data)
        try:
            _ = part.target  # read
        except InstantiationException as error:  # Hydra's, around the reader's own
            if not isinstance(error.__cause__, MissingData):
                raise
            notes.append(f"{suite.name} is not complete: {name} is left out ({error.__cause__})")
            console.print(notes[-1], style="yellow", soft_wrap=True)
        else:
            contexts.append(part)
    if not contexts:
        raise ValueError(f"suite={suite.name}: the data of none of its targets are at hand")
    return Parts(contexts, tuple(notes))


def of_target(suite: str, target: str) -> DictConfig:
    """The configuration of this command for one target of a suite."""
    given = [o for o in HydraConfig.get().overrides.task if not o.startswith(f"{GROUP}=")]
    return compose("config", overrides=[f"{GROUP}={suite}/{target}", *given])


def label(data: DataSet, protocol: Protocol) -> str:
    """The suite that an evaluation belongs to, by name and version; empty where it is one's own."""
    splits = {name: split.digest for name, split in data.splits.items()}
    own = digest(identity_of(protocol))
    return next((lock.label for lock in locks() if lock.holds(splits, protocol.name, own)), "")


def lock_of(name: str, version: int, contexts: Sequence[tuple[str, Context]]) -> Lock:
    """The lock of a suite as it is now; its data must be at hand.

    Args:
        contexts: target and context of each target.
    """
    first = contexts[0][1]
    return Lock(
        name,
        version,
        read_as(first.cfg.data),
        {part: split.digest for part, split in first.data.splits.items() if part != "test"},
        {target: _target_of(context) for target, context in contexts},
    )


def read_as(data: DictConfig) -> str:
    """Digest of how a set is read, wherever it lies."""
    return digest(of_node({key: value for key, value in runs.plain(data).items() if key != "root"}))


def _target_of(context: Context) -> Target:
    return Target(
        read_as(context.cfg.target or context.cfg.data),
        {name: split.digest for name, split in context.target.splits.items()},
        {protocol.name: digest(identity_of(protocol)) for protocol in context.protocols.values()},
    )


def known(context: Context, twin: runs.Run) -> list[Record]:
    """The records of a twin that ship with a suite, if those of all the context's evaluations of it do."""
    subject = subjects.of_run(twin, None)
    wanted = {
        evaluation_digest(subject, p, context.target, context.runtime()) for p in context.protocols.values()
    }
    found = [r for lock in locks() for r in reference(lock.label) if r.evaluation.digest in wanted]
    return found if {r.evaluation.digest for r in found} == wanted else []
