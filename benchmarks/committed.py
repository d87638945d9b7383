"""Where committed records lie: those that ship with their suite, and the others."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SUITES = ROOT / "conf" / "suite"


def files() -> list[Path]:
    """Every file of records, in a fixed order."""
    return [path for folder in (RESULTS, SUITES) for path in sorted(folder.glob("*.jsonl.gz"))]
