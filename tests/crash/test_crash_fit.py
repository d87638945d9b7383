"""Pretraining that is killed, or finds the disk full, goes on as if nothing had happened."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from plug import killed_at, small_disk
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from pretext.data.labelled import Example, Examples, open_split, pack_split
from pretext.data.pixels import pixel_digests
from pretext.fit import Optimisation, Pretrained, Validation, load_task, pretrain
from pretext.tasks.colorization import Colorization

ADAMW = Optimisation(functools.partial(torch.optim.AdamW, lr=3e-3), clip=1.0)
KEPT = ("encoder.safetensors", "task.safetensors", "task.json")


class FillBeforeTheThirdEpoch(Callback):
    """Leaves no byte free once two epochs are stored."""

    def __init__(self, filler: Path) -> None:
        self._filler = filler

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 2:
            with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))


def run(folder: Path, epochs: int = 3, callbacks: Sequence[Callback] = ()) -> Pretrained:
    """Colorization on 24 toy images: a prior that is cached, samples, checkpoints, encoder and task."""
    return pretrain(
        Colorization(toy.encoder()),
        toy.split(24, 0),
        toy.split(8, 1, "val"),
        folder=folder,
        cache=folder.parent / f"{folder.name}-cache",
        name="toy",
        seed=0,
        epochs=epochs,
        batch_size=8,
        optimisation=ADAMW,
        device="cpu",
        validation=Validation(bank=0, pictures=2),
        console=Console(file=io.StringIO()),
        callbacks=callbacks,
    )


def same(one: Path, other: Path) -> None:
    """Encoder and task of two runs are the same to the byte but for the seconds, and nothing else is left."""
    for file in KEPT:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file
    described = [json.loads((folder / "encoder.json").read_bytes()) for folder in (one, other)]
    for about in described:
        assert about["provenance"]["effort"].pop("seconds") >= 0
    assert described[0] == described[1]
    names = [
        sorted(p.name for p in folder.iterdir() if not p.name.endswith(".tmp")) for folder in (one, other)
    ]
    assert names[0] == names[1]


@pytest.mark.slow
def test_killed_at_every_file_operation(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole)
    moment = kills = 0
    while killed_at(moment, lambda: run(broken)):
        kills += 1
        moment += 3  # further than the last time, and now before an operation, now after one
    assert kills >= 6
    run(broken)  # the last start may have been killed after its result: the next one tidies up
    same(whole, broken)
    assert Pretrained.read(broken) is not None
    load_task(broken)


def test_killed_while_packing(tmp_path: Path) -> None:
    images = toy.stripes(12, 0)[0]

    def pack(cache: Path) -> Path:
        source = Examples(12, lambda position: Example(images[position], 0))
        return pack_split(cache, "toy", {"count": 12}, lambda: source)

    whole = open_split(pack(tmp_path / "whole"), "train")
    moment = 0
    while killed_at(moment, lambda: pack(tmp_path / "broken")):
        moment += 1
    assert moment >= 4
    made = [p for p in (tmp_path / "broken").iterdir() if p.is_dir()]
    assert len(made) == 1, "half a pack is left"
    split = open_split(made[0], "train")
    assert (pixel_digests(split.pixels) == pixel_digests(whole.pixels)).all()
    assert split.digest == whole.digest


def test_a_full_disk_stops_the_run_and_harms_nothing(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    run(whole)
    with small_disk(tmp_path / "disk", 4) as disk:
        folder = disk / "run"
        with pytest.raises(OSError, match="No space left"):
            run(folder, callbacks=[FillBeforeTheThirdEpoch(disk / "filler")])
        left = [p.name for p in folder.iterdir()]
        assert "last.ckpt" in left
        assert not any(name.endswith(".tmp") for name in left)
        (disk / "filler").unlink()
        run(folder)
        same(whole, folder)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The temporary directory, on another file system than the results."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or os.stat(shared).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("no second file system at /dev/shm")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_the_temporary_directory_may_lie_on_another_file_system(elsewhere: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", epochs=1)
    assert Pretrained.read(tmp_path / "run") is not None
    assert list(elsewhere.iterdir()) == []
