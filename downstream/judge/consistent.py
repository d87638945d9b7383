"""What records of one evaluation must say of each other, and of the configuration that they were made by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from downstream.judge.shared import Complain, Found


def hold_together(found: Iterable[Found], complain: Complain) -> None:
    """Complain of seeds that contradict each other, and of a stage shown that is not the best on val."""
    evaluations: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        evaluations[one.record.evaluation.digest, one.record.subject.pretext].append(one)
    for own in evaluations.values():
        _seeds(own, complain)
        _choice(own, complain)


def _seeds(own: Sequence[Found], complain: Complain) -> None:
    first = own[0].record.subject
    for one in own:
        subject, config = one.record.subject, one.record.provenance.config
        if (said := config.get("seed", subject.seed)) != subject.seed:
            complain(f"{one.where}: seed {subject.seed}, and its configuration has {said}")
        elif subject.seed != first.seed:
            complain(f"{own[0].where} and {one.where}: one run, and seeds {first.seed} and {subject.seed}")


def _choice(own: Sequence[Found], complain: Complain) -> None:
    """Of all stages the best on val is the one that is shown; where a file has but some, nobody can say."""
    stages = [one for one in own if one.record.evaluation.primary]
    scores = [(one.record.result.scale.merit(one.record.result.val), one) for one in stages
              if one.record.result.val is not None]  # fmt: skip
    if len(stages) < 2 or len(scores) < len(stages):
        return
    best, of = max(scores, key=lambda pair: pair[0])
    for merit, one in scores:
        if one.record.result.selected and merit < best:
            complain(
                f"{one.where}: stage {one.record.evaluation.stage} is not the best on val "
                f"({one.record.result.val:.4g}); {of.record.evaluation.stage} is ({of.record.result.val:.4g})"
            )
