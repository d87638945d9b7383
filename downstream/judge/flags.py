"""What a reader must know of a score: flags, as records hold them, and their words."""

from __future__ import annotations

OVERLAP_UNCHECKED = "pretraining_overlap_unchecked"
PART_OF_PRETRAINING = "part_of_pretraining:"
HEAD_UNTRAINED = "head_untrained"
UNDERFITTED = "head_underfitted:"
BELOW_CHANCE = "not_above_chance"
BELOW_COLOUR = "not_above_colour"
ZERO_WIDTH = "zero_width_interval"
SELECTED_ON_TEST = "selected_on_test"
AT_EDGE = "at_edge:"
DIVERGED = "diverged:"
UNDEFINED = "undefined_resamples:"
COLLAPSED = "pretraining_collapsed"
AT_CHANCE = "pretraining_at_chance"
LIGHTNESS_CHANGED = "lightness_changed:"
EQUAL_TO_TRUTH = "equal_to_truth:"
JPEG = "jpeg:"
DIRTY = "dirty_commit"
PROTOCOL_CHANGED = "protocol_changed:"
DATA_CHANGED = "data_changed:"
CODE_CHANGED = "code_changed"

MEANING = {
    COLLAPSED: "pretraining ended in a collapse: all val images have the same features",
    AT_CHANCE: "pretraining ended where it is worth no more than a guess",
    OVERLAP_UNCHECKED: "pretraining images unknown here: their overlap with the test split was not checked",
    PART_OF_PRETRAINING: (
        "pretrained on a set that this one is a part of: its classes were seen, and maybe its test images"
    ),
    f"{HEAD_UNTRAINED}:": "the head's train score is not above chance, which an encoder-blind predictor sets",
    HEAD_UNTRAINED: "the head's train score is not above chance",
    UNDERFITTED: "the head is undertrained, as it seems",
    f"{BELOW_CHANCE}:": "the test score is not above chance, which an encoder-blind predictor sets",
    BELOW_CHANCE: "the test score is not above chance",
    f"{BELOW_COLOUR}:": "above chance, not above a predictor that sees colour, which the encoder does not",
    UNDEFINED: "the interval leaves out bootstrap resamples that hold nothing to score",
    ZERO_WIDTH: "no bootstrap resample differs from another: the interval says nothing",
    SELECTED_ON_TEST: "legacy protocol: hyper-parameters were selected on test",
    AT_EDGE: "the selected hyper-parameter lies at the end of its grid",
    DIVERGED: "settings that diverged were left out of the selection",
    LIGHTNESS_CHANGED: "its pictures have another lightness, which the original's replaced",
    DIRTY: "made by code that differed from the commit it names",
    PROTOCOL_CHANGED: "stale: its protocol has changed since",
    DATA_CHANGED: "stale: the data have changed since",
    CODE_CHANGED: "stale: the code that scores it has changed since",
    JPEG: "its pictures are JPEGs, which keep less of colours than of lightness",
    EQUAL_TO_TRUTH: "its colours are the original's: was it told of the answer?",
}
"""Every flag, or beginning of one, in a reader's words; records of schema 1 do not name the predictor."""


STALE = {PROTOCOL_CHANGED: "protocol", DATA_CHANGED: "data", CODE_CHANGED: "scoring code"}
"""What of a score may have changed since, by the beginning of the flag of tables that says so."""

OF_PRETRAINING = (COLLAPSED, AT_CHANCE)
"""What a run says of itself, in its encoder's provenance."""


def meaning(flag: str) -> str:
    """A flag in a reader's words."""
    for beginning, text in MEANING.items():
        if flag.startswith(beginning):
            rest = flag.removeprefix(beginning)
            return f"{text} ({rest})" if rest else text
    return flag.replace("_", " ")


def by(flag: str, predictor: str) -> str:
    """A flag with the encoder-blind predictor that is not exceeded."""
    return f"{flag}:{predictor}"
