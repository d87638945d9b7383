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
from typing import Any

import msgspec
import yaml

from downstream.judge.records import Record
from pretextbench.configurations import CONF

TARGET = "_target_"
REFERENCE = "${"
"""In a value that is taken from another key."""
MACHINE = ("root", "cache", "workers", "download")
"""Fields of a data set that belong to a machine."""
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
    judged, fixed = _judged(record, config)
    if job == "evaluate":
        return [f"job={job}", f"encoder={_plain(config['encoder'])}", *judged]
    words = [] if job == "benchmark" else [f"job={_name(job)}"]
    words += _pretext(config)
    backbone = _found("backbone", config["backbone"])
    words += _option("backbone", "backbone", backbone, config["backbone"], usual="small")
    words += judged
    if not fixed:
        words += _from("trainer", "default", "trainer", config["trainer"], told=True)
    elif config["trainer"].get("precision", "auto") != "auto":
        words.append(f"trainer.precision={_plain(config['trainer']['precision'])}")
    if config.get("calibration") is not None:
        found = _found("calibration", config["calibration"])
        words += _option("calibration", "calibration", found, config["calibration"])
    if config.get("initialisation") is not None:
        words.append(f"initialisation={_plain(config['initialisation'])}")
    words.append(f"input={_plain(config['input'])}")
    return [*words, f"seed={_plain(config['seed'])}"]


def _pretext(config: Mapping[str, Any]) -> list[str]:
    """The task; its epochs where they are not the trainer's."""
    own = config["pretext"]
    words = _option("pretext", "pretext", _name(own["name"]), own, besides=("epochs", "parent"))
    if own["epochs"] not in (None, _yaml("pretext", own["name"]).get("epochs")):
        words.append(f"pretext.epochs={_plain(own['epochs'])}")
    return words


def _judged(record: Record, config: Mapping[str, Any]) -> tuple[list[str], bool]:
    """What the encoder is judged on, and whether a suite says all of it."""
    e = record.evaluation
    protocol = _name(e.protocol)
    name = e.suite.partition(" ")[0]
    if name and (CONF / "suite" / f"{_name(name)}.yaml").is_file():
        part = f"/{_name(e.data)}" if (CONF / "suite" / name / f"{_name(e.data)}.yaml").is_file() else ""
        return [f"suite={name}{part}", f"downstream=[{protocol}]"], True
    words = _option("data", "data", _found("data", config["data"]), config["data"], besides=MACHINE)
    if config.get("target") is not None:
        found = _found("data", config["target"])
        words += _option("data@target", "target", found, config["target"], besides=MACHINE)
    words.append(f"downstream=[{protocol}]")
    return words + _from(
        "downstream", protocol, f"downstream.{protocol}", config["downstream"][protocol]
    ), False


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


def _from(group: str, name: str, key: str, config: Mapping[str, Any], told: bool = False) -> list[str]:
    """Overrides that lead from an option to a configuration.

    Args:
        told: whether values that hang on other keys are said too.
    """
    return _lead(group, name, key, msgspec.json.encode(config), told)


@functools.lru_cache(maxsize=4096)
def _lead(group: str, name: str, key: str, config: bytes, told: bool) -> list[str]:
    option = _yaml(group, name)
    return _differences(key, msgspec.json.decode(config), _without_references(option) if told else option)


def _differences(key: str, config: Mapping[str, Any], option: Mapping[str, Any]) -> list[str]:
    """An override for each value that differs from the option's, and is not left to another key by it."""
    there = dict(_leaves(key, option))
    words = []
    for place, value in _leaves(key, config):
        known = there.get(place)
        if known == value or (isinstance(known, str) and REFERENCE in known):
            continue
        if place.endswith(f".{TARGET}") and _class(known) == _class(value):
            continue  # which has moved since
        if place in there:
            words.append(f"{_plain(place)}={_plain(value)}")
        elif value not in (None, {}):
            words.append(f"++{_plain(place)}={_plain(value)}")
    return words


def _class(path: Any) -> str:
    return str(path).rpartition(".")[2]


def _without_references(option: Mapping[str, Any]) -> dict[str, Any]:
    """An option with null for what hangs on other keys: the value is then said."""
    return {
        key: None if isinstance(value, str) and REFERENCE in value else value for key, value in option.items()
    }


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
    options = [name for name, target in _targets(group).items() if target == config[TARGET]]
    if not options:
        raise Untold
    return min(options, key=lambda name: (len(_from(group, name, group, config)), name))


@functools.cache
def _targets(group: str) -> dict[str, str]:
    """What each option of a group builds."""
    found = {path.stem: _yaml(group, path.stem).get(TARGET) for path in sorted((CONF / group).glob("*.yaml"))}
    return {name: target for name, target in found.items() if target}


@functools.cache
def _yaml(group: str, name: str) -> dict[str, Any]:
    """An option as its file says it, on top of the options of its group that it starts from.

    Raises:
        Untold: there is no such option today.
    """
    path = CONF / group / f"{name}.yaml"
    if not path.is_file():
        raise Untold
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader) or {}
    bases = [each for each in content.pop("defaults", ()) if isinstance(each, str) and each != "_self_"]
    for base in reversed(bases):
        content = _over(_yaml(group, base), content)
    return content


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
