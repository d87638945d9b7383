"""A full disk is said by the path that did not fit, whatever writes it, and nothing half stays behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from plug import small_files

from downstream.features.cache import ArrayCache, Wanted
from pretext import inputs
from pretext.atomic import naming, write_bytes, write_json
from pretext.backbones import SmallNet
from pretext.color.prior import Prior, save_prior
from pretext.data.labelled import Example, Examples, pack_split
from pretext.data.pack import packed
from pretext.encoder import Encoder
from pretext.fit.checkpoint import AtomicCheckpointIO

LIMIT = 2048


def features(folder: Path) -> None:
    with ArrayCache(folder).writing("entry") as draft:
        draft.create([Wanted({}, (4096,), np.dtype(np.float32))])


def checkpoint(folder: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(5000)}, folder / "last.ckpt")


def encoder(folder: Path) -> None:
    Encoder(inputs.build("rgb"), SmallNet(3, (8, 8, 8, 8, 8))).save(folder)


def prior(folder: Path) -> None:
    save_prior(Prior(torch.rand(313, 313, dtype=torch.float64) + 1, 5.0), folder / "prior.npz")


def pixels(folder: Path) -> None:
    pack_split(folder, "set", {}, lambda: Examples(4, lambda i: Example(np.full((32, 32, 3), i, np.uint8))))


def labels(folder: Path) -> None:
    rows = np.ones(1000, np.uint8)
    one = Example(np.zeros((1, 1, 3), np.uint8), rows)
    pack_split(folder, "set", {}, lambda: Examples(4, lambda _: one))


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "bytes": (lambda folder: write_bytes(folder / "a.bin", bytes(5000)), "a.bin"),
    "json": (lambda folder: write_json(folder / "a.json", {"a": "x" * 5000}), "a.json"),
    "checkpoint": (checkpoint, "last.ckpt"),
    "encoder": (encoder, "encoder.safetensors"),
    "prior": (prior, "prior.npz"),
    "features": (features, "000.npy"),
    "pixels": (pixels, "pixels.npy"),
    "labels": (labels, "labels.npy"),
    "identity": (lambda folder: packed(folder, "set", {"a": "x" * 5000}, lambda part: None), "identity.json"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_error_names_the_path(name: str, tmp_path: Path) -> None:
    write, file = WRITERS[name]
    with small_files(LIMIT), pytest.raises(OSError, match=rf"{tmp_path}/.*{file}"):
        write(tmp_path)
    assert not [path for path in tmp_path.rglob("*") if not path.name.endswith(".lock")]
    write(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.name == file]


def test_an_error_that_names_its_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), naming(tmp_path / "else"):
        (tmp_path / "nowhere").read_bytes()
