"""Rewrite the committed records in the form that this version writes; every value stays what it is.

python benchmarks/upgrade_records.py           rewrites benchmarks/results/*.jsonl.gz
python benchmarks/upgrade_records.py --check   exits 1 where a file is of an older schema
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from downstream.judge.records import SCHEMA, export_jsonl, import_jsonl

RESULTS = Path(__file__).parent / "results"


def schemas(path: Path) -> set[int]:
    """The schemas of a file's records."""
    with gzip.open(path, "rt") as lines:
        return {json.loads(line)["schema"] for line in lines}


def main() -> int:
    """Return the exit status."""
    old = [path for path in sorted(RESULTS.glob("*.jsonl.gz")) if schemas(path) != {SCHEMA}]
    if "--check" in sys.argv[1:]:
        print("\n".join(f"{path.name} is of an older schema" for path in old) or f"all of schema {SCHEMA}")
        return 1 if old else 0
    for path in old:
        export_jsonl(import_jsonl(path), path)
        print(f"{path.name}: schema {SCHEMA}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
