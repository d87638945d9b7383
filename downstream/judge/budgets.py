"""What records say that pretraining took, held to the configurations that they keep and to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from downstream.judge.records import Effort, Record, Subject
from downstream.judge.shared import Complain, Found
from pretext.described import budget

LEAGUE = "colorization"
"""The task whose rows are grouped by division, and whose images are of all that led to the system."""
ALIKE = ("images_seen", "backbone", "input", "calibration", "twins")
"""What seeds of one recipe have alike."""
TRAINED_BY_OTHERS = "unknown"
"""Budget of weights that others have trained."""

ELSEWHERE = "whose configuration asks for no run, or for another"
SIZE = "whose pretraining images no record here counts"


class Given(NamedTuple):
    """What a configuration gives the run that it asks for.

    epochs: of the run. budget: of its rows, see `pretext.described.budget`. batch: images a step.
    steps: that an epoch has at most; None where it takes all images. before: whether it started from a run
    that trains.
    """

    epochs: int
    budget: str
    batch: int
    steps: int | None
    before: bool


def hold_to_budgets(found: Sequence[Found], complain: Complain) -> Counter[str]:
    """Complain of budgets, images and views that a configuration, a twin or other records contradict.

    Returns: how many records were not recomputed from their configuration, by the reason; those of predictors
        without an encoder are not among them.
    """
    sizes = _sizes(found, complain)
    rows = [one for one in found if one.record.evaluation.task != LEAGUE]
    unchecked: Counter[str] = Counter()
    told: dict[tuple[object, ...], tuple[str, str]] = {}
    for one in rows:
        record = one.record
        parts = (id(record.subject), id(record.provenance), id(record.cost))
        if parts not in told:
            told[parts] = _contradiction(record, sizes)
        problem, reason = told[parts]
        if problem:
            complain(f"{one.where}: {problem}")
        elif reason:
            unchecked[reason] += 1
    _same_runs(found, complain)
    _twins(rows, complain)
    return unchecked


def given(record: Record) -> Given | None:
    """What the configuration of a record gives; None where it asks for no run, or for another."""
    config, name = record.provenance.config, record.subject.pretext
    pretext, trainer = _mapping(config, "pretext"), _mapping(config, "trainer")
    asked, initialisation = pretext.get("name"), config.get("initialisation")
    if _mapping(config, "job").get("name") == "evaluate" or not isinstance(asked, str):
        return None
    if name not in (asked, f"{asked}_from_{initialisation}"):
        return None  # older records of a twin keep what was asked for
    rows, batch = _whole(trainer, "epochs"), _whole(trainer, "batch_size")
    if rows is None or not batch:
        return None
    own, steps = _whole(pretext, "epochs"), _whole(trainer, "epoch_batches")
    epochs = rows if own is None else own
    alike = budget(max(rows, epochs), steps, batch) if epochs else ""
    if (own_steps := _whole(pretext, "epoch_batches")) is not None:
        steps = own_steps
    return Given(epochs, alike, batch, steps, pretext.get("parent") is not None)


def _contradiction(record: Record, sizes: Mapping[str, int]) -> tuple[str, str]:
    """What a record says and cannot be, in words; else why it was not recomputed, empty where it was."""
    subject, effort = record.subject, record.cost.pretraining
    if subject.blind:
        said = subject.budget or ("" if effort is None else f"{effort.images} images")
        return (f"{subject.pretext!r} looks at no encoder, and has a budget: {said!r}" if said else ""), ""
    if problem := _impossible(subject, effort):
        return problem, ""
    if (asked := given(record)) is None:
        return "", ELSEWHERE
    if subject.budget != asked.budget and not (subject.budget == TRAINED_BY_OTHERS and not asked.epochs):
        return f"subject.budget {subject.budget!r}, and its configuration gives {asked.budget!r}", ""
    size = sizes.get(subject.pretraining_digest)
    if problem := _other_images(subject.images_seen, asked, size):
        return problem, ""
    if effort is not None and not asked.before and effort.images != subject.images_seen:
        return (
            f"cost.pretraining.images {effort.images}, of a run that started from no other and saw "
            f"{subject.images_seen}"
        ), ""
    return "", SIZE if asked.epochs and not size else ""


def _impossible(subject: Subject, effort: Effort | None) -> str:
    """What no pretraining takes, whatever it was asked for by."""
    if effort is None:
        return ""
    if effort.images < subject.images_seen:
        return (
            f"cost.pretraining.images {effort.images}, less than the {subject.images_seen} of its last run "
            "(subject.images_seen)"
        )
    for name, value in (("views", effort.views), ("flops", effort.flops)):
        if value is not None and bool(value) != bool(effort.images):
            return f"cost.pretraining.{name} {value} of {effort.images} images"
    return ""


def _other_images(seen: int, asked: Given, size: int | None) -> str:
    """Why so many images are not those of whole steps and epochs, in words.

    Args:
        size: images of the set, where it is known. Without it an epoch has whole steps, or a single one of a
            set that is smaller than that.
    """
    said = f"subject.images_seen {seen}, and its configuration gives {asked.epochs} epochs of"
    if not asked.epochs:
        return f"{said} none" if seen else ""
    if size:
        batch = min(asked.batch, size)
        steps = size // batch if asked.steps is None else min(size // batch, asked.steps)
        wanted = asked.epochs * steps * batch
        return f"{said} {steps} steps of {batch} images, {wanted}" if seen != wanted else ""
    each, rest = divmod(seen, asked.epochs)
    if rest or not each or (each > asked.batch and each % asked.batch):
        return f"{said} whole steps of {asked.batch} images"
    if asked.steps is not None and each > asked.steps * asked.batch:
        return f"{said} {asked.steps} steps of {asked.batch} images"
    return ""


def _sizes(found: Sequence[Found], complain: Complain) -> dict[str, int]:
    """Images of each split by its digest."""
    first: dict[str, tuple[int, Found]] = {}
    for one in _differing(found, lambda record: id(record.data)):
        data = one.record.data
        for name, split in data.digests.items():
            count = data.counts.get(name)
            if count is None:
                continue
            said, other = first.setdefault(split, (count, one))
            if said != count:
                complain(
                    f"{other.where} and {one.where}: data.counts: one split with {said} and with {count} "
                    "images"
                )
    return {split: count for split, (count, _) in first.items()}


def _same_runs(found: Sequence[Found], complain: Complain) -> None:
    """What records of one run, or of several seeds of one recipe, say of it."""
    first: dict[tuple[str, ...], tuple[object, Found]] = {}
    for one in _differing(found, lambda record: (id(record.subject), id(record.cost))):
        record = one.record
        if record.subject.blind:
            continue
        for key, what, value in _counted(record):
            said, other = first.setdefault(key, (value, one))
            if said != value:
                complain(f"{other.where} and {one.where}: {key[0]}, and {what} {said} and {value}")


def _counted(record: Record) -> Iterator[tuple[tuple[str, ...], str, object]]:
    """What has to be alike between records: of what, the field, its value."""
    subject, effort = record.subject, record.cost.pretraining
    league = str(record.evaluation.task == LEAGUE)
    for name in ALIKE:
        value = getattr(subject, name)
        yield ("one recipe", subject.recipe, subject.pretext, league, name), f"subject.{name}", value
    for name in ("images", "views"):
        value = None if effort is None else getattr(effort, name)
        if value is not None:
            field = f"cost.pretraining.{name}"
            yield ("one run", subject.run, subject.pretext, league, field), field, value


def _twins(rows: Sequence[Found], complain: Complain) -> None:
    """A twin that is trained is given what its row is, and takes no fewer images than it."""
    by_recipe = {one.record.subject.recipe: one for one in rows}
    for one in _differing(rows, lambda record: id(record.subject)):
        subject = one.record.subject
        for name, recipe in subject.twins.items():
            twin = by_recipe.get(recipe)
            if twin is None or not twin.record.subject.budget or _fixed(twin.record):
                continue
            theirs = twin.record.subject
            if theirs.budget != subject.budget:
                what = f"budget {subject.budget!r}, and its twin {name} has {theirs.budget!r}"
            elif subject.images_seen > theirs.images_seen:
                what = (
                    f"images_seen {subject.images_seen}, and its twin {name} of the same budget "
                    f"{theirs.images_seen}"
                )
            else:
                continue
            complain(f"{one.where} and {twin.where}: subject.{what}")


def _differing(found: Sequence[Found], part: Callable[[Record], Hashable]) -> Iterator[Found]:
    """The first record of each part: parts that records have alike are one object."""
    known: set[Hashable] = set()
    for one in found:
        if (key := part(one.record)) not in known:
            known.add(key)
            yield one


def _fixed(record: Record) -> bool:
    """Whether a twin is trained for a length of its own, whatever its row is given."""
    pretext = _mapping(record.provenance.config, "pretext")
    return any(_whole(pretext, key) is not None for key in ("epochs", "epoch_batches"))


def _mapping(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = config.get(key)
    return found if isinstance(found, Mapping) else {}


def _whole(node: Mapping[str, Any], key: str) -> int | None:
    found = node.get(key)
    return found if type(found) is int and found >= 0 else None
