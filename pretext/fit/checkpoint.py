"""Checkpoints that a run continues from, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import CheckpointIO

from pretext.atomic import replacing
from pretext.unreadable import reason


class AtomicCheckpointIO(CheckpointIO):
    """Writes by a temporary file in the target's folder, fsync and rename; reads plain tensors only.

    Lightning's own goes through the system's temporary directory, which may be full or on another disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint` to `path`.

        Raises:
            OSError: it cannot be written (a full disk); what was there before stays.
        """
        if storage_options is not None:
            raise TypeError(f"AtomicCheckpointIO takes no storage options, got {storage_options!r}")
        with replacing(Path(path)) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch closes its archive over the failure and hides it
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read the checkpoint at `path` to the CPU, always with `weights_only`.

        Raises:
            ValueError: a file that is no checkpoint of plain tensors.
        """
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise
        except Exception as error:  # torch raises a dozen unrelated types on damaged files
            why = reason(Path(path), error)
            raise ValueError(
                f"{path} is no readable checkpoint ({why}): delete it to have the run start again"
            ) from error
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete the checkpoint at `path`, if it is there."""
        Path(path).unlink(missing_ok=True)
