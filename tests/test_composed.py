"""Words that compose one configuration in any process."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from pretextbench import schema
from pretextbench.composed import composed, typed


@pytest.fixture(autouse=True)
def known() -> None:
    schema.register()


def test_configurations_of_ones_own_are_found_by_another_process(tmp_path: Path) -> None:
    own = tmp_path / "it's mine, 2"
    (own / "pretext").mkdir(parents=True)
    (own / "pretext" / "mine.yaml").write_text("name: mine\n")
    with composed(["pretext=mine", "seed=4", f'hydra.searchpath=["file://{own}"]']) as cfg:
        assert cfg.pretext.name == "mine"
        words = typed()
    with composed(words) as cfg:
        assert cfg.pretext.name == "mine"
        assert cfg.seed == 4
        assert "hydra" not in cfg
        assert HydraConfig.get().overrides.task == ["pretext=mine", "seed=4"]


def test_words_are_what_was_typed_where_nothing_was_brought() -> None:
    with composed(["seed=4", "output=there"]):
        assert typed() == ["seed=4", "output=there"]
