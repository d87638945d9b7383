"""A configuration composed of words, by whoever was not started by Hydra's own command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

from pretextbench.configurations import CONF

OWN = ("hydra", "main", "schema")
"""Who names the places of configurations that are there without being asked for."""


@contextmanager
def composed(words: Sequence[str]) -> Iterator[DictConfig]:
    """The configuration that these words ask for, told to Hydra as that of this process.

    Composed once, and without a folder for its logs.
    """
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        cfg = hydra.compose("config", overrides=list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        yield cfg


def typed() -> list[str]:
    """The words that compose the same in another process, configurations of one's own among them."""
    here = HydraConfig.get()
    brought = [
        f"{source.schema}://{source.path}"
        for source in here.runtime.config_sources
        if source.provider not in OWN
    ]
    return [
        *here.overrides.task,
        *([f"hydra.searchpath=[{','.join(map(repr, brought))}]"] if brought else []),
    ]
