"""Tasks, networks and words that break their contract: one line says which, before anything is trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pretext.encoder import Encoder
from pretext.task import Images, Step, Task, checked
from pretextbench import dispatch

FEW = ["data=scenes", "data.train=64", "data.val=16", "data.test=16", "trainer.epochs=1", "logger=none"]
YAML = """
name: {name}
title: Broken
paper: none
task:
  _target_: test_broken_tasks.{kind}
optimizer:
  _target_: torch.optim.SGD
  lr: 0.1
"""


class Mean(Task):
    """The mean of the last map; what others break."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def views(self, images: Images, generator: torch.Generator) -> Images:
        return images

    def mean(self, batch: Images) -> Tensor:
        return self.encoder(batch.pixels).maps[self.encoder.stage_names[-1]].mean()

    def loss(self, batch: Images) -> Step:
        return Step(self.mean(batch), {})


class Bare(Mean):
    """A loss that is no step."""

    def loss(self, batch: Images) -> Any:
        return self.mean(batch)


class Many(Mean):
    """A loss of each image."""

    def loss(self, batch: Images) -> Step:
        return Step(self.mean(batch).expand(4), {})


class Detached(Mean):
    """A loss that teaches nothing."""

    def loss(self, batch: Images) -> Step:
        return Step(self.mean(batch).detach(), {})


class Number(Mean):
    """A log that is no tensor."""

    def loss(self, batch: Images) -> Any:
        return Step(self.mean(batch), {"half": 0.5})  # type: ignore[dict-item]


class Watched(Mean):
    """A log by a name that features are watched by."""

    def loss(self, batch: Images) -> Step:
        return Step(self.mean(batch), {"spread": torch.ones(())})


class Scored(Mean):
    """The same of a measure on val."""

    def score(self, batch: Any) -> dict[str, tuple[Tensor, Tensor]]:
        return {"knn": (torch.ones(()), torch.ones(()))}


class Chanceless(Mean):
    """A chance that is no number."""

    def chance(self, batch: Any) -> dict[str, float]:
        return {"loss": float("nan")}


class NoTask(nn.Module):
    """Trains nothing."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of configurations of one's own, one task for each class here."""
    folder = tmp_path / "own"
    (folder / "pretext").mkdir(parents=True)
    for kind in (Mean, Bare, Many, Detached, Number, Watched, Scored, Chanceless, NoTask):
        name = kind.__name__.lower()
        (folder / "pretext" / f"{name}.yaml").write_text(YAML.format(name=name, kind=kind.__name__))
    whole = (folder / "pretext" / "mean.yaml").read_text()
    (folder / "pretext" / "nameless.yaml").write_text(whole.replace("name: mean", ""))
    target = "task:\n  _target_: test_broken_tasks.Mean"
    classless = whole.replace("name: mean", "name: classless").replace(target, "task: {}")
    (folder / "pretext" / "classless.yaml").write_text(classless)
    (folder / "backbone").mkdir()
    (folder / "backbone" / "broken.yaml").write_text("_target_: nowhere.Net\n")
    return folder


@pytest.fixture
def said(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What a command that cannot be is answered with."""

    def answer(*words: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["run.py", f"--config-dir={own}", *FEW, *words])
        assert dispatch.main() in (1, 2)
        shown = " ".join(capsys.readouterr().err.split())
        assert "Traceback" not in shown
        return shown

    return answer


@pytest.mark.parametrize(
    ("name", "due"),
    [
        ("bare", "Bare.loss returns a pretext.task.Step(loss, logs), not Tensor"),
        ("many", "Many.loss: loss is a scalar tensor; it is of shape (4,)"),
        ("detached", "Detached.loss: the loss has no gradient"),
        ("number", "Number.loss: half is a scalar tensor; it is float"),
        ("watched", "Watched.loss: spread is what is measured of the encoder's features; what"),
        ("scored", "Scored.score: knn is what is measured of the encoder's features"),
        ("chanceless", "Chanceless.chance: loss is a finite number; it is nan"),
        ("notask", "pretext=notask: test_broken_tasks.NoTask is no pretext.task.Task"),
        ("nameless", "pretext=nameless: its YAML has no 'name'"),
        ("classless", "pretext=classless: its YAML names no class of a task"),
    ],
)
def test_a_task_that_breaks_the_contract_is_named(name: str, due: str, said: Callable[..., str]) -> None:
    assert due in said(f"pretext={name}", "job=pretrain")


def test_a_step_without_gradients_is_one_where_none_are_asked_for() -> None:
    task = Mean(encoder=nn.Identity())  # type: ignore[arg-type]
    step = Step(torch.tensor(1.0), {"log": torch.tensor(2.0)})
    with pytest.raises(ValueError, match="no gradient"):
        checked(step, task)
    with torch.no_grad():
        assert checked(step, task) is step


@pytest.mark.parametrize(
    ("words", "due"),
    [
        (["pretext=mae"], "pretext=mae trains a TokenBackbone, and SmallNet is none; backbone=vit_mini or"),
        (["pretext=imagenet"], "nobody publishes ImageNet weights of SmallNet; networks are ResNet18"),
        (
            ["pretext=random", "initialisation=nope"],
            "no initialisation=nope; it is a task of zero images: im",
        ),
        (["pretext=rotation", "initialisation=jigsaw"], "initialisation=jigsaw trains; it is a task of zero"),
        (["pretext=rotation", "backbone=timm", "data.size=16"], "TimmNet cannot see images of 16 × 16: "),
        (
            ["pretext=jigsaw", "backbone=timm", "data.size=48"],
            "Jigsaw: TimmNet cannot see what the task shows it of images of 48 × 48: ",
        ),
        (["pretext=rotation", "+downstream.foo=1"], "downstream.foo is a protocol's settings"),
        (["pretext=rotation", "+input_arguments.scale=nan"], "input_arguments.scale of 'lightness' are fin"),
        (["output="], "output: a path is not empty; this folder is .; it is ''"),
    ],
)
def test_a_plan_refuses_what_cannot_be(words: list[str], due: str, said: Callable[..., str]) -> None:
    """A YAML of one's own that cannot be imported and was not chosen is in nobody's way."""
    assert due in said("dry_run=true", *words)
