"""A class of ours is abstract or final: what can be made as it stands, nothing is made of."""

import importlib
import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterable

import downstream
import pretext


def classes() -> set[type]:
    """Every class that `pretext` and `downstream` define, at the top of a module."""
    found = set()
    for package in (pretext, downstream):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
            found |= {kind for _, kind in members if kind.__module__ == module.name}
    return found


def abstract(kind: type) -> bool:
    """Whether it lacks a method, or says that it is abstract. Errors may be both."""
    return inspect.isabstract(kind) or ABC in kind.__bases__ or issubclass(kind, Exception)


def concrete_bases(kinds: Iterable[type]) -> set[str]:
    ours = set(kinds)
    return {
        f"{kind.__qualname__} is made of {base.__qualname__}, which can be made itself"
        for kind in ours
        for base in kind.__mro__[1:]
        if base in ours and not abstract(base)
    }


def test_nothing_is_made_of_a_concrete_class() -> None:
    found = classes()
    assert len(found) > 300
    assert concrete_bases(found) == set()


def test_a_concrete_base_would_be_seen() -> None:
    class Base(ABC):
        @abstractmethod
        def run(self) -> None: ...

    class Final(Base):
        def run(self) -> None: ...

    class Below(Final): ...

    assert concrete_bases({Base, Final}) == set()
    assert concrete_bases({Base, Final, Below}) == {
        "test_a_concrete_base_would_be_seen.<locals>.Below is made of "
        "test_a_concrete_base_would_be_seen.<locals>.Final, which can be made itself"
    }
