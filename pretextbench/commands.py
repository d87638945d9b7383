"""The command line that makes a record again, as its resolved configuration tells it.

Options of groups are found by what they hold, and every value in which the record differs from its option as
it is today is said. A record is anybody's: a name that is none, or a value that is no plain one, makes no
command, since a reader may paste it into a shell.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import msgspec
import yaml

from downstream.judge.records import Record
from pretextbench.configurations import CONF
from pretextbench.schema import League

TARGET = "_target_"
REFERENCE = "${"
"""In a value that is taken from another key."""
NEEDED = re.compile(r"\$\{oc\.select:pretext\.needs\.(?P<key>\w+),(?P<usual>.*)\}")
"""What a task's needs decide, and what is taken where it has none."""
OPTIMISER = re.compile(r"torch\.optim\.[A-Za-z]+")
LENGTH = ("epochs", "epoch_batches")
"""Fields of a task that say how long it trains."""
MACHINE = ("root", "cache", "workers", "download", "device")
"""Fields of a data set and a trainer that belong to a machine."""
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/@+-]*")
"""What may stand on a command line as it is."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Untold(Exception):
    """A configuration that no command line is known for."""


def command(record: Record) -> str:
    """`python run.py …` for the run and the protocol of a record; empty where nobody can say."""
    try:
        words = _words(record, record.provenance.config)
    except (Untold, KeyError, TypeError, AttributeError):
        return ""
    return shlex.join(["python", "run.py", *words])


def _words(record: Record, config: Mapping[str, Any]) -> list[str]:
    job = config["job"]["name"]
    if job == "evaluate":
        return [f"job={job}", f"encoder={_plain(config['encoder'])}", *_judged(record, config)]
    if job == "colorize_benchmark":
        words = [f"job={job}", *_colouring(config), *_backbone(config), *_sets(config)]
    else:
        words = [] if job == "benchmark" else [f"job={_name(job)}"]
        words += [*_pretext(config), *_backbone(config), *_judged(record, config)]
    words += _trainer(record, config)
    if config.get("calibration") is not None:
        found = _found("calibration", config["calibration"])
        words += _option("calibration", "calibration", found, config["calibration"])
    if config.get("initialisation") is not None:
        words.append(f"initialisation={_plain(config['initialisation'])}")
    words.append(f"input={_plain(config['input'])}")
    return [*words, f"seed={_plain(config['seed'])}"]


def _backbone(config: Mapping[str, Any]) -> list[str]:
    found = _found("backbone", config["backbone"])
    return _option("backbone", "backbone", found, config["backbone"], usual="small")


def _colouring(config: Mapping[str, Any]) -> list[str]:
    """Who colours, and what of the league its options do not say.

    Raises:
        Untold: a task or a system that is not as its YAML has it today, since a league takes it from there.
    """
    asked = config["colorizers"]
    if len(asked) != 1:
        raise Untold
    name = str(asked[0])
    group = "colorizer" if config["colorizer"] is not None else "pretext"
    if _from(group, _name(name), group, config[group]):
        raise Untold
    task = config[group].get("task") if group == "colorizer" else None
    if task is not None and _from("pretext", _name(task), "pretext", config["pretext"]):
        raise Untold
    league = {key: value for key, value in config["league"].items() if key != "workers"}
    return [f"colorizers=[{name}]", *_differences("league", league, asdict(League()))]


def _pretext(config: Mapping[str, Any]) -> list[str]:
    """The task; its epochs, and their length, where they are not the trainer's."""
    own = config["pretext"]
    words = _option("pretext", "pretext", _name(own["name"]), own, besides=(*LENGTH, "parent"))
    for key in LENGTH:
        if own.get(key) not in (None, _yaml("pretext", own["name"]).get(key)):
            words.append(f"pretext.{key}={_plain(own[key])}")
    return words


def _trainer(record: Record, config: Mapping[str, Any]) -> list[str]:
    """What is not as the trainer has it, of the suite or by itself, given what the task needs."""
    pretext = config.get("pretext")  # which a system of the league has not
    needs = pretext.get("needs", _yaml("pretext", pretext["name"]).get("needs", {})) if pretext else {}
    suite = _suite(record.evaluation.suite, record.evaluation.data)
    encoded = msgspec.json.encode((config["trainer"], needs))
    return _from_trainer(_trainer_of(suite) if suite else "default", encoded)


@functools.lru_cache(maxsize=4096)
def _from_trainer(name: str, encoded: bytes) -> list[str]:
    trainer, needs = msgspec.json.decode(encoded)
    option = dict(_yaml("trainer", name))
    for key, value in option.items():
        if isinstance(value, str) and (found := NEEDED.fullmatch(value)):
            option[key] = needs.get(found["key"], yaml.load(found["usual"], Loader=_Loader))
    return _differences(
        "trainer", {key: value for key, value in trainer.items() if key not in MACHINE}, option
    )


@functools.lru_cache(maxsize=4096)
def _suite(label: str, data: str) -> str:
    """The suite that a record names, with its target; empty where it is not there today."""
    name = label.partition(" ")[0]
    if not name or not (CONF / "suite" / f"{_name(name)}.yaml").is_file():
        return ""
    target = f"{name}/{_name(data)}"
    return target if (CONF / "suite" / f"{target}.yaml").is_file() else name


@functools.cache
def _trainer_of(suite: str) -> str:
    """The trainer that a suite's defaults choose."""
    defaults = _load("suite", suite).get("defaults", ())
    chosen = [each["override /trainer"] for each in defaults if "override /trainer" in each]
    return str(chosen[-1]) if chosen else "default"


def _judged(record: Record, config: Mapping[str, Any]) -> list[str]:
    """What the encoder is judged on, and by which protocol."""
    protocol = _name(record.evaluation.protocol)
    if suite := _suite(record.evaluation.suite, record.evaluation.data):
        return [f"suite={suite}", f"downstream=[{protocol}]"]
    words = [*_sets(config), f"downstream=[{protocol}]"]
    options = config["downstream"][protocol]
    return words + _from("downstream", protocol, f"downstream.{protocol}", options)


def _sets(config: Mapping[str, Any]) -> list[str]:
    """The data set, and the target where it is another."""
    words = _option("data", "data", _found("data", config["data"]), config["data"], besides=MACHINE)
    if config.get("target") is not None:
        found = _found("data", config["target"])
        words += _option("data@target", "target", found, config["target"], besides=MACHINE)
    return words


def _option(
    group: str, key: str, name: str, config: Mapping[str, Any], usual: str = "", besides: tuple[str, ...] = ()
) -> list[str]:
    """The words that choose an option of a group, and those for what is not as it has it.

    Args:
        key: where the configuration keeps the group. usual: an option that need not be said. besides: fields
            that are left alone.
    """
    folder = group.partition("@")[0]
    own = {name: value for name, value in config.items() if name not in besides}
    words = [] if name == usual else [f"{group}={name}"]
    return words + _from(folder, name, key, own)


def _from(group: str, name: str, key: str, config: Mapping[str, Any]) -> list[str]:
    """Overrides that lead from an option to a configuration."""
    return _lead(group, name, key, msgspec.json.encode(config))


@functools.lru_cache(maxsize=4096)
def _lead(group: str, name: str, key: str, config: bytes) -> list[str]:
    return _differences(key, msgspec.json.decode(config), _yaml(group, name))


def _differences(key: str, config: Mapping[str, Any], option: Mapping[str, Any]) -> list[str]:
    """An override for each value that differs from the option's, and is not left to another key by it."""
    there = dict(_leaves(key, option))
    words = []
    for place, value in _leaves(key, config):
        known = there.get(place)
        if known == value or (isinstance(known, str) and REFERENCE in known):
            continue
        if place.endswith(f".{TARGET}"):
            if _class(known) == _class(value):
                continue  # which has moved since
            if not OPTIMISER.fullmatch(str(value)):
                raise Untold  # a command starts no code that a record names
        if place in there:
            words.append(f"{_plain(place)}={_plain(value)}")
        elif value not in (None, {}):
            words.append(f"++{_plain(place)}={_plain(value)}")
    return words


def _class(path: Any) -> str:
    return str(path).rpartition(".")[2]


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Values by dotted key."""
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(f"{key}.{name}", each)
    else:
        yield key, value


def _found(group: str, config: Mapping[str, Any]) -> str:
    """The option of a group that builds what a configuration builds: of several, the most alike.

    Raises:
        Untold: none does.
    """
    options = [name for name, target in targets(group).items() if target == config[TARGET]]
    if not options:
        raise Untold
    return min(options, key=lambda name: (len(_from(group, name, group, config)), name))


@functools.cache
def targets(group: str) -> dict[str, str]:
    """What each option of a group builds."""
    found = {path.stem: _yaml(group, path.stem).get(TARGET) for path in sorted((CONF / group).glob("*.yaml"))}
    return {name: target for name, target in found.items() if target}


@functools.cache
def _yaml(group: str, name: str) -> dict[str, Any]:
    """An option as its file says it, on top of the options of its group that it starts from.

    Raises:
        Untold: there is no such option today.
    """
    content = _load(group, name)
    bases = [each for each in content.pop("defaults", ()) if isinstance(each, str) and each != "_self_"]
    for base in reversed(bases):
        content = _over(_yaml(group, base), content)
    return content


def _load(group: str, name: str) -> dict[str, Any]:
    path = CONF / group / f"{name}.yaml"
    if not path.is_file():
        raise Untold
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader) or {}


def _over(base: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping on top of another, as Hydra composes them."""
    made = {**base, **content}
    for key in base.keys() & content.keys():
        if isinstance(base[key], Mapping) and isinstance(content[key], Mapping):
            made[key] = _over(base[key], content[key])
    return made


def _name(name: str) -> str:
    """The name of an option.

    Raises:
        Untold: it is none.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise Untold
    return name


def _plain(value: Any) -> str:
    """A value as Hydra's command line takes it.

    Raises:
        Untold: a text that would have to be quoted.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    if isinstance(value, str) and PLAIN.fullmatch(value):
        return value
    raise Untold
