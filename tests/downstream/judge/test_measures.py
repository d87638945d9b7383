"""A metric without an end, of which less is better, from the rows to the table."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_protocol import make_data
from made_records import SUBJECT
from planted import planted
from torch import Tensor

from downstream.judge import gates
from downstream.judge.chance import Chance, Level
from downstream.judge.evaluate import evaluate
from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from downstream.leaderboard import Tables, build, cells_frame
from downstream.leaderboard.board import Verdict
from downstream.metrics.bootstrap import Additive
from downstream.protocol import (
    FRACTION,
    BlindPredictor,
    Direction,
    Fitted,
    GateFailed,
    Measure,
    Predictions,
    Protocol,
    Runtime,
    Scale,
    Trial,
)
from downstream.selection import OneSetting, at_edge, best, choose_over_stages
from pretext.backbones import Stage
from pretext.data.dataset import Split
from pretext.encoder import Encoder

LEVELS = Scale("levels", Direction.LOWER, (0.0, None))
DECIBEL = Scale("dB", Direction.HIGHER, (None, None))
BLURS = {"supervised": 0.1, "rotation": 0.3, "jigsaw": 0.5, "random": 0.9}
"""How much of a feature is noise, by pretext task."""

rmse = Additive(lambda r: np.square(r["said"] - r["truth"]), lambda total, n: float(np.sqrt(total / n)))


def psnr(rows: Predictions) -> float:
    return float(20 * np.log10(255 / rmse(rows)))


def truth_of(split: Split) -> np.ndarray:
    return np.asarray(split.pixels[:]).mean((1, 2, 3))


def rows_of(said: np.ndarray, split: Split) -> Predictions:
    return {"said": np.broadcast_to(said, len(split)).astype(np.float64), "truth": truth_of(split)}


def read(encoder: Encoder, split: Split) -> dict[str, np.ndarray]:
    images = torch.from_numpy(np.asarray(split.pixels[:])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        maps = encoder(images).maps
    return {stage: m[:, 0].mean((1, 2)).double().numpy() for stage, m in maps.items()}


def fit_line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Slope and offset of least squares, also where x is the same everywhere."""
    return np.asarray(np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y)[0])


@dataclass(frozen=True, kw_only=True)
class Line(OneSetting):
    """A straight line from the feature of each stage to the brightness."""

    lines: Mapping[str, np.ndarray]
    encoder: Encoder

    def predict(self, test: Split) -> dict[str, Predictions]:
        found = read(self.encoder, test)
        return {stage: rows_of(np.polyval(line, found[stage]), test) for stage, line in self.lines.items()}


@dataclass(frozen=True)
class Always(BlindPredictor):
    of: Callable[[np.ndarray], float]

    def fit(self, train: Split, val: Split, runtime: Runtime) -> Callable[[Split], Predictions]:
        said = np.array(self.of(truth_of(train)))
        return lambda split: rows_of(said, split)


@dataclass(frozen=True)
class Brightness(Protocol):
    """How far off the mean brightness of an image is told, in levels of 255."""

    name = "brightness"
    version = 1
    task = "segmentation"
    trains_encoder = False

    def fit(self, encoder: Encoder, train: Split, val: Split, runtime: Runtime) -> Fitted:
        on_train, on_val = read(encoder, train), read(encoder, val)
        lines = {stage: fit_line(x, truth_of(train)) for stage, x in on_train.items()}
        trials = tuple(
            Trial(stage, {}, rmse(rows_of(np.polyval(line, on_val[stage]), val)), scale=LEVELS)
            for stage, line in lines.items()
        )
        stage = best(trials).stage
        score = rmse(rows_of(np.polyval(lines[stage], on_train[stage]), train))
        return Line(
            stage=stage,
            trials=trials,
            at_edge=(),
            train_score=score,
            setting={},
            lines=lines,
            encoder=encoder,
        )

    def metrics(self, split: Split) -> dict[str, Measure]:
        return {"RMSE": Measure(rmse, LEVELS), "PSNR": Measure(psnr, DECIBEL)}

    def blind(self) -> dict[str, BlindPredictor]:
        return {"black": Always(lambda _: 0.0), "mean": Always(lambda truth: float(truth.mean()))}


def blurred(amount: float, seed: int) -> Encoder:
    """Two stages: brightness with that much noise, and nothing."""

    def mixed(x: Tensor, amount: float) -> Tensor:
        noise = x[:, :1, seed : seed + 1, :1]
        return (1 - amount) * x.mean((1, 2, 3), keepdim=True) + amount * noise

    return planted(
        f"{amount} {seed}",
        (Stage("told", 1, 8), lambda x: mixed(x, amount)),
        (Stage("nothing", 1, 8), torch.zeros_like),
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder, data = tmp_path_factory.mktemp("records"), make_data()
    for name, amount in BLURS.items():
        for seed in range(3):
            encoder = blurred(amount, seed)
            own = {"pretext": name, "recipe": name, "run": f"{name} {seed}", "seed": seed}
            subject = replace(SUBJECT, input=encoder.sees, **own)
            evaluate(encoder, Brightness(), data, Runtime(), subject=subject, records=folder, draws=40)
    return read_all(folder)


def test_records_say_what_their_values_mean(records: list[Record]) -> None:
    found = {(r.evaluation.metric, r.result.unit, r.result.direction, r.result.range) for r in records}
    assert found == {("RMSE", "levels", "lower", (0.0, None)), ("PSNR", "dB", "higher", (None, None))}
    for metric, of in (("RMSE", min), ("PSNR", max)):
        blind = [r.result.value for r in records if r.subject.blind and r.evaluation.metric == metric]
        chance = {r.result.chance for r in records if not r.subject.blind and r.evaluation.metric == metric}
        assert len(blind) == 2
        assert chance == {of(blind)}
    assert all(r.result.value > 1 for r in records)


def test_the_stage_of_least_error_is_selected_and_is_above_chance(records: list[Record]) -> None:
    selected = [r for r in records if r.result.selected and not r.subject.blind]
    assert {r.evaluation.stage for r in selected} == {"told"}
    for r in selected:
        assert not any(flag.startswith(("not_above", "head_untrained")) for flag in r.result.flags)
    data = make_data()
    for r in selected:
        if r.evaluation.primary:
            assert r.result.val is not None
            assert r.result.val < np.std(truth_of(data.val))


def test_what_errs_no_less_than_a_blind_predictor_is_flagged() -> None:
    encoder, data = blurred(0.3, 0), make_data()
    fitted = Brightness().fit(encoder, data.train, data.val, Runtime())
    for score, name in ((80.0, ("head_untrained:mean",)), (70.0, ("head_untrained:mean",)), (60.0, ())):
        assert gates.head_trained(scored(fitted, score, 50.0), 70.0, "mean", LEVELS) == name
    assert gates.head_trained(scored(fitted, 80.0, 50.0), None, "nothing", LEVELS) == ()
    chance = Chance({"RMSE": Level(70.0, "mean")})
    assert chance.flags("RMSE", 70.0, LEVELS) == ("not_above_chance:mean",)
    assert chance.flags("RMSE", 69.0, LEVELS) == ()


def test_the_table_ranks_the_least_error_first(records: list[Record], tmp_path: Path) -> None:
    board = build(records)
    (column,) = board.columns
    assert column.ranks
    assert board.scales == {column: LEVELS}
    rows = {row.label: row for row in board.groups[0].rows}
    assert [row.label for row in board.groups[0].pretext] == ["rotation", "jigsaw"]
    cells = {name: row.cells[column] for name, row in rows.items()}
    values = {name: cell.value for name, cell in cells.items()}
    assert values["supervised"] < values["rotation"] < values["jigsaw"] < values["random"]
    assert (rows["rotation"].place, rows["jigsaw"].place) == (1.0, 2.0)
    assert (cells["rotation"].best, cells["jigsaw"].best) == (True, False)
    assert cells["jigsaw"].verdict is Verdict.BELOW
    for name in ("rotation", "jigsaw"):
        gain = cells[name].gain
        assert gain is not None
        assert gain.over_random == pytest.approx(values["random"] - values[name])
        assert gain.over_supervised == pytest.approx(values["supervised"] - values[name])
        assert gain.interval is not None
        assert gain.interval.low > 0
        share = (values["random"] - values[name]) / (values["random"] - values["supervised"])
        assert gain.share.value == pytest.approx(share)
    frame = cells_frame(board)
    assert set(zip(frame.unit, frame.direction, strict=True)) == {("levels", "lower")}
    paths = Tables(records, board).write(tmp_path)
    page = paths.markdown.read_text()
    assert "RMSE levels ↓" in page
    assert f"**{values['rotation']:.3g}±" in page
    assert f"+{values['random'] - values['rotation']:.3g}±" in page
    assert "↓ less is better." in page
    assert "in levels." in page
    assert r"levels $\downarrow$" in paths.latex.read_text()
    assert re.search(r"RMSE levels ↓", paths.text.read_text())


def test_records_of_one_column_agree_on_what_its_values_mean(records: list[Record]) -> None:
    other = replace(records[0], result=replace(records[0].result, direction="higher"))
    assert records[0].evaluation.primary
    told = r"both levels in .*(higher is better, and .*lower|lower is better, and .*higher)"
    with pytest.raises(ValueError, match=f"records of brightness v1 on photos say of RMSE {told}"):
        build([*records[1:], other])


@pytest.mark.parametrize(
    ("value", "scale"),
    [(-1e-9, LEVELS), (float("inf"), LEVELS), (float("nan"), DECIBEL), (1.01, FRACTION), (-0.01, FRACTION)],
)
def test_a_value_out_of_its_range_is_no_score(value: float, scale: Scale) -> None:
    assert gates.score_in_range(300.0, LEVELS, "RMSE", "told") == 300.0
    assert gates.score_in_range(-5.0, DECIBEL, "PSNR", "told") == -5.0
    with pytest.raises(GateFailed, match=r"RMSE of stage 'told' is .*, which is not in \[(0|…), (1|…)\]"):
        gates.score_in_range(value, scale, "RMSE", "told")


def test_a_head_that_errs_less_on_val_than_on_train_is_undertrained() -> None:
    encoder, data = blurred(0.3, 0), make_data()
    fitted = Brightness().fit(encoder, data.train, data.val, Runtime())
    told = (
        scored(fitted, 5.0, 6.0),
        scored(fitted, 6.0, 5.0),
        scored(fitted, 0.0, 0.0),
    )
    flags = [gates.head_fitted(one, False, 60, LEVELS) for one in told]
    assert flags == [(), ("head_underfitted:its train score is no better than its val score",), ()]


def scored(fitted: Fitted, train: float, val: float) -> Fitted:
    assert isinstance(fitted, Line)
    return replace(fitted, train_score=train, trials=(Trial(fitted.stage, {}, val, scale=LEVELS),))


def test_selection_goes_by_what_is_better() -> None:
    @dataclass(frozen=True)
    class Tried:
        trial: Trial

    tried = [
        Tried(Trial("a", {"lr": lr}, error, scale=LEVELS)) for lr, error in ((1, 9.0), (2, 5.0), (3, 7.0))
    ]
    chosen = choose_over_stages([*tried, Tried(Trial("b", {"lr": 1}, 6.0, scale=LEVELS))], 50)
    assert chosen.winner.trial.val == 5.0
    assert chosen.by_stage["a"].trial.setting == {"lr": 2}
    assert chosen.at_edge == ()
    trials = [one.trial for one in tried]
    assert at_edge(trials[:2], trials[1], 50) == ("lr",)


def test_standard_error_is_of_the_range() -> None:
    assert FRACTION.error(0.5, 100) == pytest.approx(0.05)
    assert Scale(range=(-1.0, 1.0)).error(0.0, 100) == pytest.approx(0.1)
    assert LEVELS.error(3.0, 100) == 0.0
