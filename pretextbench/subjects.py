"""Whose score it is: a run of this configuration, or an encoder, by what was saved with it."""

from __future__ import annotations

from typing import Any

from downstream.judge.evaluate import effort_of
from downstream.judge.plain import check
from downstream.judge.records import Subject
from downstream.judge.seeds import called
from downstream.judge.shared import unprintable
from pretext import described
from pretext.encoder import Encoder
from pretext.names import shown
from pretextbench import names
from pretextbench.runs import Run, build_calibration, images


def of_run(run: Run, encoder: Encoder | None) -> Subject:
    """Whose score a run's is; without the encoder, before it is there, just enough to address evaluations."""
    spec = run.spec
    about = {} if encoder is None else encoder.provenance
    return Subject(
        pretext=run.name,
        backbone="" if encoder is None else encoder.network,
        input=spec["input"] if encoder is None else encoder.sees,
        calibration=_calibration(run),
        pretraining=images(run),
        pretraining_digest="" if run.trained_on else spec["data"]["train"],
        budget=run.budget,
        images_seen=int(about.get("images_seen", 0)),
        recipe=run.recipe,
        twins=run.twins,
        run=run.digest,
        seed=spec["seed"],
        precision=spec["precision"],
    )


def _calibration(run: Run) -> str:
    """What was done to the weights without labels; the twin of no training goes by its group's name."""
    if run.spec["calibration"]:
        return build_calibration(run.spec["calibration"]).name
    return "none" if run.spec["budget"]["epochs"] or run.trained_on else "batchnorm"


def of_encoder(encoder: Encoder, label: str | None, seed: int | None = None) -> Subject:
    """Whose score a saved encoder's is, by what was saved with it.

    Args:
        label: the row's name; without it that of the task the encoder says it was pretrained by.
        seed: what it is called by. Encoders of one name, network and input that are called by seeds are one
            row.

    Raises:
        ValueError: an encoder that goes by a name that nobody may have, that says of itself what no record
            can hold, or that it is of another seed.
    """
    weights = encoder.digest()
    try:
        subject = _of_seed(_said(encoder, label, weights), encoder, label, seed)
        check(subject)
        effort_of(encoder)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"the encoder says of itself what cannot be: {shown(error)}") from error
    if problem := unprintable(subject, "provenance"):
        raise ValueError(f"the encoder says of itself what cannot be: {problem}")
    return subject


def _said(encoder: Encoder, label: str | None, weights: str) -> Subject:
    about = encoder.provenance
    own = names.name(str(about.get("task") or "own"))
    return Subject(
        pretext=label or own,
        backbone=encoder.network,
        input=encoder.sees,
        calibration=str(about.get("calibration", "none")),
        pretraining=str(about.get("data_name", "")),
        pretraining_digest=str(about.get("data", "")),
        budget=_budget_of(about),
        images_seen=int(about.get("images_seen", 0)),
        recipe=str(about.get("recipe", weights)),
        twins={str(name): str(recipe) for name, recipe in about.get("twins", {}).items()},
        run=str(about.get("run", weights)) if label is None else weights,
        seed=int(about.get("seed", 0)),
        precision=str(about.get("precision", "unknown")),
    )


def _of_seed(subject: Subject, encoder: Encoder, label: str | None, seed: int | None) -> Subject:
    """The subject as one seed of a row; an encoder that says its seed, as one trained here, has that."""
    if seed is None or encoder.provenance.get("seed") == seed:
        return subject
    if "seed" in encoder.provenance:
        raise ValueError(f"seed {subject.seed}, and seed={seed} is another's")
    if label is None:
        raise ValueError(
            f"seed={seed} is one of a row's, and label=… says of which: {subject.pretext} is of it alone"
        )
    return called(subject, seed)


def _budget_of(about: dict[str, Any]) -> str:
    """The budget that a saved encoder was pretrained with; one from elsewhere is like no other's."""
    if "budget" in about:
        return str(about["budget"])
    if "epochs" in about:  # as it was saved before budgets were
        return described.budget(int(about["epochs"]), None, 0)
    return "" if about.get("weights") == "random" else "unknown"
