"""Pretrain on pretext tasks, judge any encoder, print leaderboards: the face for programs and notebooks.

It is the package of the command, too, and the only one that knows Hydra, OmegaConf and W&B.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # each function imports what it needs when it is called
    import pandas as pd
    from torch import nn

    from downstream.judge.kept import KeptHead
    from pretext.data.dataset import DataSet
    from pretext.encoder import Encoder

__all__ = ["judge", "leaderboard", "load", "open_head", "pretrain"]


def load(path: str | Path) -> Encoder:
    """Open a saved encoder, on the CPU and in eval mode.

    Args:
        path: the folder of a run, or an encoder's JSON or safetensors file.

    Returns: what takes RGB (B, 3, H, W) in [0, 1] and returns `maps`, stage → (B, C, ~H/stride, ~W/stride).

    Raises:
        FileNotFoundError: nothing there. ValueError: damaged files.
    """
    import pretext

    return pretext.load(path)


def judge(
    encoder: nn.Module | str | Path,
    data: str | DataSet = "scenes",
    protocols: Sequence[str] | str = ("linear",),
    output: str | Path = "outputs",
    *,
    label: str | None = None,
    seed: int | None = None,
    stages: Sequence[str] | str | None = None,
    options: Sequence[str] | str = (),
) -> pd.DataFrame:
    """Judge an encoder as `job=evaluate` does, and print its table beside its twins' recorded rows.

    Args:
        encoder: an encoder; any module that maps RGB (B, 3, H, W) in [0, 1] to a map (B, C, h, w), a vector
            (B, D), or a dict, list or tuple of these from the image up, and that does itself to pixels what
            it expects to be done; or what `encoder=` names on the command line.
        data: name of a configuration, or a data set.
        protocols: names that `job=protocols` lists, or one.
        output: folder of records, boards and cached features; nothing recorded is computed again.
        label: the row's name; of a module by default that of its class.
        seed: what several encoders of one name, network and code are called by, which makes them one row; the
            table has those that were judged before.
        stages: names of what a module returns, or the one there is; without them a dict's own, else by
            position.
        options: more of the configuration as on a command line, of keys that no argument says:
            `["data.train=500", "trainer.device=cpu"]`.

    Returns: one line a row and column: `label`, `protocol`, `metric`, `value` and `low`, `high` of its
        interval in `unit`, and what tells rows and columns apart.

    Raises:
        ValueError: what the command says where it ends: unknown names, data that do not suffice.
        FloatingPointError: features that are not finite. GateFailed: a score that must not be kept.
    """
    from pretextbench.face import judge_encoder

    return judge_encoder(encoder, data, protocols, output, label, seed, stages, options)


def open_head(
    folder: str | Path,
    encoder: nn.Module | str | Path | None = None,
    *,
    stages: Sequence[str] | str | None = None,
    options: Sequence[str] | str = (),
) -> KeptHead:
    """Open a head that was fitted with `keep_heads=true`, to predict new images.

    Args:
        folder: `heads/DIGEST` of an output folder, the digest being that of the evaluation.
        encoder: what it was fitted on, as in `judge`; not needed where the protocol trained it, or where it
            is a run under the same output folder.
        stages: of a module, as in `judge`.
        options: more of the configuration: `["trainer.device=cpu"]`.

    Returns: what takes RGB (B, 3, H, W) in [0, 1] of the size that it was fitted on, or by `photograph` one
        image (H, W, 3) uint8 of any size, and returns scores of classes, classes of pixels, or objects.

    Raises:
        FileNotFoundError: no head there. ValueError: files that were changed, another encoder, or none.
    """
    from pretextbench.face import kept_head

    return kept_head(Path(folder), encoder, stages, options)


def pretrain(
    task: str,
    data: str | DataSet = "scenes",
    output: str | Path = "outputs",
    *,
    seed: int = 0,
    options: Sequence[str] | str = (),
) -> Encoder:
    """Pretrain, or reuse, the encoder of a pretext task as `job=pretrain` does.

    Args:
        task: name of a configuration (`pretext=`).
        data, output, options: as in `judge`; `["backbone=resnet18", "trainer.epochs=20"]`.
        seed: of weights and draws.

    Returns: the encoder, on the CPU and in eval mode; its run lies under `output`.

    Raises:
        ValueError: what the command says where it ends.
    """
    from pretextbench.face import pretrain_encoder

    return pretrain_encoder(task, data, output, seed, options)


def leaderboard(output: str | Path = "outputs") -> pd.DataFrame:
    """What was recorded under a folder, as a table.

    Returns: as `judge`, of all rows.

    Raises:
        ValueError: no record is there.
    """
    from pretextbench.face import recorded_table

    return recorded_table(Path(output))
