"""What the jobs that compute are made of: a run trained, an encoder judged, the table shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from downstream.judge.evaluate import evaluate as judge
from downstream.judge.evaluate import evaluate_blind, evaluation_digest, stored
from downstream.judge.records import Record, Subject
from pretext.data.dataset import Split
from pretext.encoder import Encoder, open_encoder
from pretext.fit import Pretrained, Validation, load_task
from pretext.fit import pretrain as fit
from pretext.fit.calibrate import calibrate
from pretextbench import members, suites, tracking
from pretextbench.board import show_board
from pretextbench.console import console, progress
from pretextbench.locks import locked
from pretextbench.members import Member
from pretextbench.workbench import Workbench


def pretrain_and_judge(bench: Workbench, member: Member) -> list[Record]:
    """Pretrain, or reuse, one run and judge it by every protocol."""
    subject = members.subject(member, None)
    names = [evaluation_digest(subject, p, bench.target, bench.runtime()) for p in bench.protocols.values()]
    done = Pretrained.read(member.folder) is not None and all(stored(bench.records, n) for n in names)
    with logged(bench, member, done) as logger:
        train(bench, member, logger)
        encoder = open_encoder(str(member.folder))
        subject = members.subject(member, encoder)
        records = judged(bench, encoder, subject, member.config, seen=(bench.data.train, bench.data.val))
        if logger is not None:
            pictures = bench.output / "pictures"
            tracking.log_results(
                logger.experiment, records, pictures, member.folder if bench.cfg.logger.artifact else None
            )
    return records


def train(bench: Workbench, member: Member, logger: tracking.Watcher | None) -> Pretrained:
    """Pretrain one run, its parent first; returns at once where it is finished."""
    if member.parent is not None and Pretrained.read(member.parent.folder) is None:
        console.print(f"{member.name} starts from {member.parent.name}, which is made first")
        with logged(bench, member.parent, done=False) as parent_logger:
            train(bench, member.parent, parent_logger)
    settings, budget = bench.cfg.trainer, member.spec["budget"]
    with locked(member.folder):
        if Pretrained.read(member.folder) is None:  # a finished run keeps the configuration it was made with
            members.write_spec(member, bench.data)
        if member.parent is not None and member.spec["calibration"]:
            return calibrate(
                member.parent.folder,
                bench.data.train,
                members.build_calibration(member.spec["calibration"]),
                folder=member.folder,
                seed=bench.cfg.seed,
                device=bench.device.type,
                provenance=members.provenance(member),
            )
        task, before = members.build_task(member), None
        if member.parent is not None:
            parent = load_task(member.parent.folder)
            task.initialise_from(parent)
            before = parent.encoder.provenance.get("effort")
        return fit(
            task,
            bench.data.train,
            bench.data.val,
            folder=member.folder,
            cache=bench.cache / "pretext",
            name=member.name,
            seed=bench.cfg.seed,
            epochs=budget["epochs"],
            batch_size=budget["batch_size"],
            optimisation=members.build_optimisation(member),
            epoch_batches=budget["epoch_batches"],
            device=bench.device.type,
            precision=settings.precision.value,
            validation=Validation(every=settings.validate_every),
            loggers=[logger] if logger is not None else [],
            provenance=members.provenance(member),
            before=before,
            console=console,
        )


def judged(
    bench: Workbench, encoder: Encoder, subject: Subject, config: dict[str, Any], seen: tuple[Split, ...]
) -> list[Record]:
    """Judge an encoder by every protocol, one after the other.

    Args:
        config: by which the encoder is asked for alone; kept in its records.
        seen: splits that it was trained on.
    """
    encoder.to(bench.device)
    records: list[Record] = []
    for name, protocol in bench.protocols.items():
        what = f"{subject.pretext} {name}"
        lock = f".{evaluation_digest(subject, protocol, bench.target, bench.runtime())[:16]}.lock"
        with locked(bench.records, lock, what), progress(what) as move:
            records += judge(
                encoder,
                protocol,
                bench.target,
                bench.runtime(move),
                subject=subject,
                records=bench.records,
                config=config,
                seen=seen,
                pictures=bench.output / "pictures",
                suite=suites.label(bench.target, protocol),
            )
    return records


def blind(bench: Workbench) -> list[Record]:
    """Rows of the encoder-blind predictors; made with the first encoder's, and stored."""
    return [
        record
        for protocol in bench.protocols.values()
        for record in evaluate_blind(
            protocol,
            bench.target,
            bench.runtime(),
            records=bench.records,
            suite=suites.label(bench.target, protocol),
        )
    ]


def finish(bench: Workbench, records: list[Record], notes: Sequence[str] = ()) -> list[str]:
    """Show the table, unless a sweep will; return the evaluations."""
    if not bench.in_sweep:
        show_board(bench.output, records, bench.cfg.leaderboard, notes)
    return list(dict.fromkeys(record.evaluation.digest for record in records))


@contextmanager
def logged(bench: Workbench, member: Member, done: bool) -> Iterator[tracking.Watcher | None]:
    """Open a W&B run for what is about to be computed; None where nothing is, or logging is off."""
    settings = bench.cfg.logger
    if done or not settings.enabled:
        yield None
        return
    with tracking.tracked(
        project=settings.project,
        entity=settings.entity,
        folder=bench.output / "wandb",
        name=member.folder.name,
        group=bench.group,
        job=bench.cfg.job.name,
        tags=[member.name, bench.data.name, bench.cfg.input],
        config={"run": member.digest, **member.config},
    ) as run:
        tracking.remember(run, member.folder)
        yield tracking.Watcher(experiment=run)
    tracking.tell_how_to_sync(run)
