"""What a leaderboard's page costs: 100,000 records from a folder to it, 2,000 scores opened in a browser.

python benchmarks/page.py             prints the figures and writes benchmarks/results/page.json

Records are copies of committed ones under other names and seeds, laid out as runs leave them. Garbage is not
collected, as in job=leaderboard. The browser is a headless Chromium on the path, driven by playwright; where
either is missing, its figures stay as they were.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.committed import RESULTS, SUITES
from downstream.judge.plain import to_plain
from downstream.judge.record_files import import_jsonl, read_all
from downstream.leaderboard import Beside, Tables, build
from downstream.leaderboard.page import page
from pretextbench.commands import command

RECORDS, WANTED = 100_000, 10.0
"""So many records, and the seconds that they may take on two cores."""
SCORES, WANTED_OPEN = 2_000, 2.0
"""So many scores that a table shows, each with the records of all its stages and metrics, and seconds."""
ROUNDS = 3
SOURCE = SUITES / "tiny64.v1.jsonl.gz"
RESULT = RESULTS / "page.json"


def files(copy: int) -> Iterator[tuple[str, str]]:
    """Name and content of each file of records, as another task or seed would have left them."""
    by_file: dict[str, list[Any]] = defaultdict(list)
    for record in import_jsonl(SOURCE):
        by_file[record.evaluation.digest].append(to_plain(record))
    for name, entries in by_file.items():
        for entry in entries:
            subject = entry["subject"]
            if not subject["pretext"].startswith(("random", "supervised", "blind:")):
                subject["pretext"] += f"_{copy}" if copy else ""
            subject["recipe"] += f"{copy}"
            subject["twins"] = {twin: f"{recipe}{copy}" for twin, recipe in subject["twins"].items()}
            subject["run"] = f"{copy:08x}{subject['run'][8:]}"
            entry["evaluation"]["digest"] = f"{copy:08x}{name[8:]}"
        yield f"{copy:08x}{name[8:]}", "[\n" + ",\n".join(map(json.dumps, entries)) + "\n]\n"


def lay_out(folder: Path, records: int = 0, scores: int = 0) -> int:
    """Write copies until there are so many records, and so many scores; return how many records there are."""
    folder.mkdir()
    counted = {"records": 0, "scores": 0}
    copy = 0
    while counted["records"] < records or counted["scores"] < scores:
        for name, content in files(copy):
            (folder / f"{name}.json").write_text(content, encoding="utf-8")
            counted["records"] += content.count('"evaluation": ')
            counted["scores"] += content.count('"primary": true') and 1
        copy += 1
    return counted["records"]


def make(folder: Path, path: Path) -> dict[str, float]:
    """Seconds from a folder of records to the page, by step."""
    gc.disable()
    marks = [time.perf_counter()]

    def mark() -> float:
        marks.append(time.perf_counter())
        return round(marks[-1] - marks[-2], 2)

    records = read_all(folder)
    steps = {"read": mark()}
    board = build(records)
    steps["board"] = mark()
    tables = Tables(records, board)
    steps["sheets"] = mark()
    path.write_bytes(page([tables.part()], Beside(command=command)))
    steps["page"] = mark()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(used.ru_utime + used.ru_stime, 2)
    return {**steps, "all": round(marks[-1] - marks[0], 2), "CPU, imports included": cpu}


def made_alone(folder: Path, path: Path) -> dict[str, float]:
    """`make` in a process of its own, on one thread; the median of each figure over rounds."""
    again = [sys.executable, __file__, "--make", str(folder), str(path)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run(again, env=alone, capture_output=True, text=True, check=True)
        rounds.append(json.loads(done.stdout))
    return {name: round(statistics.median(each[name] for each in rounds), 2) for name in rounds[0]}


def opened(path: Path) -> dict[str, float] | None:
    """Seconds until the table of a page is there, and CPU seconds of its main thread by then; medians."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    found = defaultdict(list)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(ROUNDS + 1):
            shown = browser.new_page()
            session = shown.context.new_cdp_session(shown)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            shown.goto(path.as_uri(), wait_until="domcontentloaded")
            loaded = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
            found["wall"].append(shown.evaluate(loaded) / 1000)
            metrics = {
                each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
            }
            found["cpu"].append(metrics["TaskDuration"])
            assert shown.locator("#count").text_content()
            shown.close()
        browser.close()
    return {name: round(statistics.median(seconds[1:]), 2) for name, seconds in found.items()}


def main() -> None:
    if sys.argv[1:2] == ["--make"]:
        print(json.dumps(make(*map(Path, sys.argv[2:4]))))
        return
    kept = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        many = lay_out(folder / "many", records=RECORDS)
        seconds = made_alone(folder / "many", folder / "many.html")
        some = lay_out(folder / "some", scores=SCORES)
        made_alone(folder / "some", folder / "some.html")
        browser = opened(folder / "some.html") or kept.get("opened", {}).get("seconds")
        result = {
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            "made": {
                "records": many, "seconds": seconds, "bytes": (folder / "many.html").stat().st_size,
                "wanted": WANTED,
            },
            "opened": {
                "scores": SCORES, "records": some, "bytes": (folder / "some.html").stat().st_size,
                "seconds": browser, "wanted": WANTED_OPEN,
            },
        }  # fmt: skip
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
