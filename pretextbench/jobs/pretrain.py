"""`job=pretrain`: one encoder and no more."""

from __future__ import annotations

from omegaconf import DictConfig

from pretext.fit import Pretrained
from pretextbench.console import console
from pretextbench.context import Context, opened
from pretextbench.plan import show_plan
from pretextbench.running import logged, train


def run(cfg: DictConfig) -> list[str]:
    """Pretrain one encoder.

    Raises:
        ValueError: data that lack what the task needs, before anything is trained.
    """
    with opened(cfg) as context:
        return _work(context)


def _work(context: Context) -> list[str]:
    run = context.runs[0]
    context.check([run], judged=False)
    if context.cfg.dry_run:
        show_plan([context], [[run]], judged=False)
        return []
    with logged(context, run, done=Pretrained.read(run.folder) is not None) as logger:
        train(context, run, logger)
    console.print(f"encoder: {run.folder}", soft_wrap=True)
    return []
