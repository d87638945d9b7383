"""Several tasks on one trunk: each does what it does alone, and the trunk takes the weighted sum."""

from __future__ import annotations

import copy
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from rich.console import Console
from safetensors.torch import load_file
from toy_fit import At, die, fit, history

from pretext.data.dataset import DataSet, Split
from pretext.data.loader import EpochLoader
from pretext.fit import Validation, load_task, pretrain, save_task
from pretext.fit.identity import run_identity
from pretext.identity import identity
from pretext.task import Epoch, Progress, Task
from pretext.tasks.colorization import Colorization
from pretext.tasks.deepcluster import DeepCluster
from pretext.tasks.moco import MoCo
from pretext.tasks.multi import Multi
from pretext.tasks.rotation import Rotation
from pretext.tasks.supervised import Supervised
from pretextbench.identities import of_node
from pretextbench.runs import _of_data

PATH = "pretext.tasks"
ROTATION = {"_target_": f"{PATH}.rotation.Rotation", "padding": 2}
COLOR = {"_target_": f"{PATH}.colorization.Colorization", "hidden": 8}
MOCO = {
    "_target_": f"{PATH}.moco.MoCo", "blur": 0.0, "hidden": 0, "outputs": 8, "queue": 12, "splits": 1,
    "momentum": 0.5,
}  # fmt: skip
CLUSTERS = {"_target_": f"{PATH}.deepcluster.DeepCluster", "clusters": 4, "hidden": 8, "dropout": 0.0}
PAIR = {"rotation": ROTATION, "colors": COLOR}


def task(tasks: Any = None, weights: Any = None, input: str = "lightness", seed: int = 0) -> Multi:
    return Multi(toy.encoder(input, seed=seed), PAIR if tasks is None else tasks, weights)


def loader(count: int = 24) -> EpochLoader:
    return EpochLoader(toy.split(count, 5), 8, shuffle=False)


def test_the_trunk_takes_the_weighted_sum_and_heads_what_is_theirs(tmp_path: Path) -> None:
    learner = task(weights={"colors": 0.25})
    learner.prepare(loader(), tmp_path)
    alone: dict[str, Task] = {
        "rotation": Rotation(copy.deepcopy(learner.encoder), padding=2),
        "colors": Colorization(copy.deepcopy(learner.encoder), hidden=8),
    }
    for name, each in alone.items():
        each.load_state_dict(learner.tasks[name].state_dict())
    draw = torch.Generator().manual_seed(1)
    step = learner.loss(learner.views(toy.batch(), torch.Generator().manual_seed(1)))
    step.loss.backward()
    steps = {name: each.loss(each.views(toy.batch(), draw)) for name, each in alone.items()}
    for own in steps.values():
        own.loss.backward()
    total = steps["rotation"].loss + 0.25 * steps["colors"].loss
    torch.testing.assert_close(step.loss, total)
    assert step.logs.keys() == {"loss"} | {f"{n}/{log}" for n, own in steps.items() for log in own.logs}
    for name, own in steps.items():
        for log, value in own.logs.items():
            torch.testing.assert_close(step.logs[f"{name}/{log}"], value)
    gradients = {name: dict(each.named_parameters()) for name, each in alone.items()}
    for name, parameter in learner.encoder.named_parameters():
        one, two = (gradients[n][f"encoder.{name}"].grad for n in ("rotation", "colors"))
        torch.testing.assert_close(parameter.grad, one + 0.25 * two, msg=name)
    torch.testing.assert_close(learner.tasks["rotation"].head.weight.grad, alone["rotation"].head.weight.grad)
    theirs = alone["colors"].head.out.weight.grad
    torch.testing.assert_close(learner.tasks["colors"].head.out.weight.grad, 0.25 * theirs)


def test_the_sum_has_a_chance_level_where_each_loss_has_one(tmp_path: Path) -> None:
    painted = {"_target_": f"{PATH}.inpainting.Inpainting", "bottleneck": 8, "hidden": 8, "adversarial": 0.5}
    learner = task({"rotation": ROTATION, "painted": painted}, {"painted": 2.0})
    learner.prepare(loader(), tmp_path)
    batch = learner.views(toy.batch(), torch.Generator().manual_seed(1))
    chance, logs = learner.chance(batch), learner.loss(batch).logs
    assert chance["loss"] == pytest.approx(math.log(4) + 2 * chance["painted/loss"])
    # Of what is logged: an adversary's loss is no part of the squared error's.
    torch.testing.assert_close(logs["loss"], logs["rotation/loss"] + 2 * logs["painted/loss"])
    game = {"_target_": f"{PATH}.bigan.BiGan", "codes": 4, "hidden": 16}
    without = task({"rotation": ROTATION, "game": game})
    batch = without.views(toy.batch(), torch.Generator().manual_seed(1))
    assert without.chance(batch).keys() == {"rotation/loss", "game/discriminator", "game/opposite"}


def test_measures_are_means_over_what_each_task_means(tmp_path: Path) -> None:
    """Of 16 images nine have colour, one of them in the second batch."""
    pixels = toy.stripes(16, 3)[0]
    pixels[9:] = pixels[9:].mean(axis=-1, keepdims=True).round()
    val = Split("val", pixels, "mostly-gray")
    found = pretrain(
        task(), toy.split(24, 0), val, folder=tmp_path / "run", cache=tmp_path, name="multi", seed=0,
        epochs=0, batch_size=8, optimisation=None, device="cpu", validation=Validation(bank=0, pictures=2),
        console=Console(file=io.StringIO()),
    ).measures  # fmt: skip
    learner = load_task(tmp_path / "run")
    with torch.no_grad():
        batch = learner.views(next(iter(EpochLoader(val, 16, shuffle=False))), torch.Generator())
        at_once = learner.loss(batch)
    assert int(at_once.weights["colors/loss"]) == 9
    for log, value in at_once.logs.items():
        if log != "loss":  # a sum of means over different images
            assert found[f"val/{log}"] == pytest.approx(float(value), rel=1e-5), log
    for log, level in learner.chance(batch).items():
        assert log == "loss" or found[f"val/{log}_chance"] == pytest.approx(level, rel=1e-5), log
    assert {"val/rotation/loss_chance", "val/colors/auc"} <= found.keys()


def test_every_hook_reaches_every_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = task({"moco": MOCO, "clusters": CLUSTERS}, input="rgb")
    learner.prepare(loader(), tmp_path)
    moco, clusters = learner.tasks["moco"], learner.tasks["clusters"]
    assert isinstance(moco, MoCo)
    assert isinstance(clusters, DeepCluster)
    assert clusters.targets.shape == (24,)
    learner.eval()
    with torch.no_grad():
        epoch = learner.before_epoch(loader(), Progress(0, 10, 0.0))
    sizes = torch.bincount(clusters.targets)
    torch.testing.assert_close(epoch.weights, 1 / sizes[clusters.targets].double())
    assert [id(p) for p in epoch.reset] == [id(p) for p in clusters.top.parameters()]
    monkeypatch.setattr(moco, "before_epoch", lambda *_: Epoch(torch.arange(24.0), (moco.head[0].weight,)))
    with torch.no_grad():
        both = learner.before_epoch(loader(), Progress(0, 10, 0.0))
    sizes = torch.bincount(clusters.targets)
    torch.testing.assert_close(both.weights, torch.arange(24) / sizes[clusters.targets].double())
    assert len(both.reset) == 3

    seen: list[tuple[str, Progress]] = []
    monkeypatch.setattr(clusters, "before_step", lambda progress: seen.append(("before", progress)))
    learner.before_step(Progress(3, 10, 0.0))
    assert seen == [("before", Progress(3, 10, 0.0))]
    with torch.no_grad():
        moco.head[0].weight.add_(1)
    old = moco.teacher_head[0].weight.clone()
    learner.after_step(Progress(3, 10, 0.0))
    torch.testing.assert_close(moco.teacher_head[0].weight, old + 0.5)

    parent = Rotation(toy.encoder("rgb", seed=7))
    learner.initialise_from(parent)
    for network in (learner.encoder, moco.encoder, moco.teacher):
        for name, value in network.state_dict().items():
            assert torch.equal(value, parent.encoder.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"Multi\.tasks\.moco: MoCo\.queue is 12, of only 8 images"):
        learner.check(8, 8)


def test_groups_are_the_encoders_by_default_and_heads_by_task() -> None:
    learner = task({"moco": MOCO, "clusters": CLUSTERS})
    groups = learner.param_groups()
    places = [id(p) for group in groups for p in group["params"]]
    assert sorted(places) == sorted(id(p) for p in learner.parameters() if p.requires_grad)
    of = {
        id(p): {k: v for k, v in group.items() if k != "params"} for group in groups for p in group["params"]
    }
    assert of[id(learner.encoder.backbone.blocks["conv1"].conv.weight)] == {}
    assert of[id(learner.encoder.backbone.blocks["conv1"].norm.bias)] == {"weight_decay": 0.0}
    assert of[id(learner.tasks["moco"].head[0].bias)] == {}
    assert of[id(learner.tasks["clusters"].top.bias)] == {"momentum": 0.0}


def test_the_encoder_is_saved_once_and_what_is_of_the_run_not_at_all(tmp_path: Path) -> None:
    learner = task({"moco": MOCO, "rotation": ROTATION})
    assert learner.transient == ("tasks.moco.queue",)
    learner.eval()
    save_task(learner, tmp_path)
    kept = load_file(tmp_path / "task.safetensors").keys()
    assert not any(".encoder." in f".{name}" for name in kept)
    assert "tasks.moco.queue" not in kept
    assert "tasks.moco.teacher_head.0.weight" in kept
    again = load_task(tmp_path)
    assert isinstance(again, Multi)
    assert again.arguments == learner.arguments
    assert again.arguments["tasks"]["rotation"] == {**ROTATION, "crop": None}
    assert again.tasks["moco"].encoder is again.encoder
    for name, value in learner.state_dict().items():
        assert name in learner.transient or torch.equal(value, again.state_dict()[name]), name


def test_a_killed_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    def learner() -> Multi:
        return task({"moco": MOCO, "clusters": CLUSTERS, "rotation": ROTATION})

    whole, again = learner(), learner()
    fit(tmp_path / "whole", whole)
    with pytest.raises(KeyError):
        fit(tmp_path / "broken", learner(), callbacks=[At(1, 2, die)])
    fit(tmp_path / "broken", again)
    assert history(tmp_path / "whole") == history(tmp_path / "broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_tasks_inside_go_by_their_identity() -> None:
    def digest(learner: Multi) -> Any:
        train = toy.split(8, 0)
        return run_identity(learner, train, train, "m", 0, 1, None, 8, None, "fp32")["task"]

    found = digest(task())["options"]
    own = {"rotation": identity(Rotation, {"padding": 2}), "colors": identity(Colorization, {"hidden": 8})}
    assert found["tasks"] == own
    assert digest(task({"rotation": {**ROTATION, "crop": None}, "colors": COLOR})) == digest(task())
    assert digest(task({"rotation": {**ROTATION, "crop": 8}, "colors": COLOR})) != digest(task())
    node = {"_target_": f"{PATH}.multi.Multi", "tasks": PAIR}
    assert of_node(node) == identity(Multi, {"tasks": own})


def test_it_needs_what_any_of_its_tasks_needs() -> None:
    assert task().needs_color
    assert not task().needs_labels
    labels = {"_target_": f"{PATH}.supervised.Supervised", "classes": 3, "multilabel": False}
    assert task({"rotation": ROTATION, "labels": labels}).needs_labels


def test_labels_are_filled_in_for_tasks_inside() -> None:
    data = DataSet(
        "d",
        *(toy.split(6, seed, name) for seed, name in enumerate(("train", "val", "test"))),
        ("a", "b", "c"),
    )
    asked = {"_target_": f"{PATH}.supervised.Supervised", "classes": None, "multilabel": None}
    filled = _of_data({"tasks": {"labels": asked, "rotation": ROTATION}, "weights": {"labels": 2.0}}, data)
    assert filled["tasks"]["labels"] == {**asked, "classes": 3, "multilabel": False}
    assert filled["tasks"]["rotation"] == ROTATION
    assert filled["weights"] == {"labels": 2.0}
    inside = task(filled["tasks"]).tasks["labels"]
    assert isinstance(inside, Supervised)


@torch.no_grad()
def test_pictures_are_as_large_as_images(tmp_path: Path) -> None:
    patches = {"_target_": f"{PATH}.context_prediction.ContextPrediction", "hidden": 8}
    learner = task({"patches": patches, **PAIR}).eval()
    learner.prepare(loader(), tmp_path)
    shown = learner.show(toy.batch(4))
    assert {picture.shape for picture in shown.values()} == {(4, 3, 32, 32)}
    assert {"patches/middle", "colors/gray"} <= shown.keys()


TOKENS = {"_target_": f"{PATH}.mae.MaskedAutoencoder"}


@pytest.mark.parametrize(
    ("tasks", "weights", "input", "message"),
    [
        ({}, None, "lightness", "Multi.tasks names at least one task, got none"),
        (
            {"one": ROTATION, "two": {**ROTATION, "crop": 8}},
            None,
            "lightness",
            "Multi.tasks are of different kinds; one and two are Rotation",
        ),
        (PAIR, {"colors": 0.0}, "lightness", "Multi.weights.colors is positive, got 0.0"),
        (PAIR, {"colors": np.inf}, "lightness", "Multi.weights.colors is positive, got inf"),
        (PAIR, {"color": 1.0}, "lightness", "Multi.weights are of rotation, colors; color is none of them"),
        (PAIR, None, "rgb", "Multi.tasks.colors: Colorization predicts colour, which input 'rgb' shows"),
        ({"a": {"_target_": "os.system"}}, None, "rgb", "Multi.tasks.a: there is no task 'os.system'"),
        ({"a": {}}, None, "rgb", "Multi.tasks.a: there is no task None"),
        ({"a.b": ROTATION}, None, "rgb", "Multi.tasks go by plain names, got 'a.b'"),
        ({"pop": ROTATION}, None, "rgb", "Multi.tasks go by plain names, got 'pop'"),
        (
            {"r": {"_target_": f"{PATH}.random.Random"}},
            None,
            "rgb",
            "Multi.tasks.r: Random takes no step and has no loss",
        ),
        ({"m": TOKENS}, None, "rgb", "Multi.tasks.m: .* takes a TokenBackbone, and SmallNet is none"),
        (
            {"r": ROTATION, "d": {"_target_": f"{PATH}.dino.Dino", "prototypes": 8, "hidden": 8}},
            None,
            "rgb",
            "Multi.tasks.d: Dino keeps its teacher, which takes no gradient",
        ),
        ({"r": {**ROTATION, "padding": -1}}, None, "rgb", "Multi.tasks.r: Rotation.padding is a number"),
        ({"r": {**ROTATION, "size": 1}}, None, "rgb", "Multi.tasks.r: .*unexpected keyword argument 'size'"),
    ],
)
def test_what_does_not_go_together_is_refused(tasks: Any, weights: Any, input: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task(tasks, weights, input)
