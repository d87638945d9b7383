"""One rule of what addresses a thing; and the defaults that no digest names are what they were."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hydra import compose

from benchmarks.suites import DEFAULTS, changed, defaults_of, kinds
from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from pretext.data.dataset import DataSet
from pretext.identity import declared, identity, identity_of
from pretext.tasks.rotation import Rotation
from pretextbench import runs
from pretextbench.identities import of_node


def made_here(module: str = "downstream.made", **more: Any) -> Any:
    """A recipe of this suite, as if it stood in that module."""

    @dataclass(frozen=True)
    class Recipe:
        rate: float = 0.1
        epochs: int = 2
        sizes: tuple[int, ...] = (1, 2)

    Recipe.__qualname__, Recipe.__module__ = "Recipe", module
    for key, value in more.items():
        setattr(Recipe, key, value)
    return Recipe


def test_options_at_their_defaults_are_not_named() -> None:
    recipe = made_here()
    assert identity_of(recipe()) == {"name": "Recipe", "version": 1}
    assert identity_of(recipe(epochs=3, sizes=[1, 2])) == {
        "name": "Recipe", "version": 1, "options": {"epochs": 3},
    }  # fmt: skip
    assert identity_of(recipe(rate=1.0)) == identity_of(recipe(rate=1))


def test_neither_a_move_nor_a_new_option_moves_an_address() -> None:
    before = identity_of(made_here()(epochs=3))
    assert identity_of(made_here("downstream.elsewhere.deeper")(epochs=3)) == before
    wider = dataclasses.make_dataclass(
        "Recipe", [("extra", int, field(default=7))], bases=(made_here(),), frozen=True
    )
    wider.__module__ = "downstream.made"
    assert identity_of(wider(epochs=3)) == before
    assert identity_of(wider(epochs=3, extra=8)) != before


def test_a_renamed_class_keeps_the_name_that_it_declares() -> None:
    renamed = made_here(name="Recipe")
    renamed.__qualname__ = "NewRecipe"
    assert identity_of(renamed()) == identity_of(made_here()())
    renamed.name = property(lambda self: "told by its options")
    assert declared(renamed) == "NewRecipe"


def test_a_version_moves_an_address() -> None:
    assert identity_of(made_here(version=2)()) != identity_of(made_here()())


def test_what_stands_inside_is_addressed_likewise() -> None:
    assert identity_of(LinearProbe(pools=(1,), grid=LinearGrid(epochs=3))) == {
        "name": "linear", "version": LinearProbe.version,
        "options": {"pools": [1], "grid": {"name": "LinearGrid", "version": 1, "options": {"epochs": 3}}},
    }  # fmt: skip


def test_what_another_package_makes_goes_by_its_path_and_all_that_is_said() -> None:
    said = {"lr": 0.001, "betas": (0.9, 0.99)}
    assert identity(torch.optim.AdamW, said) == {
        "name": f"{torch.optim.AdamW.__module__}.AdamW", "version": 1,
        "options": {"lr": 0.001, "betas": [0.9, 0.99]},
    }  # fmt: skip


def test_what_is_derived_from_options_is_none() -> None:
    @dataclass(frozen=True)
    class Part:
        share: int = 1
        name: str = field(init=False, default="part")

        def __post_init__(self) -> None:
            object.__setattr__(self, "name", f"part_{self.share}")

    Part.__module__ = "downstream.made"
    assert identity_of(Part(share=2)) == {"name": "part", "version": 1, "options": {"share": 2}}


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Recipe\.sizes is a object"):
        identity_of(made_here()(sizes=object()))
    with pytest.raises(TypeError, match="dict is not a dataclass"):
        identity_of({})


def test_a_node_is_what_it_makes() -> None:
    node = {"_target_": "pretext.tasks.rotation.Rotation", "crop": None, "padding": 4}
    assert of_node(node) == of_node({**node, "padding": 4.0}) == identity(Rotation, {})
    assert of_node({**node, "padding": 2}) == identity(Rotation, {"padding": 2})


@pytest.mark.parametrize(
    "given", ["pretext.task.stage=conv4", "pretext.task.hidden=32", "trainer.decay_end=10", "input=lab"]
)
def test_a_run_is_another_with_another_option(given: str, hydra: None, few_scenes: DataSet) -> None:
    def run(*overrides: str) -> runs.Run:
        cfg = compose("config", ["pretext=colorization", *overrides])
        return runs.one(cfg, cfg.pretext, few_scenes, "fp32")

    assert run().digest != run(given).digest
    assert run().digest == run("trainer.decay_end=1", "trainer.accumulate=1").digest


def test_defaults_are_what_was_written_down() -> None:
    """Whoever changes one raises its version; then `benchmarks/suites.py defaults` writes them down."""
    kept, found = (
        json.loads(DEFAULTS.read_text()),
        {path: defaults_of(kind) for path, kind in kinds().items()},
    )
    assert changed(kept, found) == []
    assert found == kept


def test_no_two_kinds_go_by_one_name() -> None:
    names = [declared(kind) for kind in kinds().values()]
    assert len(set(names)) == len(names) > 80


def test_a_default_that_moves_is_told() -> None:
    kept = {"a.Recipe": {"name": "Recipe", "version": 1, "defaults": {"rate": 0.1}}}

    def now(rate: float, version: int = 1, name: str = "Recipe", **more: float) -> list[str]:
        return changed(kept, {"b.R": {"name": name, "version": version, "defaults": {"rate": rate, **more}}})

    assert now(0.1, extra=1.0) == now(0.2, version=2) == []
    assert now(0.2) == ["b.R: rate was 0.1 by default and is 0.2: raise its version"]
    assert "declare name = 'Recipe'" in now(0.1, name="Other")[0]
