"""What several tests need: composed configurations, a handful of scenes, the real photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import initialize_config_dir

from pretext.data.dataset import DataSet
from pretext.data.embedded import scenes
from pretextbench import schema

CONF = Path(__file__).parent.parent / "conf"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests run side by side: one thread each, whatever the machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra initialised on `conf/`, so that `compose` works."""
    schema.register()
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        yield


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A data set of 96 + 32 + 32 scenes at 64 px."""
    return scenes(str(tmp_path_factory.mktemp("scenes")), train=96, val=32, test=32, workers=1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PRETEXTBENCH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real photographs: PRETEXTBENCH_DATA is not set and {folder} is not there")
    return folder
