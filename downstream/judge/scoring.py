"""Rows to records: gates, scores, resamples, flags."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from downstream.digest import digest, settings
from downstream.judge import flags as flagged
from downstream.judge import gates
from downstream.judge.chance import Chance
from downstream.judge.record_files import pack_rows
from downstream.judge.records import SCHEMA, Cost, Data, Evaluation, Provenance, Record, Result, Subject
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.protocol import Fitted, GateFailed, Judgement, Measure, Metric, Predictions, Runtime, Scale
from pretext.data.dataset import DataSet
from pretext.identity import identity_of

RESAMPLES = 500
"""Bootstrap resamples of the primary metric of the selected stage."""

SCORED = "test"
"""The split that is scored, as `DataSet.splits` names it."""


@dataclass(frozen=True)
class Scoring:
    """What all records of one evaluation share; gates and scores rows."""

    name: str
    protocol: Judgement
    metrics: Mapping[str, Measure]
    data: DataSet
    runtime: Runtime
    subject: Subject
    cost: Cost
    provenance: Provenance
    draws: int
    suite: str

    def records(
        self,
        predicted: Mapping[str, Predictions],
        fitted: Fitted | None,
        flags: tuple[str, ...],
        chance: Chance,
    ) -> tuple[list[Record], dict[str, bytes]]:
        """Gate and score the rows of every stage; records, and packed rows by their digest."""
        chosen = "" if fitted is None else fitted.stage
        if chosen not in predicted:
            raise GateFailed("rows", f"the selected stage {chosen!r} is not among {', '.join(predicted)}")
        records: list[Record] = []
        packed: dict[str, bytes] = {}
        for stage, rows in predicted.items():
            gates.rows_complete(rows, self.data.test, stage)
            content = pack_rows(rows)
            key = hashlib.sha256(content).hexdigest()
            packed[key] = content
            for position, (metric, measure) in enumerate(self.metrics.items()):
                value = gates.score_in_range(measure(rows), measure.scale, metric, stage)
                main = position == 0 and stage == chosen
                drawn = main or (measure.resampled and stage == chosen)
                sample = self._resample(measure.metric, rows) if drawn else ()
                level = chance.comparable.get(metric)
                result = self._result(
                    value,
                    measure.scale,
                    stage,
                    fitted,
                    flags,
                    None if level is None else level.value,
                    key,
                    sample,
                )
                if main:
                    told = chance.flags(metric, value, measure.scale) + _interval_flags(result)
                    result = replace(result, flags=result.flags + told)
                records.append(
                    Record(
                        SCHEMA,
                        self.subject,
                        self._evaluation(stage, metric, position == 0),
                        self._data(),
                        result,
                        self.cost,
                        self.provenance,
                    )
                )
        return records, packed

    def _resample(self, metric: Metric, rows: Predictions) -> tuple[float | None, ...]:
        test = self.data.test
        index = resamples(test.digest, len(test), self.draws)
        values = bootstrap(metric, rows, index, self.runtime.progress)
        return tuple(None if np.isnan(value) else float(value) for value in np.round(values, 7))

    def _result(
        self,
        value: float,
        scale: Scale,
        stage: str,
        fitted: Fitted | None,
        flags: tuple[str, ...],
        chance: float | None,
        rows: str,
        sample: tuple[float | None, ...],
    ) -> Result:
        selected = fitted is None or stage == fitted.stage
        setting, val = _choice(fitted, stage)
        return Result(
            value=value,
            unit=scale.unit,
            direction=scale.direction.value,
            range=scale.range,
            selected=selected,
            selected_on="test" if self.protocol.legacy else "val",
            setting=setting,
            val=val,
            train=fitted.train_score if fitted is not None and selected else None,
            chance=chance,
            flags=flags if selected else tuple(f for f in flags if f == flagged.SELECTED_ON_TEST),
            rows=rows,
            resampled=sample,
        )

    def _evaluation(self, stage: str, metric: str, primary: bool) -> Evaluation:
        return Evaluation(
            digest=self.name,
            suite=self.suite,
            data=self.data.name,
            split=SCORED,
            task=self.protocol.task,
            protocol=self.protocol.name,
            version=self.protocol.version,
            settings=digest(identity_of(self.protocol)),
            options=settings(self.protocol),
            trains_encoder=self.protocol.trains_encoder,
            stage=stage,
            metric=metric,
            primary=primary,
            draw=self.runtime.seed,
            precision=precision_of(self.runtime),
        )

    def _data(self) -> Data:
        splits = self.data.splits
        height, width = self.data.test.pixels.shape[1:3]
        return Data(
            digests={name: split.digest for name, split in splits.items()},
            counts={name: len(split) for name, split in splits.items()},
            resolution=(int(height), int(width)),
        )


def _choice(fitted: Fitted | None, stage: str) -> tuple[dict[str, float | int | str], float | None]:
    """Setting and val score of a stage: what `fit` selected, or the stage's best trial."""
    if fitted is None:
        return {}, None
    trials = [trial for trial in fitted.trials if trial.stage == stage and math.isfinite(trial.val)]
    if not trials:
        raise GateFailed("head", f"stage {stage!r} has no finite score on val")
    best = max(trials, key=lambda trial: trial.merit)
    return dict(fitted.selected if stage == fitted.stage else best.setting), best.val


def _interval_flags(result: Result) -> tuple[str, ...]:
    drawn = [value for value in result.resampled if value is not None]
    flat = bool(drawn) and min(drawn) == max(drawn)
    undefined = len(result.resampled) - len(drawn)
    lost = (f"{flagged.UNDEFINED}{undefined} of {len(result.resampled)}",) if undefined else ()
    return (flagged.ZERO_WIDTH,) * flat + lost


def precision_of(runtime: Runtime) -> str:
    """How the encoder computed, in a word: "float32", "bfloat16"."""
    return str(runtime.autocast or torch.float32).removeprefix("torch.")
