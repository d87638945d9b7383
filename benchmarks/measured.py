"""What benchmarks measured, as the sections of docs/results.md that are no tables of records."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from benchmarks.agreement import accuracies, agreements, settled_from
from benchmarks.committed import RESULTS
from benchmarks.heap import RATIO
from benchmarks.steps import REASONS, unexplained


def colour_quality() -> str:
    """AuC of the colorizers, as `benchmarks/colour_quality.py` measured it."""
    found = _measured("colour_quality")
    measures = ("auc", "auc_balanced")
    rows = []
    for row in found["rows"]:
        cells = [_with_interval(sum(row[m]) / len(row[m]), row["interval"][m]) for m in measures]
        rows.append([row["name"].replace("_", " "), str(len(row["seeds"])), *cells])
    pairs = []
    for row in found["pairs"]:
        cells = [
            _with_interval(value, row["interval"][m], "+")
            for value, m in zip(row["difference"], measures, strict=True)
        ]
        first, second = (name.replace("_", " ") for name in row["pair"])
        pairs.append([f"{first} − {second}", *cells])
    text = (
        f"{found['data']}, {found['images']} test images; the area under the curve of ab errors up to 150, "
        "pixels counted alike and balanced by the frequency of their colour (arXiv:1603.08511). Means over "
        "n seeds; in brackets 95 % intervals over test images, paired for differences. "
        "`python -m benchmarks.colour_quality OUTPUT`"
    )
    tables = (
        table(["colours", "n", "AuC %", "balanced AuC %"], rows),
        table(["difference", "AuC", "balanced AuC"], pairs),
    )
    return "\n\n".join([text, *tables])


def _measured(name: str) -> Any:
    """What a benchmark wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: the first column of words, the others of numbers."""
    lines = ["|---" + "|---:" * (len(head) - 1) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", *lines])


def _with_interval(value: float, interval: list[float], sign: str = "") -> str:
    return f"{value:{sign}.2f} [{interval[0]:{sign}.2f}, {interval[1]:{sign}.2f}]"


def controls() -> str:
    """The controls of the scenes, as `benchmarks/scenes_controls.py` measured them."""
    found = _measured("scenes_controls")
    rows = [
        "| pretraining | colours of the scenes | linear probe, val mAP % | share of the gap |",
        "|---|---|---|---|",
    ]
    for row in found["rows"]:
        colour = row["colour"].replace("_", " ")
        rows.append(f"| {row['task']} | {colour} | {row['val_map']:.1f} | {100 * row['share']:.0f} % |")
    text = (
        f"One seed, {found['scenes']} scenes, {found['epochs']} epochs, read on val alone. The share is "
        "that of the gap from random to supervised. Colour follows the class (semantic), is drawn for each "
        "object, or comes from another scene. `python -m benchmarks.scenes_controls`"
    )
    return text + "\n\n" + "\n".join(rows)


def intervals() -> str:
    """Coverage of the intervals of these tables, as `benchmarks/intervals.py` simulated it."""
    found = _measured("intervals")
    held = ("mean", "mean, another row", "difference, other number of seeds")
    apart = ("difference", "difference, other rows")
    shares = ("share", "share, first row its twin", "share, small gap")
    rows = []
    for row in found["points"]:
        of = {name: 100 * own["held"] for name, own in row["holds"].items()}
        cells = [f"{of[name]:.1f}" for name in held] + [f"{100 - of[name]:.1f}" for name in apart]
        for name in shares:
            given = 100 * row["holds"][name]["given"]
            cells.append(f"{of[name]:.1f}" + (f" ({given:.0f})" if given < 99.5 else ""))
        rows.append([row["effects"], str(row["seeds"]), f"×{row['spread']}", *cells])
    settings = found["settings"]
    small, large = (f"{settings['gaps'][name]:g}" for name in (shares[2], shares[0]))
    over = [100 - 100 * row["holds"][name]["held"] for row in found["points"] for name in _over_seeds(row)]
    text = (
        f"{settings['worlds']} made worlds a line (standard error 0.5), read with the functions that make "
        "the tables above. A score has effects of its seed, of the images and of both together, as large "
        f"as on the photographs or on the scenes. {settings['rows']} rows have one truth and n seeds; one, "
        "called a, has a spread between seeds that is a multiple of the others'; b is another. In %: how "
        "often an interval holds the truth, of a mean, and of the difference of a from a row of 3 seeds "
        "(of 5 where n = 3); how often two rows are called different (A/A), a and b, or two others; how "
        f"often the interval of the share of the gap holds it, the gap {large} standard deviations between "
        f"seeds (a is read; a is the random twin) or {small} (a is read), in brackets in how many worlds "
        "it is given. Nominal: 95, and 5 for A/A. With 2 and 3 seeds they are on the safe side: so few "
        "cannot show that a row's variance is that of the others, so its own is taken often. With one "
        "seed all is over images, given the seeds: of two runs of one task that differ in their seed "
        f"{min(over):.0f} to {max(over):.0f} % are called different, which is why single runs are never "
        "marked. `python -m benchmarks.intervals`"
    )
    head = ["effects as on", "n", "spread", "mean a", "mean b", "difference", "A/A a", "A/A b"]
    return text + "\n\n" + table([*head, "share", "share, twin", "share, small gap"], rows)


def _over_seeds(row: Any) -> list[str]:
    """What says of a single run how it would do if it spoke of other seeds."""
    return [name for name in row["holds"] if name.endswith("over seeds")]


def families() -> str:
    """Errors in whole columns of these tables, as `benchmarks/families.py` simulated them."""
    found = _measured("families")
    names = ("all pairs", "beside the best", "beside the twin", "ranks", "each pair at 5 %")
    rows = []
    for row in found["points"]:
        shares = [f"{100 * row['wrong'][name]:.1f}" for name in names]
        rows.append([row["effects"], str(row["seeds"]), f"×{row['spread']}", *shares])
    settings = found["settings"]
    text = (
        f"{settings['worlds']} made worlds a line (standard error 0.5), as above: in how many % of them "
        f"anything in a column of {settings['rows']} rows is wrong. All have one truth; one has a spread "
        "between seeds that is a multiple of the others', and is their twin where they are read beside one. "
        "All pairs: any two rows are called separated, nominal 5. Beside the best: any row is called "
        "separated from the best. Beside the twin: any row is called separated from it, nominal 5. Ranks: "
        "where truths differ, any true rank lies outside of those a row may have; below 5, since fewer pairs "
        "are alike. The last column is what marks at 5 % a pair would do. Of two seeds nothing is said in a "
        "table, and of one there is nothing to say. "
        "`python -m benchmarks.families`"
    )
    return text + "\n\n" + table(["effects as on", "n", "spread", *names], rows)


def tuning() -> str:
    """Probes on val of every trial of a task's rate and decay, as `benchmarks/tuning.py` made them."""
    found = _measured("tuning")
    settings = [(rate, decay) for rate in found["rates"] for decay in found["decays"]]
    rows = []
    for name, made in groupby(found["trials"], key=lambda one: one["task"]):
        trials = {(one["rate"], one["decay"]): one for one in made}
        best = max(one["linear"] for one in trials.values())
        texts = {}
        for key, one in trials.items():
            bold = "**" * (one["linear"] == best)
            texts[key] = f"{bold}{100 * one['linear']:.1f} · {100 * one['knn']:.1f}{bold}"
        cells = [texts.get(key, "–") for key in settings]
        rows.append([name, *cells, f"{100 * (best - trials[1, 1]['linear']):.1f}"])
    tried = [f"×{rate:g} · ×{decay:g}" for rate, decay in settings]
    return (
        "Each task once with its YAML's learning rate and weight decay times these factors: a quarter of "
        "the views of `suite=tiny64`, seed 0, a linear probe and a vote of neighbours on CIFAR-10's val "
        "(top-1, %); test was not looked at. Bold: best by the linear probe; behind, by how much that lies "
        "above the recipe as stated. What takes no step has neither rate nor decay. A gap between two "
        "tasks is to be read against these within one. "
        "`python -m benchmarks.tuning`\n\n" + table(["rate · decay", *tried, "best − stated"], rows)
    )


def settled() -> str:
    """Orders of tasks at several budgets, as `benchmarks/budgets.py` read them on val."""
    trials = _measured("budgets")["trials"]
    scores = accuracies(trials)
    times = sorted({one["times"] for one in trials})
    rows = [
        [
            task.replace("_", " "),
            *(
                f"{100 * statistics.fmean(scores[task, t].values()):.1f}" if (task, t) in scores else "–"
                for t in times
            ),
        ]
        for task in sorted({one["task"] for one in trials})
    ]
    found = list(agreements(trials))
    pairs = [
        [
            f"×{each.few:g} and ×{each.many:g}",
            str(len(each.tasks)),
            "{:.2f} [{:.2f}, {:.2f}]".format(*each.tau),
            str(len(each.tasks) * (len(each.tasks) - 1) // 2),
            str(each.apart),
            str(each.turned),
        ]
        for each in found
    ]
    least = settled_from(found)
    text = (
        "Each task pretrained anew on so many times the views of `suite=tiny64`, with a schedule of that "
        "length, seed 0: the mean of a linear probe and a vote of neighbours on val of Tiny ImageNet and "
        "CIFAR-10 (top-1, %); test was not looked at. At ×0 are those that take no step, which stand beside "
        "the others at every budget. Below, Kendall's τ of the orders at two budgets, the mean over the "
        "four, with 95 % intervals over val images, of which resamples agree less than all of them do; of "
        "the order of other seeds they say nothing. Behind, pairs that are told apart at both budgets (each "
        "by itself at 95 %, paired by image, by the mean above), and how many of these changed places. "
        + (f"From ×{least:g} on none did. " if least is not None else "")
        + "`python -m benchmarks.budgets OUTPUT NAME …`"
    )
    tables = (
        table(["views", *(f"×{t:g}" for t in times)], rows),
        table(["budgets", "tasks", "τ", "pairs", "told apart", "turned round"], pairs),
    )
    return "\n\n".join([text, *tables])


def speed() -> str:
    """Ratios that were measured side by side in one run, and the limits they are held to."""
    probes, knn, svm, heap = map(_measured, ("probes", "knn", "svm", "heap"))
    grid, extraction = probes["limits"]
    lines = [
        (grid, probes["probes"][grid], f"≤ {probes['limits'][grid]:g}"),
        (extraction, probes["extraction"][extraction], f"≥ {probes['limits'][extraction]:g}"),
        (
            "kNN of 24 settings / bare matrix product and top-k",
            knn["nearest neighbours"]["ours, 24 settings"]["wall times bare"],
            f"≤ {knn['limit, times bare']:g}",
        ),
        (
            "loop over LinearSVC / grid of SVMs, CPU seconds",
            svm["times faster, CPU seconds"],
            f"≥ {svm['limits']['times faster']:g}",
        ),
        (f"training {RATIO}", heap[RATIO], f"≥ {heap['limit']:g}"),
    ]
    rows = [[what, f"{value:.3g}", limit] for what, value, limit in lines]
    text = (
        f"On {probes['machine']['threads']} threads, {probes['machine']['processor']}. "
        "`python -m benchmarks.probes`, `benchmarks.knn`, `benchmarks.svm`, `benchmarks.heap`"
    )
    return text + "\n\n" + table(["ratio", "measured", "limit"], rows)


def steps() -> str:
    """What a step of each task costs beside its bare networks', as `benchmarks/steps.py` measured it."""
    found = _measured("steps")
    tasks = dict(sorted(found["tasks"].items(), key=lambda item: -item[1]["step / bare"]))
    above = [name for name, own in tasks.items() if own["step / bare"] > found["limit"]]
    rows = [
        [
            f"**{name}**" if name in above else name,
            own["network"],
            f"{own['images']}",
            *(f"{own[key]:.2f}" for key in ("step / bare", "views / bare", "multiply-adds / bare")),
        ]
        for name, own in tasks.items()
    ]
    middle = statistics.median(own["step / bare"] for own in tasks.values())
    text = (
        "A training step of each task on a batch that is at hand, by the time of a step of its bare networks "
        f"on as many images of the same sizes, with the same optimiser: median {middle:.2f}, where "
        f"{found['limit']:g} is asked for. Views: what drawing them takes of that; multiply-adds: the same "
        f"ratio of those. On {found['machine']['threads']} threads, {found['machine']['processor']}. "
        "`python -m benchmarks.steps NAME --backbone … --images …`, with those of its line."
    )
    head = ["task", "network", "images", "step / bare", "views / bare", "multiply-adds / bare"]
    why = [(reason, [name for name in names if name in above]) for reason, names in REASONS.items()]
    why.append(("unexplained", unexplained(tasks)))
    said = [f"- {reason}: {', '.join(names)}" for reason, names in why if names]
    parts = [text, table(head, rows)]
    return "\n\n".join([*parts, "Above it, in bold, and why:\n\n" + "\n".join(said)] if said else parts)
