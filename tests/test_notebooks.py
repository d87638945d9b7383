"""The notebooks of docs/: stored without outputs, and run from top to bottom."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
ROOT = Path(__file__).parents[1]
SHOWN = {
    "judge_my_encoder": ("linear", "mine", "segmentation_linear"),
    "compare_pretext_tasks": ("colorization", "rotation", "random", "supervised"),
    "read_a_table": ("colorization",),
}
"""What the outputs of each say at least."""
PICTURES = {"judge_my_encoder": 2, "compare_pretext_tasks": 1, "read_a_table": 2}


def test_there_are_three() -> None:
    assert {path.stem for path in NOTEBOOKS} == SHOWN.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the development group is not installed")
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert not set(book.metadata) - {"kernelspec", "language_info"}
    assert str(Path.home()) not in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the development group is not installed")
    nbclient = pytest.importorskip("nbclient", reason="the development group is not installed")
    pytest.importorskip("ipykernel", reason="the development group is not installed")
    shutil.copy(path, tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split()]))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    book = nbformat.read(tmp_path / path.name, 4)
    client = nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    texts, pictures = shown(book)
    assert all(word in texts for word in SHOWN[path.stem])
    assert "Error" not in texts
    assert texts.count("Scores in % (higher is better)") == (path.stem == "judge_my_encoder")
    assert pictures >= PICTURES[path.stem]


def shown(book: Any) -> tuple[str, int]:
    """All text that the cells put out, and how many pictures."""
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    texts = [output.text for output in outputs if output.output_type == "stream"]
    data = [output.data for output in outputs if "data" in output]
    texts += [str(each["text/plain"]) for each in data if "text/plain" in each]
    return "\n".join(texts), sum("image/png" in each for each in data)
