"""What is reached without an encoder, and what of it an encoder is read against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from downstream.judge.flags import BELOW_CHANCE, BELOW_COLOUR, by
from downstream.judge.records import BLIND, Record
from downstream.protocol import BlindPredictor, Scale


class Level(NamedTuple):
    """The best score of several encoder-blind predictors, and whose it is."""

    value: float
    predictor: str


@dataclass(frozen=True)
class Chance:
    """Levels by metric. Like is compared with like: without colour with predictors without colour.

    Attributes:
        comparable: of the predictors that see no more than the encoder.
        coloured: of those that see colour where the encoder does not; else empty.
    """

    comparable: Mapping[str, Level] = field(default_factory=dict)
    coloured: Mapping[str, Level] = field(default_factory=dict)

    @staticmethod
    def of(blind: Iterable[Record], predictors: Mapping[str, BlindPredictor], sees_color: bool) -> Chance:
        """Levels of these predictors, from their records, for an encoder that sees colour or does not."""
        comparable: dict[str, Level] = {}
        coloured: dict[str, Level] = {}
        for record in blind:
            name, metric = record.subject.pretext.removeprefix(BLIND), record.evaluation.metric
            levels = coloured if predictors[name].sees_color and not sees_color else comparable
            value, scale = record.result.value, record.result.scale
            if metric not in levels or scale.merit(value) > scale.merit(levels[metric].value):
                levels[metric] = Level(value, name)
        return Chance(comparable, coloured)

    def flags(self, metric: str, value: float, scale: Scale) -> tuple[str, ...]:
        """Name what a score is no better than; a predictor that sees more only where it is all."""
        for levels, flag in ((self.comparable, BELOW_CHANCE), (self.coloured, BELOW_COLOUR)):
            if metric in levels and scale.merit(value) <= scale.merit(levels[metric].value):
                return (by(flag, levels[metric].predictor),)
        return ()
