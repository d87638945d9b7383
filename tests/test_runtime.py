"""Where a run takes place, and where its random numbers come from."""

from __future__ import annotations

import pytest
import torch

from pretext.fit.runtime import choose_device, choose_precision
from pretext.fit.seeding import Stream, derive


def test_seeds_differ_by_stream_epoch_and_batch() -> None:
    seeds = {derive(s, stream, e, b) for s in (0, 1) for stream in Stream for e in (0, 1) for b in (0, 1)}
    assert len(seeds) == 2 * len(Stream) * 4
    assert derive(3, Stream.VIEWS, 1, 2) == derive(3, Stream.VIEWS, 1, 2)


def test_devices_and_precisions_are_named_when_refused() -> None:
    with pytest.raises(ValueError, match="auto, cpu, cuda; got 'tpu'"):
        choose_device("tpu")
    with pytest.raises(ValueError, match="auto, fp32, bf16; got 'fp8'"):
        choose_precision("fp8", torch.device("cpu"))
    assert choose_precision("auto", torch.device("cpu")) == "fp32"
