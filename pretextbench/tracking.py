"""Set up W&B so that it never asks, never waits for long, and is never the only record."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import wandb
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from downstream.digest import digest, short
from downstream.judge.record_files import export_jsonl, picture_path
from downstream.judge.records import Record
from downstream.judge.shared import portable
from pretext.atomic import write_json
from pretext.names import slug
from pretextbench.console import console

LOGIN_SECONDS = 15
RECORDS = "records"
"""Type of the artifacts that hold records."""
RECORDS_FILE = "records.jsonl.gz"
TAG = 64
"""Characters of a tag that W&B takes."""
_FINISH_SECONDS = 120.0
"""That the end of a run waits for its upload; what is left lies on disk, for `wandb sync`."""
_silent_servers: list[str] = []
"""What went wrong when a server was waited for; once is enough for a process."""
Mode = Literal["online", "offline", "disabled", "shared"]
_MODES: dict[str, Mode] = {
    "online": "online", "offline": "offline", "disabled": "disabled", "shared": "shared",
    "run": "online", "dryrun": "offline",
}  # fmt: skip
"""What WANDB_MODE may say, and what W&B calls it today."""


def mode() -> Mode:
    """W&B's mode: WANDB_MODE if set, else online exactly with a key.

    Raises:
        ValueError: WANDB_MODE is none of W&B's modes.
    """
    asked = os.environ.get("WANDB_MODE", "")
    if not asked:
        os.environ.pop("WANDB_MODE", None)  # W&B itself stumbles over an empty one
        return "online" if has_key() else "offline"
    if asked not in _MODES:
        raise ValueError(f"WANDB_MODE must be one of {', '.join(_MODES)}; it is {asked!r}")
    return _MODES[asked]


def has_key() -> bool:
    """Whether a key of W&B is at hand, in the environment or in .netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = wandb.Settings().base_url.split("://")[-1].split("/")[0]
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return netrc.is_file() and host in netrc.read_text()


@contextmanager
def tracked(
    *,
    project: str,
    entity: str | None,
    folder: Path,
    name: str,
    group: str,
    job: str,
    tags: list[str],
    config: dict[str, Any],
) -> Iterator[wandb.Run]:
    """Open a run, offline where online fails, and close it whatever happens; W&B's own failures end nothing.

    Args:
        folder: where W&B keeps its files. group: the sweep. job: W&B's job type.
        config: the resolved configuration as plain values.
    """
    folder = folder.absolute()  # W&B's server keeps the working directory it was first started in
    folder.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "project": project, "entity": entity, "dir": str(folder), "name": name,
        "group": group, "job_type": job, "tags": [tag[:TAG] for tag in tags], "config": config,
        "reinit": "create_new",
    }  # fmt: skip
    run = _start(mode(), arguments)
    failed = 1
    try:
        yield run
        failed = 0
    finally:
        with unharmed("closing the run"):
            run.finish(exit_code=failed)


def _start(wanted: Mode, arguments: dict[str, Any]) -> wandb.Run:
    """A run of W&B: as wanted, else offline, else one that keeps nothing.

    Where a server did not answer, later runs of this process do not wait for it again.
    """
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=LOGIN_SECONDS,
        login_timeout=LOGIN_SECONDS,
        finish_timeout=_FINISH_SECONDS,
    )
    modes: list[Mode] = ["disabled"] if wanted == "disabled" else ["offline", "disabled"]
    if wanted not in ("offline", "disabled") and not _silent_servers:
        modes.insert(0, wanted)
    for attempt, then in pairwise(modes):
        try:
            return wandb.init(mode=attempt, settings=settings, **arguments)
        except Exception as error:  # it only watches: nothing that it does wrong ends a run
            if attempt != "offline":
                _silent_servers.append(type(error).__name__)
            _say_once(f"W&B: {attempt} failed ({type(error).__name__}: {error}); now {then}.")
    return wandb.init(mode=modes[-1], settings=settings, **arguments)


@contextmanager
def unharmed(what: str) -> Iterator[None]:
    """Go on where W&B fails, and say so once: it only watches."""
    try:
        yield
    except Exception as error:
        _say_once(f"W&B: {what} failed ({type(error).__name__}: {error}); the run goes on without.")


class Watcher(WandbLogger):
    """Lightning's W&B logger, whose failures stay its own."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log measures."""
        with unharmed("logging measures"):
            super().log_metrics(metrics, step)

    @rank_zero_only
    def log_image(self, key: str, images: list[Any], step: int | None = None, **kwargs: Any) -> None:
        """Log pictures."""
        with unharmed("logging pictures"):
            super().log_image(key, images, step, **kwargs)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End."""
        with unharmed("the end of the log"):
            super().finalize(status)


@functools.cache
def _say_once(text: str) -> None:
    console.print(text, soft_wrap=True)


def tell_how_to_sync(run: wandb.Run) -> None:
    """Print, once a process, the command that uploads what was logged offline."""
    if run.settings.mode == "offline":
        command = f"wandb sync --sync-all {shlex.quote(str(Path(run.settings.sync_dir).parent))}"
        _say_once(f"W&B logged offline; to upload: {command}")


def remember(run: wandb.Run, folder: Path) -> None:
    """Store the W&B run's id beside the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "wandb.json", {"id": run.id, "project": run.project, "mode": run.settings.mode})


def log_results(run: wandb.Run, records: Sequence[Record], pictures: Path, encoder: Path | None) -> None:
    """Log the scores as summary and table, the records whole, the pictures, and the encoder as an artifact.

    Args:
        records: of one encoder, every stage and metric.
        pictures: folder of the evaluations' pictures.
        encoder: folder of the encoder; None keeps it local.
    """
    for record in records:
        e, r = record.evaluation, record.result
        if r.selected:
            with unharmed("logging scores"):
                run.summary[f"{e.data}/{e.protocol}/{e.metric}"] = r.value
    with unharmed("logging scores"):
        run.log({RECORDS: _table(records)})
    for evaluation in dict.fromkeys(record.evaluation.digest for record in records):
        own = [record for record in records if record.evaluation.digest == evaluation]
        log_records(run, own, short(evaluation))
    with unharmed("logging pictures"):
        for record in records:
            if record.result.selected and record.evaluation.primary:
                drawn = picture_path(pictures, record.evaluation.digest)
                if drawn.is_file():
                    run.log({f"pictures/{record.evaluation.protocol}": wandb.Image(str(drawn))})
    if encoder is None:
        return
    with unharmed("logging the encoder"):
        artifact = wandb.Artifact(slug(encoder.name, 128), type="encoder")
        for file in ("encoder.safetensors", "encoder.json"):
            artifact.add_file(str(encoder / file))
        run.log_artifact(artifact)


def log_records(run: wandb.Run, records: Sequence[Record], name: str) -> None:
    """Log records whole, as an artifact that `records=[wandb:ENTITY/PROJECT]` reads.

    Args:
        name: of whose they are; what is logged under it again takes the place of the old.
    """
    with unharmed("logging records"), TemporaryDirectory() as folder:
        path = Path(folder) / RECORDS_FILE
        export_jsonl(map(portable, records), path)
        artifact = wandb.Artifact(slug(f"{RECORDS}-{name}", 128), type=RECORDS)
        artifact.add_file(str(path))
        run.log_artifact(artifact)


def push(records: Sequence[Record], output: Path, settings: Any) -> None:
    """Log the records of a leaderboard to W&B: as a table, and whole.

    Args:
        output: folder that W&B's files lie in. settings: of the logger: project and entity.
    """
    name = "leaderboard"
    with tracked(
        project=settings.project, entity=settings.entity, folder=output / "wandb", name=name, group=name,
        job=name, tags=[], config={},
    ) as run:  # fmt: skip
        with unharmed("logging scores"):
            run.log({RECORDS: _table(records)})
        log_records(run, records, short(digest(sorted({r.evaluation.digest for r in records}))))
    tell_how_to_sync(run)


def _table(records: Sequence[Record]) -> wandb.Table:
    """A line a record: what tells scores apart, and the score."""
    columns: list[str | int] = [
        "pretext", "backbone", "input", "seed", "data", "task", "protocol", "version", "stage", "selected",
        "metric", "value", "unit", "evaluation",
    ]  # fmt: skip
    rows: list[Iterable[Any]] = [
        [
            s.pretext, s.backbone, s.input, s.seed, e.data, e.task, e.protocol, e.version, e.stage,
            r.selected, e.metric, r.value, r.unit, e.digest,
        ]
        for s, e, r in ((record.subject, record.evaluation, record.result) for record in records)
    ]  # fmt: skip
    return wandb.Table(columns=columns, data=rows)


def log_league(run: wandb.Run, records: Sequence[Record], pictures: Sequence[Path]) -> None:
    """Log the scores of systems that colour as a table, and their contact sheets."""
    columns: list[str | int] = ["system", "division", "data", "metric", "unit", "value"]
    rows: list[Iterable[Any]] = [
        [
            r.subject.pretext,
            r.subject.budget,
            r.evaluation.data,
            r.evaluation.metric,
            r.result.unit,
            r.result.value,
        ]
        for r in records
    ]
    with unharmed("logging scores"):
        run.log({"league": wandb.Table(columns=columns, data=rows)})
    with unharmed("logging pictures"):
        for path in pictures:
            if path.suffix == ".png":
                run.log({f"pictures/{path.stem}": wandb.Image(str(path))})
