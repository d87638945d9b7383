"""`job=evaluate`: an encoder from anywhere, judged."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from downstream.judge.records import Record, Subject
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

    No record where the context is of a dry run, which is printed.

    Raises:
        ValueError: no protocol that the data suffice for; as `subjects.of_encoder`.
    """
    subject = subjects.of_encoder(encoder, context.cfg.label, named_seed(context.cfg))
    _ = context.named_protocols  # built, and refused, before anything is read
    contexts, notes = suites.parts(context)
    for part in contexts:
        part.check_protocols()
    others = recorded(context.records)
    _refuse_two_seeds(subject, others.records)
    if context.cfg.dry_run:
        show_judging(contexts, encoder, subject)
        return Recorded([], notes)
    records: list[Record] = []
    for part in contexts:
        records += judged(part, encoder, subject, part.resolved(), seen=())
        records += blind(part)
    shared = {
        (r.subject.input, r.subject.backbone, r.evaluation.data) for r in records if not r.subject.blind
    }
    records += [
        r
        for r in others.records
        if r.subject.pretext in runs.TWINS
        and (r.subject.input, r.subject.backbone, r.evaluation.data) in shared
    ]
    return Recorded(records, (*notes, *others.notes))


def _refuse_two_seeds(subject: Subject, records: Sequence[Record]) -> None:
    """Refuse weights that were judged as another seed: they would be a second draw of the same.

    Raises:
        ValueError: names the seed and the file of the record.
    """
    for record in records:
        known = record.subject
        same = (known.run, known.pretext) == (subject.run, subject.pretext)
        if same and (known.seed, known.recipe) != (subject.seed, subject.recipe):
            raise ValueError(
                f"these weights were judged as seed {known.seed} of {known.pretext} before "
                f"({record.evaluation.digest[:16]}….json), and would be seed {subject.seed} now: several "
                "seeds are several encoders, each judged with a seed= of its own"
            )
