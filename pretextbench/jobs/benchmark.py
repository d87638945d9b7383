"""`job=benchmark`: the main job."""

from __future__ import annotations

from omegaconf import DictConfig

from downstream.judge.records import Record
from pretextbench import suites
from pretextbench.plan import show_plan
from pretextbench.running import blind, finish, pretrain_and_judge
from pretextbench.workbench import Workbench, opened


def run(cfg: DictConfig) -> list[str]:
    """Pretrain, or reuse, the asked-for run and its twins; judge each; print the leaderboard.

    Raises:
        ValueError, GateFailed: what the data do not suffice for, before anything is trained.
    """
    with opened(cfg) as bench:
        return _work(bench)


def _work(bench: Workbench) -> list[str]:
    benches, notes = suites.parts(bench)
    for part in benches:
        part.check(part.members, judged=True)
    reference = bench.cfg.leaderboard.reference
    kept = [
        {run.digest: suites.known(part, run) for run in part.members[1:] if reference} for part in benches
    ]
    runs = [
        [run for run in part.members if not had.get(run.digest)]
        for part, had in zip(benches, kept, strict=True)
    ]
    if bench.cfg.dry_run:
        show_plan(benches, runs)
        return []
    records: list[Record] = []
    for part, own, had in zip(benches, runs, kept, strict=True):
        records += [record for shipped in had.values() for record in shipped]
        records += [record for run in own for record in pretrain_and_judge(part, run)]
        records += blind(part)
    return finish(bench, records, notes)
