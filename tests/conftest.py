"""What several tests need: composed configurations, a handful of scenes, the real photographs."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pretextbench import heap

if TYPE_CHECKING:
    from pretext.data.dataset import DataSet

CONF = Path(__file__).parent.parent / "conf"

# Tests run side by side: one thread each, whatever the machine has, and one for each process they start. Read
# when torch is loaded, which is why nothing above loads it; the process that only hands tests out never does.
os.environ["OMP_NUM_THREADS"] = "1"
heap.keep()  # as the commands do
gc.set_threshold(20_000, 20, 20)  # a tenth of all time goes by at the usual one, for little that it finds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests first, then those with many: no worker waits for a long one at the end."""
    count = Counter(item.path for item in items)
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in long, -count[item.path], item.path))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: no test waits while the collector of garbage walks through it."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries in C count what is left when Python ends


@pytest.fixture(autouse=True)
def drawn_alike() -> None:
    """What a test draws without a seed of its own is the same each time, whatever ran before it."""
    if torch := sys.modules.get("torch"):  # which tests of the start alone do without
        torch.default_generator.manual_seed(0)  # queues nothing for devices that are not there


@pytest.fixture(scope="session", autouse=True)
def not_flushed() -> Iterator[None]:
    """Nothing that a test writes has to outlive the machine: no test waits for its disk.

    What is killed is a process, and what it wrote is the system's by then; disks that are full raise where a
    test says so.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def compositions() -> Iterator[None]:
    """What tests compose alike is composed once."""
    from compositions import made_once

    with made_once():
        yield


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra initialised on `conf/`, so that `compose` works."""
    from hydra import initialize_config_dir

    from pretextbench import schema

    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A data set of 96 + 32 + 32 scenes at 64 px."""
    from pretext.data.embedded import scenes

    return scenes(str(tmp_path_factory.mktemp("scenes")), train=96, val=32, test=32, workers=1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PRETEXTBENCH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real photographs: PRETEXTBENCH_DATA is not set and {folder} is not there")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.skip("no Chromium is on the path")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
