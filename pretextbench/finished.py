"""Finished runs that a configuration asks for, found without reading its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pretext.fit import Pretrained
from pretextbench.identities import VERSION
from pretextbench.runs import CONFIG, plain


def finished_alike(cfg: DictConfig, precision: str) -> list[Path]:
    """Folders of finished runs that were asked for by this very configuration, found without its data.

    Compared is what a run depends on, the data set as the configuration describes it.
    """
    wanted = _asked(plain(cfg) | {"calibration": None}) | {"precision": precision}
    found = []
    for path in sorted((Path(cfg.output) / "runs").glob(f"{cfg.pretext.name}_*/{CONFIG}")):
        try:
            kept = json.loads(path.read_bytes())
            same = _asked(kept["config"]) | {"precision": kept["spec"]["precision"]} == wanted
            current = kept["spec"]["version"] == VERSION
        except (ValueError, KeyError, TypeError):
            continue  # damaged, or of another layout: not told to be alike
        if same and current and Pretrained.read(path.parent) is not None:
            found.append(path.parent)
    return found


def _asked(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that a run depends on."""
    where = ("device", "precision", "validate_every", "twin_lr")
    trainer = {key: value for key, value in config["trainer"].items() if key not in where}
    keys = (
        "pretext",
        "backbone",
        "data",
        "input",
        "input_arguments",
        "initialisation",
        "calibration",
        "seed",
    )
    return {"trainer": trainer} | {key: config[key] for key in keys}
