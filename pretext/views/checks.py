"""What the numbers of an augmentation must be."""

from __future__ import annotations


def check_probability(owner: str, p: float) -> None:
    """Refuse a probability that is none.

    Raises:
        ValueError: a value outside [0, 1].
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{owner} is a probability in [0, 1], got {p}")


def check_range(owner: str, pair: tuple[float, float], low: float, high: float) -> None:
    """Refuse two ends that are not in order, or out of (low, high].

    Raises:
        ValueError: such ends.
    """
    if len(pair) != 2 or not low < pair[0] <= pair[1] <= high:
        raise ValueError(f"{owner} is two rising numbers in ({low:g}, {high:g}], got {pair}")
