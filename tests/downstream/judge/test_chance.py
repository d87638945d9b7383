"""Like is read against like: an encoder without colour against predictors without colour, by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_records import SUBJECT, record

from downstream.classification.clustering import Clustering
from downstream.classification.goyal19_svm import Goyal19Svm
from downstream.classification.linear import LinearProbe
from downstream.classification.lowshot import LowShot
from downstream.classification.retrieval import Retrieval
from downstream.classification.robustness import Robustness
from downstream.detection.frozen import DetectionFrozen
from downstream.heads.linear_grid import LinearGrid
from downstream.judge import flags
from downstream.judge.chance import Chance, Level
from downstream.judge.evaluate import evaluate
from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from downstream.protocol import FRACTION, Protocol, Runtime
from downstream.segmentation.linear import SegmentationLinear
from pretext import inputs
from pretext.backbones import SmallNet
from pretext.data.dataset import DataSet, Split
from pretext.data.split import make_split
from pretext.encoder import Encoder

PROBE = LinearProbe(grid=LinearGrid(lrs=(0.1,), weight_decays=(1e-2,), epochs=20))


def by_hue(name: str, count: int, seed: int) -> Split:
    """The class decides the hue alone: red, green or blue noise of one distribution of lightness."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    luma = draw.integers(8, 29, (count, 16, 16))
    pixels = np.zeros((count, 16, 16, 3))
    for c, weight in enumerate((0.299, 0.587, 0.114)):  # one Rec. 601 luma in each of the three
        pixels[labels == c, :, :, c] = (luma / weight)[labels == c]
    return make_split(name, pixels.clip(0, 255).astype(np.uint8), labels=labels)


@pytest.fixture(scope="module")
def hues() -> DataSet:
    splits = (by_hue(name, 90, seed) for seed, name in enumerate(("train", "val", "test")))
    return DataSet("hues", *splits, label_names=("red", "green", "blue"))


def judged(input: str, data: DataSet, folder: Path) -> Record:
    torch.manual_seed(0)
    seen = inputs.build(input)
    encoder = Encoder(seen, SmallNet(seen.channels, (4, 4, 4, 4, 4))).eval()
    records = evaluate(
        encoder, PROBE, data, Runtime(cache=folder / "cache"),
        subject=replace(SUBJECT, input=input, run=input), records=folder, draws=5,
    )  # fmt: skip
    return next(r for r in records if r.result.selected and r.evaluation.primary)


def named(flags: tuple[str, ...]) -> set[str]:
    return {flag for flag in flags if flag.startswith(("not_above", "head_untrained"))}


def test_an_encoder_without_colour_is_not_below_chance_where_only_colour_tells_more(
    hues: DataSet, tmp_path: Path
) -> None:
    gray = judged("sobel", hues, tmp_path)
    level = {
        r.subject.pretext.removeprefix("blind:"): r.result.value
        for r in read_all(tmp_path)
        if r.subject.blind and r.evaluation.primary
    }
    assert level["rgb_histogram"] > 0.95
    without = {name: value for name, value in level.items() if name != "rgb_histogram"}
    assert gray.result.chance == max(without.values())
    above = gray.result.value > max(without.values())
    best = max(without, key=lambda name: without[name])
    wanted = "not_above_colour:rgb_histogram" if above else f"not_above_chance:{best}"
    assert wanted in named(gray.result.flags)
    coloured = judged("rgb", hues, tmp_path)
    assert coloured.result.chance == max(level.values())
    assert "not_above_colour:rgb_histogram" not in coloured.result.flags


class Sees:
    def __init__(self, sees_color: bool) -> None:
        self.sees_color = sees_color


@pytest.mark.parametrize(
    ("sees", "value", "flags"),
    [
        (False, 0.2, ("not_above_chance:shade",)),
        (False, 0.3, ("not_above_chance:shade",)),
        (False, 0.5, ("not_above_colour:hue",)),
        (False, 0.7, ()),
        (True, 0.3, ("not_above_chance:hue",)),
        (True, 0.6, ("not_above_chance:hue",)),
        (True, 0.7, ()),
    ],
)
def test_levels_are_those_of_what_sees_no_more(sees: bool, value: float, flags: tuple[str, ...]) -> None:
    predictors = {"prior": Sees(False), "shade": Sees(False), "hue": Sees(True)}
    rows = {"prior": 0.1, "shade": 0.3, "hue": 0.6}
    records = [record(pretext=f"blind:{name}", metric="top1", value=score) for name, score in rows.items()]
    chance = Chance.of(records, predictors, sees)  # type: ignore[arg-type]
    assert chance.comparable["top1"] == (Level(0.6, "hue") if sees else Level(0.3, "shade"))
    assert chance.flags("top1", value, FRACTION) == flags
    assert chance.flags("mAP", value, FRACTION) == ()


@pytest.mark.parametrize(
    ("protocol", "coloured"),
    [
        (PROBE, {"rgb_histogram"}),
        (Goyal19Svm(), {"rgb_histogram"}),
        (LowShot(), {"rgb_histogram"}),
        (Clustering(), {"rgb_histogram"}),
        (Retrieval(), {"rgb_histogram"}),
        (Robustness(), {"rgb_histogram"}),
        (SegmentationLinear(), set()),
        (DetectionFrozen(), set()),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_predictors_say_whether_they_see_colour(protocol: Protocol, coloured: set[str]) -> None:
    assert {name for name, one in protocol.blind().items() if one.sees_color} == coloured


@pytest.mark.parametrize("name", inputs.INPUTS)
def test_inputs_say_whether_they_show_colour(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    gray = torch.rand(1, 1, 8, 8, generator=draw) * 0.2 + 0.3
    shift = torch.tensor([0.08, -0.02, -0.06]).view(1, 3, 1, 1)  # the mean stays; lightness hardly moves
    plain, tinted = gray.expand(-1, 3, -1, -1), gray + shift
    seen = inputs.build(name)
    change = float((seen(tinted) - seen(plain)).abs().mean() / seen(plain).abs().max().clamp(min=0.1))
    assert (change > 0.05) == inputs.INPUTS[name].sees_color


def test_flags_are_explained_with_the_predictor_and_without_it() -> None:
    assert flags.meaning("not_above_chance") == "the test score is not above chance"
    assert flags.meaning("head_untrained") == "the head's train score is not above chance"
    for flag in ("not_above_chance:hue", "head_untrained:hue", "not_above_colour:hue"):
        assert flags.meaning(flag).endswith("(hue)")
    assert "which the encoder does not" in flags.meaning("not_above_colour:hue")
