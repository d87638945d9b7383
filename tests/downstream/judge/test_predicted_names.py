"""`job=predict`: what classes and files are called stays on its line, whatever it is."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_protocol import make_data, make_encoder
from made_records import SUBJECT
from PIL import Image

from downstream.classification.linear import LinearProbe
from downstream.heads.linear_grid import LinearGrid
from downstream.judge.evaluate import evaluate
from downstream.judge.kept import DESCRIPTION, RECORD, WEIGHTS
from downstream.protocol import Runtime
from pretextbench import dispatch

NASTY = "[/red]<b>\x1b[2J\x9b1m\u202e\nx.png: dark 100%\r"


def test_names_of_classes_and_files_stay_on_their_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, data = make_encoder(), make_data()
    encoder.save(tmp_path / "encoder")
    judged = replace(SUBJECT, backbone=encoder.network)
    probe = LinearProbe(pools=(1,), grid=LinearGrid(lrs=(0.1,), weight_decays=(0.0,), epochs=1))
    named = replace(data, label_names=(NASTY, "y" * 10_000))
    evaluate(encoder, probe, named, Runtime(cache=tmp_path / "cache"), subject=judged,
             records=tmp_path / "records", heads=tmp_path / "heads", draws=4)  # fmt: skip
    (head,) = (tmp_path / "heads").iterdir()
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.asarray(data.test.pixels[0])).save(photos / f"{NASTY.replace('/', '')}.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "link.png").symlink_to("nowhere")
    (photos / "bad\n\x1b[1m.png").write_bytes(b"none")
    monkeypatch.setattr(sys, "argv", ["run.py", "job=predict", f"head={head}", f"encoder={tmp_path}/encoder",
                        f"image={photos}", f"output={tmp_path}"])  # fmt: skip
    assert dispatch.main() == 1
    lines = "".join(capsys.readouterr()).splitlines()
    assert len(lines) == 10, lines
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    assert (
        sum("[red]<b>\ufffd[2J\ufffd1m\ufffd\ufffdx.png: dark 100%\ufffd.png: " in line for line in lines)
        == 1
    )
    assert sum("bad\ufffd\ufffd[1m.png: no image that can be read" in line for line in lines) == 2
    assert sum("link.png: a link to nothing" in line for line in lines) == 2
    assert sum("pipe.png: no file, but a pipe, a socket or a device" in line for line in lines) == 2
    assert any("3 of 4 images could not be predicted" in line for line in lines)
    (said,) = tmp_path.glob("predicted/*/predictions.json")
    (image,) = json.loads(said.read_text())["images"].values()
    assert {entry["class"] for entry in image["classes"]} == set(named.label_names)


def test_what_is_no_head_is_said_before_an_encoder_is_made_that_reads_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretextbench.context.Context._read", lambda *_: pytest.fail("data were read"))
    for name in (WEIGHTS, RECORD, DESCRIPTION):
        (tmp_path / name).write_bytes(b"{}")
    words = ["job=predict", f"head={tmp_path}", "encoder=torchvision:resnet18@random", f"image={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["run.py", *words, f"output={tmp_path}"])
    assert dispatch.main() == 1
    assert "holds no head that can be opened: head.json has format None" in capsys.readouterr().err
