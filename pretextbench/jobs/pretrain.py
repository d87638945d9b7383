"""`job=pretrain`: one encoder and no more."""

from __future__ import annotations

from omegaconf import DictConfig

from pretext.fit import Pretrained
from pretextbench.console import console
from pretextbench.plan import show_plan
from pretextbench.running import logged, train
from pretextbench.workbench import Workbench, opened


def run(cfg: DictConfig) -> list[str]:
    """Pretrain one encoder.

    Raises:
        ValueError: data that lack what the task needs, before anything is trained.
    """
    with opened(cfg) as bench:
        return _work(bench)


def _work(bench: Workbench) -> list[str]:
    member = bench.members[0]
    bench.check([member], judged=False)
    if bench.cfg.dry_run:
        show_plan([bench], [[member]], judged=False)
        return []
    with logged(bench, member, done=Pretrained.read(member.folder) is not None) as logger:
        train(bench, member, logger)
    console.print(f"encoder: {member.folder}", soft_wrap=True)
    return []
