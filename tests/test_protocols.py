"""The list of protocols: complete, true to classes and YAMLs, and readable on 80 columns."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from hydra.utils import instantiate
from recipes import by_epochs
from rich.console import Console

from downstream.classification.finetune import ClassificationFinetune
from downstream.classification.linear import LinearProbe
from downstream.detection.frozen import DetectionFrozen
from downstream.digest import digest
from downstream.heads.linear_grid import LinearGrid
from downstream.heads.sgd_recipe import SgdRecipe
from downstream.judge import listed
from downstream.judge.catalogue import facts
from downstream.judge.gates import FEW_STEPS
from downstream.protocol import Protocol
from downstream.tuning.finetuning import Norm, Recipe, Tuning
from downstream.tuning.iterations import PolynomialRecipe, SteppedRecipe
from downstream.tuning.layer_decay import LayerDecayRecipe
from pretextbench import protocols as listing

YAMLS = sorted(path.stem for path in (Path(__file__).parent.parent / "conf" / "downstream").glob("*.yaml"))


@cache
def protocols() -> dict[str, Protocol]:
    """Every protocol as its YAML states it."""
    return {name: instantiate(config, _convert_="all") for name, config in listing.configurations().items()}


@pytest.fixture
def shown(hydra: None, monkeypatch: pytest.MonkeyPatch) -> str:
    file = io.StringIO()
    monkeypatch.setattr(listing, "console", Console(file=file, width=80, color_system=None))
    listing.show_protocols()
    return file.getvalue()


def test_every_yaml_is_listed_once_and_fits_the_page(shown: str) -> None:
    assert max(map(len, shown.splitlines())) <= 80
    lines = [line for line in shown.splitlines() if " · frozen: " not in line]
    for name in YAMLS:
        assert len([line for line in lines if line.startswith(f"{name} ")]) == 1, name
    assert "…" not in shown, "something was cut off"


def test_every_line_states_what_its_protocol_states(shown: str, hydra: None) -> None:
    lines = shown.splitlines()
    for name, protocol in protocols().items():
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{name} ") and "·" not in line)
        rest = next((i for i, line in enumerate(lines) if i > start and not line.startswith(" ")), len(lines))
        words = " ".join(lines[start:rest]).split()
        assert words[1] == str(protocol.version)
        assert set(protocol.paper.replace(",", "").split()) <= set(words)
        section = next(line for line in reversed(lines[:start]) if " · frozen: " in line)
        assert section.strip() == f"{protocol.task} · frozen: {facts(protocol).frozen}"
        assert ("TEST" in words) == (protocol.legacy and protocol.selects != ())


def test_the_list_says_what_every_protocol_says_and_no_more(hydra: None) -> None:
    """Where this fails, `python benchmarks/tables.py` writes the list anew."""
    asked = {name: digest(config) for name, config in listing.configurations().items()}
    own = {asked[name]: facts(protocol) for name, protocol in protocols().items()}
    assert listed.read() == own
    assert listed.LIST.read_text("utf-8") == listed.written(own)


def test_a_protocol_that_is_not_listed_speaks_for_itself(
    hydra: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"_target_": "downstream.classification.linear.LinearProbe", "pools": [3]}
    monkeypatch.setattr(listing, "configurations", lambda: {"mine": config})
    assert listing.protocols() == {"mine": facts(LinearProbe(pools=(3,)))}


def test_a_class_chooses_by_default_what_its_yaml_chooses(hydra: None) -> None:
    """A text that is right for one is right for the other."""
    for name, protocol in protocols().items():
        default = type(protocol)()
        assert default.selects == protocol.selects, name
        assert facts(default)._replace(name="", cost="") == facts(protocol)._replace(name="", cost=""), name


def test_every_budget_in_epochs_of_this_suite_has_a_least_number_of_steps(hydra: None) -> None:
    """As the class has it; a published budget is kept, and that of a whole GPU, which is long on any set."""
    least = {}
    for name, protocol in protocols().items():
        budget = budget_of(protocol)
        if isinstance(budget, Recipe | LinearGrid | SgdRecipe):
            least[name] = budget.least_steps
            default = budget_of(type(protocol)())
            assert isinstance(default, Recipe | LinearGrid | SgdRecipe)
            assert default.least_steps == budget.least_steps, name
    published = {
        "dino_linear", "dinov2_grid", "faster_rcnn", "goyal19_linear", "moco_linear", "zhang16_linear",
        "zhang16_linear_average",
    }  # fmt: skip
    assert {name for name, steps in least.items() if steps == 0} == published
    assert min(steps for steps in least.values() if steps) > FEW_STEPS


def budget_of(protocol: Protocol) -> object:
    probe = getattr(protocol, "probe", protocol)
    return getattr(probe, "recipe", getattr(probe, "grid", None))


def test_every_paper_can_be_found(hydra: None) -> None:
    for name, protocol in protocols().items():
        assert re.search(r"^this suite$|arXiv:\d{4}\.\d{4,5}\b|doi:10\.", protocol.paper), (
            f"{name}: paper is {protocol.paper!r}"
        )


def test_facts_follow_the_settings() -> None:
    one = LinearGrid(lrs=(0.1,), weight_decays=(0.0, 0.1))
    assert facts(LinearProbe(pools=(1,), grid=one)).chosen == "stage, weight_decay on val"
    assert facts(LinearProbe(pools=(1, 2), grid=one)).chosen == "stage, weight_decay, pool on val"
    assert facts(LinearProbe()).frozen == "encoder"
    assert facts(LinearProbe()).cost == "1 pass"
    assert facts(LinearProbe()).paper == "this suite"
    assert facts(DetectionFrozen(by_epochs(epochs=3))).cost == "1 pass; head: 3 epochs"
    assert facts(DetectionFrozen()).chosen == "nothing"
    assert facts(DetectionFrozen(last_stages=None, lrs=(0.1, 0.2))).chosen == "stage, lr on val"
    for recipe, frozen in (
        (by_epochs(norm=Norm.TRAIN), "nothing"),
        (by_epochs(norm=Norm.EVAL), "BN statistics"),
        (by_epochs(norm=Norm.TRAIN, frozen_stages=("stem", "layer1")), "stem, layer1"),
        (by_epochs(frozen_stages=("stem",)), "stem, BN statistics"),
        (by_epochs(backbone_lr=0), "encoder"),
        (by_epochs(backbone_lr=0, norm=Norm.TRAIN), "encoder but BN"),
    ):
        assert facts(ClassificationFinetune(recipe)).frozen == frozen
    assert facts(ClassificationFinetune(by_epochs(epochs=1))).cost == "1 epoch"
    assert facts(ClassificationFinetune(by_epochs(epochs=7), lrs=(0.1, 0.2))).cost == "2 × 7 epochs"
    assert facts(ClassificationFinetune(lrs=(0.1,))).chosen == "nothing"
    assert facts(ClassificationFinetune(lrs=(0.1, 0.2))).chosen == "lr on val"


@dataclass(frozen=True)
class Old(LinearProbe):
    """A protocol that chooses on test."""

    name = "old"
    legacy = True
    paper = "arXiv:1603.08511"


@dataclass(frozen=True)
class Silent(LinearProbe):
    """A protocol that does not say what it chooses."""

    @property
    def selects(self) -> None:  # type: ignore[override]  # what a protocol that does not say inherits
        return None


@dataclass(frozen=True)
class LastOnly(ClassificationFinetune):
    """A protocol that freezes more than its recipe says."""

    @property
    def freezes(self) -> str:
        return "all but the last stage"


def test_legacy_and_silence_show() -> None:
    assert facts(LastOnly()).frozen == "all but the last stage"
    assert facts(Old()).chosen == "stage, lr, weight_decay, pool on TEST"
    assert facts(Old()).paper == "arXiv:1603.08511"
    assert facts(Silent()).chosen == "not stated (on val)"


@pytest.mark.parametrize("name", YAMLS)
def test_yaml_and_class_train_alike_but_for_the_budget(name: str, hydra: None) -> None:
    """A notebook and a run use the same optimiser, rates, decay and schedule; how long is a YAML's affair."""
    protocol = protocols()[name]
    stated, default = (getattr(p, "recipe", None) for p in (protocol, type(protocol)()))
    if isinstance(stated, Recipe):
        stated, default = (replace(recipe, epochs=1) for recipe in (stated, default))
    assert stated == default


@pytest.mark.parametrize("kind", [Recipe, LayerDecayRecipe, SteppedRecipe, PolynomialRecipe])
@pytest.mark.parametrize("left_out", ["optimiser", "lr", "weight_decay"])
def test_nobody_gets_an_optimiser_its_rate_or_its_decay_by_silence(kind: type[Tuning], left_out: str) -> None:
    named = {"optimiser": "sgd", "lr": 0.1, "weight_decay": 0.0, "iterations": 3}
    arguments = {key: value for key, value in named.items() if key in kind.__dataclass_fields__}
    kind(**arguments)
    with pytest.raises(TypeError, match=f"required keyword-only argument: '{left_out}'"):
        kind(**{key: value for key, value in arguments.items() if key != left_out})
