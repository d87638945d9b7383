"""Recipes of a test that is not about their optimiser: AdamW, at a rate and a decay that suit it."""

from __future__ import annotations

from functools import partial

from downstream.tuning.finetuning import Optimiser, Recipe
from downstream.tuning.iterations import PolynomialRecipe, SteppedRecipe
from downstream.tuning.layer_decay import LayerDecayRecipe

_ADAMW = {"optimiser": Optimiser.ADAMW, "lr": 1e-3, "weight_decay": 1e-2}

by_epochs = partial(Recipe, **_ADAMW)
by_layers = partial(LayerDecayRecipe, **_ADAMW)
stepped = partial(SteppedRecipe, **_ADAMW)
polynomial = partial(PolynomialRecipe, **_ADAMW)
