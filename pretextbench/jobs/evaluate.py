"""`job=evaluate`: an encoder from anywhere, judged."""

from __future__ import annotations

from omegaconf import DictConfig

from downstream.judge.records import Record
from pretextbench import members, suites
from pretextbench.board import recorded
from pretextbench.encoders import named_encoder
from pretextbench.plan import show_judging
from pretextbench.running import blind, finish, judged
from pretextbench.workbench import Workbench, opened


def run(cfg: DictConfig) -> list[str]:
    """Judge an encoder from anywhere; the table shows it beside what was recorded for its twins.

    Raises:
        ValueError: no encoder is named, or none by that name; no protocol that the data suffice for.
    """
    with opened(cfg) as bench:
        return _work(bench)


def _work(bench: Workbench) -> list[str]:
    encoder = named_encoder(bench)
    benches, notes = suites.parts(bench)
    for part in benches:
        part.check_protocols()
    subject = members.own_subject(encoder, bench.cfg.label)
    if bench.cfg.dry_run:
        show_judging(benches, encoder, subject)
        return []
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
    return finish(bench, records, (*notes, *others.notes))
