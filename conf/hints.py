"""A misspelt key gets the nearest key that exists, instead of Hydra's advice to add it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parent
_UNKNOWN_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
_UNKNOWN_OPTION = re.compile(r"Could not (?:load|find) '(?P<group>[\w/]+)/(?P<option>[^'/]+)'")


def keys(config: DictConfig, prefix: str = "") -> list[str]:
    """Return every dotted key of a configuration, groups before their members."""
    found: list[str] = []
    for name in map(str, config):
        dotted = f"{prefix}{name}"
        found.append(dotted)
        child = None if OmegaConf.is_missing(config, name) else config._get_node(name)
        if isinstance(child, DictConfig) and not child._is_none():
            found += keys(child, f"{dotted}.")
    return found


def explain(error: BaseException, overrides: list[str]) -> str:
    """Say in one or two lines what is wrong with the command line.

    Args:
        error: what Hydra raised while composing.
        overrides: the command line, to recompose what was right of it.
    """
    message = str(error).strip()
    if option := _UNKNOWN_OPTION.search(message):
        return _unknown_option(option["group"], option["option"])
    if key := _UNKNOWN_KEY.search(message):
        return _unknown_key(key["key"], overrides)
    cause = str(error.__cause__ or "").strip().splitlines()
    return f"{message}: {cause[0]}" if cause else message


def _unknown_option(group: str, option: str) -> str:
    options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    near = difflib.get_close_matches(option, options, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"There is no {group}={option}.{hint} Options of {group}: {', '.join(options) or 'none'}"


def _unknown_key(wrong: str, overrides: list[str]) -> str:
    groups = [o for o in overrides if o.split("=")[0].split("@")[0] in _groups() and "," not in o]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        known = keys(compose("config", overrides=groups))
    near = difflib.get_close_matches(wrong, known, n=2, cutoff=0.7)
    near = near or [key for key in known if key.rpartition(".")[2] == wrong.rpartition(".")[2]][:2]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    parent = wrong.rpartition(".")[0]
    siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent]
    owner = f"Keys of {parent}" if parent else "Keys"
    return f"There is no key {wrong!r}.{hint} {owner}: {', '.join(siblings) or 'none'}"


def _groups() -> set[str]:
    return {path.name for path in CONF.iterdir() if path.is_dir()}
