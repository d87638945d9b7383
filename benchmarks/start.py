"""User CPU of starting the command, beside the bare imports that it cannot do without, in one run.

python benchmarks/start.py            prints the figures and writes benchmarks/results/start.json

Everything runs once before it is measured: bytecode is compiled, data are made. Figures are medians over
rounds in which every command runs in turn, so that a busy spell is everybody's.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.committed import RESULTS, ROOT, files

ROUNDS = 5
RUN = [sys.executable, str(ROOT / "run.py")]

LIGHT, HEAVY = "import pandas, scipy.stats", "import torch, torchvision, pytorch_lightning"
FIRST_STEP = "main job to its first training step"
WANTED = {"job=leaderboard": (LIGHT, 1.5), FIRST_STEP: (HEAVY, 1.3)}
"""What each command may cost beside which imports."""

STEPPED = 77
"""The status with which the main job ends when its optimiser has stepped."""

TO_FIRST_STEP = f"""
import os, sys

class Watch:
    def find_spec(self, name, *_):
        if name == "pytorch_lightning.trainer":  # by then torch is there, and no sooner than the job wants it
            sys.meta_path.remove(self)
            from torch.optim.optimizer import register_optimizer_step_post_hook
            register_optimizer_step_post_hook(lambda *_: os._exit({STEPPED}))

sys.meta_path.insert(0, Watch())
sys.path.insert(0, {str(ROOT)!r})
from pretextbench.__main__ import main
sys.exit(main())
"""
"""The main job, which ends itself when an optimiser has stepped."""


def records(folder: Path) -> int:
    """Lay every committed record where a run would have left it; return how many there are."""
    by_evaluation: dict[str, list[str]] = defaultdict(list)
    for path in files():
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                by_evaluation[json.loads(line)["evaluation"]["digest"]].append(line.strip())
    folder.mkdir(parents=True)
    for digest, entries in by_evaluation.items():
        (folder / f"{digest}.json").write_text("[\n" + ",\n".join(entries) + "\n]\n", encoding="utf-8")
    return sum(map(len, by_evaluation.values()))


def user_seconds(command: list[str], folder: Path, status: int = 0) -> float:
    """User CPU of a command and all that it starts."""
    alone = os.environ | {
        "OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "WANDB_MODE": "offline",
    }  # fmt: skip
    alone.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True)
    if done.returncode != status:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def first_step(folder: Path) -> float:
    """User CPU of the main job until its first training step: output fresh, but for the cache of its data."""
    output = folder / "main_job"
    for made in output.glob("*"):
        if made.name != "cache":
            shutil.rmtree(made)
    return user_seconds([sys.executable, "-c", TO_FIRST_STEP, f"output={output}"], folder, STEPPED)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = records(folder / "outputs" / "records")
        sweep = folder / "outputs" / "logs" / "sweep"
        sweep.mkdir(parents=True)
        (sweep / "multirun.yaml").write_text("hydra: {overrides: {task: [pretext=random]}, job: {name: x}}\n")
        commands = {
            LIGHT: [sys.executable, "-c", LIGHT],
            "import torch": [sys.executable, "-c", "import torch"],
            HEAVY: [sys.executable, "-c", HEAVY],
            "--help": [*RUN, "--help"],
            "job=protocols": [*RUN, "job=protocols"],
            "job=status": [*RUN, "job=status"],
            "job=leaderboard": [*RUN, "job=leaderboard"],
        }
        taken: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS + 1):
            for name, command in commands.items():
                taken[name].append(user_seconds(command, folder))
            taken[FIRST_STEP].append(first_step(folder))
    figures = {name: round(statistics.median(seconds[1:]), 2) for name, seconds in taken.items()}
    ratios = {name: round(figures[name] / figures[beside], 2) for name, (beside, _) in WANTED.items()}
    result = {
        "python": platform.python_version(),
        "rounds": ROUNDS,
        "records": count,
        "user_seconds": figures,
        "over_imports": ratios,
    }
    (RESULTS / "start.json").write_text(json.dumps(result, indent=1) + "\n")
    for name, seconds in figures.items():
        print(f"{seconds:6.2f} s  {name}")
    for name, (beside, most) in WANTED.items():
        print(f"{name}: {ratios[name]:.2f} × {beside!r} (wanted: {most})")
    print(f"{count} records")


if __name__ == "__main__":
    main()
