"""The leaderboard of some records: printed, written, with the pictures that belong to it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from downstream import leaderboard
from downstream.digest import digest, short
from downstream.judge import class_names
from downstream.judge.record_files import picture_path
from downstream.judge.records import Record, RecordError
from downstream.leaderboard import Beside, Board, Published, View, fields, parquet
from downstream.leaderboard.page import Curve, Picture
from pretext.atomic import write_bytes
from pretext.names import slug
from pretextbench import costs, critical_difference, curves, filters, frozen
from pretextbench.commands import command
from pretextbench.console import console
from pretextbench.merging import merged
from pretextbench.named_fields import axes, wanted
from pretextbench.recorded import Recorded, recorded
from pretextbench.schema import Notes
from pretextbench.staleness import marked


def chosen_records(cfg: DictConfig) -> Recorded:
    """What lies under `output`, or where `records` says, and ships with the suite, of the chosen rows.

    Raises:
        ValueError: nothing was recorded yet, nothing that can be read, or nothing of the names given; a key
            that chooses no rows.
        RecordError: records of several people of which some cannot be trusted.
    """
    by = filters.asked(HydraConfig.get().overrides.task, cfg.job.name)
    folder = Path(cfg.output) / "records"
    if cfg.records:
        found = merged(list(cfg.records), Path(cfg.output), cfg.leaderboard.reference)
    else:
        found = recorded(folder)
    records = found.records
    if cfg.suite is not None and cfg.leaderboard.reference:
        records += frozen.reference(frozen.label_of(cfg.suite.name, cfg.suite.version))
    elif cfg.leaderboard.reference and not cfg.records:
        records += _reference(records)
    if not records:
        raise ValueError(f"{folder} has no records; run job=benchmark first")
    return found._replace(records=filters.chosen(records, by, wanted(cfg.leaderboard)))


def shipped(records: Sequence[Record]) -> set[str]:
    """Which evaluations of the suites of these records ship with them."""
    return {record.evaluation.digest for record in _reference(records)}


def show_board(
    output: Path,
    records: Sequence[Record],
    settings: DictConfig,
    notes: Sequence[str] = (),
    folders: Sequence[Path] = (),
) -> Path:
    """Print the table, write it and its pictures to `boards/<digest of its evaluations>`, name the folder.

    Args:
        output: the folder of runs, records and boards.
        records: of all rows; several of one evaluation count once.
        settings: of the leaderboard: which records, in which view; whether published numbers are shown too,
            and which.
        notes: what else a reader must know, under the first table.
        folders: where records lie, beside those of `output`.

    Raises:
        ValueError: a field that no record has, a value of one that none has, a view in which two scores meet.
    """
    every = [*records, *(_reference(records) if settings.reference else ())]
    where = wanted(settings)
    every = filters.narrowed(list({_key(record): record for record in every}.values()), where)
    ordered, changed = marked(every)
    view = View(*axes(settings))
    _refuse_empty(every, where)
    folder = folder_of(output, ordered, view, where)
    board = leaderboard.build(ordered)
    by = {fields.field(name, ordered): list(map(filters.said, values)) for name, values in where.items()}
    published, left_out = leaderboard.chosen_published(_published(board, settings), by)
    told = (*notes, *_on_choice(where), *left_out, *changed)
    tables = leaderboard.Tables(ordered, board, published, told, view)
    short = settings.notes is Notes.short
    try:
        runs = runs_at_hand(output)
        found = pictures_of(output, ordered, runs)
        classes = class_names.files((output / "records", *folders, frozen.FOLDER), ordered)
        shown = beside(ordered, found, runs)._replace(classes=class_names.read(classes, _tell))
        tables.write(folder, shown, scores=settings.scores, parquet=_parquet(settings))
        count = gather_pictures(found, folder / "pictures")
        count += draw(ordered, board, runs, folder / "pictures")
    finally:
        tables.show(console, short=short)  # after the files, which stay where nobody reads to the end
    console.print(f"Tables, a page and {count} pictures are in {folder}", soft_wrap=True)
    if short:
        console.print("The files say how to read them; leaderboard.notes=full does so here.", soft_wrap=True)
    return folder


def _tell(error: RecordError) -> None:
    console.print(f"{error}; classes are told by number", style="yellow", soft_wrap=True)


def _parquet(settings: DictConfig) -> bool:
    """Whether tables are to be written as Parquet too, and can be; what is missing is said."""
    if not settings.parquet or parquet.can_be_written():
        return bool(settings.parquet)
    console.print(
        "leaderboard.parquet=true takes pyarrow, which is not installed and comes with the extra "
        f"pretextbench[{parquet.EXTRA}]: tables are in CSV and JSON alone.",
        style="yellow",
        soft_wrap=True,
    )
    return False


def folder_of(
    output: Path,
    records: Sequence[Record],
    view: View | None = None,
    where: Mapping[str, Sequence[Any]] | None = None,
) -> Path:
    """Where the board of these records lies, by the digest of their evaluations, and of the view if any.

    And of what they were chosen by: of one evaluation that may be some of its records.
    """
    of: list[Any] = [sorted({record.evaluation.digest for record in records})]
    of += [*view] if view else []
    of += [[name, *map(filters.said, values)] for name, values in sorted((where or {}).items())]
    return output / "boards" / short(digest(of if len(of) > 1 else of[0]))


def _refuse_empty(records: Sequence[Record], where: Mapping[str, Sequence[Any]]) -> None:
    """Refuse records of which a table shows no score.

    Raises:
        ValueError: all are of stages that were not chosen on val.
    """
    encoders = [record for record in records if not record.subject.blind] or records
    if any(record.evaluation.primary and record.result.selected for record in encoders):
        return
    said = "; ".join(f"{name}={', '.join(map(fields.text, values))}" for name, values in where.items())
    stages = ", ".join(dict.fromkeys(record.evaluation.stage for record in encoders))
    raise ValueError(
        f"no score to show{f' of records with {said}' if said else ''}: of a row's stages a table has that "
        f"which was chosen on val, and none of these was ({stages})"
    )


def _on_choice(where: Mapping[str, Sequence[Any]]) -> list[str]:
    """What records were chosen by, and what this makes of a table, in words."""
    said = [f"{name}={', '.join(map(fields.text, values))}" for name, values in where.items()]
    if not said:
        return []
    stage = " Of stages, that which was chosen on val: rows that chose another are left out." * (
        not {"stage", "evaluation.stage"}.isdisjoint(where)
    )
    return [
        f"Of records with {'; '.join(said)} alone: intervals, marks and ranks are among these, and promise "
        f"too much where they were chosen by their scores.{stage}"
    ]


def show_league(
    output: Path, records: Sequence[Record], settings: DictConfig, notes: Sequence[str] = ()
) -> Path:
    """Print the tables of systems that colour, write them to `boards/<digest>`, name the folder."""
    folder = folder_of(output, records)
    tables = leaderboard.Tables(records, leaderboard.build(records), notes=notes)
    try:
        tables.write(folder, scores=settings.scores, parquet=_parquet(settings))
    finally:
        tables.show(console, leaderboard.LEAGUE, short=settings.notes is Notes.short)
    console.print(f"Tables and contact sheets are in {folder}", soft_wrap=True)
    return folder


def _reference(records: Sequence[Record]) -> list[Record]:
    """What ships with the suites that these records belong to."""
    labels = dict.fromkeys(record.evaluation.suite for record in records if record.evaluation.suite)
    return [record for label in labels for record in frozen.reference(label)]


def _published(board: Board, settings: DictConfig) -> tuple[Published, ...]:
    """Others' numbers that the settings ask for: on the table's own data sets, or all there are."""
    if settings.published_everywhere:
        return leaderboard.read_published()
    if not settings.published:
        return ()
    every = leaderboard.read_published()
    found = leaderboard.beside(board, every)
    if not found:
        known = ", ".join(dict.fromkeys(row.data for row in every))
        console.print(
            f"No published number is known on these data sets; leaderboard.published_everywhere=true shows "
            f"those on {known}.",
        )
    return found


def _key(record: Record) -> tuple[str, str, str, str]:
    """What tells two records of one folder apart."""
    return record.evaluation.digest, record.subject.pretext, record.evaluation.stage, record.evaluation.metric


def runs_at_hand(output: Path) -> dict[str, list[Path]]:
    """Folders of runs by the end of their names, the beginning of the run's digest."""
    found: dict[str, list[Path]] = {}
    for folder in sorted((output / "runs").glob("*_*")):
        found.setdefault(folder.name.rpartition("_")[2], []).append(folder)
    return found


def pictures_of(
    output: Path, records: Sequence[Record], runs: Mapping[str, Sequence[Path]]
) -> dict[str, Picture]:
    """The pictures of these evaluations and the last samples of their runs, by their names on a board.

    By rising seed, so that what comes first shows something of every row.
    """
    wanted: list[tuple[int, str, Picture]] = []
    seen = [(r.subject, r.evaluation) for r in records if not r.subject.blind]
    drawn = {(s.pretext, s.seed, e.data, e.protocol, e.digest): None for s, e in seen}
    for pretext, seed, data, protocol, evaluation in drawn:
        # Networks, inputs and settings may differ under one name: the address keeps them apart.
        name = f"{slug(pretext)}_s{seed}_{'_'.join(map(slug, (data, protocol, short(evaluation))))}.png"
        path = picture_path(output / "pictures", evaluation)
        wanted.append(
            (seed, name, Picture(evaluation, f"{pretext}, seed {seed}: {protocol} on {data}", path))
        )
    for pretext, seed, address in {(s.pretext, s.seed, s.run): None for s, _ in seen}:
        name = f"{slug(pretext)}_s{seed}_samples_{slug(short(address))}.png"
        caption = f"{pretext}, seed {seed}: samples of the pretext task on val"
        for folder in runs.get(short(address), ()):
            last = sorted((folder / "samples").glob("*.png"))[-1:]
            wanted += [(seed, name, Picture(address, caption, path)) for path in last]
    wanted.sort(key=lambda one: one[0])
    return {name: picture for _, name, picture in wanted if picture.path.is_file()}


def gather_pictures(found: Mapping[str, Picture], folder: Path) -> int:
    """Copy pictures under their names on a board; return how many."""
    if found:
        folder.mkdir(parents=True, exist_ok=True)
    for name, picture in found.items():
        shutil.copyfile(picture.path, folder / name)
    return len(found)


def beside(
    records: Sequence[Record], pictures: Mapping[str, Picture], runs: Mapping[str, Sequence[Path]]
) -> Beside:
    """What the page of a board shows beside its records: how its runs came along, and their pictures."""
    asked = dict.fromkeys(record.subject.run for record in records if not record.subject.blind)
    found = {
        run: [Curve(name, points) for name, points in curves.every(folder).items()]
        for run in asked
        for folder in runs.get(short(run), ())
    }
    left = "they lie in the folder pictures beside this page"
    return Beside(found, tuple(pictures.values()), left, command)


def draw(records: Sequence[Record], board: Board, runs: Mapping[str, Sequence[Path]], folder: Path) -> int:
    """Draw mean ranks over data sets, and of runs at hand how they came along, and cost; return how many."""
    over_sets = critical_difference.diagrams(board)
    if over_sets:
        write_bytes(folder / "critical_difference.png", critical_difference.picture(over_sets))
    subjects = [record.subject for record in records if not record.subject.blind]
    asked = {(s.pretext, s.run): None for s in subjects}
    found = [(name, path) for name, run in asked for path in runs.get(short(run), ())]
    came = [(name, curve) for name, path in found if (curve := curves.read(path))]
    if not came:
        return bool(over_sets)
    write_bytes(folder / "pretraining.png", curves.picture(came))
    points = costs.points(board, records)
    if len(points) > 1:
        write_bytes(folder / "cost.png", costs.picture(points))
    return 1 + bool(over_sets) + (len(points) > 1)
