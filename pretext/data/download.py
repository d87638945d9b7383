"""Data sets fetched by torchvision, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pretext.data.source import MissingData
from pretext.locks import locked


def fetch_into(root: Path, place: str, name: str, fetch: Callable[[Path], object]) -> None:
    """Download a data set to `root/place`, where it appears by one rename.

    What torchvision unpacks in place looks complete after it was stopped half-way; here it lies in a folder
    of its own until all of it is there. Another process at work on the same set is waited for.

    Args:
        root: the folder of all data sets; made if missing.
        place: path under it.
        name: the data set, for the message.
        fetch: fetch(folder) leaves the set at `folder/place`; whatever else it leaves is dropped.

    Raises: MissingData where it cannot be fetched.
    """
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f".{name}.lock"):
        if (root / place).exists():  # fetched while this process waited
            return
        for leftover in root.glob(f".{name}.part-*"):  # of a killed process: the lock is ours
            shutil.rmtree(leftover)
        part = Path(tempfile.mkdtemp(prefix=f".{name}.part-", dir=root))
        try:
            try:
                fetch(part)
            except (OSError, RuntimeError) as error:  # no network; what came is not what is published
                raise MissingData(f"{name} cannot be downloaded ({error})") from error
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (part / place).rename(root / place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
