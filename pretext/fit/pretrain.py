"""Pretrain a task on a split: the one function that a job calls."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from rich.console import Console

from pretext.atomic import remove_leftovers
from pretext.data.dataset import DataSet, Split
from pretext.data.loader import EpochLoader, batches
from pretext.data.pixels import check_unchanged
from pretext.encoder import recalibrate_batchnorm
from pretext.fit.callbacks import EpochEnd, Monitor, Samples, write_history
from pretext.fit.checkpoint import AtomicCheckpointIO
from pretext.fit.effort import Effort, effort
from pretext.fit.identity import check_same, run_identity
from pretext.fit.lightning_module import NonFiniteLoss, Pretraining
from pretext.fit.monitor import flags
from pretext.fit.optimisation import Optimisation
from pretext.fit.progress import ProgressBar
from pretext.fit.result import RESULT, Pretrained
from pretext.fit.runtime import BF16, choose_device, choose_precision, peak_memory, quiet
from pretext.fit.seeding import Stream, derive
from pretext.fit.task_file import check_savable, save_task
from pretext.spacing import evenly_spaced
from pretext.task import Images, Task

CHECKPOINT = "last.ckpt"
SIGTERM_STATUS = 143  # 128 + SIGTERM, which Lightning itself would turn into 0
RECALIBRATION_IMAGES = 2048


@dataclass(frozen=True)
class Validation:
    """What is looked at while training, on val alone. Has no influence on the weights.

    Attributes:
        every: epochs between two validations; the last epoch always has one.
        images: at most so many val images, evenly spaced; the balanced loss of 500 photographs has a standard
            error of 0.2 nats, since rare colours weigh up to 60 times as much as common ones.
        pictures: val images that samples are shown of.
        neighbours: of the vote. bank: training images that the probes learn from; 0 for no probes.
    """

    every: int = 1
    images: int = 2000
    pictures: int = 8
    neighbours: int = 20
    bank: int = 1000

    def __post_init__(self) -> None:
        for name in ("every", "images", "pictures", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"Validation.{name} must be at least 1, got {getattr(self, name)}")


def pretrain(
    task: Task,
    train: Split,
    val: Split,
    *,
    folder: Path,
    cache: Path,
    name: str,
    seed: int,
    epochs: int,
    batch_size: int,
    optimisation: Optimisation | None,
    epoch_batches: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    validation: Validation | None = None,
    beside: DataSet | None = None,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    provenance: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> Pretrained:
    """Train `task` on `train` and keep encoder, task, history and result in `folder`.

    A finished run returns at once; a partial one continues from its last whole epoch, on the CPU bit for bit
    as if it had never stopped. No epochs is no step: the encoder stays as it was built, but for BatchNorm,
    whose statistics are estimated, without labels, on training images; so it is for every task alike.
    On SIGTERM training stops after the batch at hand and the process leaves with status 143; calling again
    continues.

    Args:
        task: built from `seed` by the caller; trained in place. Where the run was finished before, it stays
            as the caller built it: read the weights from `folder`.
        train, val: pretraining images, and those that measures are taken on.
        folder: of this run alone. Gets encoder.json, encoder.safetensors, task.json, task.safetensors,
            history.csv, samples/, and last result.json; last.ckpt while it runs.
        cache: for what depends on the training images alone.
        name: the pretext task's name, for the encoder's provenance.
        seed: of order, views and dropout.
        epochs, batch_size: the budget. A last short batch is left out.
        optimisation: optimiser and schedule; may be None where there are no epochs.
        epoch_batches: how many batches make an epoch, the first of an order over all images that each epoch
            draws anew; all by default. For sets of which one pass takes hours: checkpoints come by epoch.
        device: auto, cpu, cuda. precision: auto, fp32, bf16.
        validation: what is looked at while training.
        beside: another set with labels, whose val images are looked at too, by probes that learn from its
            training images; measures go by its name.
        loggers, callbacks: Lightning's.
        provenance: more plain values to keep with the encoder.
        before: what the run took that the task was initialised from, as its encoder's provenance says.
        console: where progress goes; standard error by default.

    Raises:
        ValueError: a budget, data or a folder that do not fit the task.
        DamagedCache: packed images that were changed since.
        NonFiniteLoss: NaN or infinity; the checkpoint of the last whole epoch is kept.
        SystemExit: status 143 after SIGTERM.
        KeyboardInterrupt: after Ctrl-C.
    """
    check(task, train, epochs, epoch_batches, batch_size, optimisation)
    validation = validation or Validation()
    where = choose_device(device)
    exact = choose_precision(precision, where)
    identity = run_identity(
        task, train, val, name, seed, epochs, epoch_batches, batch_size, optimisation, exact
    )
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    finished = Pretrained.read(folder)
    if finished is not None:
        check_same(identity, finished.identity, folder / RESULT)
        (folder / CHECKPOINT).unlink(missing_ok=True)  # of a run that was killed between the two
        return finished
    for split in (train, val):
        check_unchanged(split.pixels)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    loader = EpochLoader(train, min(batch_size, len(train)), seed, device=where)
    torch.manual_seed(derive(seed, Stream.PREPARE))
    task.to(where)
    in_order = _in_order(train, batch_size, where)
    task.prepare(in_order, cache)
    each = min(epoch_batches or len(loader), len(loader))  # batches an epoch
    steps = epochs * -(-each // optimisation.accumulate) if optimisation is not None else 0
    plan = optimisation or Optimisation(torch.optim.SGD)
    module = Pretraining(task, loader, in_order, plan, seed=seed, epochs=epochs, total_steps=steps)
    epoch_end, counted = EpochEnd(folder, identity), Effort()
    bar = ProgressBar(f"pretrain {name}", console)
    watching = _callbacks(train, val, folder, batch_size, where, validation, beside, bar.say)
    seen = _in_order(val, batch_size, where, validation.images)
    with quiet(), _stoppable():
        attached = [*watching, *callbacks, counted, epoch_end, bar]
        trainer = _trainer(where, exact, folder, epochs, each, plan, validation.every, loggers, attached)
        if epochs == 0:
            _stand_still(trainer, module, epoch_end, train, seen, batch_size, where)
        else:
            _fit(trainer, module, loader, seen, folder, identity)
    result = _result(folder, epochs, trainer, module, epoch_end, counted, where, exact, identity)
    _keep(task, result, name, seed, train, {"effort": effort(result, before), **(provenance or {})})
    return result


@contextmanager
def _stoppable() -> Iterator[None]:
    """Leave as a stopped program should: 143 after SIGTERM, KeyboardInterrupt after Ctrl-C.

    Lightning would leave with 0 and with 1, and would ignore every later Ctrl-C.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(SIGTERM_STATUS) from None
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from None
        raise


def check(
    task: Task,
    train: Split,
    epochs: int,
    epoch_batches: int | None,
    batch_size: int,
    optimisation: Optimisation | None,
) -> None:
    """Refuse a budget or data that do not fit the task; `pretrain` asks this first.

    Raises:
        ValueError: names what does not fit.
    """
    check_savable(task)  # now, not after hours of training
    kind = type(task).__name__
    if epochs < 0:
        raise ValueError(f"epochs must be at least 0, got {epochs}")
    if epoch_batches is not None and epoch_batches < 1:
        raise ValueError(f"epoch_batches must be at least 1, got {epoch_batches}")
    if task.untrained and epochs:
        raise ValueError(f"{kind} takes no training step: epochs must be 0, got {epochs}")
    if epochs and optimisation is None:
        raise ValueError(f"{kind} is to train for {epochs} epochs and needs an optimisation")
    if not isinstance(task.encoder.backbone, task.takes):
        network = type(task.encoder.backbone).__name__
        raise ValueError(f"{kind} takes a {task.takes.__name__}, and {network} is none")
    if task.needs_labels and train.labels is None:
        raise ValueError(f"{kind} needs labels, and split {train.name!r} has none")
    if task.needs_color and not _shows_color(train):
        raise ValueError(f"{kind} needs colour, and split {train.name!r} has no image with colour")
    taken = min(batch_size, len(train))
    if epochs and taken < task.least_batch:
        raise ValueError(
            f"{kind} needs {task.least_batch} images a step or more, got batch_size={batch_size} of "
            f"{len(train)} images"
        )
    if epochs or task.untrained:
        task.check(len(train), taken)


def _shows_color(split: Split) -> bool:
    """Whether any image has colour, by the split's own flags or else by channels that differ."""
    if split.colourless is not None:
        return not bool(split.colourless.all())
    for start in range(0, len(split), 256):
        pixels = split.pixels[np.arange(start, min(start + 256, len(split)))].astype(np.int16)  # (B, H, W, 3)
        if int((pixels.max(axis=-1) - pixels.min(axis=-1)).max()) > 8:
            return True
    return False


def _in_order(split: Split, batch_size: int, device: torch.device, images: int | None = None) -> EpochLoader:
    """Batches of all images in order, or of so many evenly spaced ones."""
    few = None if images is None else evenly_spaced(len(split), images)
    return EpochLoader(split, batch_size, shuffle=False, drop_last=False, indices=few, device=device)


def _callbacks(
    train: Split,
    val: Split,
    folder: Path,
    batch_size: int,
    device: torch.device,
    validation: Validation,
    beside: DataSet | None,
    say: Callable[[str], None],
) -> list[Callback]:
    shown: Images = next(iter(_in_order(val, validation.pictures, device, validation.pictures)))
    sets = {"": (train, val)} | ({} if beside is None else {beside.name: (beside.train, beside.val)})
    monitors: list[Callback] = []
    for name, (taught, asked) in sets.items():
        labelled = validation.bank and taught.labels is not None
        bank = _in_order(taught, batch_size, device, validation.bank) if labelled else None
        seen = _in_order(asked, batch_size, device, validation.images)
        monitors.append(Monitor(bank, seen, validation.neighbours, say, name))
    return [Samples(shown, folder / "samples"), *monitors]


def _trainer(
    device: torch.device,
    precision: str,
    folder: Path,
    epochs: int,
    epoch_batches: int,
    optimisation: Optimisation,
    every: int,
    loggers: Sequence[Logger],
    callbacks: list[Callback],
) -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision="bf16-mixed" if precision == BF16 else "32-true",
        max_epochs=epochs,
        limit_train_batches=epoch_batches,
        gradient_clip_val=optimisation.clip,
        accumulate_grad_batches=optimisation.accumulate,
        check_val_every_n_epoch=min(every, max(epochs, 1)),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=list(loggers) or False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        default_root_dir=folder,
    )


def _fit(
    trainer: pl.Trainer,
    module: Pretraining,
    loader: EpochLoader,
    val: EpochLoader,
    folder: Path,
    identity: Mapping[str, Any],
) -> None:
    checkpoint = folder / CHECKPOINT
    resumed = checkpoint.is_file()
    if resumed:
        held = AtomicCheckpointIO().load_checkpoint(checkpoint)
        check_same(identity, held["callbacks"][EpochEnd.__qualname__]["identity"], checkpoint)
    try:
        trainer.fit(module, loader, val, ckpt_path=checkpoint if resumed else None, weights_only=True)
    except NonFiniteLoss as error:
        kept = f"the last good state is in {checkpoint}" if checkpoint.is_file() else "no epoch was finished"
        error.add_note(kept)
        raise


def _stand_still(
    trainer: pl.Trainer,
    module: Pretraining,
    epoch_end: EpochEnd,
    train: Split,
    val: EpochLoader,
    batch_size: int,
    device: torch.device,
) -> None:
    """A run of no steps: the statistics of BatchNorm from training images, then one look at val.

    Weights that others have trained come with statistics, which belong to them.
    """
    if not module.task.trained_on:
        few = evenly_spaced(len(train), RECALIBRATION_IMAGES)
        few = few[: max(len(few) // batch_size, 1) * batch_size]  # of one size, which their average needs
        recalibrate_batchnorm(module.task.encoder, batches(train, batch_size, few, device))
    trainer.validate(module, val, verbose=False)
    epoch_end.rows.append({"epoch": 0, "step": 0, **module.measures})
    write_history(epoch_end.folder / "history.csv", epoch_end.rows)


def _result(
    folder: Path,
    epochs: int,
    trainer: pl.Trainer,
    module: Pretraining,
    epoch_end: EpochEnd,
    counted: Effort,
    device: torch.device,
    precision: str,
    identity: dict[str, Any],
) -> Pretrained:
    views, flops = counted.of(module.images_seen)
    return Pretrained(
        folder=folder,
        epochs=epochs,
        steps=trainer.global_step,
        images_seen=module.images_seen,
        seconds=round(epoch_end.seconds, 3),
        images_per_second=round(module.images_seen / epoch_end.training, 2) if epoch_end.training else 0.0,
        peak_memory=peak_memory(device),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        precision=precision,
        measures={key: value for key, value in epoch_end.rows[-1].items() if "/" in key},
        identity=identity,
        views=views,
        flops=flops,
    )


def _keep(
    task: Task, result: Pretrained, name: str, seed: int, train: Split, provenance: Mapping[str, Any]
) -> None:
    """Write encoder and task, then the result that marks the run as finished; then drop the checkpoint."""
    task.cpu().eval()
    own = task.encoder.provenance  # what `prepare` has found out of weights that were not made here
    told = flags(result.measures) if result.epochs else []
    task.encoder.provenance = {
        **own,
        "task": name,
        "data": train.digest,
        "images_seen": result.images_seen,
        "seed": seed,
        "calibration": "batchnorm" if result.epochs == 0 and not task.trained_on else "none",
        "epochs": result.epochs,
        "precision": result.precision,
        **({"flags": told} if told else {}),
        **provenance,
    }
    save_task(task, result.folder)
    result.write()
    (result.folder / CHECKPOINT).unlink(missing_ok=True)
