"""Progress of pretraining: a Rich bar on a terminal, lines now and then anywhere else."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pretext.fit.lightning_module import Pretraining

LINE_SECONDS = 30.0
"""Without a terminal a long epoch says so often that it is alive."""


class ProgressBar(Callback):
    """One bar over all training batches of a run, with images per second and the newest measures.

    Where the console is no terminal (a log file), a line after each epoch and every 30 seconds instead.

    Args:
        title: what is trained.
        console: where to; standard error by default.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console(stderr=True, markup=False, highlight=False)
        self._bar: Progress | None = None
        self._row = TaskID(0)
        self._begun = self._line = time.perf_counter()
        self._seen_before = 0
        self._summary = ""

    def say(self, text: str) -> None:
        """Print a line about this run; above the bar where there is one."""
        self._console.print(f"{self._title}: {text}", soft_wrap=True)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar, at the place where a resumed run stands."""
        assert isinstance(pl_module, Pretraining)
        self._begun = self._line = time.perf_counter()
        self._seen_before = pl_module.images_seen
        if not self._console.is_terminal:
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}", markup=False), console=self._console)
        total, done = self._batches(trainer)
        self._row = self._bar.add_task(self._title, total=total, completed=done, note="")
        self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance."""
        assert isinstance(pl_module, Pretraining)
        if self._bar is not None:
            self._bar.update(self._row, advance=1, note=f"{self._pace(trainer, pl_module)} {self._summary}")
        elif time.perf_counter() - self._line > LINE_SECONDS:
            total, done = self._batches(trainer)
            self._print(f"{self._pace(trainer, pl_module)}, batch {done}/{total}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the epoch's measures."""
        assert isinstance(pl_module, Pretraining)
        self._summary = " ".join(f"{name}={value:.3f}" for name, value in pl_module.measures.items())
        if self._bar is None:
            self._print(f"{self._pace(trainer, pl_module)} {self._summary}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away, so that the error is readable."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print(self, text: str) -> None:
        self._line = time.perf_counter()
        self._console.print(f"{self._title}: {text}", soft_wrap=True)

    def _pace(self, trainer: pl.Trainer, module: Pretraining) -> str:
        elapsed = max(time.perf_counter() - self._begun, 1e-9)
        rate = (module.images_seen - self._seen_before) / elapsed
        return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs} · {rate:.0f} images/s"

    def _batches(self, trainer: pl.Trainer) -> tuple[int, int]:
        """Training batches of the whole run, and how many of them are done."""
        each = int(trainer.num_training_batches)
        return each * int(trainer.max_epochs or 0), trainer.fit_loop.total_batch_idx + 1
