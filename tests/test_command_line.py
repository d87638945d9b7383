"""What a person sees who types something wrong, and what a dry run says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conf import hints, preflight, schema

ROOT = Path(__file__).parent.parent


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("seeed=1", ["'seeed'", "Did you mean seed?"]),
        ("seed=abc", ["abc", "could not be converted to Integer"]),
        ("pretext=coloriz", ["pretext=coloriz", "Did you mean colorization?", "rotation"]),
        ("backbone=resnet", ["Did you mean resnet18?", "alexnet", "small"]),
        ("trainer.epoch=3", ["Did you mean trainer.epochs?", "batch_size"]),
        ("pretext.task.neighbors=3", ["Did you mean pretext.task.neighbours?"]),
        ("trainer.device=tpu", ["tpu", "auto, cpu, cuda"]),
        ("downstream=[linear,lineer]", ["downstream=lineer", "Did you mean linear?"]),
        ("input=depth", ["depth", "lightness", "sobel"]),
        ("+nonsense=1", ["'nonsense'"]),
        ("job=evaluate", ["encoder="]),
        ("job=colorize", ["image="]),
    ],
)
def test_wrong_words_get_the_right_ones(wrong: str, said: list[str], tmp_path: Path) -> None:
    done = run(wrong, "data.train=64", "data.val=16", "data.test=16", "downstream=[linear]", cwd=tmp_path) \
        if not wrong.startswith("downstream") else run(wrong, cwd=tmp_path)  # fmt: skip
    shown = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "Traceback" not in shown
    for words in said:
        assert words in shown, shown


def test_explain_keeps_what_it_does_not_know() -> None:
    schema.register()
    assert hints.explain(ValueError("something else"), []) == "something else"


def test_a_wrong_pair_is_named_in_plain_english() -> None:
    said = preflight.mismatch("2.15.0+cpu", "0.29.2", "operator torchvision::nms does not exist")
    assert said is not None
    assert "torchvision 0.29.2 does not work with torch 2.15.0+cpu" in said
    assert "uv sync" in said
    assert preflight.mismatch("2.15.0", "0.29.2", None) is None
