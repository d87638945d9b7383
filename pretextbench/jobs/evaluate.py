"""`job=evaluate`: an encoder from anywhere, judged."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from downstream.judge.records import Evaluation, Record, Subject
from downstream.judge.seeds import contradiction
from pretext.encoder import Encoder
from pretextbench import runs, subjects, suites
from pretextbench.context import Context, opened
from pretextbench.encoders import named_encoder, named_seed
from pretextbench.plan import show_judging
from pretextbench.recorded import Recorded, recorded
from pretextbench.running import blind, finish, judged


def run(cfg: DictConfig) -> list[str]:
    """Judge an encoder from anywhere; the table shows it beside what was recorded for its twins.

    Raises:
        ValueError: no encoder by that name; no protocol that the data suffice for.
    """
    with opened(cfg) as context:
        found = judge(context, named_encoder(context))
        return finish(context, found.records, found.notes) if found.records else []


def judge(context: Context, encoder: Encoder) -> Recorded:
    """Judge an encoder by all protocols of a context: its records, its twins', and what a reader must know.

    Those of other seeds of its row are among them. No record where the context is of a dry run, which is
    printed.

    Raises:
        ValueError: no protocol that the data suffice for; as `subjects.of_encoder`.
    """
    subject = subjects.of_encoder(encoder, context.cfg.label, named_seed(context.cfg))
    _ = context.named_protocols  # built, and refused, before anything is read
    contexts, notes = suites.parts(context)
    for part in contexts:
        part.check_protocols()
    others = recorded(context.records)
    _refuse_contradictions(subject, others.records)
    if context.cfg.dry_run:
        show_judging(contexts, encoder, subject)
        return Recorded([], notes)
    records: list[Record] = []
    for part in contexts:
        records += judged(part, encoder, subject, part.resolved(), seen=())
        records += blind(part)
    return Recorded(records + _beside(records, subject, others.records), (*notes, *others.notes))


def _beside(made: Sequence[Record], subject: Subject, others: Sequence[Record]) -> list[Record]:
    """What was recorded of the twins on the same sets, and of the row's other seeds in the same columns."""
    sets = {r.evaluation.data for r in made if not r.subject.blind}
    columns = {(r.evaluation.data, r.evaluation.protocol, r.evaluation.settings) for r in made}

    def wanted(evaluation: Evaluation, other: Subject) -> bool:
        if other.pretext in runs.TWINS:
            alike = (other.input, other.backbone) == (subject.input, subject.backbone)
            return alike and evaluation.data in sets
        own = (other.pretext, other.recipe) == (subject.pretext, subject.recipe) and other.run != subject.run
        return own and (evaluation.data, evaluation.protocol, evaluation.settings) in columns

    return [r for r in others if wanted(r.evaluation, r.subject)]


def _refuse_contradictions(subject: Subject, records: Sequence[Record]) -> None:
    """Refuse weights that were judged as another seed, and another encoder's seed.

    Raises:
        ValueError: names both, and the file of the record.
    """
    for record in records:
        if problem := contradiction(record.subject, subject):
            raise ValueError(
                f"{problem}; {record.evaluation.digest[:16]}….json is of the first. Seeds are as many "
                "encoders, each with a seed= of its own; what replaces another goes by another label="
            )
