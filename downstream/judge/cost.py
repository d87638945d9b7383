"""What an evaluation takes: wall time and memory."""

from __future__ import annotations

import resource
import sys
import time

import torch

from downstream.judge.records import Cost, Effort


class Meter:
    """Wall seconds by lap, and peak memory: CUDA's since the meter was made, or the process's so far."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        self.since = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap; the next one begins."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.laps[name] = now - self.since
        self.since = now

    def cost(self, images: int, parameters: int, flops: int, pretraining: Effort | None) -> Cost:
        """The cost of fitting and of predicting so many images, beside what pretraining took."""
        return Cost(
            seconds=sum(self.laps.values()),
            device=torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else self.device.type,
            peak_memory_mib=self._peak_bytes() / 2**20,
            images_per_second=images / max(self.laps["predict"], 1e-9),
            parameters=parameters,
            flops=flops,
            pretraining=pretraining,
        )

    def _peak_bytes(self) -> float:
        if self.device.type == "cuda":
            return float(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
