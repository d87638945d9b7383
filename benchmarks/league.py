"""Keep what a league measured, and write it into docs/colour_league.md.

    python -m benchmarks.league OUTPUT     keeps the league's records of an output folder

Writes benchmarks/results/league.jsonl.gz, and benchmarks/results/auc_conventions.json: what seven conventions
make of the same errors, which are in the rows beside the records. `benchmarks/tables.py` writes the page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.committed import RESULTS, ROOT
from benchmarks.marked import filled
from benchmarks.suites import records_of
from downstream.colorization.conventions import conventions
from downstream.colorization.league import ColourLeague
from downstream.judge.record_files import export_jsonl, import_jsonl
from downstream.judge.records import Record
from downstream.leaderboard import build
from downstream.leaderboard.league import by_set, judged_by, league_sheets
from downstream.leaderboard.markdown import markdown
from pretext.atomic import replacing, write_json
from pretextbench.league.contact import sheet

RECORDS = RESULTS / "league.jsonl.gz"
CONVENTIONS = RESULTS / "auc_conventions.json"
PICTURES = ROOT / "docs" / "pictures"
SHOWN = (
    "gray", "welsh", "charpiat", "gupta", "deshpande_learch", "cheng_deep", "dahl", "iizuka", "larsson",
    "colorization_l2", "colorization_class", "colorization", "ground_truth",
)  # fmt: skip
PAGE = ROOT / "docs" / "colour_league.md"


def of_the_league(output: Path) -> list[Record]:
    """The league's records of an output folder: of each set and judgement those of the most systems.

    A league that was stopped, or of fewer systems, may have left others there.
    """
    largest: dict[tuple[str, str], list[Record]] = {}
    for key, records in by_set(records_of(output)).items():
        about = (key[0], judged_by(records))
        largest[about] = max(largest.get(about, []), records, key=len)
    return [record for about in sorted(largest) for record in largest[about]]


def keep(output: Path) -> None:
    """Write both files, and a picture for each set."""
    records = of_the_league(output)
    export_jsonl(records, RECORDS)
    measured = [r for r in records if r.evaluation.primary and judged_by([r]) == ColourLeague.name]
    for data in sorted({record.evaluation.data for record in measured}):
        own = {r.subject.pretext: r for r in measured if r.evaluation.data == data}
        with replacing(PICTURES / f"colour_league_{data}.jpg") as file:  # a fifth of a PNG's bytes
            Image.fromarray(drawn(output, own)).save(file, format="JPEG", quality=92, subsampling=0)
    read: list[dict[str, Any]] = []
    for record in measured:
        with np.load(output / "records" / "rows" / f"{record.result.rows}.npz") as rows:
            values = conventions({name: rows[name] for name in ("within", "error", "weight")})
        who = {"data": record.evaluation.data, "system": record.subject.pretext}
        read.append(who | {name: round(value, 6) for name, value in values.items()})
    write_json(CONVENTIONS, {"rows": sorted(read, key=lambda row: (row["data"], -row["exact"]))})


def drawn(output: Path, records: Mapping[str, Record]) -> NDArray[np.uint8]:
    """Two images that full colorization colours better than gray, and two that it colours worse."""
    shown = [name for name in SHOWN if name in records]
    there = {
        name: np.load(output / "coloured" / records[name].evaluation.digest / "rows.npz") for name in shown
    }
    errors = {name: rows["error"] / rows["weight"] for name, rows in there.items()}
    order = (errors["colorization"] - errors["gray"]).argsort(kind="stable")
    places = [*order[:2], *order[-2:]]
    panels = {name: rows["pictures"][places] for name, rows in there.items()}
    return sheet(panels, ["good", "good", "bad", "bad"])


def page() -> str:
    """The page with its tables as the kept records have them."""
    if not RECORDS.is_file():
        return PAGE.read_text()
    records = import_jsonl(RECORDS)
    build(records)  # refuses records that contradict each other
    tables = f"\n{markdown(league_sheets(records))}".replace("\n## ", "\n### ").strip()
    return filled(PAGE, "\n\n".join([tables, *_conventions()]))


def _conventions() -> Sequence[str]:
    rows = json.loads(CONVENTIONS.read_text())["rows"]
    names = [name for name in rows[0] if name not in ("data", "system")]
    lines = [f"| {' | '.join(['', 'set', *names])} |", "|---|---" + "|---:" * len(names) + "|"]
    for row in rows:
        values = [f"{100 * row[name]:.2f}" for name in names]
        lines.append(
            f"| {' | '.join([row['system'].replace('_', ' '), row['data'].replace('_', ' '), *values])} |"
        )
    return (
        "### One area, seven conventions",
        "The area under the curve of the same errors, in %, as found in rebuildings; no table mixes them.",
        "\n".join(lines),
    )


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
