"""`job=evaluate`: an encoder from anywhere, judged."""

from __future__ import annotations

from omegaconf import DictConfig

from downstream.judge.records import Record
from pretext.encoder import Encoder
from pretextbench import members, suites
from pretextbench.board import Recorded, recorded
from pretextbench.encoders import named_encoder
from pretextbench.plan import show_judging
from pretextbench.running import blind, finish, judged
from pretextbench.workbench import Workbench, opened


def run(cfg: DictConfig) -> list[str]:
    """Judge an encoder from anywhere; the table shows it beside what was recorded for its twins.

    Raises:
        ValueError: no encoder by that name; no protocol that the data suffice for.
    """
    with opened(cfg) as bench:
        found = judge(bench, named_encoder(bench))
        return finish(bench, found.records, found.notes) if found.records else []


def judge(bench: Workbench, encoder: Encoder) -> Recorded:
    """Judge an encoder by all protocols of a bench: its records, its twins', and what a reader must know.

    No record where the bench is of a dry run, which is printed.

    Raises:
        ValueError: no protocol that the data suffice for.
    """
    benches, notes = suites.parts(bench)
    for part in benches:
        part.check_protocols()
    subject = members.own_subject(encoder, bench.cfg.label)
    if bench.cfg.dry_run:
        show_judging(benches, encoder, subject)
        return Recorded([], notes)
    records: list[Record] = []
    for part in benches:
        records += judged(part, encoder, subject, part.resolved(), seen=())
        records += blind(part)
    shared = {
        (r.subject.input, r.subject.backbone, r.evaluation.data) for r in records if not r.subject.blind
    }
    others = recorded(bench.records)
    records += [
        r
        for r in others.records
        if r.subject.pretext in members.TWINS
        and (r.subject.input, r.subject.backbone, r.evaluation.data) in shared
    ]
    return Recorded(records, (*notes, *others.notes))
