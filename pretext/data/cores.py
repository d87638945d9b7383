"""How many processes work side by side."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores that this process may use, where the system says, else all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
