"""`job=cka`: how alike two encoders are."""

from __future__ import annotations

from omegaconf import DictConfig

from pretextbench.context import opened
from pretextbench.similarity import show_similarity


def run(cfg: DictConfig) -> list[str]:
    """Print how alike two encoders are, stage by stage.

    Raises:
        ValueError: an encoder that is not named, or not there.
    """
    with opened(cfg) as context:
        show_similarity(context)
    return []
