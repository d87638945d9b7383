"""Pretraining: what it leaves, the zero-step run, what is refused, what is printed."""

from __future__ import annotations

import functools
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from PIL import Image
from pytorch_lightning.loggers import Logger
from rich.console import Console
from sheet_cut import cut
from toy_fit import ACCUMULATING, ADAMW, fit, history

from pretext.data.dataset import Split
from pretext.data.pixels import Packed, pixel_digests
from pretext.data.seal import DamagedCache
from pretext.encoder import Encoder
from pretext.encoder import load as load_encoder
from pretext.fit import Optimisation, Validation, load_task, pretrain
from pretext.task import Images, Progress, Step, Task
from pretext.tasks.autoencoder import Autoencoder
from pretext.tasks.colorization import Colorization
from pretext.tasks.colorization_l2 import ColorizationL2
from pretext.tasks.moco import MoCo
from pretext.tasks.random import Random
from pretext.tasks.rotation import Rotation
from pretext.tasks.supervised import Supervised


class Wall(Logger):
    """Keeps what it is given, pictures included."""

    name, version = "wall", 0

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, float] = {}
        self.pictures: list[str] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.values |= metrics

    def log_hyperparams(self, params: Any) -> None:
        raise AssertionError("nothing to log")

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        self.pictures.append(f"{key} {images[0].shape}")


def test_nothing_is_trained_on_packed_images_that_were_changed(tmp_path: Path) -> None:
    train = toy.split(40, 0)
    pixels = np.asarray(train.pixels)
    train = replace(train, pixels=Packed(pixels, pixel_digests(pixels)))
    pixels[3, 0, 0, 0] ^= 1
    with pytest.raises(DamagedCache, match="image 3 is not the one that was packed"):
        pretrain(
            Rotation(toy.encoder()), train, toy.split(8, 1, "val"), folder=tmp_path / "run", cache=tmp_path,
            name="toy", seed=0, epochs=1, batch_size=8, optimisation=ADAMW, device="cpu",
        )  # fmt: skip
    assert not list((tmp_path / "run").iterdir())


def test_what_a_run_leaves(tmp_path: Path) -> None:
    task = Colorization(toy.encoder(), hidden=16)
    wall = Wall()
    validation = Validation(every=2, bank=24, neighbours=5, pictures=3)
    provenance = {"run": "abc"}
    result = fit(
        tmp_path / "run", task, epochs=3, validation=validation, loggers=[wall], provenance=provenance
    )
    found = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert found == {
        "encoder.json", "encoder.safetensors", "task.json", "task.safetensors", "history.csv", "result.json",
        "samples/epoch_002.png", "samples/epoch_003.png",
    }  # fmt: skip
    picture = np.asarray(Image.open(tmp_path / "run/samples/epoch_003.png"))
    assert wall.pictures == [f"val/gray_coloured_original {picture.shape}"] * 2
    originals = toy.split(8, 1, "val").pixels[[0, 4, 7]]  # three, evenly spaced
    for image, original in enumerate(originals):
        assert np.abs(cut(picture, image, 2, 3, (32, 32)).astype(int) - original).max() <= 1
    rows = history(tmp_path / "run")
    assert [bool(row["val/loss"]) for row in rows] == [False, True, True]  # every 2, and the last
    assert all(row["train/unbalanced"] for row in rows)
    assert wall.values["val/knn"] == result.measures["val/knn"]
    assert {"val/auc", "val/auc_balanced", "val/psnr", "val/unbalanced_blind"} <= result.measures.keys()
    assert (result.images_seen, result.steps, result.epochs) == (120, 15, 3)
    assert result.images_per_second > 0
    assert result.peak_memory > 2**20
    assert result.precision == "fp32"
    provenance = load_encoder(tmp_path / "run").provenance
    assert provenance["task"] == "toy"
    assert provenance["images_seen"] == 120
    assert provenance["run"] == "abc"
    colours = load_task(tmp_path / "run").colorize(torch.full((1, 1, 20, 20), 50.0))
    assert torch.equal(colours, task.colorize(torch.full((1, 1, 20, 20), 50.0)))


def test_colorization_learns_more_than_the_colour_prior(tmp_path: Path) -> None:
    task = Colorization(toy.encoder(widths=(8, 16, 16, 16, 16)), hidden=16)
    fast = Optimisation(functools.partial(torch.optim.AdamW, lr=1e-2), clip=1.0)
    train, val = toy.split(192, 0), toy.split(48, 1, "val")
    result = pretrain(
        task, train, val, folder=tmp_path / "run", cache=tmp_path, name="c", seed=0, epochs=8, batch_size=16,
        optimisation=fast, device="cpu", validation=Validation(every=8, bank=0),
        console=Console(file=io.StringIO()),
    )  # fmt: skip
    assert result.measures["val/unbalanced_blind"] < math.log(313)
    assert result.measures["val/unbalanced"] < result.measures["val/unbalanced_blind"]
    assert result.measures["val/loss"] < result.measures["val/loss_blind"]


UNTRAINED = {
    "autoencoder": lambda e: Autoencoder(e, hidden=16),
    "colorization": lambda e: Colorization(e, hidden=16),
    "colorization_l2": lambda e: ColorizationL2(e, hidden=16),
    "rotation": Rotation,
    "supervised": lambda e: Supervised(e, toy.CLASSES, multilabel=False),
}


def test_zero_steps_of_any_task_are_the_random_row_bit_for_bit(tmp_path: Path) -> None:
    fit(tmp_path / "random", Random(toy.encoder()), epochs=0, optimisation=None)
    untrained = (tmp_path / "random/encoder.safetensors").read_bytes()
    for name, build in UNTRAINED.items():
        result = fit(tmp_path / name, build(toy.encoder()), epochs=0)
        assert (tmp_path / name / "encoder.safetensors").read_bytes() == untrained, name
        assert (result.steps, result.images_seen) == (0, 0)
        assert "val/loss" in result.measures
    fresh, kept = toy.encoder(), load_encoder(tmp_path / "random")
    for (name, value), (_, saved) in zip(fresh.named_parameters(), kept.named_parameters(), strict=True):
        assert torch.equal(value, saved), name
    assert any(not torch.equal(b, s) for b, s in zip(fresh.buffers(), kept.buffers(), strict=True))
    assert kept.provenance["calibration"] == "batchnorm"


def test_the_task_follows_every_optimiser_step_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[tuple[Progress, float]] = []

    def follow(self: Rotation, progress: Progress) -> None:
        followed.append((progress, float(self.head.weight.detach().sum())))

    monkeypatch.setattr(Rotation, "after_step", follow)
    fit(tmp_path / "run", Rotation(toy.encoder()), optimisation=ACCUMULATING)
    assert [progress for progress, _ in followed] == [Progress(step, 6, step / 3) for step in range(1, 7)]
    assert len({weight for _, weight in followed[:-1]}) == 5


def test_what_does_not_fit_a_task_is_refused_before_training(tmp_path: Path) -> None:
    bare = Split("bare", toy.split(16, 0).pixels, "bare")
    dark = np.repeat(toy.split(16, 0).pixels[:][..., :1], 3, axis=-1)
    cases: list[tuple[str, Task, dict[str, Any]]] = [
        ("takes no training step: epochs must be 0, got 1", Random(toy.encoder()), {}),
        ("epochs must be at least 0, got -1", Rotation(toy.encoder()), {"epochs": -1}),
        ("needs an optimisation", Rotation(toy.encoder()), {"optimisation": None}),
        ("needs labels, and split 'bare'", Supervised(toy.encoder(), 3, multilabel=False), {"train": bare}),
        ("no image with colour", Colorization(toy.encoder()), {"train": Split("dark", dark, "dark")}),
        ("queue is 17, of only 16 images", MoCo(toy.encoder(), queue=17, splits=1), {}),
        ("of two images or more, of 8", MoCo(toy.encoder(), queue=16, splits=5), {}),
        ("bf16, but cpu", Rotation(toy.encoder()), {"precision": "bf16"}),
    ]
    for message, task, changes in cases:
        changed = {
            "epochs": 1,
            "train": toy.split(16, 0),
            "precision": "auto",
            "optimisation": ADAMW,
            **changes,
        }
        with pytest.raises(ValueError, match=message):
            pretrain(
                task, val=toy.split(8, 1, "val"), folder=tmp_path / "run", cache=tmp_path, name="x", seed=0,
                batch_size=8, device="cpu", **changed,
            )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_task_from_elsewhere_is_refused_before_training(tmp_path: Path) -> None:
    class Foreign(Task):
        def __init__(self, encoder: Encoder) -> None:
            super().__init__()
            self.encoder = encoder

        def views(self, images: Images, generator: torch.Generator) -> Images:
            return images

        def loss(self, batch: Images) -> Step:
            raise AssertionError("must not train")

    with pytest.raises(ValueError, match=r"no task class pretext\.tasks\."):
        fit(tmp_path / "run", Foreign(toy.encoder()))


@pytest.mark.parametrize(
    "path", ["os.system", "pretext.tasks.rotation.math", "pretext.task.Task", "pretext.tasks.x.Y"]
)
def test_a_task_file_cannot_name_other_code(path: str, tmp_path: Path) -> None:
    fit(tmp_path / "run", Random(toy.encoder()), epochs=0)
    file = tmp_path / "run/task.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "task": path}))
    with pytest.raises(ValueError, match="no task class"):
        load_task(tmp_path / "run")


def test_a_task_of_another_encoder_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        fit(tmp_path / str(seed), Rotation(toy.encoder(seed=seed)), epochs=0)
    for file in ("encoder.json", "encoder.safetensors"):
        (tmp_path / "0" / file).write_bytes((tmp_path / "1" / file).read_bytes())
    with pytest.raises(ValueError, match="not the one that"):
        load_task(tmp_path / "0")
    (tmp_path / "1/task.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="damaged"):
        load_task(tmp_path / "1")


def test_without_a_terminal_every_epoch_is_a_line(tmp_path: Path) -> None:
    text = io.StringIO()
    fit(tmp_path / "run", Rotation(toy.encoder()), console=Console(file=text))
    lines = text.getvalue().splitlines()
    assert [line.split(" · ")[0] for line in lines] == [f"pretrain toy: epoch {e}/2" for e in (1, 2)]
    assert "train/loss=1." in lines[1]


def test_on_a_terminal_the_bar_ends_full(tmp_path: Path) -> None:
    text = io.StringIO()
    fit(tmp_path / "run", Rotation(toy.encoder()), console=Console(file=text, force_terminal=True, width=200))
    assert "10/10" in text.getvalue()
