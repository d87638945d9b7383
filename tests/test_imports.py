"""Imports run one way; any edge that is not in this table is a fault of the layout."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "pretext.atomic": set(),
    "pretext.classes": set(),
    "pretext.color": {"pretext.atomic"},
    "pretext.inputs": {"pretext.color"},
    "pretext.backbones": {"pretext.inputs", "pretext.classes"},
    "pretext.described": set(),
    "pretext.unreadable": set(),
    "pretext.identity": {"pretext.described"},
    "pretext.encoder": {
        "pretext.atomic", "pretext.backbones", "pretext.inputs", "pretext.color", "pretext.described",
        "pretext.unreadable",
    },
    "pretext.foreign": {"pretext.encoder", "pretext.backbones", "pretext.inputs", "pretext.unreadable"},
    "pretext.task": {"pretext.encoder", "pretext.backbones"},
    "pretext.data": {
        "pretext.atomic", "pretext.locks", "pretext.names", "pretext.color", "pretext.task",
        "pretext.spacing",
    },
    "pretext.views": set(),
    "pretext.gather": set(),
    "pretext.spacing": set(),
    "pretext.pictures": set(),
    "pretext.locks": set(),
    "pretext.names": set(),
    "pretext.tasks": {
        "pretext.task", "pretext.encoder", "pretext.backbones", "pretext.inputs", "pretext.color",
        "pretext.views", "pretext.gather", "pretext.spacing", "pretext.classes", "pretext.colorizers",
        "pretext.foreign",
    },
    "pretext.colorizers": {"pretext.atomic", "pretext.color", "pretext.data", "pretext.task"},
    "pretext.fit": {
        "pretext.atomic", "pretext.classes", "pretext.task", "pretext.encoder", "pretext.data",
        "pretext.views", "pretext.spacing", "pretext.pictures", "pretext.identity", "pretext.backbones",
        "pretext.unreadable",
    },
    "pretext": {"pretext.encoder"},
    "downstream": {"pretext.encoder", "pretext.data", "pretext.identity"},
    "downstream.colorization": {"downstream", "pretext.color", "pretext.data"},
    "downstream.metrics": {"downstream", "pretext.data"},
    "downstream.images": {"pretext.data", "pretext.views"},
    "downstream.features": {
        "downstream", "pretext.atomic", "pretext.locks", "pretext.encoder", "pretext.backbones",
        "pretext.data",
    },
    "downstream.heads": {
        "downstream", "downstream.features", "downstream.images", "pretext.encoder", "pretext.backbones",
        "pretext.data",
    },
    "downstream.tuning": {"downstream", "downstream.features", "pretext.encoder", "pretext.data"},
    "downstream.classification": {
        "downstream", "downstream.features", "downstream.heads", "downstream.images", "downstream.metrics",
        "downstream.tuning", "pretext.encoder", "pretext.backbones", "pretext.data",
    },
    "downstream.detection": {
        "downstream", "downstream.features", "downstream.metrics", "downstream.tuning", "pretext.encoder",
        "pretext.backbones", "pretext.data", "pretext.pictures",
    },
    "downstream.segmentation": {
        "downstream", "downstream.features", "downstream.heads", "downstream.metrics", "downstream.tuning",
        "pretext.encoder", "pretext.data", "pretext.pictures",
    },
    "downstream.representation": {
        "downstream", "downstream.features", "downstream.images", "pretext.encoder", "pretext.data",
    },
    "downstream.judge": {
        "downstream", "downstream.heads", "downstream.metrics", "downstream.tuning", "pretext.atomic",
        "pretext.classes", "pretext.described", "pretext.encoder", "pretext.data", "pretext.identity",
        "pretext.names", "pretext.spacing",
    },
    "downstream.leaderboard": {
        "downstream", "downstream.judge", "pretext.atomic", "pretext.described", "pretext.names",
    },
    "pretextbench": {
        "pretext", "pretext.atomic", "pretext.backbones", "pretext.color", "pretext.colorizers",
        "pretext.data", "pretext.described", "pretext.encoder", "pretext.fit", "pretext.foreign",
        "pretext.identity", "pretext.inputs", "pretext.locks", "pretext.names", "pretext.pictures",
        "pretext.spacing", "pretext.task", "pretext.tasks", "downstream", "downstream.colorization",
        "downstream.judge", "downstream.leaderboard", "downstream.representation", "downstream.tuning",
    },
}  # fmt: skip
"""What each unit may import beside itself; `pretext.atomic`, `.locks` and `.names` are leaves.

`downstream` are the files at its root, the contract that all its rooms share.
"""

CONFIGURATION = {"hydra", "omegaconf", "wandb", "pretextbench"}
"""What the program alone may know."""
PACKAGES = ("pretext", "downstream", "pretextbench")


def unit(module: str) -> str:
    """The row of the table that a module belongs to: the longest that it starts with."""
    rows = [row for row in ALLOWED if module == row or module.startswith(row + ".")]
    return max(rows, key=len, default=module)


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; names from a package itself count as modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found |= {
                f"{module}.{a.name}" if module in ("pretext", "downstream") else module for a in node.names
            }
    return found


def files() -> list[Path]:
    return sorted(p for top in PACKAGES for p in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for name in imported(path):
        top = name.split(".")[0]
        assert top not in ("run", "tests", "benchmarks"), f"{module} may not import {name}"
        assert path.parts[len(ROOT.parts)] == "pretextbench" or top not in CONFIGURATION, (
            f"{module} may not know {name}"
        )
        if top in PACKAGES:
            allowed = ALLOWED[unit(module)] | {unit(module)}
            assert unit(name) in allowed, f"{module} ({unit(module)}) may not import {name}"


def test_the_table_is_acyclic_between_units() -> None:
    done: set[str] = set()
    waiting = dict(ALLOWED)
    while waiting:
        ready = [row for row, needs in waiting.items() if needs <= done]
        assert ready, f"a cycle among {sorted(waiting)}"
        for row in ready:
            done.add(row)
            del waiting[row]


def test_the_packages_import_without_the_configuration() -> None:
    names = {
        row for path in files() if path.parts[len(ROOT.parts)] != "pretextbench" for row in imported(path)
    }
    assert names, "no file was read"
    assert not {name.split(".")[0] for name in names} & CONFIGURATION


def test_what_tests_share_is_found_by_whichever_is_run_alone() -> None:
    """pytest finds modules beside a test, and beside every conftest.py above it; a name is of one file."""
    tests = Path(__file__).parent
    called = [path.name for path in tests.rglob("test_*.py")]
    assert {name for name in called if called.count(name) > 1} == set()
    shared: dict[str, set[Path]] = {}
    for path in tests.rglob("*.py"):
        if not path.name.startswith("test_") and path.name != "conftest.py":
            shared.setdefault(path.stem, set()).add(path.parent)
    above = {path.parent for path in tests.rglob("conftest.py")}
    assert len(shared) > 10
    for path in tests.rglob("*.py"):
        at_hand = {path.parent, *above.intersection(path.parents)}
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else names
            for name in names:
                assert name not in shared or shared[name] & at_hand, f"{path} imports {name}"
