"""`import pretextbench`: the same path as the jobs, for encoders and modules that are at hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from own_modules import Dictionary, Listed, Vector
from small_encoder import small
from torch import nn
from torchvision.models import resnet18

import pretextbench
from downstream.classification.knn import NearestNeighbours
from downstream.judge.evaluate import evaluate
from downstream.judge.record_files import read_all
from downstream.protocol import Runtime
from pretext.data.dataset import DataSet
from pretextbench import subjects

CPU = ["trainer.device=cpu"]
KNN = [*CPU, "downstream.knn.ks=[5]", "downstream.knn.pools=[1]"]


def test_results_go_to_a_folder(tmp_path: Path, few_scenes: DataSet) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"output: .*file is no folder"):
        pretextbench.judge(small("rgb"), few_scenes, ["knn"], tmp_path / "file", options=KNN)
    with pytest.raises(ValueError, match="output is the path of a folder, not None"):
        pretextbench.judge(small("rgb"), few_scenes, ["knn"], None, options=KNN)  # type: ignore[arg-type]


def test_importing_it_imports_nothing_slow() -> None:
    program = "import sys, pretextbench; assert not {'torch', 'pandas', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_module_is_judged_as_the_encoder_in_it_and_as_the_evaluator_does(
    tmp_path: Path, few_scenes: DataSet
) -> None:
    encoder = small("rgb")
    tables = {
        name: pretextbench.judge(made, few_scenes, ["knn"], tmp_path / name, label="mine", options=KNN)
        for name, made in {"own": encoder, "dict": Dictionary(encoder), "list": Listed(encoder)}.items()
    }
    by_hand = evaluate(
        encoder,
        NearestNeighbours(ks=(5,), pools=(1,)),
        few_scenes,
        Runtime(),
        subject=subjects.of_encoder(encoder, "mine"),
        records=tmp_path / "hand",
    )
    (wanted,) = [r.result.value for r in by_hand if r.evaluation.primary and r.result.selected]
    for name, table in tables.items():
        (row,) = table[table["label"] == "mine"].to_dict("records")
        assert row["value"] == wanted, name
        assert row["data"] == few_scenes.name
    stages = {r.evaluation.stage for r in read_all(tmp_path / "list" / "records")}
    assert {"output0", f"output{len(encoder.stages) - 1}"} <= stages
    own = [r for r in read_all(tmp_path / "own" / "records") if not r.subject.blind]
    assert own[0].provenance.config["data"] == {"name": few_scenes.name}


def test_a_resnet_of_torchvision_and_a_vector_have_rows(
    tmp_path: Path, few_scenes: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = nn.Sequential(*list(resnet18(weights=None).children())[:-2])
    trunk.train()
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    pretextbench.judge(trunk, few_scenes, ["knn"], tmp_path, stages=["layer4"], options=KNN)
    pretextbench.judge(Vector(small("rgb")), few_scenes, ["knn"], tmp_path, options=KNN)
    assert trunk.training
    assert all(torch.equal(before[name], value) for name, value in trunk.state_dict().items())
    assert "Vector" in capsys.readouterr().out
    table = pretextbench.leaderboard(tmp_path)
    assert {"Sequential", "Vector"} <= set(table["pretext"])
    assert table["value"].between(0, 1).all()
    assert {r.evaluation.stage for r in read_all(tmp_path / "records") if not r.subject.blind} == {
        "layer4",
        "output",
    }


@pytest.mark.parametrize("word", ["output=elsewhere", "job=status", "+label=x", "downstream=[knn]"])
def test_an_option_that_an_argument_says_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"options: {word!r} is for the function's own arguments")):
        pretextbench.judge(
            small("rgb"), "scenes", "knn", tmp_path / "new", options=["trainer.device=cpu", word]
        )
    assert not (tmp_path / "new").exists()


def test_a_dry_run_of_pretraining_shows_the_plan_and_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [*CPU, "data.train=32", "data.val=16", "data.test=16", "data.workers=1", "trainer.epochs=1"]
    with pytest.raises(ValueError, match="leaves no encoder"):
        pretextbench.pretrain("rotation", "scenes", tmp_path, options=[*few, "dry_run=true"])
    assert "to do" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_unknown_names_are_value_errors_in_the_words_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"There is no downstream=lineer\. Did you mean linear\?"):
        pretextbench.judge(small("rgb"), "scenes", "lineer", tmp_path)
    with pytest.raises(ValueError, match=r"There is no data=scens\. Did you mean scenes\?"):
        pretextbench.judge(small("rgb"), "scens", ["knn"], tmp_path)
    with pytest.raises(ValueError, match="There is no key 'foo'"):
        pretextbench.judge(small("rgb"), "scenes", ["knn"], tmp_path, options=["foo=1"])
    with pytest.raises(ValueError, match=r"There is no pretext=rotatoin\. Did you mean rotation\?"):
        pretextbench.pretrain("rotatoin", output=tmp_path)


def test_seeds_of_ones_own_encoder_are_one_row(tmp_path: Path, few_scenes: DataSet) -> None:
    def judged(module: nn.Module, seed: int | None = None) -> pd.DataFrame:
        return pretextbench.judge(module, few_scenes, ["knn"], tmp_path, label="mine", seed=seed, options=KNN)

    networks = []
    for seed in range(3):
        networks.append(Dictionary(small("rgb", seed)))
        shown = judged(networks[-1], seed)
        assert set(shown[shown["pretext"] == "mine"]["n"]) == {seed + 1}
    rows = {
        (r.subject.recipe, r.subject.backbone) for r in read_all(tmp_path / "records") if not r.subject.blind
    }
    assert len(rows) == 1
    table = pretextbench.leaderboard(tmp_path)
    assert set(table[table["pretext"] == "mine"]["n"]) == {3}
    with pytest.raises(
        ValueError, match=r"the same weights are seed 1 of mine and seed 5 of mine; \w+….json"
    ):
        judged(networks[1], 5)
    with pytest.raises(ValueError, match=r"same weights are seed 1 of mine and mine of recipe \w+, seed 0"):
        judged(networks[1])
    with pytest.raises(
        ValueError, match=r"two encoders are seed 1 of mine, of weights \w+ and \w+; \w+….json"
    ):
        judged(Dictionary(small("rgb", 7)), 1)
    trained = small("rgb")
    trained.provenance |= {"seed": 4, "recipe": "r"}
    assert subjects.of_encoder(trained, "mine", 4).recipe == "r"
    with pytest.raises(ValueError, match="seed 4, and seed=5 is another's"):
        subjects.of_encoder(trained, "mine", 5)


@pytest.mark.parametrize("label", ["${seed}", "${oc.env:HOME}", r"\${x}", r"\\${x} $ {", "${"])
def test_a_label_is_what_it_says(label: str, tmp_path: Path, few_scenes: DataSet) -> None:
    pretextbench.judge(small("rgb"), few_scenes, ["knn"], tmp_path, label=label, options=KNN)
    assert label in {record.subject.pretext for record in read_all(tmp_path / "records")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"encoder": small("rgb").state_dict()}, "it is a OrderedDict; weights alone are no network"),
        ({"encoder": lambda x: x}, "it is a function; what is called goes into the forward of a module"),
        ({"encoder": None}, "encoder is a torch.nn.Module or names one .*; it is a NoneType"),
        ({"protocols": None}, "protocols is a text or several in a list, not None"),
        ({"label": 5}, "label is a name, got 5, a int"),
        ({"data": [1]}, r"data is the name of a set or a DataSet, not \[1\]"),
    ],
)
def test_what_is_no_encoder_set_or_protocol_is_told_so(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    given = {"encoder": small("rgb"), "data": "scenes", "protocols": ["knn"], "output": tmp_path, **arguments}
    with pytest.raises(TypeError, match=said):
        pretextbench.judge(**given)


def test_a_path_and_a_wrong_word_go_the_way_of_the_command(tmp_path: Path, few_scenes: DataSet) -> None:
    small("rgb").save(tmp_path / "saved")
    assert pretextbench.load(tmp_path / "saved").stage_names == small("rgb").stage_names
    table = pretextbench.judge(tmp_path / "saved", few_scenes, ["knn"], tmp_path, label="saved", options=KNN)
    assert "saved" in set(table["label"])
    with pytest.raises(FileNotFoundError, match="no encoder 'nowhere'"):
        pretextbench.judge("nowhere", few_scenes, ["knn"], tmp_path)
    with pytest.raises(ValueError, match="are the twins"):
        pretextbench.judge(small("rgb"), few_scenes, ["knn"], tmp_path, label="random")


def test_pretraining_gives_the_runs_encoder(tmp_path: Path) -> None:
    few = [*CPU, "data.train=32", "data.val=16", "data.test=16", "data.workers=1", "trainer.epochs=1"]
    encoder = pretextbench.pretrain("random", "scenes", tmp_path, seed=3, options=few)
    assert encoder.provenance["seed"] == 3
    (run,) = (tmp_path / "runs").glob("random_*")
    assert pretextbench.load(run).digest() == encoder.digest()
