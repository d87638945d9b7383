"""What is freed stays with the process: counted in pages that the kernel has to give."""

import os
import platform
import subprocess
import sys

import pytest
from hydra import compose

from pretextbench import heap, jobs

BLOCK, ROUNDS = 32 << 20, 8
COUNT = f"""
import resource, sys
from pretextbench import heap
if "keep" in sys.argv:
    print(heap.keep())
def given():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * {BLOCK}
before = given()
for _ in range({ROUNDS}):
    b"x" * {BLOCK}
print(given() - before)
"""


def said(*words: str, **chosen: str) -> list[str]:
    left = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, *words], env=left | chosen, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep what is freed")
def test_large_blocks_are_used_again() -> None:
    pages = ROUNDS * BLOCK // os.sysconf("SC_PAGE_SIZE")
    (as_it_comes,) = said()
    told, kept = said("keep")
    assert told == "True"
    assert int(as_it_comes) > pages / 1024  # of a huge page each, where the kernel gives those
    assert int(kept) < int(as_it_comes) / 10


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_"])
def test_who_chose_for_themselves_is_left_alone(name: str) -> None:
    assert said("keep", **{name: ""})[0] == "False"


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(("job", "times"), [("pretrain", 1), ("protocols", 0)])
def test_a_job_that_computes_keeps_it(job: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []
    monkeypatch.setattr(heap, "keep", lambda: asked.append(None))
    jobs.run(compose("config", [f"job={job}", "dry_run=true"], return_hydra_config=False))
    assert len(asked) == times
