"""`records=[…]`: several people's records as those of one board, checked before they stand in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from downstream.judge.budgets import hold_to_budgets
from downstream.judge.consistent import alike_of_images, equally_resampled, hold_together, one_encoder_a_seed
from downstream.judge.record_files import rows_path, unpack_rows
from downstream.judge.records import RecordError
from downstream.judge.shared import Complain, Found, Rows, gather, once, rows_at_hand
from downstream.protocol import Judgement
from pretext.names import shown
from pretextbench import frozen
from pretextbench.console import console, progress
from pretextbench.recorded import LONGEST, Recorded

TOLD = 20
"""Faults that are said at once; more are counted."""
WANDB = "wandb:"
"""Beginning of a place that is a project of W&B."""
NO_ROWS = "without their per-example rows"


def merged(places: Sequence[str], output: Path, reference: bool) -> Recorded:
    """The records of these places, each score once, and what a reader must know of them.

    Args:
        places: folders and files, see `downstream.judge.shared.gather`; `wandb:ENTITY/PROJECT`.
        output: folder that what is pulled is kept in.
        reference: whether the rows that ship with the suites of these records stand beside them.

    Raises:
        RecordError: any that cannot be trusted; the message names file and line of each.
    """
    faults: list[str] = []
    found = gather(_paths(places, output), faults.append)
    if reference:
        labels = dict.fromkeys(one.record.evaluation.suite for one in found)
        shipped = [path for path in map(frozen.reference_path, labels) if path.is_file()]
        found += gather(shipped, faults.append)
    _of_their_suites(found, faults.append)
    alike_of_images(found, faults.append)
    one_encoder_a_seed(found, faults.append)  # before those of one evaluation are one
    rows = rows_at_hand(found)
    kept, repeated = once(found, lambda one: one.rows in rows, faults.append)
    unchecked = _check(kept, rows, faults.append)
    hold_together(kept, faults.append)
    equally_resampled(kept, faults.append)
    ungiven = hold_to_budgets(kept, faults.append)
    if faults:
        raise RecordError(_all_of(faults))
    notes = [f"Records of {', '.join(places)}."] + [
        f"{repeated} records are there more than once, with the same values: shown once."
    ] * bool(repeated)
    if unchecked:
        notes.append(
            f"{_counted(unchecked, kept)} were not computed again from their rows: {_told(unchecked)}."
        )
    if ungiven:
        what = "do not show what their pretraining was given and took"
        notes.append(f"{_counted(ungiven, kept)} {what}: {_told(ungiven)}.")
    for note in notes[1:]:
        console.print(note, style="yellow", soft_wrap=True)
    folders = dict.fromkeys(one.folder for one in kept)
    return Recorded([one.record for one in kept], tuple(notes), tuple(folders))


def _of_their_suites(found: Iterable[Found], complain: Complain) -> None:
    """A record that names a suite which is here is of the data and settings that its lock holds."""
    known = {lock.label: lock for lock in frozen.locks()}
    for one in found:
        e = one.record.evaluation
        lock = known.get(e.suite)
        if lock is not None and not lock.holds(one.record.data.digests, e.protocol, e.settings):
            complain(
                f"{one.where}: evaluation.suite is {e.suite!r}, which has no {e.protocol} of these settings "
                "on these images"
            )


def _counted(unchecked: Counter[str], kept: Sequence[Found]) -> str:
    return f"{sum(unchecked.values())} of {len(kept)} records"


def _told(unchecked: Counter[str]) -> str:
    return ", ".join(f"{count} {why}" for why, count in sorted(unchecked.items()))


def _paths(places: Iterable[str], output: Path) -> list[Path]:
    """Places on this machine; what lies on a server is fetched."""
    found: list[Path] = []
    for place in places:
        if place.startswith(WANDB):
            from pretextbench.pulled import pull

            found += pull(place.removeprefix(WANDB), output / "shared")
        else:
            found.append(Path(place))
    return found


def _check(found: Sequence[Found], rows: frozenset[Rows], complain: Complain) -> Counter[str]:
    """Hold records to their digests, and their values to their rows; how many were not, by the reason."""
    from pretextbench.rebuilt import Changed, Rebuilt, Unknown

    unchecked: Counter[str] = Counter()
    together: dict[tuple[Rows, int], tuple[Judgement, list[Found]]] = {}
    rebuilt = Rebuilt()
    for one in found:
        try:
            judgement = rebuilt.of(one.record)
        except Changed as error:
            complain(f"{one.where}: {error}")
        except Unknown as error:
            unchecked[NO_ROWS if one.rows not in rows else str(error)] += 1
        else:
            if one.rows in rows:
                together.setdefault((one.rows, id(judgement)), (judgement, []))[1].append(one)
            else:
                unchecked[NO_ROWS] += 1
    with progress("records") as move:
        for done, (((folder, name), _), (judgement, own)) in enumerate(together.items()):
            _hold_to_rows(own, rows_path(folder, name), judgement, complain)
            move("rows", done + 1, len(together))
    return unchecked


def _hold_to_rows(found: Sequence[Found], path: Path, judgement: Judgement, complain: Complain) -> None:
    from downstream.judge.recomputed import contradictions

    try:
        rows = unpack_rows(path)
    except RecordError as error:
        complain(str(error))
        return
    for place, problem in contradictions([one.record for one in found], rows, judgement):
        complain(f"{found[place].where}: {problem}")


def _all_of(faults: Sequence[str]) -> str:
    every = Counter(faults)  # of records on one line, one line
    more = f"\nand {len(every) - TOLD} more" if len(every) > TOLD else ""
    told = [
        shown(fault, LONGEST) + f" ({count} records)" * (count > 1)
        for fault, count in islice(every.items(), TOLD)
    ]
    return "records that cannot be used:\n" + "\n".join(told) + more
