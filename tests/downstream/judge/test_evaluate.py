"""The evaluator: test comes last, nothing is made twice, every score has its record."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_protocol import MeanProbe, Probe, accuracy, error_free, make_data, make_encoder, replaced
from made_records import SUBJECT
from numpy.typing import NDArray

from downstream.judge.address import evaluation_digest, stored
from downstream.judge.evaluate import evaluate
from downstream.judge.headless import evaluate_blind
from downstream.judge.record_files import read_all, read_rows
from downstream.judge.records import Record
from downstream.metrics.bootstrap import bootstrap, resamples
from downstream.metrics.scores import mean_average_precision
from downstream.protocol import (
    BlindPredictor,
    Fitted,
    GateFailed,
    Measure,
    Predictions,
    Protocol,
    Runtime,
    fractions,
)
from pretext.data.dataset import DataSet, Split
from pretext.data.pixels import Packed, pixel_digests
from pretext.data.seal import DamagedCache
from pretext.data.split import make_split
from pretext.encoder import Encoder, parameter_count


def judge(
    folder: Path, protocol: Protocol | None = None, data: DataSet | None = None, **options: Any
) -> list[Record]:
    given: dict[str, Any] = {"subject": SUBJECT, "records": folder, "draws": 50, "config": {"a": 1}} | options
    encoder = given.pop("encoder", None) or make_encoder()
    runtime = given.pop("runtime", Runtime())
    return evaluate(encoder, protocol or MeanProbe(), data or make_data(), runtime, **given)


def test_no_record_is_made_of_packed_images_that_were_changed(tmp_path: Path) -> None:
    data = make_data()
    pixels = np.asarray(data.val.pixels[:])
    packed = Packed(pixels, pixel_digests(pixels))
    data = replace(data, val=replace(data.val, pixels=packed))
    pixels[7, 3, 3, 0] ^= 1
    with pytest.raises(DamagedCache, match="image 7 is not the one that was packed"):
        judge(tmp_path, data=data)
    with pytest.raises(DamagedCache, match="image 7 is not the one that was packed"):
        evaluate_blind(MeanProbe(), data, Runtime(), records=tmp_path)
    assert read_all(tmp_path) == []
    pixels[7, 3, 3, 0] ^= 1
    assert judge(tmp_path, data=data)


def test_every_stage_and_metric_has_a_record_and_one_stage_is_selected(tmp_path: Path) -> None:
    made = judge(tmp_path)
    stages = make_encoder().stage_names
    assert {(r.evaluation.stage, r.evaluation.metric) for r in made} == {
        (stage, metric) for stage in stages for metric in ("accuracy", "worst_recall")
    }
    chosen = {r.evaluation.stage for r in made if r.result.selected}
    data, runtime = make_data(), Runtime()
    fitted = MeanProbe().fit(make_encoder(), data.train, data.val, runtime)
    assert chosen == {fitted.stage}
    for r in made:
        rows = fitted.predict(data.test)[r.evaluation.stage]
        measure = {"accuracy": accuracy, "worst_recall": error_free}[r.evaluation.metric]
        assert r.result.value == measure(rows)
        assert r.result.value == measure(read_rows(tmp_path, r))
        assert r.result.val == next(t.val for t in fitted.trials if t.stage == r.evaluation.stage)
        assert r.result.chance == {"accuracy": 0.5, "worst_recall": 0.0}[r.evaluation.metric]
        assert r.data.counts == {"train": 60, "val": 60, "test": 60}
        assert r.data.digests["test"] == data.test.digest
        assert r.cost.parameters == parameter_count(make_encoder())
        assert r.cost.flops > 0
        assert r.cost.peak_memory_mib > 10
        assert r.provenance.config == {"a": 1}
        assert r.provenance.weights == make_encoder().digest()
    main = [r for r in made if r.result.resampled]
    assert [(r.evaluation.stage, r.evaluation.metric) for r in main] == [(fitted.stage, "accuracy")]
    assert sorted(map(str, made)) == sorted(str(r) for r in read_all(tmp_path) if not r.subject.blind)


def test_the_same_resamples_for_every_encoder(tmp_path: Path) -> None:
    one = next(r for r in judge(tmp_path) if r.result.resampled)
    data = make_data()
    draws = resamples(data.test.digest, 60, 50)
    rows = read_rows(tmp_path, one)
    slow = [accuracy({k: v[i] for k, v in rows.items()}) for i in draws]
    np.testing.assert_allclose(one.result.resampled, slow, atol=1e-7)
    np.testing.assert_array_equal(draws[:20], resamples(data.test.digest, 60, 20))
    assert not np.array_equal(draws, resamples(data.train.digest, 60, 50))


def test_bootstrap_of_sums_equals_the_slow_way() -> None:
    generator = np.random.default_rng(0)
    rows = {"scores": generator.random((30, 2)), "target": generator.integers(0, 2, 30)}
    draws = resamples("x", 30, 40)

    def plain(resampled: Predictions) -> float:
        return accuracy(resampled)

    np.testing.assert_allclose(bootstrap(accuracy, rows, draws), bootstrap(plain, rows, draws), rtol=1e-12)
    assert np.isnan(bootstrap(lambda _: float("nan"), rows, draws)).all()


@dataclass(frozen=True)
class RareProbe(MeanProbe):
    """Judged by the average precision of a class that two test images have."""

    def metrics(self, split: Split) -> dict[str, Measure]:
        return fractions(
            {"mAP": lambda r: mean_average_precision(r["scores"][:, 1:], r["target"][:, None] == 1)}
        )


def test_a_score_of_few_positives_is_kept_and_its_interval_says_what_it_leaves_out(tmp_path: Path) -> None:
    data = make_data()
    labels = np.zeros(60, np.int64)
    labels[:2] = 1
    data = replace(data, test=make_split("rare", np.asarray(data.test.pixels[:]), labels=labels))
    made = judge(tmp_path, RareProbe(), data, draws=200)
    (main,) = [r for r in made if r.result.selected]
    index = resamples(data.test.digest, 60, 200)
    undefined = [not (draw < 2).any() for draw in index]
    assert [value is None for value in main.result.resampled] == undefined
    assert 10 < sum(undefined) < 50  # (58 / 60)⁶⁰ = .13 of them
    assert f"undefined_resamples:{sum(undefined)} of 200" in main.result.flags
    again = {r.evaluation.digest: r for r in read_all(tmp_path) if r.result.selected}
    assert again[main.evaluation.digest].result.resampled == main.result.resampled


@dataclass(eq=False)
class Watched:
    """Pixels that note who looks at them while `fit` runs."""

    pixels: NDArray[np.uint8]
    log: list[str]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pixels.shape)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Any) -> NDArray[np.uint8]:
        self.log.append("looked")
        return np.asarray(self.pixels[index])


@dataclass(frozen=True)
class Peeking(MeanProbe):
    """Keeps every split it can lay hands on, and looks through them in `fit`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "held", [])
        object.__setattr__(self, "found", [])

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> Fitted:
        splits: list[Split] = [*vars(self)["held"], train, val]
        vars(self)["found"].extend(split.name for split in splits)
        return super().fit(encoder, train, val, runtime)

    def metrics(self, split: Split) -> dict[str, Measure]:
        vars(self)["held"].append(split)
        return super().metrics(split)


def test_fit_cannot_reach_the_test_split(tmp_path: Path) -> None:
    data = make_data()
    log: list[str] = []
    watched = replace(data.test, pixels=Watched(np.asarray(data.test.pixels[:]), log))

    class Marked(Peeking):
        def fit(self, *arguments: Any) -> Fitted:
            log.append("fit begins")
            fitted = super().fit(*arguments)
            log.append("fit ends")
            return fitted

    protocol = Marked()
    judge(tmp_path, protocol, replace(data, test=watched))
    assert vars(protocol)["found"] == ["train", "val"]
    begin, end = log.index("fit begins"), log.index("fit ends")
    assert end == begin + 1  # nobody looked meanwhile
    assert "looked" in log[end:]
    assert [s.name for s in vars(protocol)["held"]] == [
        "test",
        "test",
    ]  # the blind predictor's and the probe's


@dataclass(frozen=True)
class Legacy(MeanProbe):
    legacy = True


def test_a_legacy_protocol_selects_on_test_and_says_so(tmp_path: Path) -> None:
    made = judge(tmp_path, Legacy())
    assert {r.result.selected_on for r in made} == {"test"}
    assert all("selected_on_test" in r.result.flags for r in made)
    assert {r.result.selected_on for r in judge(tmp_path)} == {"val"}


def test_nothing_is_made_twice_and_new_weights_are_judged_anew(tmp_path: Path) -> None:
    calls: list[str] = []

    @dataclass(frozen=True)
    class Counting(MeanProbe):
        def fit(self, *arguments: Any) -> Fitted:
            calls.append("fit")
            return super().fit(*arguments)

        def blind(self) -> dict[str, BlindPredictor]:
            calls.append("blind")
            return super().blind()

    first = judge(tmp_path, Counting())
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert judge(tmp_path, Counting()) == first
    assert calls == ["fit", "blind"]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    again = judge(tmp_path, Counting(), encoder=make_encoder(seed=1))
    assert calls == ["fit", "blind", "fit", "blind"]
    assert len([r for r in read_all(tmp_path) if not r.subject.blind]) == len(again)
    assert stored(tmp_path, first[0].evaluation.digest) == again


def test_the_digest_covers_what_determines_a_score() -> None:
    data, runtime = make_data(), Runtime()
    name = evaluation_digest(SUBJECT, MeanProbe(), data, runtime)
    assert name == evaluation_digest(SUBJECT, MeanProbe(), make_data(), replace(runtime, cache=Path("x")))
    others = {
        evaluation_digest(replace(SUBJECT, run="b"), MeanProbe(), data, runtime),
        evaluation_digest(replace(SUBJECT, calibration="magnitude"), MeanProbe(), data, runtime),
        evaluation_digest(SUBJECT, MeanProbe(ridge=1.0), data, runtime),
        evaluation_digest(SUBJECT, Legacy(), data, runtime),
        evaluation_digest(SUBJECT, MeanProbe(), make_data(seed=1), runtime),
        evaluation_digest(SUBJECT, MeanProbe(), data, replace(runtime, seed=1)),
        evaluation_digest(SUBJECT, MeanProbe(), data, replace(runtime, autocast=torch.bfloat16)),
    }
    assert len(others | {name}) == 8


def test_blind_rows_are_made_once_for_a_set_and_a_protocol(tmp_path: Path) -> None:
    judge(tmp_path)
    judge(tmp_path, subject=replace(SUBJECT, run="other"), runtime=Runtime(seed=3))
    blind = [r for r in read_all(tmp_path) if r.subject.blind]
    assert {r.subject.pretext for r in blind} == {"blind:label_prior"}
    assert len(blind) == 2  # one a metric
    assert blind == evaluate_blind(MeanProbe(), make_data(), Runtime(), records=tmp_path)
    assert [r.result.value for r in blind if r.evaluation.primary] == [0.5]


class Altered(MeanProbe):
    """Fits as it should, then does damage."""

    def __init__(self, damage: Callable[[Encoder, Fitted], Fitted]) -> None:
        super().__init__()
        object.__setattr__(self, "damage", damage)

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> Fitted:
        damage: Callable[[Encoder, Fitted], Fitted] = vars(self)["damage"]
        return damage(encoder, super().fit(encoder, train, val, runtime))


def move_buffer(encoder: Encoder, fitted: Fitted) -> Fitted:
    encoder.backbone.blocks["conv1"].get_buffer("norm.running_mean")[0] += 1e-6
    return fitted


def spoil_rows(change: Callable[[Predictions], Predictions]) -> Callable[[Encoder, Fitted], Fitted]:
    def damage(encoder: Encoder, fitted: Fitted) -> Fitted:
        assert isinstance(fitted, Probe)
        honest = fitted.predict
        return replaced(fitted, predict=lambda test: {s: change(r) for s, r in honest(test).items()})

    return damage


FAULTS: dict[str, tuple[Callable[[Encoder, Fitted], Fitted], str]] = {
    "moved buffer": (move_buffer, "'frozen'.*running_mean"),
    "padded test": (
        spoil_rows(lambda r: {k: np.concatenate([v, v[:4]]) for k, v in r.items()}),
        "'rows'.*64 rows for the 60",
    ),
    "nan": (spoil_rows(lambda r: dict(r) | {"scores": r["scores"] * np.nan}), "'rows'.*not finite"),
    "lost stage": (lambda _, f: replaced(f, stage="fc9"), "'rows'.*selected stage 'fc9' is not among"),
    "no val score": (
        lambda _, f: replaced(f, trials=tuple(t._replace(val=float("nan")) for t in f.trials)),
        "'head'.*no finite score",
    ),
    "diverged": (lambda _, f: replaced(f, train_score=float("inf")), "'head'.*inf"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_gate_leaves_no_record(fault: str, tmp_path: Path) -> None:
    damage, message = FAULTS[fault]
    with pytest.raises(GateFailed, match=message):
        judge(tmp_path, Altered(damage))
    assert [r for r in read_all(tmp_path) if not r.subject.blind] == []


def test_an_untrained_head_is_kept_with_a_flag(tmp_path: Path) -> None:
    def untrain(_: Encoder, fitted: Fitted) -> Fitted:
        assert isinstance(fitted, Probe)
        heads = {stage: head * 0 for stage, head in fitted.heads.items()}
        return replaced(fitted, heads=heads, train_score=0.5, at_edge=("ridge",))

    made = judge(tmp_path, Altered(untrain))
    main = next(r for r in made if r.result.resampled)
    assert set(main.result.flags) >= {
        "head_untrained:label_prior",
        "not_above_chance:label_prior",
        "at_edge:ridge",
    }

    headless = Altered(untrain)
    headless.trains_head = False
    main = next(r for r in judge(tmp_path / "headless", headless) if r.result.resampled)
    assert not any(flag.startswith("head_untrained") for flag in main.result.flags)
    assert "not_above_chance:label_prior" in main.result.flags


def test_a_perfect_score_has_an_interval_without_width_and_a_flag(tmp_path: Path) -> None:
    def perfect(_: Encoder, fitted: Fitted) -> Fitted:
        return spoil_rows(lambda r: dict(r) | {"scores": np.eye(2)[r["target"]]})(_, fitted)

    main = next(r for r in judge(tmp_path, Altered(perfect)) if r.result.resampled)
    assert main.result.value == 1.0
    assert "zero_width_interval" in main.result.flags


def test_declared_input_and_pretraining_are_gated(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match="'input'"):
        judge(tmp_path, subject=replace(SUBJECT, input="lightness"))
    with pytest.raises(GateFailed, match="'pretraining'"):
        judge(tmp_path, seen=[make_data().test])
    assert list(tmp_path.iterdir()) == []
    flagged = judge(tmp_path)
    assert "pretraining_overlap_unchecked" in next(r for r in flagged if r.result.selected).result.flags


def test_the_encoder_comes_back_in_the_modes_it_had(tmp_path: Path) -> None:
    encoder = make_encoder().train()
    encoder.backbone.blocks["conv1"].eval()
    modes = [m.training for m in encoder.modules()]
    judge(tmp_path, encoder=encoder)
    assert [m.training for m in encoder.modules()] == modes
