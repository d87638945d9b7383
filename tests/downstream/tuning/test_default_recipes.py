"""Every protocol as its YAML states it beats what looks at no encoder, on a set where that is easy.

Optimiser, rates, decay, clipping, schedule, BatchNorm, augmentation, heads and grids are the YAML's own. What
is cut, in `cut` alone, is what a small set has no use for: how long, how wide, how large, how many.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from easy import SIZE, easy_encoder, easy_set
from hydra.utils import instantiate

from downstream.protocol import Protocol, Runtime
from pretext.data.dataset import DataSet, Split
from pretext.encoder import Encoder
from pretextbench.context import NEEDS

YAMLS = Path(__file__).parents[3] / "conf" / "downstream"

MARGIN = 0.03
"""By how much the primary metric must be better than the best blind predictor's; all lie in [0, 1]."""

TRAVEL, LEAST, MOST = 0.2, 24, 200
"""Steps left of a published budget: so many that steps × rate is TRAVEL, between LEAST and MOST."""

STEPS = {"RetinaNetFinetune": 120, "MocoC4": 16}
"""Steps where others are needed: MoCo's, whose BatchNorm is trained, learns earlier than the others."""

WHOLE = {"RetinaNetFinetune"}
"""What keeps its width: four convolutions of deviation .01 let nothing through that are narrower."""

REPEATS = {"trials": 1, "draws": 1}
CUTS = {
    "min_size": SIZE,
    "min_sizes": SIZE,
    "max_size": SIZE,
    "width": 16,
    "hidden": 1024,
    "train_limit": 64,
    **REPEATS,
}
"""What replaces larger values beside a published budget; repetitions everywhere."""


def published(settings: dict[str, Any]) -> bool:
    """Whether a budget is for sets of thousands of images: in iterations, in shares, in dozens of epochs."""
    recipe = settings.get("recipe", {})
    return "iterations" in recipe or "share" in recipe or recipe.get("epochs", 0) > 10


def cut(settings: dict[str, Any], images: int) -> dict[str, Any]:
    """The settings of a YAML for a set of so many images; a budget is shortened, its schedule with it."""
    most = dict(CUTS if published(settings) else REPEATS)
    if _named(settings) in WHOLE:
        del most["width"]
    settings = settings | {name: _smaller(settings[name], most[name]) for name in most if name in settings}
    if not published(settings):
        return settings
    recipe = dict(settings["recipe"])
    a_pass = math.ceil(min(images, settings["train_limit"]) / recipe["batch_size"])
    budget = recipe.get("iterations") or recipe["epochs"] * a_pass
    left = min(1.0, _steps(settings) / budget)
    if "share" in recipe:
        recipe["share"] = left
    elif "iterations" in recipe:
        for name in {"iterations", "milestones", "warmup_iterations"} & set(recipe):
            recipe[name] = _scaled(recipe[name], left)
    else:
        recipe["epochs"] = math.ceil(left * recipe["epochs"])
    return settings | {"recipe": recipe}


def _steps(settings: dict[str, Any]) -> float:
    recipe = settings["recipe"]
    rate = recipe["lr"] if "lr" in recipe else max(recipe["lrs"])
    return STEPS.get(_named(settings), min(max(LEAST, TRAVEL / rate), MOST))


def _named(settings: dict[str, Any]) -> str:
    return str(settings["_target_"].rpartition(".")[2])


def _smaller(value: Any, most: int) -> Any:
    if isinstance(value, list):
        return [_smaller(one, most) for one in value]
    return most if value is None else min(value, most)


def _scaled(value: Any, share: float) -> Any:
    return [_scaled(one, share) for one in value] if isinstance(value, list) else round(share * value)


def stated(path: Path) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(path.read_text())
    return settings


def cases() -> list[Any]:
    """Every YAML. What is trained end to end by a published budget takes its time, as do SVMs by the draw."""
    paths = sorted(YAMLS.glob("*.yaml"))
    assert paths
    return [pytest.param(path, id=path.stem, marks=marks(stated(path))) for path in paths]


def marks(settings: dict[str, Any]) -> list[pytest.MarkDecorator]:
    """A network of full width takes minutes: it is for `-m training`."""
    if _named(settings) in WHOLE:
        return [pytest.mark.training]
    return [pytest.mark.slow] * slow(settings)


def slow(settings: dict[str, Any]) -> bool:
    return "draws" in settings or (published(settings) and "share" not in settings["recipe"])


@pytest.fixture(scope="module")
def data() -> DataSet:
    return easy_set(train=300, val=24, test=48)


@pytest.fixture(scope="module")
def encoder(data: DataSet) -> Encoder:
    return easy_encoder(data.train)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(cache=tmp_path_factory.mktemp("features"))


@pytest.mark.slow
@pytest.mark.parametrize("path", cases())
def test_a_default_recipe_beats_blind_predictors(
    path: Path, data: DataSet, encoder: Encoder, runtime: Runtime
) -> None:
    protocol: Protocol = instantiate(cut(stated(path), len(data.train)), _convert_="all")
    if NEEDS[protocol.task] is None:
        # Where no labels are read there is nothing that a recipe could fail to learn.
        data = replace(data, **{name: unlabelled(split) for name, split in data.splits.items()})
        assert protocol.fit(encoder, data.train, data.val, runtime).predict(data.test)
        return
    name, metric = next(iter(protocol.metrics(data.test).items()))
    val = data.test if protocol.legacy else data.val
    fitted = protocol.fit(encoder, data.train, val, runtime)
    score = metric(fitted.predict(data.test)[fitted.stage])
    blind = {
        kind: metric(predictor.fit(data.train, val, runtime)(data.test))
        for kind, predictor in protocol.blind().items()
    }
    merit = metric.scale.merit
    best = max(map(merit, blind.values()))
    assert merit(score) > best + MARGIN, f"{name} is {score:.3f}; blind predictors: {blind}"


def unlabelled(split: Split) -> Split:
    return replace(split, labels=None, boxes=None, masks=None)


@pytest.mark.parametrize("path", cases())
def test_what_is_cut_is_how_long_how_wide_and_how_many(path: Path) -> None:
    """No test may replace the recipe that it is about."""
    whole, left = stated(path), cut(stated(path), 300)
    assert {name for name in whole if whole[name] != left[name]} <= {*CUTS, "recipe"}
    spent = {"iterations", "milestones", "warmup_iterations", "epochs", "share"}
    before, after = whole.get("recipe", {}), left.get("recipe", {})
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} <= spent
