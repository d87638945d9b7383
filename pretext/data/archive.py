"""The .npz archives of encoded images: files one after the other in one array, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pretext.data.decode import BadImage, decode_rgb
from pretext.data.source import BadArchive


@dataclass(frozen=True, eq=False)
class Archive:
    """Encoded images by position.

    path: of the .npz. data: (bytes,) uint8; image i is `data[offsets[i]:offsets[i + 1]]`.
    labels: (N,) int64. class_names: (C,). extra: all other arrays, by name.
    """

    path: Path
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    extra: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def decode(self, position: int, size: int) -> NDArray[np.uint8]:
        """Image (size, size, 3) uint8; another size raises BadImage."""
        name = f"{self.path}[{position}]"
        encoded = self.data[self.offsets[position] : self.offsets[position + 1]].tobytes()
        image = decode_rgb(encoded, name)
        if image.shape[:2] != (size, size):
            raise BadImage(name, f"is {image.shape[1]}×{image.shape[0]}, not {size}×{size}")
        return image


def read_archive(path: Path) -> Archive:
    """Read an archive and check that its arrays fit together.

    Raises: BadArchive, naming the file, where they do not or the file cannot be read.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise BadArchive(f"{path} cannot be read ({error})") from error
    missing = {"data", "offsets", "labels", "class_names"} - arrays.keys()
    if missing:
        raise BadArchive(f"{path} lacks {', '.join(sorted(missing))}")
    data, offsets, labels = arrays.pop("data"), arrays.pop("offsets"), arrays.pop("labels")
    names = tuple(str(name) for name in arrays.pop("class_names"))
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(data) or (np.diff(offsets) < 0).any():
        raise BadArchive(f"{path}: offsets must rise from 0 to the {len(data)} bytes of data")
    if len(labels) != len(offsets) - 1:
        raise BadArchive(f"{path}: {len(offsets) - 1} images but {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= len(names):
        raise BadArchive(
            f"{path}: labels {labels.min()} to {labels.max()} must lie within the {len(names)} classes"
        )
    return Archive(path, data, offsets.astype(np.int64), labels.astype(np.int64), names, arrays)


def class_names(path: Path) -> tuple[str, ...]:
    """Names of the classes of an archive, without reading its images."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return tuple(str(name) for name in file["class_names"])
    except (OSError, ValueError, TypeError, EOFError, KeyError, BadZipFile) as error:
        raise BadArchive(f"{path} cannot be read ({error})") from error
