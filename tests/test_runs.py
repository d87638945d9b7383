"""The runs that a configuration stands for: what each is asked for by, and what its digest names."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from pretext.backbones import TokenBackbone
from pretext.data.dataset import DataSet
from pretext.fit import Pretrained
from pretextbench import runs, schema
from pretextbench.finished import finished_alike

CONF = Path(__file__).parent.parent / "conf"
TASKS = sorted(path.stem for path in (CONF / "pretext").glob("*.yaml"))


@pytest.fixture
def composed(hydra: None) -> Callable[..., DictConfig]:
    return lambda *overrides: compose("config", overrides=list(overrides))


def read_again(config: dict[str, Any]) -> DictConfig:
    """The configuration that a run keeps, as the command line would give it."""
    plain = json.loads(json.dumps(config))
    again = OmegaConf.merge(OmegaConf.structured(schema.Config), plain)
    assert isinstance(again, DictConfig)
    return again


def with_parents(run: runs.Run) -> list[runs.Run]:
    return [run, *(with_parents(run.parent) if run.parent else [])]


@pytest.mark.parametrize(
    "asked",
    [
        ["pretext=rotation"],
        ["pretext=random"],
        ["pretext=colorization_l2_ft"],
        ["pretext=rotation", "pretext.epochs=7", "trainer.epochs=3"],
        ["pretext=rotation", "pretext.epochs=2", "pretext.epoch_batches=3"],
        ["pretext=colorization", "initialisation=kmeans_init", "seed=3", "input=sobel"],
        ["pretext=colorization", "initialisation=kmeans_init", "calibration=magnitude"],
        ["pretext=colorization_l2_ft", "initialisation=kmeans_init"],
    ],
    ids=" ".join,
)
def test_the_configuration_of_a_run_asks_for_that_run_alone(
    asked: list[str], composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    """Of twins and parents too: asked for by what is kept with it, a run has the digest it has."""
    for run in runs.with_twins(composed(*asked), few_scenes, "fp32"):
        for each in with_parents(run):
            cfg = read_again(each.config)
            alone = runs.calibrated(cfg, runs.one(cfg, cfg.pretext, few_scenes, "fp32"))
            assert cfg.pretext.name == each.spec["pretext"]
            assert alone.spec == each.spec
            assert alone.digest == each.digest
            assert alone.folder == each.folder


def test_a_task_with_a_length_of_its_own_stays_among_the_rows_of_its_trainer(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    plain = runs.with_twins(composed("pretext=rotation"), few_scenes, "fp32")
    asked = composed("pretext=rotation", "pretext.epochs=2", "pretext.epoch_batches=3")
    own, *twins = runs.with_twins(asked, few_scenes, "fp32")
    assert (own.spec["budget"]["epochs"], own.spec["budget"]["epoch_batches"]) == (2, 3)
    assert own.budget == plain[0].budget
    assert own.recipe != plain[0].recipe
    assert [twin.digest for twin in twins] == [twin.digest for twin in plain[1:]]


def test_what_is_kept_in_a_runs_folder(
    composed: Callable[..., DictConfig], few_scenes: DataSet, tmp_path: Path
) -> None:
    cfg = composed("pretext=rotation", f"output={tmp_path}")
    noted = replace(few_scenes, notes=("two files were left out",))
    twin = runs.with_twins(cfg, few_scenes, "fp32")[1]
    runs.write_spec(twin, noted)
    kept = json.loads((twin.folder / runs.CONFIG).read_bytes())
    assert kept["run"] == twin.digest
    assert kept["config"]["pretext"]["name"] == "random"
    assert kept["data"] == ["two files were left out"]


def test_a_finished_run_is_found_without_its_data(
    composed: Callable[..., DictConfig], few_scenes: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = composed("pretext=rotation", f"output={tmp_path}", "trainer.epochs=2")
    run = runs.one(cfg, cfg.pretext, few_scenes, "fp32")
    runs.write_spec(run, few_scenes)
    assert finished_alike(cfg, "fp32") == []  # it has begun, no more
    monkeypatch.setattr(Pretrained, "read", lambda folder: "finished")
    assert finished_alike(cfg, "fp32") == [run.folder]
    also = ["trainer.device=cpu", "downstream=[linear]", "calibration=magnitude", "job=colorize"]
    same = composed("pretext=rotation", f"output={tmp_path}", "trainer.epochs=2", *also)
    assert finished_alike(same, "fp32") == [run.folder]
    for other in (
        "seed=1",
        "trainer.epochs=3",
        "data.seed=1",
        "input=gray",
        "pretext.optimizer.lr=0.1",
        "pretext.epoch_batches=3",
    ):
        cfg = composed("pretext=rotation", f"output={tmp_path}", "trainer.epochs=2", other)
        assert finished_alike(cfg, "fp32") == [], other
    assert finished_alike(same, "bf16") == []
    (run.folder / runs.CONFIG).write_text("{")
    assert finished_alike(same, "fp32") == []


@pytest.mark.parametrize("name", TASKS)
def test_every_argument_of_a_task_is_a_key_of_its_yaml(
    name: str, composed: Callable[..., DictConfig]
) -> None:
    """So that none needs a plus on the command line."""
    task = composed(f"pretext={name}").pretext.task
    arguments = inspect.signature(get_class(task["_target_"])).parameters.keys() - {"encoder"}
    assert arguments == task.keys() - {"_target_"}


def test_the_digest_of_colorization_is_what_it_was(composed: Callable[..., DictConfig]) -> None:
    """Runs that are on people's disks are found again."""
    few = DataSet("d", *(_named(name) for name in ("a", "b", "c")), label_names=("x", "y"))
    known = {"colorization": "f9932bf2718e", "colorization_l2_ft": "042fc2101468", "rotation": "2c0b5809ecc7"}
    for name, digest in known.items():
        cfg = composed(f"pretext={name}")
        assert runs.one(cfg, cfg.pretext, few, "32-true").digest[:12] == digest
    cfg = composed("experiment=zhang16", "data.root=nowhere")
    assert runs.one(cfg, cfg.pretext, few, "32-true").digest[:12] == "d7c5bcfa15bb"


def _named(digest: str) -> Any:
    class Named:
        labels = None

    made = Named()
    made.digest = digest  # type: ignore[attr-defined]
    return made


def test_the_supervised_twin_needs_something_to_tell_apart(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    def with_labels(labels: Any, names: tuple[str, ...]) -> DataSet:
        return replace(few_scenes, train=replace(few_scenes.train, labels=labels), label_names=names)

    one = with_labels(few_scenes.train.labels[:, 0].astype("int64") * 0, ("only",))
    none = with_labels(None, ())
    for data, why in ((one, "one class"), (none, "no image labels")):
        cfg = composed("pretext=rotation")
        assert [run.name for run in runs.with_twins(cfg, data, "fp32")] == ["rotation", "random"]
        assert why in runs.unsupervised(data)
        cfg = composed("pretext=supervised")
        with pytest.raises(ValueError, match=f"pretext=supervised: scenes has {why}"):
            runs.with_twins(cfg, data, "fp32")
    assert runs.unsupervised(few_scenes) == ""


def test_a_task_says_what_its_paper_needs_and_its_twins_follow(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    asked, *twins = runs.with_twins(composed("pretext=deepcluster"), few_scenes, "fp32")
    assert (asked.spec["input"], asked.spec["budget"]["batch_size"]) == ("sobel", 256)
    assert [twin.name for twin in twins] == ["random", "supervised"]
    for twin in twins:
        assert (twin.spec["input"], twin.spec["budget"]["batch_size"]) == ("sobel", 256)
    other = runs.with_twins(composed("pretext=rotation"), few_scenes, "fp32")[0]
    assert (other.spec["input"], other.spec["budget"]["batch_size"]) == ("lightness", 16)


def test_the_supervised_twin_of_a_transformer_has_a_rate_that_transformers_take(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    def rates(*words: str) -> dict[str, float | None]:
        found = runs.with_twins(composed("backbone=vit_mini", *words), few_scenes, "fp32")
        return {run.name: run.spec["optimizer"].get("lr") for run in found}

    own = {run.name: run.recipe for run in runs.with_twins(composed(), few_scenes, "fp32")}
    assert rates("pretext=mae")["supervised"] == 0.001
    assert rates("pretext=mae", "trainer.twin_lr=0.002")["supervised"] == 0.002
    asked, *twins = runs.with_twins(composed("pretext=mae", "backbone=vit_mini"), few_scenes, "fp32")
    words = ("pretext=supervised", "backbone=vit_mini", "pretext.optimizer.lr=0.001", "trainer.batch_size=64")
    alone = runs.with_twins(composed(*words), few_scenes, "fp32")[0]
    assert asked.twins["supervised"] == next(run.recipe for run in twins if run.name == "supervised")
    assert alone.recipe == asked.twins["supervised"]
    assert runs.with_twins(composed("pretext=rotation"), few_scenes, "fp32")[2].recipe == own["supervised"]


def test_the_command_line_has_the_last_word_on_what_a_task_needs(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    cfg = composed("pretext=deepcluster", "input=lightness", "trainer.batch_size=8", "trainer=photographs")
    for run in runs.with_twins(cfg, few_scenes, "fp32"):
        assert (run.spec["input"], run.spec["budget"]["batch_size"]) == ("lightness", 8)


def test_the_end_of_weight_decay_is_part_of_a_run(
    composed: Callable[..., DictConfig], few_scenes: DataSet
) -> None:
    plain, changed = (
        runs.with_twins(composed("pretext=rotation", *more), few_scenes, "fp32")[0]
        for more in ([], ["trainer.decay_end=10"])
    )
    assert plain.spec["budget"]["decay_end"] is None
    assert plain.digest != changed.digest
    optimisation = runs.build_optimisation(changed)
    assert optimisation is not None
    assert optimisation.decay_end == 10


@pytest.mark.parametrize(
    ("need", "message"),
    [("+pretext.needs.batch_size=0", "batch_size"), ("+pretext.needs.epochs=3", "epochs")],
)
def test_needs_are_held_to_their_types_and_names(
    need: str, message: str, composed: Callable[..., DictConfig]
) -> None:
    with pytest.raises(ValueError, match=message):
        schema.check(composed("pretext=rotation", need, "trainer.batch_size=4"))


def test_a_network_that_a_task_cannot_train_is_refused_by_name(
    composed: Callable[..., DictConfig], few_scenes: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(get_class(composed().pretext.task["_target_"]), "takes", TokenBackbone)
    with pytest.raises(
        ValueError, match=r"pretext=colorization trains a TokenBackbone, and SmallNet is none"
    ):
        runs.with_twins(composed(), few_scenes, "fp32")
    assert runs.with_twins(composed("backbone=vit_small"), few_scenes, "fp32")
