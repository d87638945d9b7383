"""Work that another process does beside this one, each on half of the cores.

A second core trains a small network half as fast again, not twice as fast: two that are trained side by side
are done before the same two are one after the other.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from hydra.utils import get_method

from pretext.data.cores import cores
from pretextbench import heap


@contextmanager
def beside(work: str, *arguments: Any) -> Iterator[Callable[[], None]]:
    """Start work that leaves its results in files, and end it with the block; of one core nothing is started.

    What it prints is not seen, and an error of it is nobody's: who then misses the results makes them here.

    Args:
        work: a function by its dotted name, so that only the other process imports what it needs.

    Yields:
        What waits until it is done.
    """
    if cores() < 2:
        yield lambda: None
        return
    process = get_context("spawn").Process(target=_alone, args=(work, arguments))
    process.start()
    try:
        yield process.join
    finally:
        process.terminate()  # of one that is done, nothing
        process.join()


@contextmanager
def on_half() -> Iterator[None]:
    """Compute on half of the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, cores() // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ends_with(starter: BaseProcess) -> None:
    starter.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _alone(work: str, arguments: tuple[Any, ...]) -> None:
    if starter := parent_process():  # that may be killed, and then ends nobody
        threading.Thread(target=_ends_with, args=(starter,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one is told, and ends it
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    heap.keep()
    with on_half():
        get_method(work)(*arguments)
