"""What must hold before a score is kept. A failed gate is an error, or a flag that every table shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from downstream.judge.flags import (
    DIVERGED,
    HEAD_UNTRAINED,
    OF_PRETRAINING,
    OVERLAP_UNCHECKED,
    PART_OF_PRETRAINING,
    UNDERFITTED,
    by,
)
from downstream.judge.records import Subject
from downstream.protocol import Fitted, GateFailed, Predictions, Scale, Trial
from pretext.data.dataset import DataSet, Split
from pretext.data.pixels import check_unchanged
from pretext.data.split import Leak, check_disjoint
from pretext.encoder import Encoder

FEW_STEPS = 100
"""Steps below which a head trained by gradients is far from what it can be, whatever its loss looks like."""

LATE = 0.25
"""Share of the loss's fall behind the middle of the way (see `Course.late`) above which it still falls."""

PARTS = {"imagenet": ("imagenette", "tiny_imagenet")}
"""Sets by name, and those whose images are among theirs, in other sizes: no comparison of pixels tells."""


def input_as_declared(encoder: Encoder, declared: str) -> None:
    """The encoder sees of an image what its record will say it sees."""
    if encoder.sees != declared:
        raise GateFailed("input", f"declared as {declared!r}, but the encoder's input is {encoder.sees!r}")


def packs_unchanged(data: DataSet) -> None:
    """The packed images are those that were packed; compared whole once a process.

    Raises: DamagedCache.
    """
    for split in data.splits.values():
        check_unchanged(split.pixels)


def splits_disjoint(data: DataSet) -> None:
    """No image occurs in two splits, by its decoded pixels."""
    for first, second in (("train", "test"), ("val", "test"), ("train", "val")):
        try:
            check_disjoint(data.splits[first], data.splits[second])
        except Leak as leak:
            raise GateFailed("splits", f"{data.name}: {leak}") from leak


def unseen_by_pretraining(subject: Subject, seen: Iterable[Split], data: DataSet) -> tuple[str, ...]:
    """No test image took part in pretraining.

    Args:
        seen: splits that pretraining or calibration took images from, as far as they are at hand.

    Returns:
        A flag where the pretraining images are neither at hand nor the set's own train or val, or where the
        set is known to be a part of them.
    """
    checked = {data.train.digest, data.val.digest}  # against test by `splits_disjoint`
    for split in seen:
        try:
            check_disjoint(split, data.test)
        except Leak as leak:
            raise GateFailed("pretraining", f"{subject.pretext} on {subject.pretraining}: {leak}") from leak
        checked.add(split.digest)
    if subject.pretraining_digest == data.test.digest:
        raise GateFailed("pretraining", f"{subject.pretext} was trained on the test split of {data.name}")
    for whole, parts in PARTS.items():
        if whole in subject.pretraining.split("+") and data.name in parts:
            return (f"{PART_OF_PRETRAINING}{whole}",)
    untouched = subject.images_seen == 0 and not subject.pretraining
    return () if untouched or subject.pretraining_digest in checked else (OVERLAP_UNCHECKED,)


def told_by_pretraining(encoder: Encoder) -> tuple[str, ...]:
    """What the run that made an encoder said of itself; words that are none of ours are no flags."""
    said = encoder.provenance.get("flags", [])
    return tuple(flag for flag in OF_PRETRAINING if flag in said) if isinstance(said, list) else ()


class Unmoved:
    """Holds the parameters and buffers of a module as they are now, to compare them to the bit later."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.before = {name: tensor.detach().clone() for name, tensor in _state(module).items()}

    def check(self) -> None:
        """Every parameter and buffer is what it was.

        Raises:
            GateFailed: names the first that moved, appeared or vanished.
        """
        after = _state(self.module)
        for name in sorted(self.before.keys() ^ after.keys()):
            raise GateFailed(
                "frozen", f"{name} {'appeared' if name in after else 'vanished'} during evaluation"
            )
        for name, tensor in after.items():
            if not _same_bits(tensor.detach(), self.before[name]):
                raise GateFailed("frozen", f"{name} of the judged encoder moved during evaluation")


def rows_complete(rows: Predictions, split: Split, stage: str) -> None:
    """One row an image of the split, in every array, and all numbers finite."""
    if not rows:
        raise GateFailed("rows", f"stage {stage!r} predicted nothing")
    for name, values in rows.items():
        if values.ndim == 0 or len(values) != len(split):
            found = "a scalar" if values.ndim == 0 else f"{len(values)} rows"
            raise GateFailed(
                "rows", f"stage {stage!r}, {name!r}: {found} for the {len(split)} images of {split.name}"
            )
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            first = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
            raise GateFailed("rows", f"stage {stage!r}, {name!r}: not finite, first in row {first}")


def score_in_range(value: float, scale: Scale, metric: str, stage: str) -> float:
    """The metric, if it is a number in its range."""
    if value not in scale:
        least, largest = ("…" if end is None else f"{end:g}" for end in scale.range)
        raise GateFailed(
            "score", f"{metric} of stage {stage!r} is {value}, which is not in [{least}, {largest}]"
        )
    return float(value)


def head_trained(fitted: Fitted, chance: float | None, predictor: str, scale: Scale) -> tuple[str, ...]:
    """Flag a head whose train score is no better than `chance`, the best encoder-blind predictor's.

    Args:
        chance: None where there is nothing to be better than.
        scale: of the primary metric.
    """
    if not math.isfinite(fitted.train_score):
        raise GateFailed("head", f"its train score is {fitted.train_score}")
    if not fitted.trials:
        raise GateFailed("head", "nothing was scored on val")
    trained = chance is None or scale.merit(fitted.train_score) > scale.merit(chance)
    flags = () if trained else (by(HEAD_UNTRAINED, predictor),)
    return flags + diverged(fitted.trials)


def diverged(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Flag settings that were left out of the selection: how many, and the values they had."""
    lost = [trial for trial in trials if not math.isfinite(trial.val)]
    if not lost:
        return ()
    among, grid = ([{"stage": t.stage, **t.setting} for t in some] for some in (lost, trials))
    told = []
    for name in among[0]:
        values, all_of_it = (list(dict.fromkeys(s.get(name) for s in some)) for some in (among, grid))
        if len(values) < len(all_of_it):
            told.append(f"{name} {'/'.join(map(_short, values))}")
    return (" ".join([f"{DIVERGED}{len(lost)} of {len(trials)}:", *told]).removesuffix(":"),)


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def head_fitted(fitted: Fitted, trains_encoder: bool, examples: int, scale: Scale) -> tuple[str, ...]:
    """Flag a head that more training would change for the better, by its steps, its scores or its loss.

    A train score that is no better than val's is a sign: none of 385 heads that were trained long enough (the
    records under benchmarks/results at schema 1) shows it. A loss that still falls is one where the train
    score is within one standard error of val's: val may choose a slow rate because faster ones fit train too
    well. Where the encoder is trained as well, its loss falls for as long as anybody trains, and is not
    looked at. That of a detector falls by nine tenths while its head learns where objects lie in general,
    hence the least number of steps.

    Args:
        examples: of val.
        scale: of the primary metric.
    """
    course, reasons = fitted.course, []
    level, train = fitted.held_out, fitted.train_score
    ahead = None if level is None else scale.merit(train) - scale.merit(level)
    if course is not None and course.steps < FEW_STEPS:
        reasons.append(f"trained for {course.steps} steps")
    falling = course is not None and course.late > LATE and not trains_encoder
    if falling and ahead is not None and level is not None and ahead <= scale.error(level, examples):
        reasons.append("its loss was still falling")
    if ahead is not None and ahead <= 0 and train != scale.perfect:
        reasons.append("its train score is no better than its val score")
    return tuple(UNDERFITTED + reason for reason in reasons)


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Buffers that a state dict leaves out are held as well."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """NaN equals itself here, and −0 is not 0."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    if a.numel() == 0:
        return True
    flat = [t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)]
    return torch.equal(*flat)
