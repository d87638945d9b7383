"""The jobs of the command, each a short path through the packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from downstream.judge.evaluate import evaluate as judge
from downstream.judge.evaluate import evaluate_blind, evaluation_digest, stored
from downstream.judge.records import Record, Subject
from pretext.colorizers.photograph import colorize_file, comparisons
from pretext.data.dataset import Split
from pretext.data.decode import BadImage
from pretext.data.seal import compared_whole
from pretext.encoder import Encoder, open_encoder
from pretext.fit import Pretrained, Validation, load_task
from pretext.fit import pretrain as fit
from pretext.fit.calibrate import calibrate
from pretext.tasks.colouring import ColouringTask
from pretextbench import filters, frozen, members, suites, targets, tracking
from pretextbench.board import recorded, show_board
from pretextbench.console import console, progress
from pretextbench.encoders import named_encoder
from pretextbench.locks import locked
from pretextbench.members import Member
from pretextbench.plan import show_judging, show_plan
from pretextbench.protocols import show_protocols
from pretextbench.similarity import show_similarity
from pretextbench.status import show_status
from pretextbench.workbench import Workbench

_HOW_TO_COLOUR = "run the same line with job=pretrain, or name a run's folder with encoder=FOLDER"


def run(cfg: DictConfig) -> list[str]:
    """Do the job of a configuration; return the digests of the evaluations it stands for.

    Raises:
        ValueError: a configuration that the job cannot work with.
    """
    if cfg.job.name not in JOBS:
        raise ValueError(f"there is no job {cfg.job.name!r}; the jobs are: {', '.join(JOBS)}")
    targets.check(cfg)
    with compared_whole(cfg.verify):
        return JOBS[cfg.job.name](Workbench(cfg))


def benchmark(bench: Workbench) -> list[str]:
    """Pretrain, or reuse, the asked-for run and its twins; judge each; print the leaderboard.

    Raises:
        ValueError, GateFailed: what the data do not suffice for, before anything is trained.
    """
    benches, notes = suites.parts(bench)
    for part in benches:
        part.check(part.members, judged=True)
    reference = bench.cfg.leaderboard.reference
    kept = [
        {run.digest: suites.known(part, run) for run in part.members[1:] if reference} for part in benches
    ]
    runs = [
        [run for run in part.members if not had.get(run.digest)]
        for part, had in zip(benches, kept, strict=True)
    ]
    if bench.cfg.dry_run:
        show_plan(benches, runs)
        return []
    records: list[Record] = []
    for part, own, had in zip(benches, runs, kept, strict=True):
        records += [record for shipped in had.values() for record in shipped]
        records += [record for run in own for record in pretrain_and_judge(part, run)]
        records += blind(part)
    return finish(bench, records, notes)


def pretrain(bench: Workbench) -> list[str]:
    """Pretrain one encoder.

    Raises:
        ValueError: data that lack what the task needs, before anything is trained.
    """
    member = bench.members[0]
    bench.check([member], judged=False)
    if bench.cfg.dry_run:
        show_plan([bench], [[member]], judged=False)
        return []
    with logged(bench, member, done=Pretrained.read(member.folder) is not None) as logger:
        train(bench, member, logger)
    console.print(f"encoder: {member.folder}", soft_wrap=True)
    return []


def evaluate(bench: Workbench) -> list[str]:
    """Judge an encoder from anywhere; the table shows it beside what was recorded for its twins.

    Raises:
        ValueError: no encoder is named, or none by that name; no protocol that the data suffice for.
    """
    encoder = named_encoder(bench)
    benches, notes = suites.parts(bench)
    for part in benches:
        part.check_protocols()
    subject = members.own_subject(encoder, bench.cfg.label)
    if bench.cfg.dry_run:
        show_judging(benches, encoder, subject)
        return []
    records: list[Record] = []
    for part in benches:
        records += judged(part, encoder, subject, part.resolved(), seen=())
        records += blind(part)
    shared = {
        (r.subject.input, r.subject.backbone, r.evaluation.data) for r in records if not r.subject.blind
    }
    others = recorded(bench.records)
    records += [
        r
        for r in others.records
        if r.subject.pretext in members.TWINS
        and (r.subject.input, r.subject.backbone, r.evaluation.data) in shared
    ]
    return finish(bench, records, (*notes, *others.notes))


def leaderboard(bench: Workbench) -> list[str]:
    """Print the table of everything that was recorded under `output`, or of the rows that are chosen.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows.
    """
    by = filters.asked(HydraConfig.get().overrides.task)
    records, notes = recorded(bench.records)
    if bench.cfg.suite is not None and bench.cfg.leaderboard.reference:
        records += frozen.reference(f"{bench.cfg.suite.name} v{bench.cfg.suite.version}")
    if not records:
        raise ValueError(f"{bench.records} has no records; run job=benchmark first")
    show_board(bench.output, filters.chosen(records, by), bench.cfg.leaderboard, notes)
    return []


def status(bench: Workbench) -> list[str]:
    """Print how far a sweep and the runs under `output` are; computes nothing.

    Raises:
        ValueError: nothing was started there, or `sweep` is no sweep's folder.
    """
    show_status(bench.output, bench.cfg.sweep)
    return []


def protocols(_: Workbench) -> list[str]:
    """Print what `downstream=[…]` takes; computes nothing."""
    show_protocols()
    return []


def cka(bench: Workbench) -> list[str]:
    """Print how alike two encoders are, stage by stage.

    Raises:
        ValueError: an encoder that is not named, or not there.
    """
    show_similarity(bench)
    return []


def colorize(bench: Workbench) -> list[str]:
    """Colour photographs with a pretrained run: gray | coloured | original, side by side.

    Raises:
        ValueError: no image is named, or the run is not there or cannot colour; images that could not be
            read, when the others are coloured.
    """
    if bench.cfg.image is None:
        raise ValueError("job=colorize needs image=FILE or image=FOLDER")
    targets = comparisons(Path(bench.cfg.image), bench.output / "colorized")
    folder = _colorizer(bench)
    if bench.cfg.dry_run:
        console.print(f"{len(targets)} images would be coloured by {folder}", soft_wrap=True)
        return []
    task = load_task(folder).to(bench.device)
    if not isinstance(task, ColouringTask):
        raise ValueError(f"{type(task).__name__} in {folder} predicts no colours")
    bad: list[BadImage] = []
    for image, target in targets.items():
        try:
            colorize_file(task, image, target, bench.cfg.size, bench.device)
        except BadImage as error:
            bad.append(error)
            console.print(f"left out: {error}", style="red", soft_wrap=True)
        else:
            console.print(str(target), soft_wrap=True)
    if bad:
        listed = "".join(f"\n  {error}" for error in bad)
        raise ValueError(f"{len(bad)} of {len(targets)} images could not be read:{listed}")
    return []


def _colorizer(bench: Workbench) -> Path:
    """The folder of the run that colours: the one that is named, else the one of this configuration."""
    if bench.cfg.encoder is not None:
        return Path(bench.cfg.encoder)
    alike = members.finished_alike(bench.cfg, bench.precision)
    if len(alike) == 1:
        return alike[0]
    name = bench.cfg.pretext.name
    if not alike and not list((bench.output / "runs").glob(f"{name}_*")):
        raise ValueError(f"no {name} was pretrained under {bench.output}; {_HOW_TO_COLOUR}")
    # Several, of data that changed on disk, or one from before a key of the configuration: by its digest.
    member = members.member(bench.cfg, bench.cfg.pretext, bench.data, bench.precision)
    if Pretrained.read(member.folder) is None:
        raise ValueError(
            f"{member.name} is not pretrained under this configuration ({member.folder} is not finished); "
            f"{_HOW_TO_COLOUR}"
        )
    return member.folder


def demo(_: Workbench) -> list[str]:
    """Show in half a minute what is measured; see `pretextbench.demo`."""
    from pretextbench.demo import show_demo  # which calls this module

    return show_demo()


JOBS: dict[str, Callable[[Workbench], list[str]]] = {
    "benchmark": benchmark,
    "pretrain": pretrain,
    "evaluate": evaluate,
    "leaderboard": leaderboard,
    "status": status,
    "protocols": protocols,
    "cka": cka,
    "colorize": colorize,
    "demo": demo,
}


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
        if member.parent is not None and "calibration" in member.spec:
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
            epoch_batches=budget.get("epoch_batches"),
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
