"""What a training took, against counts by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from toy_fit import At, die, fit

from downstream.judge.evaluate import effort_of
from downstream.judge.records import Effort
from pretext.encoder import load
from pretext.fit.effort import effort
from pretext.task import Epoch, Loader, Progress
from pretext.tasks.jigsaw import Jigsaw
from pretext.tasks.random import Random
from pretext.tasks.rotation import Rotation
from pretext.tasks.supervised import Supervised

SIZE, BATCH = 32, 8


def conv_macs() -> list[int]:
    """Multiply-adds of SmallNet's convolutions for one gray image of 32 px, forward."""
    maps = [SIZE // stride for stride in (2, 4, 4, 8, 8)]
    weights = [5 * 5 * 1 * 8, *4 * [3 * 3 * 8 * 8]]
    return [side * side * weight for side, weight in zip(maps, weights, strict=True)]


def training_flops(head: int) -> int:
    """Of one image, there and back: every weight's product thrice, but nothing flows back into the image."""
    convolutions = conv_macs()
    return 2 * (3 * sum(convolutions) - convolutions[0] + 3 * head)


def test_images_views_and_flops_by_hand(tmp_path: Path) -> None:
    result = fit(tmp_path / "run", Supervised(toy.encoder(), toy.CLASSES, False), epochs=2)
    assert (result.images_seen, result.views) == (80, 80)
    assert result.flops == 80 * training_flops(head=8 * toy.CLASSES)
    said = effort_of(load(tmp_path / "run"))
    assert said == Effort(80, 80, result.flops, result.seconds, "cpu")


def test_a_task_of_several_views_has_them_counted(tmp_path: Path) -> None:
    result = fit(tmp_path / "run", Rotation(toy.encoder()), epochs=1)
    assert (result.images_seen, result.views) == (40, 160)
    assert result.flops is not None
    assert result.flops >= 160 * training_flops(head=0)


def test_a_tile_counts_by_its_area(tmp_path: Path) -> None:
    task = Jigsaw(toy.encoder(), grid=2, permutations=24, tile=12, shift=0)
    result = fit(tmp_path / "run", task, epochs=2)
    assert (result.images_seen, result.views) == (80, 80 * 4 * 12**2 / SIZE**2)  # four tiles an image


def test_a_network_of_tokens_is_counted_too(tmp_path: Path) -> None:
    result = fit(tmp_path / "run", Supervised(toy.token_encoder(), toy.CLASSES, False), epochs=1)
    assert (result.images_seen, result.views) == (40, 40)


class Refits(Supervised):
    """Sees every image once more before each epoch."""

    def before_epoch(self, loader: Loader, progress: Progress) -> Epoch:
        for images in loader:
            self.encoder(images.pixels)
        return Epoch()


def test_what_a_task_sees_before_its_epochs_is_counted_and_survives_a_stop(tmp_path: Path) -> None:
    plain = fit(tmp_path / "plain", Supervised(toy.encoder(), toy.CLASSES, False), epochs=3)
    whole = fit(tmp_path / "whole", Refits(toy.encoder(), toy.CLASSES, False), epochs=3)
    assert plain.flops is not None
    assert (whole.images_seen, whole.views) == (120, 120 + 3 * 40)
    assert whole.flops == plain.flops + 3 * 40 * 2 * sum(conv_macs())  # forward alone
    with pytest.raises(KeyError):
        fit(tmp_path / "run", Refits(toy.encoder(), toy.CLASSES, False), epochs=3, callbacks=[At(1, 2, die)])
    again = fit(tmp_path / "run", Refits(toy.encoder(), toy.CLASSES, False), epochs=3)
    assert (again.views, again.flops) == (whole.views, whole.flops)


def test_a_run_that_was_stopped_counts_the_same(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", Supervised(toy.encoder(), toy.CLASSES, False), epochs=3)
    with pytest.raises(KeyError):
        fit(
            tmp_path / "run",
            Supervised(toy.encoder(), toy.CLASSES, False),
            epochs=3,
            callbacks=[At(1, 2, die)],
        )
    again = fit(tmp_path / "run", Supervised(toy.encoder(), toy.CLASSES, False), epochs=3)
    assert (again.images_seen, again.views, again.flops) == (whole.images_seen, whole.views, whole.flops)


def test_what_came_before_is_added_and_what_nobody_counted_stays_unknown(tmp_path: Path) -> None:
    still = fit(tmp_path / "still", Random(toy.encoder()), epochs=0, optimisation=None)
    assert (still.images_seen, still.views, still.flops) == (0, 0, 0)
    before = {"images": 10, "views": 20, "flops": None, "seconds": 1.5, "device": "other"}
    added = effort(still, before)
    assert (added["images"], added["views"], added["flops"]) == (10, 20, None)
    assert added["seconds"] == still.seconds + 1.5
    assert added["device"] == "cpu"


def test_nothing_stays_switched_on_behind_a_batch_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Supervised(toy.encoder(), toy.CLASSES, False)
    monkeypatch.setattr(task, "loss", die)
    with pytest.raises(TypeError):
        fit(tmp_path / "run", task)
    assert not any(module._forward_hooks for module in task.encoder.modules())
    assert not _get_current_dispatch_mode_stack()
