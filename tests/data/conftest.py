"""The real photographs, where they are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("PRETEXTBENCH_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real photographs: PRETEXTBENCH_DATA is not set and {folder} is not there")
    return folder
