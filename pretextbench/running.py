"""What the jobs that compute are made of: a run trained, an encoder judged, the table shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from downstream.judge import class_names
from downstream.judge.address import evaluation_digest, reusable, stored
from downstream.judge.evaluate import evaluate as judge
from downstream.judge.evaluate import lacks_head
from downstream.judge.headless import evaluate_blind
from downstream.judge.kept import keeps
from downstream.judge.records import Record, Subject
from downstream.protocol import Protocol
from pretext.data.dataset import Split
from pretext.encoder import Encoder, open_encoder
from pretext.fit import Pretrained, Validation, load_task
from pretext.fit import pretrain as fit
from pretext.fit.calibrate import calibrate
from pretextbench import runs, subjects, suites, tracking
from pretextbench.board import show_board
from pretextbench.console import console, progress
from pretextbench.context import Context
from pretextbench.locks import locked
from pretextbench.runs import Run


def pretrain_and_judge(context: Context, run: Run) -> list[Record]:
    """Pretrain, or reuse, one run and judge it by every protocol."""
    subject = subjects.of_run(run, None)
    runtime = context.runtime()
    names = {evaluation_digest(subject, p, context.target, runtime): p for p in context.protocols.values()}
    judged_before = all(reusable(context.records, name, p, runtime) for name, p in names.items())
    done = Pretrained.read(run.folder) is not None and judged_before
    with logged(context, run, done) as logger:
        train(context, run, logger)
        encoder = open_encoder(str(run.folder))
        subject = subjects.of_run(run, encoder)
        records = judged(context, encoder, subject, run.config, seen=(context.data.train, context.data.val))
        if logger is not None:
            pictures = context.output / "pictures"
            tracking.log_results(
                logger.experiment, records, pictures, run.folder if context.cfg.logger.artifact else None
            )
    return records


def train(context: Context, run: Run, logger: tracking.Watcher | None) -> Pretrained:
    """Pretrain one run, its parent first; returns at once where it is finished."""
    if run.parent is not None and Pretrained.read(run.parent.folder) is None:
        console.print(f"{run.name} starts from {run.parent.name}, which is made first")
        with logged(context, run.parent, done=False) as parent_logger:
            train(context, run.parent, parent_logger)
    settings, budget = context.cfg.trainer, run.spec["budget"]
    with locked(run.folder):
        if Pretrained.read(run.folder) is None:  # a finished run keeps the configuration it was made with
            runs.write_spec(run, context.data)
        if run.parent is not None and run.spec["calibration"]:
            return calibrate(
                run.parent.folder,
                context.data.train,
                runs.build_calibration(run.spec["calibration"]),
                folder=run.folder,
                seed=context.cfg.seed,
                device=context.device.type,
                provenance=runs.provenance(run),
            )
        task, before = runs.build_task(run), None
        if run.parent is not None:
            parent = load_task(run.parent.folder)
            task.initialise_from(parent)
            before = parent.encoder.provenance.get("effort")
        return fit(
            task,
            context.data.train,
            context.data.val,
            folder=run.folder,
            cache=context.cache / "pretext",
            name=run.name,
            seed=context.cfg.seed,
            epochs=budget["epochs"],
            batch_size=budget["batch_size"],
            optimisation=runs.build_optimisation(run),
            epoch_batches=budget["epoch_batches"],
            device=context.device.type,
            precision=settings.precision.value,
            validation=Validation(every=settings.validate_every),
            beside=context.monitor,
            loggers=[logger] if logger is not None else [],
            provenance=runs.provenance(run),
            before=before,
            console=console,
        )


def judged(
    context: Context, encoder: Encoder, subject: Subject, config: dict[str, Any], seen: tuple[Split, ...]
) -> list[Record]:
    """Judge an encoder by every protocol, one after the other.

    Args:
        config: by which the encoder is asked for alone; kept in its records.
        seen: splits that it was trained on.
    """
    encoder.to(context.device)
    class_names.keep(context.records, context.target)
    records: list[Record] = []
    for name, protocol in context.protocols.items():
        what = f"{subject.pretext} {name}"
        evaluation = evaluation_digest(subject, protocol, context.target, context.runtime())
        _say_of_redo(context, what, protocol, evaluation)
        _say_of_head(context, what, protocol, evaluation)
        lock = f".{evaluation[:16]}.lock"
        with locked(context.records, lock, what), progress(what) as move:
            records += judge(
                encoder,
                protocol,
                context.target,
                context.runtime(move),
                subject=subject,
                records=context.records,
                config=config,
                seen=seen,
                pictures=context.output / "pictures",
                heads=context.heads,
                suite=suites.label(context.target, protocol),
            )
    return records


def _say_of_redo(context: Context, what: str, protocol: Protocol, evaluation: str) -> None:
    """Say of a score that is asked to be made again whether it is."""
    if not context.cfg.redo:
        return
    if reusable(context.records, evaluation, protocol, context.runtime()):
        console.print(f"{what} was scored by today's code: it stays as it is", soft_wrap=True)
    elif stored(context.records, evaluation):
        console.print(f"{what} was scored by other code: it is made again", soft_wrap=True)


def _say_of_head(context: Context, what: str, protocol: Protocol, evaluation: str) -> None:
    """Say where a head that is asked for is none, or has to be fitted again."""
    if context.heads is None:
        return
    if not keeps(protocol):
        console.print(f"{what} keeps no head: {protocol.headless}", style="yellow", soft_wrap=True)
    elif lacks_head(
        reusable(context.records, evaluation, protocol, context.runtime()), protocol, context.heads
    ):
        console.print(f"{what} was recorded without its head: it is fitted again", soft_wrap=True)


def blind(context: Context) -> list[Record]:
    """Rows of the encoder-blind predictors; made with the first encoder's, and stored."""
    return [
        record
        for protocol in context.protocols.values()
        for record in evaluate_blind(
            protocol,
            context.target,
            context.runtime(),
            records=context.records,
            suite=suites.label(context.target, protocol),
        )
    ]


def finish(context: Context, records: list[Record], notes: Sequence[str] = ()) -> list[str]:
    """Show the table, unless a sweep will; return the evaluations."""
    if not context.in_sweep:
        show_board(context.output, records, context.cfg.leaderboard, notes)
    return list(dict.fromkeys(record.evaluation.digest for record in records))


@contextmanager
def logged(context: Context, run: Run, done: bool) -> Iterator[tracking.Watcher | None]:
    """Open a W&B run for what is about to be computed; None where nothing is, or logging is off."""
    settings = context.cfg.logger
    if done or not settings.enabled:
        yield None
        return
    with tracking.tracked(
        project=settings.project,
        entity=settings.entity,
        folder=context.output / "wandb",
        name=run.folder.name,
        group=context.group,
        job=context.cfg.job.name,
        tags=[run.name, context.data.name, context.cfg.input],
        config={"run": run.digest, **run.config},
    ) as watched:
        tracking.remember(watched, run.folder)
        yield tracking.Watcher(experiment=watched)
    tracking.tell_how_to_sync(watched)
