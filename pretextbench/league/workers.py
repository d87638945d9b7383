"""Systems that are no network colour in processes of their own, where their memory is theirs alone."""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pretext.colorizers.contract import Colorizer, Hints

AHEAD = 2
"""Questions for each worker that wait for it."""


class Question(NamedTuple):
    """Lightness (B, 1, H, W), and what lies beside the images, one an image or nothing at all."""

    lightness: Tensor
    hints: tuple[Hints, ...]


class Answer(NamedTuple):
    """For each image its colours (2, h, w), or why there are none.

    seconds: that it took. memory: peak of the process so far, in MiB.
    """

    found: list[Tensor | str]
    seconds: float
    memory: float


def answers(colorizer: Colorizer, questions: Iterable[Question], workers: int) -> Iterator[Answer]:
    """What a colorizer makes of batches, in their order.

    Args:
        workers: processes beside this one; 0 for this one alone.
    """
    if workers == 0:
        yield from (answer(colorizer, question) for question in questions)
        return
    # A fork of this process, whose torch has threads, could hang; one of a server that only imports cannot.
    context = get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    pool = ProcessPoolExecutor(workers, context, _begin, (colorizer,))
    waiting: deque[Future[Answer]] = deque()
    left = iter(questions)
    try:
        while True:
            waiting += [pool.submit(_work, q) for q in islice(left, AHEAD * workers - len(waiting))]
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def answer(colorizer: Colorizer, question: Question) -> Answer:
    """Colour a batch; where that fails, its images one by one."""
    begun = time.perf_counter()
    found = _coloured(colorizer, question)
    if isinstance(found, str) and len(question.lightness) > 1:
        each = [_coloured(colorizer, one) for one in _singly(question)]
    else:
        each = [found]
    every = [ab for one in each for ab in ([one] if isinstance(one, str) else one.unbind(0))]
    return Answer(every, time.perf_counter() - begun, peak_mib())


def peak_mib() -> float:
    """The largest memory of this process so far.

    `getrusage` counts what a process had before it became this one, so Linux is asked of this one alone.
    """
    if (status := Path("/proc/self/status")).is_file():
        return float(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _singly(question: Question) -> Iterator[Question]:
    for i in range(len(question.lightness)):
        yield Question(question.lightness[i : i + 1], question.hints[i : i + 1])


def _coloured(colorizer: Colorizer, question: Question) -> Tensor | str:
    """Colours (B, 2, h, w), or in words why there are none."""
    try:
        with torch.no_grad():
            ab = colorizer.colorize(question.lightness, question.hints)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return str(error)
    if ab.dim() != 4 or ab.shape[:2] != (len(question.lightness), 2):
        return f"its colours are {tuple(ab.shape)}, not ({len(question.lightness)}, 2, h, w)"
    return ab if bool(torch.isfinite(ab).all()) else "its colours are not all finite"


_own: list[Colorizer] = []
"""The colorizer of a process that works for another."""


def _begin(colorizer: Colorizer) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks is told, and ends this one
    torch.set_num_threads(1)
    _own[:] = [colorizer]


def _work(question: Question) -> Answer:
    return answer(_own[0], question)
