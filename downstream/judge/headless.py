"""Judge what is no head on an encoder: predictors that look at none, and rows of something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from downstream.digest import digest
from downstream.judge import gates
from downstream.judge.address import evaluation_digest, reusable
from downstream.judge.chance import Chance
from downstream.judge.cost import Meter
from downstream.judge.provenance import provenance
from downstream.judge.record_files import write
from downstream.judge.records import BLIND, Cost, Record, Subject
from downstream.judge.scoring import RESAMPLES, Scoring
from downstream.protocol import BlindPredictor, Judgement, Predictions, Protocol, Runtime
from pretext.data.dataset import DataSet


def evaluate_blind(
    protocol: Protocol,
    data: DataSet,
    runtime: Runtime,
    *,
    records: Path,
    draws: int = RESAMPLES,
    suite: str = "",
    predictors: Mapping[str, BlindPredictor] | None = None,
) -> list[Record]:
    """Score the protocol's encoder-blind predictors; made once for a data set and a protocol, then reused.

    Args:
        records, draws, suite: as in `evaluate`.
        predictors: those of the protocol, where they are at hand.

    Raises:
        GateFailed, DamagedCache, RecordError: as `evaluate`.
    """
    judge = _Judge(protocol, data, replace(runtime, seed=0, autocast=None), records, draws, suite)
    made: list[Record] = []
    for name, predictor in (protocol.blind() if predictors is None else predictors).items():
        made += judge(_blind_subject(name), partial(_predicted, predictor, judge))
    return made


def evaluate_rows(
    rows: Predictions,
    cost: Cost,
    judgement: Judgement,
    data: DataSet,
    runtime: Runtime,
    *,
    subject: Subject,
    records: Path,
    config: Mapping[str, Any] | None = None,
    flags: tuple[str, ...] = (),
    draws: int = RESAMPLES,
    suite: str = "",
) -> list[Record]:
    """Score what was predicted of test elsewhere, by something that is no encoder; return stored records.

    Args:
        rows: an entry an image of the test split.
        cost: what predicting them took.
        flags: what a reader must know of them.
        subject, records, config, draws, suite: as in `evaluate`.

    Raises:
        GateFailed, DamagedCache, RecordError: as `evaluate`.
    """
    judge = _Judge(judgement, data, runtime, records, draws, suite)
    return judge(subject, lambda: (rows, cost), config, flags)


@dataclass(frozen=True)
class _Judge:
    """Scores rows of test and stores their records in a folder."""

    judgement: Judgement
    data: DataSet
    runtime: Runtime
    records: Path
    draws: int
    suite: str

    def __call__(
        self,
        subject: Subject,
        predicted: Callable[[], tuple[Predictions, Cost]],
        config: Mapping[str, Any] | None = None,
        flags: tuple[str, ...] = (),
    ) -> list[Record]:
        """The records of a subject, stored ones where they are there.

        Args:
            predicted: gives rows and what they took; called where there are none.
        """
        name = evaluation_digest(subject, self.judgement, self.data, self.runtime)
        if old := reusable(self.records, name, self.judgement, self.runtime):
            return old
        gates.packs_unchanged(self.data)
        gates.splits_disjoint(self.data)
        rows, cost = predicted()
        scoring = Scoring(
            name,
            self.judgement,
            self.judgement.metrics(self.data.test),
            self.data,
            self.runtime,
            subject,
            cost,
            provenance(config or {}, "", type(self.judgement).__module__),
            self.draws,
            self.suite,
        )
        made, packed = scoring.records({"": rows}, None, flags, Chance())
        write(self.records, made, packed)
        return made


def _predicted(predictor: BlindPredictor, judge: _Judge) -> tuple[Predictions, Cost]:
    data = judge.data
    meter = Meter(judge.runtime.device)
    predict = predictor.fit(data.train, data.test if judge.judgement.legacy else data.val, judge.runtime)
    meter.lap("fit")
    rows = predict(data.test)
    meter.lap("predict")
    return rows, meter.cost(len(data.test), 0, 0, None)


def _blind_subject(name: str) -> Subject:
    run = digest({"blind": name})
    return Subject(
        pretext=f"{BLIND}{name}",
        backbone="",
        input="",
        calibration="none",
        pretraining="",
        pretraining_digest="",
        budget="",
        images_seen=0,
        recipe=run,
        twins={},
        run=run,
        seed=0,
        precision="float32",
    )
