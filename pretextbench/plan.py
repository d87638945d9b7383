"""`dry_run=true`: what would run, what is done already, and about how long it takes here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from downstream.judge.address import evaluation_digest, reusable
from downstream.judge.evaluate import lacks_head
from downstream.judge.records import Record, Subject
from downstream.protocol import Protocol
from downstream.tuning.finetuning import Tuning
from pretext.data.dataset import DataSet
from pretext.data.loader import batches
from pretext.encoder import Encoder
from pretext.fit import Pretrained
from pretext.fit.effort import passes, views
from pretext.task import Images, Task, checked
from pretextbench import plans, runs, subjects, trial
from pretextbench.context import Context
from pretextbench.plans import Plan, Planned, Step
from pretextbench.recorded import recorded
from pretextbench.runs import Run

PROBE_STEPS = 3
"""Training steps that are timed to estimate the rest; the first of all is not counted."""


def show_plan(contexts: Sequence[Context], wanted: Sequence[Sequence[Run]], judged: bool = True) -> None:
    """Say what there is to do for the runs of each context. Nothing is written but packs of data."""
    found: list[Planned] = []
    for context, own in zip(contexts, wanted, strict=True):
        found = plans.joined([Plan(found, ""), Plan(_planned_runs(context, own, judged, found), "")])
    say(contexts[0], found)


def say(context: Context, found: list[Planned]) -> None:
    """Print the plan; in a sweep leave it for the one table at its end."""
    plan = Plan(found, f"{context.device}, {context.precision}")
    if context.in_sweep:
        plans.write(context.job_folder, plan)
    else:
        plans.show([plan])


def show_judging(contexts: Sequence[Context], encoder: Encoder, subject: Subject) -> None:
    """Say what there is to do to judge an encoder that is at hand."""
    given = Step(subject.run, subject.pretext, "given", 0.0)
    steps: list[Step] = []
    for context in contexts:
        encoder.to(context.device)
        images, _ = _sample(context.target, context.cfg.trainer.batch_size, context.device)
        forward = _timed(lambda shown=images: encoder(shown), context.device) / len(images)
        steps += _evaluations(context, subject, recorded(context.records).records, forward)
    say(contexts[0], [Planned(given, steps, 0.0)])


def _planned_runs(
    context: Context, wanted: Sequence[Run], judged: bool, before: Sequence[Planned]
) -> list[Planned]:
    """Each run and what is missing before it, once; what was planned before counts."""
    past = recorded(context.records).records if judged else []
    known = plans.joined(plans.read(context.job_folder.parent)) if context.in_sweep else []
    told = {run.run.key: run for run in (*known, *before)}
    found: dict[str, Planned] = {}
    for run in wanted:
        for each in (*context.missing_parents(run), run):
            if each.digest not in found:
                step, _, forward = told.get(each.digest) or _pretraining(context, each)
                found[each.digest] = Planned(step, [], forward)
        if judged:
            subject, forward = subjects.of_run(run, None), found[run.digest].forward
            found[run.digest].evaluations.extend(_evaluations(context, subject, past, forward))
    return list(found.values())


def _evaluations(context: Context, subject: Subject, past: Sequence[Record], forward: float) -> list[Step]:
    """The evaluations of one encoder."""
    where = f" on {context.target.name}" if context.cfg.target else ""
    steps = []
    for name, protocol in context.protocols.items():
        digest = evaluation_digest(subject, protocol, context.target, context.runtime())
        records = reusable(context.records, digest, protocol, context.runtime())
        again = lacks_head(records, protocol, context.heads)
        seconds = 0.0 if records and not again else _evaluation(context, protocol, past, forward)
        state = "to do" if not records else "to do (its head)" if again else "done"
        steps.append(Step(digest, f"{name}{where}", state, seconds))
    return steps


def _pretraining(context: Context, run: Run) -> Planned:
    """State of a run, seconds it still takes, and seconds that its encoder takes an image forward."""
    task = runs.build_task(run).to(context.device)
    images, labels = _sample(context.data, run.spec["budget"]["batch_size"], context.device)
    forward = _timed(lambda: task.encoder(images), context.device) / len(images)

    def planned(state: str, seconds: float, views: int = 0) -> Planned:
        return Planned(Step(run.digest, run.folder.name, state, seconds, views), [], forward)

    if Pretrained.read(run.folder) is not None:
        return planned("done", 0.0)
    first = [parent for parent in context.missing_parents(run) if parent.spec["budget"]["epochs"]]
    after = "".join(f", trains {parent.name} first" for parent in first)
    if run.spec["calibration"]:
        return planned(f"to do (calibration{after})", 300 * forward)
    budget = run.spec["budget"]
    epochs = budget["epochs"]
    if not epochs:
        return planned("to do (no training)", forward * min(2048, len(context.data.train)))
    trial.prepare(task, context.data.train, len(images), context.device)
    with passes(task) as seen:
        step = _timed(lambda: _step(task, Images(images, torch.arange(len(images)), labels)), context.device)
    steps = epochs * (budget["epoch_batches"] or len(context.data.train) // len(images))
    seen_views = round(steps * views(seen, images) / (1 + PROBE_STEPS))
    goes_on = ", goes on" if (run.folder / "last.ckpt").is_file() else ""
    said = f"{after}{goes_on}".removeprefix(", ")
    return planned(f"to do ({said})" if said else "to do", step * steps, seen_views)


def _sample(data: DataSet, count: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor | None]:
    pixels = next(iter(batches(data.train, count))).to(device)
    labels = data.train.labels
    if labels is None:
        return pixels, None
    few = torch.from_numpy(labels[: len(pixels)].copy()).to(device)
    return pixels, few.float() if few.dim() == 2 else few.long()


def _step(task: Task, images: Images) -> None:
    shown = task.views(images, torch.Generator().manual_seed(0))
    torch.autograd.backward(checked(task.loss(shown), task).loss)


def _timed(work: Any, device: torch.device) -> float:
    """Median seconds of a few calls after one that is not counted."""
    taken = []
    for _ in range(1 + PROBE_STEPS):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def _evaluation(context: Context, protocol: Protocol, past: Sequence[Record], forward: float) -> float:
    """Seconds of an evaluation: as long as it took before here, else by the images it handles."""
    device = "cpu" if context.device.type == "cpu" else torch.cuda.get_device_name(context.device)
    before = [
        record.cost.seconds
        for record in past
        if record.evaluation.protocol == protocol.name
        and record.evaluation.data == context.target.name
        and record.cost.device == device
        and not record.subject.blind
    ]
    if before:
        return statistics.median(before)
    train = min(
        getattr(protocol, "train_limit", None) or len(context.target.train), len(context.target.train)
    )
    once = train + len(context.target.val) + len(context.target.test)
    recipe = getattr(protocol, "recipe", None)
    trained = recipe.steps(train) * recipe.batch_size if isinstance(recipe, Tuning) else train
    return forward * (once + (3 if protocol.trains_encoder else 1) * trained)
