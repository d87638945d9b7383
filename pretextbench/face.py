"""What the package's functions do: compose a configuration, and go the way of its job."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
from hydra.errors import HydraException
from omegaconf import OmegaConf
from torch import nn

from downstream.judge.kept import KeptHead
from downstream.judge.records import Record
from downstream.leaderboard import build
from downstream.leaderboard.tidy import cells_frame
from pretext.data.dataset import DataSet
from pretext.encoder import Encoder, open_encoder
from pretext.foreign.module import bare, wrap
from pretextbench import hints, places, preflight, schema
from pretextbench.board import show_board
from pretextbench.composed import composed
from pretextbench.context import Context, opened
from pretextbench.encoders import named_encoder
from pretextbench.heads import open_head, resolution
from pretextbench.jobs.evaluate import judge
from pretextbench.plan import show_plan
from pretextbench.recorded import recorded
from pretextbench.running import train


def judge_encoder(
    encoder: nn.Module | str | Path,
    data: str | DataSet,
    protocols: Sequence[str] | str,
    output: str | Path,
    label: str | None,
    seed: int | None,
    stages: Sequence[str] | str | None,
    options: Sequence[str] | str,
) -> pd.DataFrame:
    """See `pretextbench.judge`."""
    module = encoder if isinstance(encoder, nn.Module) else None
    asked = None if module is not None else _path(encoder)
    if label is None and module is not None and not isinstance(module, Encoder):
        label = type(bare(module)).__name__
    if label is not None and not isinstance(label, str):
        raise TypeError(f"label is a name, got {label!r}, a {type(label).__name__}")
    line = ["job=evaluate", f"downstream=[{','.join(_listed(protocols, 'protocols'))}]"]
    line += [] if seed is None else [f"seed={seed}"]
    with _bench(line, options, data, output, label=label, encoder=asked) as context:
        own = None if module is None else _as_encoder(module, context.target, stages)
        records, notes, _ = judge(context, own or named_encoder(context))
        if not records:
            raise ValueError("dry_run=true leaves no table; without it the same line computes one")
        show_board(context.output, records, context.cfg.leaderboard, notes)
    return table(records)


def _as_encoder(module: nn.Module, data: DataSet, stages: Sequence[str] | str | None) -> Encoder:
    if not isinstance(module, Encoder):
        height, width = data.test.pixels.shape[1:3]
        return wrap(module, (height, width), stages)
    if stages is not None:
        raise ValueError(f"an encoder names its stages itself: {', '.join(module.stage_names)}")
    return module


def pretrain_encoder(
    task: str, data: str | DataSet, output: str | Path, seed: int, options: Sequence[str] | str
) -> Encoder:
    """See `pretextbench.pretrain`."""
    with _bench(["job=pretrain", f"pretext={task}", f"seed={seed}"], options, data, output) as context:
        run = context.runs[0]
        context.check([run], judged=False)
        if context.cfg.dry_run:
            show_plan([context], [[run]], judged=False)
            raise ValueError("dry_run=true leaves no encoder; without it the same line trains one")
        train(context, run, None)
    return open_encoder(str(run.folder))


def recorded_table(output: Path) -> pd.DataFrame:
    """See `pretextbench.leaderboard`."""
    records = recorded(output / "records").records
    if not records:
        raise ValueError(f"{output / 'records'} has no records")
    return table(records)


def table(records: Sequence[Record]) -> pd.DataFrame:
    """One line a row and column of the leaderboard of these records."""
    return cells_frame(build(list(records)))


def kept_head(
    folder: Path,
    encoder: nn.Module | str | Path | None,
    stages: Sequence[str] | str | None,
    options: Sequence[str] | str,
) -> KeptHead:
    """See `pretextbench.open_head`."""
    module = encoder if isinstance(encoder, nn.Module) else None
    asked = None if encoder is None or module is not None else _path(encoder)
    output = folder.resolve().parent.parent
    with _bench(["job=evaluate"], options, "scenes", output, encoder=asked) as context:
        given = None if asked is None else named_encoder(context)
        if module is not None:
            given = module if isinstance(module, Encoder) else wrap(module, resolution(folder), stages)
        return open_head(folder, given, context.device)


def _path(encoder: object) -> str:
    """An encoder that is named and not at hand.

    Raises:
        TypeError: neither a module nor a name.
    """
    if isinstance(encoder, str | os.PathLike):
        return str(encoder)
    how = ""
    if isinstance(encoder, Mapping):
        how = "; weights alone are no network: load them into it, or name the file that they lie in"
    elif callable(encoder):
        how = "; what is called goes into the forward of a module, and a class is called first"
    raise TypeError(
        f"encoder is a torch.nn.Module or names one ({places.FORMS}); it is a {type(encoder).__name__}{how}"
    )


def _listed(words: Sequence[str] | str, what: str = "options") -> list[str]:
    """Words of a line.

    Raises:
        TypeError: neither a text nor several.
    """
    if isinstance(words, str):
        return [words]
    found = list(words) if isinstance(words, Iterable) else [None]
    if not all(isinstance(word, str) for word in found):
        raise TypeError(f"{what} is a text or several in a list, not {words!r}")
    return found


def _literal(text: str) -> str:
    """A text that configurations read as it is: nothing in it stands for another value."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def _key(word: str) -> str:
    """What a word of a command line sets."""
    return word.lstrip("+~").partition("=")[0].strip()


@contextmanager
def _bench(
    own: Sequence[str],
    options: Sequence[str] | str,
    data: str | DataSet,
    output: str | Path,
    **values: str | None,
) -> Iterator[Context]:
    """The context of a command line, on data that are given or named; nothing goes to W&B.

    Args:
        own: the beginning of the line. options: its end, of keys that nothing else here sets.
        values: of keys that take any text, which a command line would have to quote.

    Raises:
        ValueError: what the command says where it ends; an option of a key that is set here.
    """
    given = data if isinstance(data, DataSet) else None
    if given is None and not isinstance(data, str):
        raise TypeError(f"data is the name of a set or a DataSet, not {data!r}")
    named = [] if given is not None else [f"data={data}"]
    if not isinstance(output, str | os.PathLike):
        raise ValueError(f"output is the path of a folder, not {output!r}")
    if Path(output).exists() and not Path(output).is_dir():
        raise NotADirectoryError(f"output: {output} is no folder")
    asked = _listed(options)
    taken = {_key(word) for word in own} | {"data", "output", *values}
    if twice := next((word for word in asked if _key(word) in taken), None):
        raise ValueError(f"options: {twice!r} is for the function's own arguments to say, or for another one")
    line = [*own, *asked]
    schema.register()
    with ExitStack() as until:
        try:
            cfg = until.enter_context(composed(["logger=none", *named, *line]))
        except HydraException as error:
            raise ValueError(hints.explain(error, line)) from error
        for key, value in {**values, "output": str(output)}.items():
            OmegaConf.update(cfg, key, None if value is None else _literal(value))
        if given is not None:
            cfg.data = {"name": given.name}
        schema.check(cfg)
        (places.check if cfg.encoder or cfg.job.name == "pretrain" else places.check_data)(cfg)
        preflight.check()
        with opened(cfg, given) as context:
            yield context
