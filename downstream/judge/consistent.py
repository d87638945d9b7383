"""What records of one evaluation must say of each other, and of the configuration that they were made by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from downstream.judge.seeds import contradiction
from downstream.judge.shared import Complain, Found, column_of
from downstream.protocol import Direction


def hold_together(found: Iterable[Found], complain: Complain) -> None:
    """Complain of seeds that contradict each other, and a shown stage that is not the best on val or none."""
    evaluations: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for one in found:
        evaluations[one.record.evaluation.digest, one.record.subject.pretext].append(one)
    for own in evaluations.values():
        _seeds(own, complain)
        _choice(own, complain)


def equally_resampled(found: Sequence[Found], complain: Complain) -> None:
    """Complain of fewer resamples than others of a column have: all would be read by as few."""
    columns: dict[tuple[object, ...], list[tuple[int, Found]]] = defaultdict(list)
    for one in found:
        if kept := len(one.record.result.resampled):
            columns[column_of(one.record.evaluation)].append((kept, one))
    for own in columns.values():
        most = max(kept for kept, _ in own)
        for kept, one in own:
            if kept < most:
                complain(f"{one.where}: result.resampled has {kept}, others of its column {most}")


def alike_of_images(found: Iterable[Found], complain: Complain) -> None:
    """Complain of the same images in another number, or of another size."""
    first: dict[str, tuple[tuple[int | None, tuple[int, int]], Found]] = {}
    for one in _apart(found, "data"):
        data = one.record.data
        for split, digest in data.digests.items():
            said = data.counts.get(split), data.resolution
            before, other = first.setdefault(digest, (said, one))
            if before != said:
                (count, size), (images, now) = before, said
                complain(
                    f"{other.where} and {one.where}: the same images of {split} are {count} of {size} and "
                    f"{images} of {now} (height, width)"
                )
                break


def one_encoder_a_seed(found: Iterable[Found], complain: Complain) -> None:
    """Complain of the same weights as several seeds of a row, and of several encoders as one seed of it."""
    first: dict[tuple[str, ...], Found] = {}
    for one in _apart(found, "subject"):
        subject = one.record.subject
        for key in ((subject.pretext, subject.run), (subject.pretext, subject.recipe, str(subject.seed))):
            other = first.setdefault(key, one)
            if problem := contradiction(other.record.subject, subject):
                complain(f"{other.where} and {one.where}: {problem}")
                break


def _apart(found: Iterable[Found], part: str) -> Iterator[Found]:
    """The first of those that have one object as that part, as records that were read together have."""
    told: set[int] = set()
    for one in found:
        if (address := id(getattr(one.record, part))) not in told:
            told.add(address)
            yield one


def _seeds(own: Sequence[Found], complain: Complain) -> None:
    first = own[0].record.subject
    for one in own:
        subject, config = one.record.subject, one.record.provenance.config
        # A pretraining's; an encoder that was brought has another's, or none.
        trained = "pretext" in config and config.get("job") != {"name": "evaluate"}
        if trained and (said := config.get("seed", subject.seed)) != subject.seed:
            complain(f"{one.where}: seed {subject.seed}, and its configuration has {said}")
        elif subject.seed != first.seed:
            complain(f"{own[0].where} and {one.where}: one run, and seeds {first.seed} and {subject.seed}")


def _choice(own: Sequence[Found], complain: Complain) -> None:
    """Of all stages the best on val is the one that is shown; where a file has but some, nobody can say.

    Where less of the metric is better, a protocol may choose by that or by another score, of which more is
    better: its record does not say, and the best by either will do.
    """
    stages = [one for one in own if one.record.evaluation.primary]
    if stages and not any(one.record.result.selected for one in stages):
        complain(
            f"{stages[0].where}: of an evaluation all stages are shared, and none of these was chosen: "
            f"{', '.join(one.record.evaluation.stage for one in stages)}"
        )
    scores = [(one.record.result.val, one) for one in stages if one.record.result.val is not None]
    if len(stages) < 2 or len(scores) < len(stages):
        return
    most, of = max(scores, key=lambda pair: pair[0])
    least = min(val for val, _ in scores)
    for val, one in scores:
        result, e = one.record.result, one.record.evaluation
        best = val == most or (result.direction == Direction.LOWER.value and val == least)
        if result.selected and not best:
            complain(
                f"{one.where}: stage {e.stage} is not the best on val ({val:.4g}); "
                f"{of.record.evaluation.stage} is ({most:.4g})"
            )
