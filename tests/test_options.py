"""Every key that a person can set has a type and a range, and is held to them before anything is computed."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from pretext.data.dataset import DataSet
from pretextbench import dispatch, hints, jobs, schema, status, targets
from pretextbench.configurations import CONF
from pretextbench.context import Context
from pretextbench.fitting import fit, shown

GROUPS = ("data", "backbone", "pretext", "experiment")


def composed(*overrides: str) -> DictConfig:
    return compose("config", overrides=list(overrides), return_hydra_config=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("seed=-1", "seed must be greater than or equal to 0; it is -1"),
        ("trainer.epochs=-1", "trainer.epochs must be greater than or equal to 0"),
        ("trainer.batch_size=0", "trainer.batch_size must be greater than or equal to 1"),
        ("trainer.epoch_batches=0", "trainer.epoch_batches must be greater than or equal to 1"),
        ("trainer.warmup=nan", "trainer.warmup must be .*; it is NaN"),
        ("trainer.gradient_clip=inf", "trainer.gradient_clip must be a finite number"),
        ("cache_gb=inf", "cache_gb must be a finite number"),
        ("trainer.drops=[[0.5]]", r"trainer.drops must be \[\[float, float\], …\]; it is \[\[0.5\]\]"),
        ("trainer.drops=[[1.5,0.1]]", r"trainer.drops.0.0 must be less than 1; it is 1.5"),
        ("size=0", "size must be greater than or equal to 1"),
        ("pretext.epochs=-1", "pretext.epochs must be greater than or equal to 0"),
        ("logger.project=a/b", "logger.project: String should match"),
    ],
)
def test_what_the_schema_knows_has_a_range(hydra: None, given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        schema.check(composed(given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data.val=0.2", "data.val must be int; it is 0.2"),
        ("data=ccp data.size=48", r"data.size must be \[int.*\]; it is 48"),
        ("data.size=[48,48]", r"data.size must be int; it is \[48, 48\]"),
        ("data=voc_folder data.parts=train", r"data.parts must be \[str, …\] or null; it is .train."),
        ("data@target=ccp target.val=x", 'target.val must be int; it is "x"'),
        ("pretext.optimizer.lr=abc", 'pretext.optimizer.lr must be float; it is "abc"'),
        ("pretext.optimizer.lr=nan", "pretext.optimizer.lr must be a finite number; it is NaN"),
        ("pretext.optimizer.betas=[0.9]", r"betas must be \[float, float\]; it is \[0.9\]"),
        ("pretext.task.padding=much", "pretext.task.padding must be int"),
        ("pretext.task._target_=pretext.tasks.rotation.Rotatoin", "no 'Rotatoin' in .*Did you mean Rotation"),
        ("pretext.task._target_=pretext.taskss.rotation.Rotation", "cannot be imported: No module named"),
        ("pretext.task._target_=Rotation", "must be module.name; it is 'Rotation'"),
        ("pretext.optimizer._target_=torch.optim.LBFGS", "LBFGS takes lr, max_iter"),
        (
            "experiment=smoke data=ccp",
            "there is no key data.train: pretext.data.ccp.ccp takes root, size, val",
        ),
        ("~data.size +data.sizes=3", "data.sizes.*Did you mean size"),
        ("downstream.linear.pools=3", r"downstream.linear.pools must be \[int, …\]; it is 3"),
        ("downstream.linear.grid=3", "grid must be a LinearGrid, named by _target_"),
        ("downstream.linear.grid.lrs=[a]", r"downstream.linear.grid.lrs must be \[float, …\]"),
        (
            "pretext=multi pretext.task.tasks.colorization.padding=x",
            "pretext.task.tasks.colorization.padding must be int",
        ),
        (
            "pretext=multi +pretext.task.tasks.colorization.hiden=3",
            "no key pretext.task.tasks.colorization.hiden.*Did you mean hidden",
        ),
        ("pretext=multi pretext.task.weights.colorization=much", "pretext.task.weights"),
        ("backbone=timm backbone.model=3", "backbone.model must be str; it is 3"),
    ],
)
def test_what_stands_under_a_target_is_held_to_its_signature(hydra: None, given: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        targets.check(composed(*given.split()))


@pytest.mark.slow
def test_every_option_that_is_shipped_fits(hydra: None) -> None:
    *together, alone = GROUPS
    lines = [[f"{alone}={option}"] for option in hints.options(alone)]  # an experiment sets the others
    sides = [[f"{group}={option}" for option in hints.options(group)] for group in together]
    lines += [[word for word in line if word] for line in itertools.zip_longest(*sides)]
    assert sum(map(len, lines)) == sum(len(hints.options(group)) for group in GROUPS)
    for line in lines:
        cfg = composed(*line)
        schema.check(cfg)
        targets.check(cfg)
    cfg = composed(f"downstream=[{','.join(hints.options('downstream'))}]", "calibration=magnitude")
    targets.check(cfg)


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        (float | Tensor, float("nan"), r"a\.lr must be a finite number; it is NaN"),
        (float | list[float], float("inf"), r"a\.lr must be a finite number; it is Infinity"),
        (float | list[float], [1.0, float("nan")], r"a\.lr\.1 must be a finite number; it is NaN"),
    ],
)
def test_what_is_no_number_is_called_so_whatever_else_would_do(hint: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit(hint, value, "a.lr")


@pytest.mark.parametrize("job", ["pretrain", "benchmark"])
def test_a_rate_below_zero_is_refused_before_data_are_read(
    hydra: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    monkeypatch.setattr(Context, "_read", lambda context, config: pytest.fail("data were read"))
    cfg = composed("pretext.optimizer.lr=-1", f"job={job}", f"output={tmp_path}", "trainer.device=cpu")
    with pytest.raises(ValueError, match=r"colorization: Invalid learning rate: -1"):
        jobs.run(cfg)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "pretext.task.padding=100",
            "colorization: padding mirrors less than the image: at most 63, got 100",
        ),
        ("pretext.task.crop=500", "colorization: cannot cut 500×500"),
        ("pretext.task.temperature=0", "temperature is positive, got 0"),
        ("pretext.task.neighbours=0", "neighbours is a number of bins, 1 to 313, got 0"),
        ("pretext.task.target_stride=0", "target_stride and hidden start at 1, got 0"),
        ("pretext.task.padding=-1", "padding is a number of pixels from 0, got -1"),
        ("pretext=autoencoder pretext.task.hidden=0", "hidden is a number of channels from 1, got 0"),
        ("+input_arguments.scale=0", "input 'lightness' takes a positive scale, got 0"),
        ("pretext.optimizer.lr=-1", "colorization: Invalid learning rate: -1"),
        (
            "pretext.optimizer._target_=torch.optim.LBFGS ~pretext.optimizer.betas "
            "~pretext.optimizer.weight_decay",
            "colorization: LBFGS doesn't support",
        ),
        (
            "pretext.optimizer._target_=torch.optim.SparseAdam ~pretext.optimizer.weight_decay",
            "SparseAdam cannot take a plain step",
        ),
        (
            "pretext=multi pretext.task.tasks.colorization.crop=500",
            "multi: Multi.tasks.colorization: cannot cut 500×500",
        ),
        (
            "pretext=multi pretext.task.weights.colorization=0",
            "Multi.weights.colorization is positive, got 0",
        ),
        (
            "pretext=multi input=rgb",
            "Multi.tasks.colorization: Colorization predicts colour, which input 'rgb'",
        ),
        (
            "pretext=multi +pretext.task.tasks.mae._target_=pretext.tasks.mae.MaskedAutoencoder",
            "pretext=multi trains a TokenBackbone, and SmallNet is none",
        ),
        ("pretext=random pretext.epochs=3", "names no optimizer and cannot be trained for 3 epochs"),
        ("~pretext.optimizer._target_", "names no optimizer and cannot be trained for 4 epochs"),
        ("trainer.epochs=0", r"pretext=colorization is not trained by trainer\.epochs=0; the untrained"),
        ("pretext=rotation pretext.epochs=0", r"pretext=rotation is not trained by pretext\.epochs=0"),
        ("pretext=random pretext.epoch_batches=2", r"pretext=random takes no step, and pretext\.epoch_batc"),
        (
            "trainer.epoch_batches=9",
            "epoch_batches=9 of 16 images is more than the 6 that the 96 images",
        ),
        ("pretext=rotation pretext.epoch_batches=7", "rotation: epoch_batches=7 of 16"),
        (
            "pretext=kmeans_init pretext.epochs=1 +pretext.optimizer._target_=torch.optim.SGD",
            "takes no training",
        ),
        ("downstream=[]", r"downstream=\[\] names no protocol to judge by; there are .*linear"),
        ("downstream.linear.pools=[50]", r"LinearProbe: pools=\(50,\) is out of range: grids of 1 to 16"),
        ("downstream.linear.pools=[0]", r"LinearProbe: pools=\(0,\) is out of range"),
        ("downstream.linear.train_limit=0", "LinearProbe: train_limit must be at least 1, got 0"),
        ("downstream.detection_frozen.width=0", "DetectionFrozen: width must be at least 1, got 0"),
    ],
)
def test_what_a_configuration_names_is_built_before_anything_is_computed(
    hydra: None, few_scenes: DataSet, tmp_path: Path, given: str, said: str
) -> None:
    cfg = composed(*given.split(), f"output={tmp_path}", "trainer.device=cpu", "+backbone.widths=[8,8,8,8,8]")
    schema.check(cfg)
    targets.check(cfg)
    context = Context(cfg)
    context.data = few_scenes
    with pytest.raises((ValueError, InstantiationException)) as caught:
        context.check(context.runs, judged=True)
    assert isinstance(caught.value.__cause__ or caught.value, ValueError)
    assert re.search(said, str(caught.value)), caught.value
    assert not list(tmp_path.iterdir())


def test_a_trial_moves_no_random_state(hydra: None, few_scenes: DataSet, tmp_path: Path) -> None:
    context = Context(composed(f"output={tmp_path}", "trainer.device=cpu", "+backbone.widths=[8,8,8,8,8]"))
    context.data = few_scenes
    before = torch.get_rng_state()
    context.check(context.runs, judged=True)
    assert torch.equal(before, torch.get_rng_state())


def test_a_misspelt_experiment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "experiment=smok", f"output={tmp_path}"])
    assert dispatch.main() == 2
    assert "There is no experiment=smok. Did you mean smoke?" in capsys.readouterr().err


def test_the_experiment_is_named_where_its_keys_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["run.py", "experiment=smoke", "data=ccp", f"data.root={tmp_path}", f"output={tmp_path}"]
    )
    assert dispatch.main() == 1
    assert "experiment=smoke sets keys of its own" in capsys.readouterr().err


def test_typing_errors_are_told_before_anything_slow_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from pretextbench import dispatch; "
        "assert dispatch.main() == 1; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "seed=-1", f"output={tmp_path}"],
        cwd=CONF.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "seed must be" in done.stderr
    assert not done.stdout


def test_a_type_is_shown_as_yaml_has_it() -> None:
    assert shown(tuple[int, int]) == "[int, int]"
    assert shown(tuple[float, ...] | None) == "[float, …] or null"
    assert shown(list[str]) == "[str, …]"


def test_a_type_is_strict() -> None:
    for hint, bad in ((int, True), (int, "3"), (int, 2.0), (float, "3"), (str, 3), (bool, 1)):
        with pytest.raises(ValueError, match="key must be"):
            fit(hint, bad, "key")
    fit(float, 3, "key")
    fit(tuple[int, ...], [1, 2], "key")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a person's own options."""
    folder = tmp_path / "mine"
    (folder / "downstream").mkdir(parents=True)
    (folder / "pretext").mkdir()
    (folder / "pretext" / "rotation_mine.yaml").write_text("defaults: [rotation]\nname: rotation_mine\n")
    text = (
        (CONF / "downstream" / "knn.yaml")
        .read_text("utf-8")
        .replace("downstream.knn\n", "downstream.knn_mine\n")
    )
    (folder / "downstream" / "knn_mine.yaml").write_text(text)
    return folder


def test_hints_know_the_options_of_a_folder_of_ones_own(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*line: str) -> str:
        monkeypatch.setattr(sys, "argv", ["run.py", "--config-dir", str(own), *line, f"output={tmp_path}"])
        assert dispatch.main() in (1, 2)
        return capsys.readouterr().err

    assert "Did you mean rotation_mine?" in said("pretext=rotation_min")
    assert "knn_mine" in said("downstream=[knn_min]")
    assert "Did you mean pretext.task.padding" in said("pretext=rotation_mine", "pretext.task.pading=1")
    assert "knn_mine" in hints.options("downstream", ["--config-dir", str(own)])
    assert "knn_mine" not in hints.options("downstream")


def test_the_command_that_finishes_a_sweep_names_that_folder(own: Path, tmp_path: Path) -> None:
    made = tmp_path / "logs" / "now"
    made.mkdir(parents=True)
    sources = [{"provider": "main", "path": str(CONF)}, {"provider": "command-line", "path": str(own)}]
    asked = {"overrides": {"task": ["pretext=rotation_mine,random"]}, "runtime": {"config_sources": sources}}
    OmegaConf.save({"hydra": {**asked, "job": {}}}, made / "multirun.yaml")
    assert status.command(made) == f"python run.py --config-dir {own} -m pretext=rotation_mine,random"
