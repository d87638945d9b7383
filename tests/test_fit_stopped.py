"""Pretraining that is stopped: exact resume, what is refused as another run, losses that are not finite."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from pytorch_lightning.callbacks import Callback
from toy_fit import ACCUMULATING, At, denoising, die, fit, history

from pretext.fit import NonFiniteLoss, Optimisation, Pretrained
from pretext.fit.checkpoint import AtomicCheckpointIO
from pretext.task import Step
from pretext.tasks.rotation import Rotation


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = {"epochs": 3, "optimisation": ACCUMULATING}
    result = fit(whole, denoising(), **settings)
    with pytest.raises(KeyError):
        fit(broken, denoising(), callbacks=[At(1, 3, die)], **settings)
    assert not (broken / "result.json").exists()
    terminate = At(2, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        fit(broken, denoising(), callbacks=[At(0, 0, die), terminate], **settings)
    assert stop.value.code == 143
    resumed = fit(broken, denoising(), callbacks=[At(0, 0, die), At(1, 0, die)], **settings)
    for file in ("encoder.safetensors", "task.safetensors"):
        assert (whole / file).read_bytes() == (broken / file).read_bytes(), file
    assert history(whole) == history(broken)
    assert [row["epoch"] for row in history(broken)] == ["1", "2", "3"]
    assert (resumed.images_seen, resumed.steps) == (result.images_seen, result.steps) == (120, 9)
    assert resumed.measures == result.measures
    assert not (broken / "last.ckpt").exists()


def test_ctrl_c_is_passed_on_and_can_be_pressed_again(tmp_path: Path) -> None:
    # A shell that starts the tests in the background has them ignore the signal.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    press = At(1, 1, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path, denoising(), callbacks=[press])
        assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, inherited)
    assert (tmp_path / "last.ckpt").is_file()
    assert not (tmp_path / "result.json").exists()


def test_a_run_stopped_in_its_last_epochs_end_is_only_finished(tmp_path: Path) -> None:
    class StopAfter(Callback):
        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            die()

    with pytest.raises(KeyError):
        fit(tmp_path / "run", denoising(), callbacks=[StopAfter()])
    calls: list[int] = []
    result = fit(
        tmp_path / "run", denoising(), callbacks=[At(e, 0, lambda: calls.append(1)) for e in (0, 1, 2)]
    )
    assert calls == []
    assert (result.images_seen, result.steps) == (80, 10)
    whole = fit(tmp_path / "whole", denoising())
    assert (tmp_path / "run/encoder.safetensors").read_bytes() == (
        tmp_path / "whole/encoder.safetensors"
    ).read_bytes()
    assert whole.measures == result.measures


def test_a_finished_run_returns_at_once_and_another_is_refused(tmp_path: Path) -> None:
    result = fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1)
    again = fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1, callbacks=[At(0, 0, die)])
    assert again == result == Pretrained.read(tmp_path / "run")
    for change in ({"seed": 1}, {"epochs": 2}, {"batch_size": 4}, {"optimisation": ACCUMULATING}):
        with pytest.raises(ValueError, match=f"another run .*{next(iter(change))}"):
            fit(tmp_path / "run", Rotation(toy.encoder()), **{"epochs": 1, **change})


def test_a_partial_run_of_another_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fit(tmp_path / "run", Rotation(toy.encoder()), callbacks=[At(1, 0, die)])
    with pytest.raises(ValueError, match=r"last.ckpt belongs to another run \(seed: 0 there, 1 now"):
        fit(tmp_path / "run", Rotation(toy.encoder()), seed=1)


def test_nan_stops_names_the_step_and_keeps_the_last_good_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    right = Rotation.loss

    def wrong(self: Rotation, batch: Any) -> Step:
        nonlocal calls
        calls += self.training
        step = right(self, batch)
        return step if calls < 8 else Step(step.loss * float("nan"), step.logs)

    monkeypatch.setattr(Rotation, "loss", wrong)
    message = r"Rotation: the loss is NaN or infinite at step 7 of 15 \(epoch 1, batch 2\)"
    with pytest.raises(NonFiniteLoss, match=message) as caught:
        fit(tmp_path / "run", Rotation(toy.encoder()), epochs=3)
    assert "last.ckpt" in caught.value.__notes__[0]
    kept = AtomicCheckpointIO().load_checkpoint(tmp_path / "run/last.ckpt")
    assert all(bool(torch.isfinite(value).all()) for value in kept["state_dict"].values())
    assert not (tmp_path / "run/result.json").exists()
    monkeypatch.undo()
    fit(tmp_path / "run", Rotation(toy.encoder()), epochs=3)
    fit(tmp_path / "whole", Rotation(toy.encoder()), epochs=3)
    assert history(tmp_path / "run") == history(tmp_path / "whole")


def test_weights_that_end_an_epoch_infinite_are_not_kept(tmp_path: Path) -> None:
    wild = Optimisation(functools.partial(torch.optim.SGD, lr=float("inf")), warmup=0.0)
    with pytest.raises(NonFiniteLoss, match="weights are NaN or infinite after step 1") as caught:
        fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1, batch_size=40, optimisation=wild)
    assert caught.value.__notes__ == ["no epoch was finished"]
    assert not (tmp_path / "run/last.ckpt").exists()


def test_a_checkpoint_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = tmp_path / "last.ckpt", AtomicCheckpointIO()
    store.save_checkpoint({"weight": torch.ones(3)}, path)
    whole = path.read_bytes()

    def full(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        store.save_checkpoint({"weight": torch.zeros(3)}, path)
    assert torch.equal(store.load_checkpoint(path)["weight"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    for half, why in {
        b"half": r"[^.]*",
        whole[:-50]: "it is cut short: what is packed in it has no end",
    }.items():
        path.write_bytes(half)
        with pytest.raises(ValueError, match=rf"last\.ckpt is no readable checkpoint \({why}\): delete it"):
            store.load_checkpoint(path)
