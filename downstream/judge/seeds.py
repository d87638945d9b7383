"""Encoders of one's own that are called by seeds: one row, of which each seed is one encoder."""

from __future__ import annotations

from dataclasses import replace

from downstream.digest import digest
from downstream.judge.records import Subject


def called(subject: Subject, seed: int) -> Subject:
    """The subject as a seed of the row that all encoders of its name, network and input are."""
    return replace(subject, seed=seed, recipe=_recipe(subject))


def contradiction(one: Subject, other: Subject) -> str:
    """What two subjects say that cannot both be, in words; empty where there is nothing.

    The same weights are one seed of one row: under another they would count as a second draw. One seed of a
    row is one encoder: of two, each would stand in some of the row's columns.
    """
    if one.blind or other.blind or one.pretext != other.pretext:
        return ""
    if one.run == other.run and (one.seed, one.recipe) != (other.seed, other.recipe):
        return f"the same weights are {_as(one)} and {_as(other)}"
    one_seed = (one.seed, one.recipe) == (other.seed, other.recipe)
    if one_seed and one.run != other.run and one.recipe == _recipe(one):
        return f"two encoders are {_as(one)}, of weights {one.run[:12]} and {other.run[:12]}"
    return ""


def _recipe(subject: Subject) -> str:
    return digest(["seeds", subject.pretext, subject.backbone, subject.input, subject.calibration])


def _as(subject: Subject) -> str:
    if subject.recipe == _recipe(subject):
        return f"seed {subject.seed} of {subject.pretext}"
    return f"{subject.pretext} of recipe {subject.recipe[:12]}, seed {subject.seed}"
