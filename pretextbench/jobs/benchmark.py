"""`job=benchmark`: the main job."""

from __future__ import annotations

from omegaconf import DictConfig

from downstream.judge.records import Record
from pretextbench import suites
from pretextbench.context import Context, opened
from pretextbench.plan import show_plan
from pretextbench.running import blind, finish, pretrain_and_judge


def run(cfg: DictConfig) -> list[str]:
    """Pretrain, or reuse, the asked-for run and its twins; judge each; print the leaderboard.

    Raises:
        ValueError, GateFailed: what the data do not suffice for, before anything is trained.
    """
    with opened(cfg) as context:
        return _work(context)


def _work(context: Context) -> list[str]:
    contexts, notes = suites.parts(context)
    for part in contexts:
        part.check(part.runs, judged=True)
    reference = context.cfg.leaderboard.reference
    kept = [{run.digest: suites.known(part, run) for run in part.runs[1:] if reference} for part in contexts]
    runs = [
        [run for run in part.runs if not had.get(run.digest)]
        for part, had in zip(contexts, kept, strict=True)
    ]
    if context.cfg.dry_run:
        show_plan(contexts, runs)
        return []
    records: list[Record] = []
    for part, own, had in zip(contexts, runs, kept, strict=True):
        records += [record for shipped in had.values() for record in shipped]
        records += [record for run in own for record in pretrain_and_judge(part, run)]
        records += blind(part)
    return finish(context, records, notes)
