"""Small pictures and archives that the tests make for themselves."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    """A smooth coloured picture (H, W, 3) uint8, different for each seed."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return np.array(small.resize((width, height), Image.Resampling.BICUBIC))


def encoded(image: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def archive(
    path: Path, images: list[bytes], labels: list[int], names: list[str], **extra: np.ndarray
) -> None:
    """Write an .npz of encoded images."""
    offsets = np.cumsum([0, *map(len, images)]).astype(np.int64)
    data = np.frombuffer(b"".join(images), np.uint8)
    np.savez(path, data=data, offsets=offsets, labels=np.array(labels), class_names=np.array(names), **extra)
