"""What records say that pretraining was given and took: what contradicts a configuration, a twin or a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_records import record

from downstream.judge.budgets import ELSEWHERE, SIZE, hold_to_budgets
from downstream.judge.record_files import import_jsonl
from downstream.judge.records import Effort, Record
from downstream.judge.shared import Found
from pretextbench.configurations import CONF

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
TRAIN, TEST = "p" * 64, "t" * 64
DATA = {"digests": {"train": TRAIN, "test": TEST}, "counts": {"train": 100, "test": 3}}


def told(*records: Record) -> tuple[list[str], Counter[str]]:
    complaints: list[str] = []
    places = [Found(one, Path("all.jsonl"), place, Path()) for place, one in enumerate(records)]
    unchecked = hold_to_budgets(places, complaints.append)
    return complaints, unchecked


def asked(
    epochs: Any = 4,
    batch: Any = 32,
    steps: int | None = None,
    own: int | None = None,
    own_steps: int | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A configuration that asks for the run of `rotation`."""
    return {
        "job": {"name": "benchmark"},
        "pretext": {"name": "rotation", "epochs": own, "epoch_batches": own_steps, "parent": None},
        "trainer": {"epochs": epochs, "batch_size": batch, "epoch_batches": steps},
        "initialisation": None,
    } | more


def made(images: int = 384, config: dict[str, Any] | None = None, effort: Any = ..., **fields: Any) -> Record:
    """A record of four epochs of three steps of 32 of 100 images, unless it is said otherwise."""
    one = record(config=asked() if config is None else config, images_seen=images, **{**DATA, **fields})
    took = Effort(images, 4 * images, 7 * images, 1.0, "cpu") if effort is ... else effort
    return replace(one, cost=replace(one.cost, pretraining=took))


OTHER_SET = {"digests": {"test": TEST}, "counts": {"test": 3}}
ALRIGHT = {
    "whole steps": made(),
    "fewer steps an epoch": made(256, asked(steps=2), budget="4 epochs of 64 images"),
    "more steps than there are": made(384, asked(steps=9), budget="4 epochs of 288 images"),
    "epochs of its own": made(96, asked(own=1)),
    "epochs of its own length": made(128, asked(own=2, own_steps=2)),
    "an epoch longer than its trainer's": made(
        384, asked(steps=2, own_steps=3), budget="4 epochs of 64 images"
    ),
    "more epochs of its own": made(576, asked(own=6), budget="6 epochs"),
    "one epoch": made(96, asked(epochs=1), budget="1 epoch"),
    "a step of all images": made(400, asked(batch=256)),
    "no step": made(0, asked(own=0), budget=""),
    "weights of others": made(0, asked(own=0), effort=None, budget="unknown"),
    "a parent that trained": made(
        384, asked(pretext={"name": "rotation", "parent": "x"}), Effort(768, 768, 1, 1.0, "cpu")
    ),
    "an older record": made(effort=None),
    "an initialisation": made(384, asked(initialisation="kmeans_init"), pretext="rotation_from_kmeans_init"),
}


@pytest.mark.parametrize("what", ALRIGHT)
def test_what_a_configuration_gives_is_shown(what: str) -> None:
    assert told(ALRIGHT[what]) == ([], Counter())


SAID = "subject.images_seen {}, and its configuration gives 4 epochs of"
REFUSED: dict[str, tuple[Record, str]] = {
    "another budget": (
        made(budget="1 epoch"),
        "subject.budget '1 epoch', and its configuration gives '4 epochs'",
    ),
    "no budget": (made(budget=""), "subject.budget '', and its configuration gives '4 epochs'"),
    "a budget for nothing": (
        made(0, asked(own=0)),
        "subject.budget '4 epochs', and its configuration gives ''",
    ),
    "a budget that nobody knows": (
        made(budget="unknown"),
        "subject.budget 'unknown', and its configuration gives '4 epochs'",
    ),
    "fewer images": (made(352), SAID.format(352) + " 3 steps of 32 images, 384"),
    "images of more than the steps": (
        made(384, asked(steps=2), budget="4 epochs of 64 images"),
        SAID.format(384) + " 2 steps of 32 images, 256",
    ),
    "images of no step": (
        made(32, asked(own=0), budget=""),
        "subject.images_seen 32, and its configuration gives 0 epochs of none",
    ),
    "more images than its own epochs": (
        made(192, asked(own=2, own_steps=2)),
        SAID.format(192).replace("4", "2") + " 2 steps of 32 images, 128",
    ),
    "images of no epoch": (made(383, **OTHER_SET), SAID.format(383) + " whole steps of 32 images"),
    "images of parts of steps": (made(400, **OTHER_SET), SAID.format(400) + " whole steps of 32 images"),
    "no images": (made(0, effort=None, **OTHER_SET), SAID.format(0) + " whole steps of 32 images"),
    "more images than an epoch may have": (
        made(384, asked(steps=2), budget="4 epochs of 64 images", **OTHER_SET),
        SAID.format(384) + " 2 steps of 32 images",
    ),
    "images without a step of another set": (
        made(32, asked(own=0), budget="", **OTHER_SET),
        "subject.images_seen 32, and its configuration gives 0 epochs of none",
    ),
    "more work than images": (
        made(effort=Effort(768, 768, 1, 1.0, "cpu")),
        "cost.pretraining.images 768, of a run that started from no other and saw 384",
    ),
    "less work than images": (
        made(config={}, effort=Effort(96, 96, 1, 1.0, "cpu")),
        "cost.pretraining.images 96, less than the 384 of its last run (subject.images_seen)",
    ),
    "views of nothing": (
        made(0, asked(own=0), Effort(0, 50, 0, 1.0, "cpu"), budget=""),
        "cost.pretraining.views 50 of 0 images",
    ),
    "no views": (made(effort=Effort(384, 0, 5, 1.0, "cpu")), "cost.pretraining.views 0 of 384 images"),
    "no work": (made(effort=Effort(384, 4, 0, 1.0, "cpu")), "cost.pretraining.flops 0 of 384 images"),
    "a blind predictor": (
        made(0, {}, None, pretext="blind:mine", budget="1 epoch"),
        "'blind:mine' looks at no encoder, and has a budget: '1 epoch'",
    ),
    "a blind predictor's work": (
        made(0, {}, pretext="blind:mine", budget=""),
        "'blind:mine' looks at no encoder, and has a budget: '0 images'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_configuration_does_not_give_is_refused(what: str) -> None:
    one, words = REFUSED[what]
    assert told(one)[0] == [f"all.jsonl, line 1: {words}"]


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (made(config={}), ELSEWHERE),
        (made(config=asked(job={"name": "evaluate"})), ELSEWHERE),
        (made(config=asked(pretext={"name": "colorization"})), ELSEWHERE),
        (made(config=asked(epochs="4")), ELSEWHERE),
        (made(config=asked(batch=0)), ELSEWHERE),
        (made(config=asked(batch=True)), ELSEWHERE),
        (made(config=asked(trainer=None)), ELSEWHERE),
        (made(**OTHER_SET), SIZE),
        (made(digests={"train": TRAIN, "test": TEST}, counts={"train": 0, "test": 3}), SIZE),
    ],
)
def test_what_no_configuration_shows_is_counted(one: Record, reason: str) -> None:
    assert told(one) == ([], Counter({reason: 1}))


def test_the_size_of_a_set_is_found_in_any_record() -> None:
    beside = made(**OTHER_SET)
    assert told(beside, made())[1] == Counter()
    (said,) = told(replace(beside, subject=replace(beside.subject, images_seen=256, recipe="b", run="b"),
                           cost=replace(beside.cost, pretraining=None)), made())[0]  # fmt: skip
    assert said == f"all.jsonl, line 1: {SAID.format(256)} 3 steps of 32 images, 384"


def test_one_split_has_one_number_of_images() -> None:
    other = made(counts={"train": 100, "test": 4})
    assert told(made(), other)[0] == [
        "all.jsonl, line 1 and all.jsonl, line 2: data.counts: one split with 3 and with 4 images"
    ]


def test_records_of_one_run_and_recipe_say_the_same() -> None:
    def own(images: int, views: int, seed: int = 0) -> Record:
        effort = Effort(images, views, 5, 1.0, "cpu")
        return made(images, {}, effort, seed=seed, run=f"run{seed}")

    beginning = "all.jsonl, line 1 and all.jsonl, line 2: "
    assert told(own(384, 384), own(384, 384))[0] == []
    assert told(own(384, 384), own(384, 768))[0] == [
        f"{beginning}one run, and cost.pretraining.views 384 and 768"
    ]
    assert told(own(384, 384), own(384, 768, seed=1))[0] == []
    assert told(own(384, 384), own(96, 384, seed=1))[0] == [
        f"{beginning}one recipe, and subject.images_seen 384 and 96"
    ]


@pytest.mark.parametrize(
    "change",
    [{"backbone": "ResNet18"}, {"input": "sobel"}, {"calibration": "lsuv"}, {"twins": {"random": "x"}}],
)
def test_seeds_of_one_recipe_are_of_one_network_and_its_twins(change: dict[str, Any]) -> None:
    def seed(number: int) -> Record:
        one = made(recipe="a", run=f"run {number}")
        return replace(one, subject=replace(one.subject, seed=number))

    assert told(seed(0), seed(1))[0] == []
    other = seed(2)
    ((name, value),) = change.items()
    (said,) = told(seed(0), seed(1), replace(other, subject=replace(other.subject, **change)))[0]
    assert said.endswith(f"one recipe, and subject.{name} {getattr(other.subject, name)} and {value}")


def twins(images: int, budget: str, epochs: int | None = None) -> list[Record]:
    """A row whose configuration was not kept, and the twin that it names."""
    row = made(384, {}, None, twins={"supervised": "their-recipe"})
    twin = made(images, {"pretext": {"name": "x", "epochs": epochs}}, None, pretext="supervised",
                recipe="their-recipe", run="their", budget=budget)  # fmt: skip
    return [row, twin]


def test_a_twin_is_given_what_its_row_is() -> None:
    beginning = "all.jsonl, line 1 and all.jsonl, line 2: subject."
    assert told(*twins(384, "4 epochs"))[0] == []
    assert told(*twins(999, "4 epochs"))[0] == []
    assert told(*twins(0, ""))[0] == []
    assert told(*twins(96, "1 epoch", epochs=1))[0] == []
    assert told(*twins(96, "1 epoch"))[0] == [
        f"{beginning}budget '4 epochs', and its twin supervised has '1 epoch'"
    ]
    assert told(*twins(96, "4 epochs"))[0] == [
        f"{beginning}images_seen 384, and its twin supervised of the same budget 96"
    ]


def test_a_division_of_the_league_is_no_budget_of_a_training() -> None:
    assert told(made(768, task="colorization", budget="automatic")) == ([], Counter())


@pytest.mark.parametrize(
    "path",
    [*sorted((CONF / "suite").glob("*.gz")), *sorted(RESULTS.glob("*.gz"))],
    ids=lambda path: path.name.partition(".")[0],
)
def test_the_committed_records_contradict_nothing(path: Path) -> None:
    found = import_jsonl(path)
    complaints, unchecked = told(*found)
    assert complaints == []
    if path.parent != RESULTS:  # with configurations of their own, and a set whose size is known
        assert unchecked == Counter()
