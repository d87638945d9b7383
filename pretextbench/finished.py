"""Finished runs that a configuration asks for, found without reading its data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from pretext.fit import Pretrained
from pretextbench.identities import VERSION
from pretextbench.runs import BUDGET, CONFIG, plain


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


def may_be_finished(cfg: DictConfig, precision: str) -> bool:
    """Whether some finished run may be of this configuration, told without its data.

    One may where all that both say is the same but for the data, which are told by their content.
    """
    wanted = _but_data(plain(cfg)) | {"precision": precision}
    for path in (Path(cfg.output) / "runs").glob(f"{cfg.pretext.name}_*/{CONFIG}"):
        if Pretrained.read(path.parent) is None:
            continue
        try:
            kept = json.loads(path.read_bytes())
            found = _but_data(kept["config"]) | {"precision": kept["spec"]["precision"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            return True  # of another layout: its digest says more
        if _same(found, wanted):
            return True
    return False


def _but_data(config: dict[str, Any]) -> dict[str, Any]:
    """What a run depends on beside its data, and cannot be said in two ways."""
    pretext, trainer = config["pretext"], config["trainer"]
    length = {"epochs": trainer["epochs"]} if pretext.get("epochs") is None else {}
    if pretext.get("epoch_batches") is not None:
        length["epoch_batches"] = pretext["epoch_batches"]
    keys = ("backbone", "input", "input_arguments", "seed")
    return {
        "trainer": {key: trainer[key] for key in BUDGET if key in trainer} | length,
        "pretext": {key: pretext[key] for key in ("task", "optimizer") if key in pretext},
        **{key: config[key] for key in keys if key in config},
    }


def _same(one: Any, other: Any, key: str = "") -> bool:
    """Whether two values are one where both say something; a class is one wherever it lies."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(one[name], other[name], name) for name in one.keys() & other.keys())
    if key == "_target_":
        return str(one).rpartition(".")[2] == str(other).rpartition(".")[2]
    return bool(one == other)


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
