"""What tests compose is what Hydra composes, and each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

WORDS = ["pretext=rotation", "seed=3"]


@pytest.mark.usefixtures("hydra")
def test_a_copy_is_nobody_elses() -> None:
    first = compose("config", WORDS)
    whole = OmegaConf.to_container(first)
    first.seed = 4
    first.pretext.optimizer.betas[0] = 0.5
    assert OmegaConf.to_container(compose("config", WORDS)) == whole


@pytest.mark.usefixtures("hydra")
def test_where_it_is_composed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compose("config", WORDS, return_hydra_config=True)
    monkeypatch.chdir(tmp_path)
    after = compose("config", WORDS, return_hydra_config=True)
    assert before.hydra.runtime.cwd != after.hydra.runtime.cwd == str(tmp_path)


def test_a_folder_of_ones_own_is_read_each_time(tmp_path: Path) -> None:
    for seed in (1, 2):
        (tmp_path / "config.yaml").write_text(f"seed: {seed}\n")
        with initialize_config_dir(config_dir=str(tmp_path), version_base="1.3"):
            assert compose("config").seed == seed


@pytest.mark.usefixtures("hydra")
def test_what_is_registered_in_between_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    compose("config", WORDS)
    store = ConfigStore.instance()
    monkeypatch.setattr(
        store, "repo", {key: node for key, node in store.repo.items() if key != "schema.yaml"}
    )
    with pytest.raises(Exception, match="schema"):
        compose("config", WORDS)
