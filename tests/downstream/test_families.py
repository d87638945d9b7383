"""Protocols are abstract or final: what a class of ours has implemented, no class below it does otherwise."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import downstream
from downstream.head import Head, Prediction
from downstream.protocol import BlindPredictor, Fitted, Protocol

CONTRACTS = (Protocol, Fitted, BlindPredictor, Head, Prediction)
HOOKS = {
    "selects": "not stated, or no choice",
    "freezes": "nothing more than the recipe says",
    "check": "images alone are enough",
    "requires": "labels alone are enough",
    "complete": "scores and labels are enough",
    "head_lrs": "the recipe's",
    "frozen": "no stage",
    "proposing": "no regions",
    "show": "not visual",
    "head": "nothing to ask about a new image",
    "off": "said of the image as a whole",
    "picture": "not visual",
    "gives_logits": "they are",
    "held_out": "the best score on val",
    "sees_color": "it does not",
}
"""What a base says where a class below it has nothing to add; everything else is said once."""


def classes() -> Iterator[type]:
    """Every class below the contracts that `downstream` defines."""
    for module in pkgutil.walk_packages(downstream.__path__, "downstream."):
        found = importlib.import_module(module.name)
        for _, kind in inspect.getmembers(found, inspect.isclass):
            if kind.__module__ == module.name and issubclass(kind, CONTRACTS):
                yield kind


def said_twice(kind: type) -> list[str]:
    """Methods and properties of a class that a base of it has implemented already."""
    own = {name for name, value in vars(kind).items() if callable(value) or isinstance(value, property)}
    return sorted(
        name
        for name in own - HOOKS.keys()
        if not name.startswith("__")
        for base in kind.__mro__[1:-1]
        if name in vars(base) and not getattr(vars(base)[name], "__isabstractmethod__", False)
    )


def test_no_implemented_method_is_overridden() -> None:
    found = {kind.__qualname__: said_twice(kind) for kind in classes()}
    assert len(found) > 60, "too few classes were read"
    assert {name: names for name, names in found.items() if names} == {}


def test_an_override_would_be_seen() -> None:
    class Base(Protocol):
        def metrics(self, split: object) -> dict[str, object]:  # type: ignore[override]
            return {}

    class Below(Base):  # type: ignore[misc]
        def metrics(self, split: object) -> dict[str, object]:
            return {"other": None}

    assert said_twice(Base) == []
    assert said_twice(Below) == ["metrics"]
