"""User CPU of starting the command, beside the bare imports that it cannot do without, in one run.

python benchmarks/start.py            prints the figures and writes benchmarks/results/start.json
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
ROUNDS = 5
RUN = [sys.executable, str(ROOT / "run.py")]


def records(folder: Path) -> int:
    """Lay every committed record where a run would have left it; return how many there are."""
    by_evaluation: dict[str, list[str]] = defaultdict(list)
    for path in sorted(RESULTS.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                by_evaluation[json.loads(line)["evaluation"]["digest"]].append(line.strip())
    folder.mkdir(parents=True)
    for digest, entries in by_evaluation.items():
        (folder / f"{digest}.json").write_text("[\n" + ",\n".join(entries) + "\n]\n", encoding="utf-8")
    return sum(map(len, by_evaluation.values()))


def user_seconds(command: list[str], folder: Path) -> float:
    """User CPU of a command and all that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, env=alone, check=True, capture_output=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = records(folder / "outputs" / "records")
        commands = {
            "import pandas, scipy.stats": [sys.executable, "-c", "import pandas, scipy.stats"],
            "import torch": [sys.executable, "-c", "import torch"],
            "--help": [*RUN, "--help"],
            "job=protocols": [*RUN, "job=protocols"],
            "job=leaderboard": [*RUN, "job=leaderboard"],
        }
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):  # one after the other, so that a busy spell is everybody's
            for name, command in commands.items():
                taken[name].append(user_seconds(command, folder))
    figures = {name: round(statistics.median(seconds), 2) for name, seconds in taken.items()}
    ratio = figures["job=leaderboard"] / figures["import pandas, scipy.stats"]
    result = {
        "python": platform.python_version(),
        "rounds": ROUNDS,
        "records": count,
        "user_seconds": figures,
        "leaderboard_over_imports": round(ratio, 2),
    }
    (RESULTS / "start.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, seconds in figures.items():
        print(f"{seconds:6.2f} s  {name}")
    print(f"job=leaderboard over {count} records: {ratio:.2f} × the imports of pandas and scipy.stats")


if __name__ == "__main__":
    main()
