"""What a finished run left behind, and the mark that it is finished."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pretext.atomic import write_json

RESULT = "result.json"


@dataclass(frozen=True)
class Pretrained:
    """What a finished run left, as `result.json` in its folder holds it.

    seconds: of all epochs, validation included. images_per_second: of training alone.
    peak_memory: bytes, of the GPU or else of the process.
    measures: of the last epoch, by name. identity: what determined the run. views, flops: images through the
    encoder and multiply-adds × 2 of all steps (`pretext.fit.effort`); None where a run did not count them.
    """

    folder: Path
    epochs: int
    steps: int
    images_seen: int
    seconds: float
    images_per_second: float
    peak_memory: int
    device: str
    precision: str
    measures: dict[str, float]
    identity: dict[str, Any]
    views: int | None = None
    flops: int | None = None

    @classmethod
    def read(cls, folder: Path) -> Pretrained | None:
        """Read a finished run; None where there is none. `result.json` is written last.

        Raises:
            ValueError: a damaged file.
        """
        path = folder / RESULT
        if not path.is_file():
            return None
        try:
            return cls(folder=folder, **json.loads(path.read_bytes()))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}): delete {folder} to have the run made again"
            ) from error

    def write(self) -> None:
        """Write `result.json`."""
        write_json(self.folder / RESULT, {k: v for k, v in asdict(self).items() if k != "folder"})
