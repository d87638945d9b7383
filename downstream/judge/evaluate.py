"""Judge an encoder by a protocol: fit on train, select on val, then see test once; gates; records."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from downstream.judge import flags as flagged
from downstream.judge import gates
from downstream.judge.address import evaluation_digest, reusable
from downstream.judge.chance import Chance
from downstream.judge.cost import Meter
from downstream.judge.headless import evaluate_blind
from downstream.judge.kept import is_kept, keep, keeps
from downstream.judge.plain import from_plain
from downstream.judge.provenance import provenance
from downstream.judge.record_files import picture_path, write
from downstream.judge.records import Effort, Record, Subject
from downstream.judge.scoring import RESAMPLES, Scoring
from downstream.protocol import Fitted, GateFailed, Measure, Protocol, Runtime
from pretext.atomic import write_bytes
from pretext.data.dataset import DataSet, Split
from pretext.data.split import subset
from pretext.encoder import Encoder, macs, parameter_count
from pretext.spacing import evenly_spaced

PICTURED = 8
"""Test images that a picture shows predictions on."""


def check(protocol: Protocol, data: DataSet) -> None:
    """Refuse what a protocol cannot do with a data set, before anything is computed.

    Raises:
        ValueError: as `Protocol.check`.
    """
    protocol.check(data.train, *([data.test] if protocol.legacy else [data.val, data.test]))


def evaluate(
    encoder: Encoder,
    protocol: Protocol,
    data: DataSet,
    runtime: Runtime,
    *,
    subject: Subject,
    records: Path,
    config: Mapping[str, Any] | None = None,
    seen: Iterable[Split] = (),
    pictures: Path | None = None,
    heads: Path | None = None,
    draws: int = RESAMPLES,
    suite: str = "",
) -> list[Record]:
    """Judge `encoder` and write the records, one a stage and metric; return stored ones if already made.

    The protocol gets train and val; test is handed over after its `fit` returned. A legacy protocol gets
    test as val, and its records say so. Stored records count only for the very weights they were made with.

    Args:
        encoder: on the runtime's device; left as it is, which is checked.
        subject: where the encoder comes from.
        records: folder of records; the rows of the encoder-blind predictors are put there too.
        config: resolved configuration, plain JSON, for the record.
        seen: splits whose images pretraining or calibration took, where they are at hand.
        pictures: folder that gets `<digest of the evaluation>.png`, predictions on some test images.
        heads: folder that gets what was fitted, under the digest of the evaluation (see `judge.kept`), of
            protocols that keep heads. Where the records are stored without it, it is fitted again, and they
            stay as they are.
        draws: bootstrap resamples of the primary metric of the selected stage.
        suite: the frozen benchmark that the evaluation belongs to.

    Raises:
        GateFailed: a score that must not be kept; a head that, fitted again, has another score.
        DamagedCache: packed images that were changed since.
        RecordError: stored records that cannot be trusted.
    """
    name = evaluation_digest(subject, protocol, data, runtime)
    weights = encoder.digest()
    found = reusable(records, name, protocol, runtime)
    old = [record for record in found if record.provenance.weights == weights]
    if old and not lacks_head(old, protocol, heads):
        return old
    flags = _check_before(encoder, protocol, data, subject, seen)
    unmoved = gates.Unmoved(encoder)
    meter = Meter(runtime.device)
    with _in_eval_mode(encoder):
        fitted = protocol.fit(encoder, data.train, data.test if protocol.legacy else data.val, runtime)
        meter.lap("fit")
        predicted = fitted.predict(data.test)
        meter.lap("predict")
        if pictures is not None:
            names = {"detection": data.box_names, "segmentation": data.mask_names}.get(protocol.task, ())
            _picture(fitted, data.test, names, picture_path(pictures, name))
    unmoved.check()
    predictors = protocol.blind()
    blind = evaluate_blind(
        protocol, data, runtime, records=records, draws=draws, suite=suite, predictors=predictors
    )
    chance = Chance.of(blind, predictors, encoder.input.sees_color)
    metrics = protocol.metrics(data.test)
    flags += _of_head(fitted, protocol, metrics, chance, len(data.val))
    height, width = data.test.pixels.shape[1:3]
    flops = 2 * macs(encoder, (height, width))
    cost = meter.cost(len(data.test), parameter_count(encoder), flops, effort_of(encoder))
    job = Scoring(
        name,
        protocol,
        metrics,
        data,
        runtime,
        subject,
        cost,
        provenance(config or {}, weights, type(protocol).__module__),
        draws,
        suite,
    )
    made, rows = job.records(predicted, fitted, flags, chance)
    if old:
        _same(_main(old), _main(made), records / f"{name}.json")
        made = old
    else:
        write(records, made, rows)
    if heads is not None and keeps(protocol):
        keep(heads / name, fitted, protocol, encoder, data, _main(made))
    return made


def lacks_head(records: Sequence[Record], protocol: Protocol, heads: Path | None) -> bool:
    """Whether the head of an evaluation that is recorded would be kept in a folder, and is not there.

    Args:
        records: all of one evaluation; none where it was not made.
        heads: as in `evaluate`; None where nothing is kept.
    """
    if heads is None or not keeps(protocol) or not records:
        return False
    return not is_kept(heads / records[0].evaluation.digest, _main(records))


def _main(records: Sequence[Record]) -> Record:
    """That of the selected stage by the primary metric."""
    return next(r for r in records if r.result.selected and r.evaluation.primary)


def _same(old: Record, new: Record, path: Path) -> None:
    """What was fitted again has the score that is recorded.

    Raises:
        GateFailed: it has another, or stands on another stage.
    """
    was, now = ((r.evaluation.stage, r.evaluation.metric, r.result.value) for r in (old, new))
    if was != now:
        said = [f"{metric} {value:g} at stage {stage!r}" for stage, metric, value in (was, now)]
        raise GateFailed(
            "head",
            f"recorded is {said[0]}, but fitted again for its head it is {said[1]}: nothing was kept; delete "
            f"{path} to have both made anew",
        )


def effort_of(encoder: Encoder) -> Effort | None:
    """What pretraining an encoder took, by what was saved with it; None where that does not say.

    Raises:
        ValueError: a file that says it wrongly.
    """
    said = encoder.provenance.get("effort")
    return None if said is None else from_plain(Effort, said, "provenance.effort")


def _picture(fitted: Fitted, test: Split, names: Sequence[str], path: Path) -> None:
    """Draw what a head predicts on some test images, evenly spaced, after all selection is done."""
    drawn = fitted.show(subset(test, evenly_spaced(len(test), PICTURED)), names)
    if drawn is not None:
        file = io.BytesIO()
        Image.fromarray(drawn).save(file, format="PNG")
        write_bytes(path, file.getvalue())


@contextmanager
def _in_eval_mode(encoder: Encoder) -> Iterator[None]:
    """Each module is in the mode that it was in before when the block ends."""
    modes = [(module, module.training) for module in encoder.modules()]
    encoder.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _of_head(
    fitted: Fitted, protocol: Protocol, metrics: Mapping[str, Measure], chance: Chance, val: int
) -> tuple[str, ...]:
    """What a reader must know of the head that was fitted; val: images of that split.

    Raises:
        GateFailed: as `gates.head_trained`.
    """
    primary, measure = next(iter(metrics.items()))
    level, scale = chance.comparable.get(primary), measure.scale
    flags = gates.head_trained(
        fitted,
        (scale.worst if level is None else level.value) if protocol.trains_head else None,
        "nothing" if level is None else level.predictor,
        scale,
    )
    if protocol.trains_head:
        flags += gates.head_fitted(fitted, protocol.trains_encoder, val, scale)
    return (*flags, *(f"{flagged.AT_EDGE}{edge}" for edge in fitted.at_edge))


def _check_before(
    encoder: Encoder, protocol: Protocol, data: DataSet, subject: Subject, seen: Iterable[Split]
) -> tuple[str, ...]:
    gates.input_as_declared(encoder, subject.input)
    gates.packs_unchanged(data)
    gates.splits_disjoint(data)
    flags = gates.unseen_by_pretraining(subject, seen, data) + gates.told_by_pretraining(encoder)
    return (*flags, flagged.SELECTED_ON_TEST) if protocol.legacy else flags
