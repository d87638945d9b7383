"""The suite's own short fine-tuning, where no paper states a schedule."""

from __future__ import annotations

from downstream.tuning.finetuning import Norm, Optimiser, Recipe

SHORT = Recipe(
    epochs=5,
    least_steps=200,
    batch_size=16,
    lr=3e-3,
    backbone_lr=0.5,
    weight_decay=1e-2,
    optimiser=Optimiser.ADAMW,
    norm=Norm.EVAL,
)
"""A few epochs of AdamW, the encoder at half the head's rate, BatchNorm as pretraining left it."""
