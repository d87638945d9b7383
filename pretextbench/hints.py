"""A misspelt key gets the nearest key that exists, instead of Hydra's advice to add it."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from pretextbench.arguments import quoted
from pretextbench.configurations import CONF

_UNKNOWN_KEY = re.compile(r"Could not override '(?P<key>[^']+)'")
_NOISE = re.compile(r"\w+ raised while resolving interpolation: |\n *(?:full_key|object_type)[:=].*")
_OVERRIDE = re.compile(r"Error merging override (?P<key>[^=]+)=(?P<value>.*)", re.DOTALL)
_NO_LIST = "is not a ListConfig, list or tuple"
_UNKNOWN_OPTION = re.compile(r"Could not (?:load|find) '(?P<group>[\w/]+)/(?P<option>[^'/]*)'")
_SEVERAL = re.compile(r"Ambiguous value for argument '(?P<key>[^=]+)=(?P<value>.*)'")
NO_NAME = "Config group override must be a string or a list"
"""How Hydra begins when it is told to choose a number, or nothing, from a group."""


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


def explain(error: BaseException, arguments: Sequence[str]) -> str:
    """Say in one or two lines what is wrong with the command line.

    Args:
        error: what Hydra raised while composing.
        arguments: the command line as it was typed, flags included, to recompose what was right of it.
    """
    message = str(error).strip()
    if isinstance(error, OverrideParseException):
        word = _typed(str(error.override), arguments)
        if named := _named(word, arguments):
            return f"{word!r} is no key=value. Did you mean {' or '.join(named)}?"
        return (
            f"{word!r} cannot be read as key=value: {message.splitlines()[0]}. Text with signs of "
            f"""Hydra's own is quoted twice, for it and for the shell: 'label="a, b"'"""
        )
    if several := _SEVERAL.match(message):
        key, value = several["key"], several["value"]
        return f"{key} was given several values: -m {key}={value} runs each, {key}=[{value}] is one list"
    if message.startswith(NO_NAME):
        return _no_name(arguments) or message
    if option := _UNKNOWN_OPTION.search(message):
        return _unknown_option(option["group"], option["option"], arguments)
    if key := _UNKNOWN_KEY.search(message):
        return _unknown_key(key["key"], arguments)
    if _NO_LIST in str(error.__cause__) and (typed := _OVERRIDE.fullmatch(message)):
        name, value = typed["key"], typed["value"]
        return f"{name} is a list, in brackets: {name}=[{value}], not {name}={value}"
    message = _NOISE.sub("", message).strip()
    cause = str(error.__cause__ or "").strip().splitlines()
    return f"{message}: {cause[0]}" if cause and cause[0] not in message else message


def options(group: str, arguments: Sequence[str] = ()) -> list[str]:
    """Every option of a group, those of a `--config-dir` among them.

    Args:
        arguments: the command line, where Hydra is not at work and knows it.
    """
    with _loader(arguments) as loader:
        return sorted(loader.get_group_options(group, results_filter=ObjectType.CONFIG))


def chosen(group: str) -> str | None:
    """Which option of a group the command that is at work chose, if it did."""
    if not HydraConfig.initialized():
        return None
    name: str | None = HydraConfig.get().runtime.choices.get(group)
    return name


def near(word: str, known: Sequence[str]) -> str:
    """ " Did you mean …?", or nothing."""
    found = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {found[0]}?" if found else ""


def _unknown_option(group: str, option: str, arguments: Sequence[str]) -> str:
    found = options(group, arguments)
    if group == "hydra/launcher":
        return f"There is no {group}={option} here, only: {', '.join(found)}. --help says what others need"
    return _none_such(f"{group}={option}", group, found, near(option, found))


def _none_such(word: str, group: str, found: Sequence[str], meant: str = "") -> str:
    return f"There is no {word}.{meant} Options of {group}: {', '.join(found) or 'none'}"


def _no_name(arguments: Sequence[str]) -> str:
    """Which word chooses what is no option's name; empty where a group of Hydra's own is meant."""
    parser = OverridesParser.create()
    with _loader(arguments) as loader:
        groups = loader.list_groups("")
        for word in _parse(arguments).overrides:
            override = parser.parse_override(word)
            if not override.key_or_group:
                return f"{word!r} cannot be read as key=value: no key stands before the sign"
            if override.key_or_group in groups and not isinstance(override.value(), str | list):
                return _none_such(word, override.key_or_group, options(override.key_or_group))
    return ""


def _unknown_key(wrong: str, arguments: Sequence[str]) -> str:
    with _loader(arguments) as loader:
        groups = loader.list_groups("")
        of_groups = [o for o in _parse(arguments).overrides if _of_group(o, groups)]
        config = loader.load_configuration("config", overrides=of_groups, run_mode=RunMode.RUN)
    known = [key for key in keys(config) if key.partition(".")[0] != "hydra"]
    close = _inside(wrong, known) or difflib.get_close_matches(wrong, known, n=2, cutoff=0.7)
    close = close or [key for key in known if key.rpartition(".")[2] == wrong.rpartition(".")[2]][:2]
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    parent = wrong.rpartition(".")[0]
    parent = parent if parent in known else ""
    siblings = [key.rpartition(".")[2] for key in known if key.rpartition(".")[0] == parent]
    owner = f"Keys of {parent}" if parent else "Keys"
    return f"There is no key {wrong!r}.{hint} {owner}: {', '.join(siblings) or 'none'}"


def _inside(wrong: str, known: Sequence[str]) -> list[str]:
    """Keys that begin deeper than it was typed: `leaderboard.where.pretext` of `where.pretext`."""
    first, _, rest = wrong.partition(".")
    if first in known or not rest:
        return []
    return [f"{key}.{rest}" for key in known if key.rpartition(".")[2] == first][:2]


def _named(word: str, arguments: Sequence[str]) -> list[str]:
    """The groups that have an option of that name, each with it."""
    with _loader(arguments) as loader:
        groups = [group for group in loader.list_groups("") if group != "hydra"]
        return [f"{group}={word}" for group in groups if word in options(group, arguments)]


def _of_group(override: str, groups: Sequence[str]) -> bool:
    """Whether an override chooses an option, and one only."""
    return override.split("=")[0].split("@")[0].lstrip("+") in groups and "," not in override


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    return get_args_parser().parse_known_args(quoted(arguments))[0]


def _typed(word: str, arguments: Sequence[str]) -> str:
    """What was typed where Hydra met this word."""
    return dict(zip(quoted(arguments), arguments, strict=True)).get(word, word)


@contextmanager
def _loader(arguments: Sequence[str]) -> Iterator[ConfigLoader]:
    """Hydra's own where it is at work, else one that looks where it would."""
    hydra = GlobalHydra.instance()
    if hydra.is_initialized():
        yield hydra.config_loader()
        return
    path = create_config_search_path(str(CONF))
    own = _parse(arguments).config_dir
    if own is not None:
        path.prepend("command-line", f"file://{Path(own).absolute()}", SearchPathQuery(provider="schema"))
    try:
        yield Hydra.create_main_hydra2("hints", path).config_loader
    finally:
        GlobalHydra.instance().clear()
