"""The league: all who take part colour the same images, and are judged on those that all could colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from downstream.colorization.league import ColourLeague
from downstream.judge.address import evaluation_digest
from downstream.judge.headless import evaluate_rows
from downstream.judge.records import Record, Subject
from downstream.protocol import Judgement, Predictions
from pretext.data.cores import cores
from pretext.data.dataset import DataSet
from pretext.data.loader import EpochLoader
from pretext.data.split import subset
from pretext.fit import Pretrained
from pretext.spacing import evenly_spaced
from pretext.tasks.coloring import METRIC_STRIDE, balancing
from pretextbench import tracking
from pretextbench.board import show_league
from pretextbench.console import console, errors, progress
from pretextbench.context import Context
from pretextbench.league.coloring import Coloured, Judges, coloured
from pretextbench.league.contact import write_sheets
from pretextbench.league.entrants import Entrant, entrants
from pretextbench.league.exported import export
from pretextbench.league.external import entries
from pretextbench.league.interpreted import interpreter
from pretextbench.league.readers import reader, reader_run
from pretextbench.locks import locked
from pretextbench.runs import Run

BATCH = 64


class League(NamedTuple):
    """What takes part, on which images, judged how.

    data: the set that is coloured; of test those images that are looked at.
    """

    entrants: list[Entrant]
    data: DataSet
    judgement: ColourLeague
    reader: Run | None
    notes: tuple[str, ...]


def compare(context: Context) -> list[str]:
    """Colour, judge, show; return the evaluations.

    Raises:
        ValueError, GateFailed: see `pretextbench.jobs.colorize_benchmark`.
    """
    data = _looked_at(context)
    if context.cfg.league.export is not None:
        console.print(export(data.test, Path(context.cfg.league.export)), soft_wrap=True)
        return []
    colourless = context.data.train.colourless
    if colourless is not None and colourless.all():
        raise ValueError(f"job={context.cfg.job.name}: no training image of {context.data.name} has colour")
    league = _league(context, data)
    needed = [*(one.run for one in league.entrants), league.reader]
    context.check([run for run in needed if run is not None], judged=False)
    if context.cfg.dry_run:
        _show_plan(context, league)
        return []
    judges = Judges(
        balancing(
            EpochLoader(context.data.train, BATCH, shuffle=False, drop_last=False),
            context.cache / "pretext",
            METRIC_STRIDE,
        ),
        None if league.reader is None else reader(context, league.reader),
        context.device,
        cores() if context.cfg.league.workers is None else context.cfg.league.workers,
    )
    made = {one.name: _coloured(context, league, one, judges) for one in league.entrants}
    kept, notes = _common(league, made)
    judged = replace(data, test=subset(data.test, kept)) if len(kept) < len(data.test) else data
    records = []
    for one in league.entrants:
        found = made[one.name]
        records += _scored(context, league.judgement, judged, one, found, found.kept(kept))
    if reads := interpreter(data, context.device, context.cfg.league.imagenet):
        for one in league.entrants:
            found = made[one.name]
            rows = reads.rows(found, kept, _folder(context, league, one))
            records += _scored(context, reads.judgement, judged, one, found, rows)
    folder = show_league(context.output, records, context.cfg.leaderboard, (*league.notes, *notes))
    pictures = write_sheets(folder, judged.test, made, kept)
    _log(context, records, pictures)
    return list(dict.fromkeys(record.evaluation.digest for record in records))


def _looked_at(context: Context) -> DataSet:
    test, wanted = context.target.test, context.cfg.league.images
    if wanted is None or wanted >= len(test):
        return context.target
    return replace(context.target, test=subset(test, evenly_spaced(len(test), wanted)))


def _league(context: Context, data: DataSet) -> League:
    outside = entries(context.cfg.league.entries, data.test)
    names = list(context.cfg.colorizers)
    found, notes = entrants(context, names) if names or not outside else ([], [])
    if twice := {one.name for one in found} & {one.name for one in outside}:
        raise ValueError(f"league.entries: {', '.join(sorted(twice))} is the name of a system here already")
    run = reader_run(context)
    if run is None:
        judgement = ColourLeague(balance=context.data.train.digest)
    else:
        judgement = ColourLeague(run.digest, labelled=context.data.label_names == data.label_names)
    for note in notes:
        console.print(note, style="yellow", soft_wrap=True)
    # First those from outside: what is wrong with them shall not be seen after hours of training.
    return League([*outside, *found], data, judgement, run, tuple(notes))


def _coloured(context: Context, league: League, one: Entrant, judges: Judges) -> Coloured:
    """What a system makes of the images, made now or before."""
    folder = _folder(context, league, one)
    with locked(folder), progress(one.name) as move:
        found = coloured(one, league.data.test, judges, folder, move)
    for place, why in found.failed.items():
        errors.print(f"{one.name}: image {place} is left out: {why}", style="red", soft_wrap=True)
    return found


def _folder(context: Context, league: League, one: Entrant) -> Path:
    """Where what a system makes of these images is kept."""
    address = evaluation_digest(one.subject, league.judgement, league.data, context.runtime())
    return context.output / "coloured" / address


def _scored(
    context: Context,
    judgement: Judgement,
    judged: DataSet,
    one: Entrant,
    found: Coloured,
    rows: Predictions,
) -> list[Record]:
    return evaluate_rows(
        rows,
        found.cost,
        judgement,
        judged,
        context.runtime(),
        subject=_seen_by(one, found),
        records=context.records,
        config=one.config,
        flags=found.flags,
    )


def _common(league: League, made: Mapping[str, Coloured]) -> tuple[list[int], list[str]]:
    """Places of the images that everybody coloured, and who did not colour which.

    Raises:
        ValueError: there is none.
    """
    images = len(league.data.test)
    failed = {name: sorted(each.failed) for name, each in made.items() if each.failed}
    lost = {place for places in failed.values() for place in places}
    if len(lost) == images:
        counts = ", ".join(f"{name} {len(places)}" for name, places in failed.items())
        raise ValueError(f"no image was coloured by everybody: of {images} were not coloured {counts}")
    notes = [
        f"{name} could not colour {len(places)} of {images} images ({', '.join(map(str, places[:3]))}"
        f"{', …' * (len(places) > 3)}): they are left out for everybody."
        for name, places in failed.items()
    ]
    return [place for place in range(images) if place not in lost], notes


def _seen_by(one: Entrant, found: Coloured) -> Subject:
    effort = found.cost.pretraining
    return one.subject if effort is None else replace(one.subject, images_seen=effort.images)


def _log(context: Context, records: Sequence[Record], pictures: Sequence[Path]) -> None:
    """The table and the contact sheets, in W&B."""
    settings = context.cfg.logger
    if not settings.enabled:
        return
    with tracking.tracked(
        project=settings.project,
        entity=settings.entity,
        folder=context.output / "wandb",
        name=f"league_{context.target.name}",
        group=context.group,
        job=context.cfg.job.name,
        tags=[context.target.name],
        config=context.resolved(),
    ) as run:
        tracking.log_league(run, records, pictures)
    tracking.tell_how_to_sync(run)


def _show_plan(context: Context, league: League) -> None:
    """Say who would take part, and what is there of them."""
    images = len(league.data.test)
    console.print(f"{images} images of {league.data.name} would be coloured by:")
    for one in league.entrants:
        done = (_folder(context, league, one) / "coloured.json").is_file()
        trained = one.run is None or Pretrained.read(one.run.folder) is not None
        state = "coloured already" if done else "ready" if trained else "to be pretrained first"
        console.print(f"  {one.name} ({one.division.value}): {state}", soft_wrap=True)
