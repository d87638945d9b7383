"""job=evaluate with encoders from anywhere: what it records of them, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from foreign_checkpoints import moco, network, vit
from small_encoder import small

from downstream.judge.flags import OVERLAP_UNCHECKED
from downstream.judge.record_files import read_all
from downstream.judge.records import Record
from pretextbench import dispatch

TINY = [
    "data.train=64", "data.val=24", "data.test=24", "data.workers=1", "trainer.device=cpu", "logger=none",
    "downstream=[linear]", "downstream.linear.pools=[1]", "downstream.linear.grid.epochs=1",
    "downstream.linear.grid.least_steps=0",
]  # fmt: skip
Run = Callable[..., int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)

    def start(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments, *TINY])
        return dispatch.main()

    return start


def judged(folder: Path, pretext: str) -> Record:
    """The record of the selected stage of that row."""
    found = [
        r
        for r in read_all(folder / "outputs" / "records")
        if r.subject.pretext == pretext and r.result.selected and r.evaluation.primary
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.slow
def test_checkpoints_are_seeds_of_one_row(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        torch.save(network(seed).state_dict(), folder / f"net{seed}.pth")
    output = "output=seeds"
    assert run("job=evaluate", "encoder=net0.pth", "seed=0", output) == 1
    assert "seed=0 is one of a row's, and label=… says of which" in capsys.readouterr().err
    for seed in range(3):
        assert run("job=evaluate", f"encoder=net{seed}.pth", "label=trained", f"seed={seed}", output) == 0
    records = [r for r in read_all(folder / "seeds" / "records") if r.subject.pretext == "trained"]
    assert len({r.subject.recipe for r in records}) == 1
    assert {r.subject.seed for r in records} == {0, 1, 2}
    capsys.readouterr()
    assert run("job=evaluate", "encoder=net1.pth", "label=trained", "seed=2", output) == 1
    assert "the same weights are seed 1 of trained and seed 2 of trained" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_is_judged_and_named(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = moco(second=True)
    torch.save(made.content, folder / "moco.pth.tar")
    digest = sha256((folder / "moco.pth.tar").read_bytes()).hexdigest()
    assert run("job=evaluate", "encoder=moco.pth.tar") == 0
    name = f"moco_v2:{digest[:12]}"
    assert name in "".join(capsys.readouterr().out.split())
    record = judged(folder, name)
    subject = record.subject
    assert (subject.backbone, subject.input, subject.calibration) == ("ResNet18", "rgb", "none")
    assert subject.recipe == f"{digest} moco_v2"
    assert subject.pretraining == "unknown"
    assert OVERLAP_UNCHECKED in record.result.flags

    assert run("job=evaluate", "encoder=moco.pth.tar", "label=mine") == 0
    assert judged(folder, "mine").subject.recipe == f"{digest} moco_v2"
    assert judged(folder, "mine").result.value == record.result.value

    statistics = ("+input_arguments.mean=[0.5,0.5,0.5]", "+input_arguments.std=[0.25,0.25,0.25]")
    assert run("job=evaluate", "encoder=moco.pth.tar", "label=other", *statistics) == 0
    assert judged(folder, "other").provenance.weights != record.provenance.weights


@pytest.mark.slow
def test_arguments_that_weights_do_not_tell(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(vit(heads=12, fixed=True).state_dict(), folder / "vit.pt")
    assert run("job=evaluate", "encoder=vit.pt") == 1
    assert "how many attention heads" in capsys.readouterr().err
    assert run("job=evaluate", "encoder=vit.pt", "label=vit", "+encoder_arguments.heads=12") == 0
    assert "heads=12" in judged(folder, "vit").subject.backbone


@pytest.mark.slow
def test_random_weights_get_statistics_as_every_run_without_steps(run: Run, folder: Path) -> None:
    assert run("job=evaluate", "encoder=torchvision:resnet18@random", "seed=3") == 0
    record = judged(folder, "torchvision:resnet18@random")
    assert record.subject.calibration == "batchnorm"
    assert record.subject.seed == 3
    assert record.subject.pretraining == ""
    assert OVERLAP_UNCHECKED not in record.result.flags


@pytest.mark.slow
def test_a_run_is_found_by_its_digest(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = "+backbone.widths=[8,8,8,8,8]"
    assert run("job=pretrain", "pretext=random", small) == 0
    trained = next((folder / "outputs" / "runs").glob("random_*_s0_*"))
    digest = json.loads((trained / "encoder.json").read_text())["provenance"]["run"]
    assert run("job=evaluate", f"encoder='{digest[:12]}'") == 0
    assert judged(folder, "random").subject.run == digest
    assert run("job=pretrain", "pretext=random", small, "seed=1") == 0
    for other in (folder / "outputs" / "runs").glob("random_*_s1_*"):
        about = json.loads((other / "encoder.json").read_text())
        about["provenance"]["run"] = digest[:8] + "0" * 56
        (other / "encoder.json").write_text(json.dumps(about))
    capsys.readouterr()
    assert run("job=evaluate", f"encoder='{digest[:8]}'") == 1
    said = capsys.readouterr().err
    assert "several runs' digests begin with" in said
    assert trained.name in said
    assert run("job=evaluate", "encoder='0123456789abcdef'") == 1
    assert "no run 0123456789abcdef" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("nowhere.pt", "no encoder 'nowhere.pt'; an encoder is a run's folder"),
        ("torchvision:vgg16", "networks: resnet18, resnet50"),
        ("timm:vit_smal", "no model 'vit_smal'"),
        ("other.pt", "has none of the layouts that are known: moco_v3"),
    ],
)
def test_what_is_no_encoder(
    encoder: str, said: str, run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"stem.weight": torch.ones(1)}, folder / "other.pt")
    assert run("job=evaluate", f"encoder='{encoder}'") == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "a reserved name": ({"task": "blind:mine"}, "names that begin with 'blind:' belong to predictors"),
    "signs": ({"budget": "4\x1b[2J"}, "provenance.budget: a name is printed as it is"),
    "images": ({"images_seen": -3}, "images_seen: expected int >= 0, got int -3"),
    "no number": ({"images_seen": None}, "int() argument must be"),
    "twins": ({"twins": ["random"]}, "'list' object has no attribute 'items'"),
    "effort": ({"effort": {"images": 3}}, "provenance.effort: missing fields views, flops"),
}


@pytest.mark.parametrize("what", SAID)
def test_what_an_encoder_says_of_itself_is_refused_before_data_are_read(
    what: str, run: Run, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretextbench.context.Context._read", lambda *_: pytest.fail("data were read"))
    provenance, said = SAID[what]
    encoder = small("rgb")
    encoder.provenance = provenance
    encoder.save(folder / "said")
    assert run("job=evaluate", "encoder=said") == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert "the encoder says of itself what cannot be: " in shown
    assert said in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["label=random"], "random and supervised are the twins"),
        (["label=Supervised"], "random and supervised are the twins"),
        (["label='Blind:mine'"], "names that begin with 'blind:' belong to predictors"),
        (["label='=1+1'"], "a name begins with none of = + - @, as formulas in spreadsheets do"),
        (["downstream=[]"], "downstream=[] names no protocol to judge by"),
        (["downstream=[linear]", "downstream.linear.pools=[0]"], "pools"),
        (["downstream=[linear,nowhere]"], "nowhere"),
    ],
)
def test_protocols_and_labels_are_refused_before_data_are_read(
    words: list[str],
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pretextbench.context.Context._read", lambda *_: pytest.fail("data were read"))
    small("rgb").save(folder / "sound")
    few = [word for word in TINY if not word.startswith("downstream")]
    monkeypatch.setattr(sys, "argv", ["run.py", "job=evaluate", f"encoder={folder}/sound", *few, *words])
    assert dispatch.main() != 0
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_what_other_code_scored_is_made_again_where_that_is_asked_for_and_nothing_else(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("rgb").save(folder / "redone")
    line = ["job=evaluate", "encoder=redone", "label=redone"]
    assert run(*line) == 0
    assert "today's code" not in capsys.readouterr().out
    own = judged(folder, "redone")
    path = folder / "outputs" / "records" / f"{own.evaluation.digest}.json"

    def times() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in (folder / "outputs" / "records").iterdir() if p.is_file()}

    before, content = times(), path.read_text()
    assert run(*line, "redo=true") == 0
    assert "redone linear was scored by today's code: it stays as it is" in capsys.readouterr().out
    assert times() == before

    path.write_text(content.replace(own.provenance.scoring, "0" * 64))
    before = times()
    assert run(*line) == 0
    assert times() == before, "it was not asked for"
    assert run(*line, "redo=true") == 0
    assert "redone linear was scored by other code: it is made again" in capsys.readouterr().out
    assert {p for p, time in times().items() if time != before.get(p)} == {path}
    again = judged(folder, "redone")
    assert again.provenance.scoring == own.provenance.scoring
    assert again.result == own.result


def test_arguments_are_for_checkpoints(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(network().state_dict(), folder / "net.pt")
    assert run("job=evaluate", "encoder=net.pt", "+encoder_arguments.heads=3") == 1
    assert "ResNet18 cannot be built from" in capsys.readouterr().err


def test_cka_compares_two_encoders_on_val(run: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(moco(second=True).content, folder / "one.pth")
    recorded = set(folder.glob("outputs/records/*"))
    assert run("job=cka", "encoder=one.pth", "against=one.pth") == 0
    assert "on 24 val images of scenes" in capsys.readouterr().out
    (made,) = folder.glob("outputs/cka/*")
    table = pd.read_csv(made / "cka.csv").pivot(index="first", columns="second", values="cka")
    assert np.diag(table.loc[table.columns]) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(table, table.T)
    assert table.iloc[0, -1] < 0.9
    assert len((made / "cka.md").read_text().splitlines()) == len(table) + 4
    assert (made / "cka.png").read_bytes().startswith(b"\x89PNG")
    assert set(folder.glob("outputs/records/*")) == recorded

    assert run("job=cka", "encoder=one.pth") == 1
    assert "job=cka needs against=" in capsys.readouterr().err
