"""Pretrains any task of the contract, and keeps what was trained."""

from __future__ import annotations

from pretext.fit.lightning_module import NonFiniteLoss, Pretraining
from pretext.fit.optimisation import Optimisation
from pretext.fit.pretrain import SIGTERM_STATUS, Validation, check, pretrain
from pretext.fit.result import Pretrained
from pretext.fit.runtime import choose_device, choose_precision
from pretext.fit.task_file import load_task, save_task

__all__ = [
    "SIGTERM_STATUS",
    "NonFiniteLoss",
    "Optimisation",
    "Pretrained",
    "Pretraining",
    "Validation",
    "check",
    "choose_device",
    "choose_precision",
    "load_task",
    "pretrain",
    "save_task",
]
