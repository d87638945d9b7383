"""Frozen feature extraction: every stage in one forward pass, once, then mapped from disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from downstream.features.cache import ArrayCache, Draft, Wanted
from downstream.features.pooling import GridPool, Reduction
from downstream.protocol import Runtime
from pretext.backbones import Features
from pretext.data.dataset import Split
from pretext.data.loader import as_float
from pretext.encoder import Encoder

VERSION = 1
"""Raised when what is stored changes, so that older caches are not read."""

BATCH_PIXELS = {"cpu": 2**20, "cuda": 2**22}
"""Image pixels in a batch by device: 256 and 1024 images of 64 × 64."""


class Key(NamedTuple):
    """One stored array: a stage (or a vector such as the CLS token) and what was kept of it."""

    stage: str
    reduction: Reduction


FeatureSet = Mapping[Key, NDArray[Any]]
"""Read-only memory maps, one row an example of the split."""


def extract(
    encoder: Encoder,
    split: Split,
    reductions: Sequence[Reduction],
    runtime: Runtime,
    stages: Sequence[str] | None = None,
) -> FeatureSet:
    """Features of every example, from the cache or by one pass over the split.

    The cache lies under `runtime.cache`, addressed by the digests of the encoder and the split, the
    reductions, the stages and the precision; it takes `runtime.cache_limit` bytes at most (`ArrayCache`).

    Args:
        reductions: what to keep of each stage's map; vectors are kept as they are, under the first.
        stages: which stages; all, and the vectors, without it.

    Returns:
        (stage, reduction) → (N, …) in the reduction's dtype.

    Raises:
        ValueError: an empty split, no reduction, an unknown stage.
        FloatingPointError: a feature that is not finite; names encoder, stage and example.
    """
    if len(split) == 0:
        raise ValueError(f"split {split.name!r} is empty: there is nothing to extract features from")
    if not reductions:
        raise ValueError("extract needs at least one reduction")
    wanted = _stages(encoder, stages)
    address = _address(encoder, split, reductions, wanted, runtime)
    cache = ArrayCache(runtime.cache / "features", runtime.cache_limit)
    stored = cache.read(address)
    if stored is None:
        with cache.writing(address) as draft:
            _fill(draft, encoder, split, reductions, wanted, runtime)
        stored = draft.stored
    by_repr = {repr(reduction): reduction for reduction in reductions}
    return {Key(label["stage"], by_repr[label["reduction"]]): values for label, values in stored}


def map_sides(encoder: Encoder, split: Split, runtime: Runtime) -> dict[str, int]:
    """The shorter side of each stage's map of a split's images: a grid that fine keeps it as it is."""
    with frozen(encoder, runtime) as forward:
        maps = forward(load_images(split, slice(0, 1), runtime.device)).maps
    return {stage: min(x.shape[2:]) for stage, x in maps.items()}


def of_blank(encoder: Encoder, size: tuple[int, int], runtime: Runtime) -> Features:
    """What an encoder says of one black image of (height, width): its form is that of any other's."""
    with frozen(encoder, runtime) as forward:
        return forward(torch.zeros(1, 3, *size, device=runtime.device))


def distinct(features: FeatureSet, sides: Mapping[str, int]) -> FeatureSet:
    """Features without those pooled more finely than by a grid that keeps the whole map already.

    Args:
        features: by `GridPool`s.
        sides: of each stage's map, see `map_sides`; vectors have none.
    """
    whole: dict[str, int] = {}
    for stage, reduction in features:
        if isinstance(reduction, GridPool) and reduction.grid >= sides.get(stage, 1):
            whole[stage] = min(whole.get(stage, reduction.grid), reduction.grid)
    return {
        key: values
        for key, values in features.items()
        if not isinstance(key.reduction, GridPool)
        or key.reduction.grid <= whole.get(key.stage, key.reduction.grid)
    }


def _stages(encoder: Encoder, stages: Sequence[str] | None) -> tuple[str, ...] | None:
    if stages is None:
        return None
    for name in stages:
        if name not in encoder.stage_names:
            listed = ", ".join(encoder.stage_names)
            raise ValueError(f"the encoder has no stage {name!r}; its stages are: {listed}")
    return tuple(name for name in encoder.stage_names if name in stages)


def _address(
    encoder: Encoder,
    split: Split,
    reductions: Sequence[Reduction],
    stages: tuple[str, ...] | None,
    runtime: Runtime,
) -> str:
    identity = {
        "version": VERSION,
        "encoder": encoder.digest(),
        "split": split.digest,
        "stages": stages,
        "reductions": [repr(reduction) for reduction in reductions],
        "precision": str(runtime.autocast or torch.float32),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _fill(
    draft: Draft,
    encoder: Encoder,
    split: Split,
    reductions: Sequence[Reduction],
    stages: tuple[str, ...] | None,
    runtime: Runtime,
) -> None:
    arrays: dict[Key, NDArray[Any]] = {}
    what = f"features of {split.name}"
    for rows, reduced in _reduced(encoder, split, reductions, stages, runtime):
        if not arrays:
            wanted = [
                Wanted(_label(key), (len(split), *values.shape[1:]), values.dtype)
                for key, values in reduced.items()
            ]
            arrays = dict(zip(reduced, draft.create(wanted), strict=True))
        for key, values in reduced.items():
            _check_finite(values, rows.start, key, encoder, split)
            arrays[key][rows] = values
        runtime.progress(what, rows.stop, len(split))


def _label(key: Key) -> dict[str, str]:
    return {"stage": key.stage, "reduction": repr(key.reduction)}


def _reduced(
    encoder: Encoder,
    split: Split,
    reductions: Sequence[Reduction],
    stages: tuple[str, ...] | None,
    runtime: Runtime,
) -> Iterator[tuple[slice, dict[Key, NDArray[Any]]]]:
    """Yield batches of reduced features, one batch behind the device: copies overlap the next pass."""
    waiting: tuple[slice, dict[Key, Tensor], torch.Event | None] | None = None
    stop = None if stages is None else stages[-1]
    with frozen(encoder, runtime) as forward:
        for rows, pixels in batches(split, runtime.device):
            maps, vectors = forward(pixels, stop)
            index = torch.arange(rows.start, rows.stop)
            on_device = {
                Key(name, reduction): reduction(features, index).to(reduction.dtype)
                for name, features in maps.items()
                if stages is None or name in stages
                for reduction in reductions
            }
            if stages is None:
                on_device |= {Key(name, reductions[0]): vector.float() for name, vector in vectors.items()}
            copied = {key: values.to("cpu", non_blocking=True) for key, values in on_device.items()}
            arrived = torch.Event(runtime.device) if runtime.device.type == "cuda" else None
            if arrived is not None:
                arrived.record()
            if waiting is not None:
                yield _arrived(waiting)
            waiting = (rows, copied, arrived)
        if waiting is not None:
            yield _arrived(waiting)


def _arrived(
    waiting: tuple[slice, dict[Key, Tensor], torch.Event | None],
) -> tuple[slice, dict[Key, NDArray[Any]]]:
    rows, copied, event = waiting
    if event is not None:
        event.synchronize()
    return rows, {key: values.numpy() for key, values in copied.items()}


def _check_finite(values: NDArray[Any], first: int, key: Key, encoder: Encoder, split: Split) -> None:
    if _all_finite(values):
        return
    example = first + int(np.argmin(np.isfinite(values).reshape(len(values), -1).all(1)))
    hint = " (float16 ends at 65504: store float32)" if values.dtype == np.float16 else ""
    raise FloatingPointError(
        f"encoder {encoder.digest()[:12]} ({type(encoder.backbone).__name__}), stage {key.stage!r}: "
        f"the feature of example {example} of split {split.name!r} is not finite{hint}"
    )


def _all_finite(values: NDArray[Any]) -> bool:
    if values.dtype == np.float16:  # isfinite converts float16 one by one; its exponent bits do as well
        return bool(((values.view(np.uint16) & 0x7C00) != 0x7C00).all())
    return bool(np.isfinite(values).all())


@dataclass(frozen=True)
class Frozen:
    """The passes of an encoder that stays as it is, under `autocast` where there is one."""

    encoder: Encoder
    autocast: torch.dtype | None = None

    def __call__(self, pixels: Tensor, stop: str | None = None) -> Features:
        """Run images (B, 3, H, W) up to the stage `stop`, or to the last."""
        with self._precision(pixels):
            features: Features = self.encoder(pixels, stop=stop)
        return features

    def last_tokens(self, pixels: Tensor, count: int) -> list[Tensor]:
        """Tokens (B, 1 + N, D) behind each of the last `count` blocks; see `Backbone.last_tokens`.

        Raises:
            TypeError: an encoder without tokens.
            ValueError: fewer blocks than `count`.
        """
        with self._precision(pixels):
            found = self.encoder.backbone.last_tokens(self.encoder.seen(pixels), count)
        return [x.float() for x in found]

    def _precision(self, pixels: Tensor) -> torch.autocast:
        return torch.autocast(pixels.device.type, self.autocast, enabled=self.autocast is not None)


@contextmanager
def frozen(encoder: Encoder, runtime: Runtime) -> Iterator[Frozen]:
    """Yield the passes of a frozen encoder: eval mode, no gradients, `runtime.autocast`.

    The encoder lies on `runtime.device` inside; device and training modes are put back after.
    """
    modes = {module: module.training for module in encoder.modules()}
    home = next((tensor.device for tensor in chain(encoder.parameters(), encoder.buffers())), None)
    try:
        encoder.to(runtime.device).eval()
        with torch.no_grad():
            yield Frozen(encoder, runtime.autocast)
    finally:
        for module, mode in modes.items():
            module.training = mode
        if home is not None:
            encoder.to(home)


def load_images(split: Split, index: Any, device: torch.device) -> Tensor:
    """The images `index` (positions or a slice): (B, 3, H, W) float32 in [0, 1] on `device`."""
    return as_float(torch.from_numpy(np.array(split.pixels[index])).to(device))  # of a writable copy


def batches(split: Split, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """All images of a split in order, read one batch ahead: rows, and (B, 3, H, W) float32 in [0, 1]."""
    height, width = split.pixels.shape[1:3]
    size = max(1, BATCH_PIXELS.get(device.type, BATCH_PIXELS["cuda"]) // (height * width))
    rows = [slice(i, min(i + size, len(split))) for i in range(0, len(split), size)]
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(load_images, split, rows[0], device)
        for here, after in zip_longest(rows, rows[1:]):
            pixels = ahead.result()
            if after is not None:
                ahead = reader.submit(load_images, split, after, device)
            yield here, pixels
