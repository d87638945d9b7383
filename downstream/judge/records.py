"""What was measured: one score with all that it means."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from downstream.judge.plain import JSON
from downstream.protocol import Direction, Scale

SCHEMA = 2
"""Version of the record format; `downstream.judge.upgrade` reads version 1, a reader refuses every other."""

BLIND = "blind:"
"""Prefix of `pretext` for predictors that look at no encoder."""


class RecordError(ValueError):
    """A record that cannot be trusted; the message names the file and the field."""


Natural = Annotated[int, Meta(ge=0)]
Counting = Annotated[int, Meta(ge=1)]
NotNegative = Annotated[float, Meta(ge=0)]
Time = Annotated[str, Meta(pattern=r"\A\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z\Z")]


@dataclass(frozen=True)
class Subject:
    """Whose score it is: the encoder, by where it comes from.

    Attributes:
        pretext: name of the pretext task; `random` and `supervised` are the twins, `blind:…` has no encoder.
        backbone, input: the network and what it sees of an RGB image, each by its name and the arguments that
            differ from their defaults: "SmallNet", "TimmNet(model='convnext_atto')", "lightness(scale=1)".
            Empty for a blind predictor.
        calibration: what was done to the trained weights without labels ("none", "batchnorm", …).
        pretraining: name of the image set; empty where there was none.
        pretraining_digest: its train split's digest; empty where unknown or none.
        budget: what the rows of a table are given alike ("4 epochs"); empty for what takes no training.
        images_seen: images pretraining took, repetitions counted.
        recipe: digest of everything that determines the run but its seed.
        twins: recipes of the runs that this one is read against, by their names; empty where nobody knows.
        run: digest of the run, seed included.
        seed: the pretraining seed.
        precision: of pretraining ("float32", "bf16-mixed").
    """

    pretext: str
    backbone: str
    input: str
    calibration: str
    pretraining: str
    pretraining_digest: str
    budget: str
    images_seen: Natural
    recipe: str
    twins: dict[str, str]
    run: str
    seed: Natural
    precision: str

    @property
    def blind(self) -> bool:
        """Whether this is a predictor that looks at no encoder."""
        return self.pretext.startswith(BLIND)


@dataclass(frozen=True)
class Evaluation:
    """Which score it is.

    Attributes:
        digest: of everything that determines the evaluation; shared by the records of one file.
        suite: the frozen benchmark whose settings these are; empty for one's own.
        data: name of the downstream set.
        split: name of the split that was scored, one of those in `data`.
        task: what the protocol judges: classification, detection, segmentation, calibration, representation
            or colorization.
        protocol: its name.
        version: of the protocol; raised when what is measured changes.
        settings: digest of the identity of the protocol: name, version, and the fields that differ from that
            version's defaults.
        options: the protocol's fields by name; empty where an older record did not keep them.
        trains_encoder: whether the protocol fine-tunes.
        stage: the stage the head stood on; empty for a blind predictor.
        metric: its name.
        primary: whether this is the metric that tables show.
        draw: the seed of the head, nested in the pretraining seed.
        precision: of the evaluation.
    """

    digest: str
    suite: str
    data: str
    split: str
    task: str
    protocol: str
    version: Counting
    settings: str
    options: JSON
    trains_encoder: bool
    stage: str
    metric: str
    primary: bool
    draw: Natural
    precision: str


@dataclass(frozen=True)
class Data:
    """What it was measured on.

    Attributes:
        digests: of the content of each split, by its name.
        counts: images of each split, by its name.
        resolution: height × width, in pixels.
    """

    digests: dict[str, str]
    counts: dict[str, Natural]
    resolution: tuple[Counting, Counting]


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        value: the metric on the split, in `unit`, within `range`.
        unit: "fraction" for shares, which lie in [0, 1] and are shown in %; any other is shown as it is.
        direction: which way is better, "higher" or "lower".
        range: the least and the largest value there can be; None where there is no end.
        selected: whether this is the stage that was chosen on `selected_on`.
        selected_on: the split that stage and hyper-parameters were chosen on; "test" for a legacy protocol.
        setting: hyper-parameters chosen for this stage.
        val: the primary metric on val of that setting; None where nothing was selected.
        train: the primary metric on (part of) train; None for a stage that was not selected.
        chance: this metric of the best encoder-blind predictor that sees no more than the encoder; None on
            blind records.
        flags: what a reader must know ("head_untrained", "at_edge:lr", …).
        rows: SHA-256 of the file of per-example rows.
        resampled: the metric on bootstrap resamples of the images; entry b is the same resample in every
            record of one split. None where a resample does not define the metric; empty without any.
    """

    value: float
    unit: str
    direction: Annotated[str, Meta(pattern=rf"\A({'|'.join(way.value for way in Direction)})\Z")]
    range: tuple[float | None, float | None]
    selected: bool
    selected_on: str
    setting: dict[str, float | int | str]
    val: float | None
    train: float | None
    chance: float | None
    flags: tuple[str, ...]
    rows: str
    resampled: tuple[float | None, ...] = field(repr=False)

    @property
    def scale(self) -> Scale:
        """What the value means."""
        return _scale(self.unit, self.direction, self.range)


@lru_cache
def _scale(unit: str, direction: str, ends: tuple[float | None, float | None]) -> Scale:
    """Made once: of many records few differ in it, and each is asked several times."""
    return Scale(unit, Direction(direction), ends)


@dataclass(frozen=True)
class Effort:
    """What pretraining took, of all runs that led to the encoder: its own and those it started from.

    Attributes:
        images: that went into steps, repetitions counted.
        views: images that the encoder saw in them, several a training image where a task takes several, a
            tile or a small crop by its area; None where an older run did not count them.
        flops: multiply-adds × 2 of all steps, the way back counted as twice the way there; None as above.
        seconds: wall time on `device`, in seconds, validation included.
        device: what it ran on.
    """

    images: Natural
    views: Natural | None
    flops: Natural | None
    seconds: NotNegative
    device: str


@dataclass(frozen=True)
class Cost:
    """What it took.

    Attributes:
        seconds: wall time of fitting and predicting, in seconds.
        device: what it ran on.
        peak_memory_mib: MiB; CUDA's peak during the evaluation, or the process's peak so far on a CPU.
        images_per_second: test images predicted a second.
        parameters: of the encoder; 0 for a blind predictor.
        flops: multiply-adds × 2 of the encoder on one image; 0 for a blind predictor.
        pretraining: what pretraining took; None where nobody knows, or there was none.
    """

    seconds: NotNegative
    device: str
    peak_memory_mib: NotNegative
    images_per_second: NotNegative
    parameters: Natural
    flops: Natural
    pretraining: Effort | None


@dataclass(frozen=True)
class Provenance:
    """Where it came from.

    Attributes:
        config: the resolved configuration; empty for a blind predictor.
        commit: of the code; empty where it ran outside of its repository.
        dirty: whether code or configurations differed from that commit.
        versions: of Python and of libraries, by name.
        utc: when the score was made, "2026-01-31T23:59:59Z".
        scoring: digest of the code that scores; it marks records as stale and addresses nothing.
        weights: digest of the encoder's parameters and buffers as they were judged; empty for blind records.
    """

    config: JSON
    commit: str
    dirty: bool
    versions: dict[str, str]
    utc: Time
    scoring: str
    weights: str


@dataclass(frozen=True)
class Record:
    """One score with all that it means; `subject` and `evaluation` together are its identity.

    Attributes:
        schema: version of this form.
        subject: whose score it is.
        evaluation: which score it is.
        data: what it was measured on.
        result: what came out.
        cost: what it took.
        provenance: where it came from.
    """

    schema: int
    subject: Subject
    evaluation: Evaluation
    data: Data
    result: Result
    cost: Cost
    provenance: Provenance
