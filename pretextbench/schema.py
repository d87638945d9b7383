"""Types and ranges of the configuration, so that `seed=abc`, `seed=-1` or a misspelt key fails at once.

What stands under a `_target_` is held to its signature in `pretextbench.targets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Annotated, Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf
from pydantic import Field

from pretextbench import hints, named_fields, names
from pretextbench.fitting import fit
from pretextbench.names import Label, Name

PLACES = (
    "output", "image", "reference", "scribbles", "encoder", "against", "head", "sweep", "data.root",
    "target.root", "monitor.root", "league.export", "leaderboard.export",
)  # fmt: skip
"""Keys whose value is a path, in which ~ is one's home."""
NEEDED = {"pretext": "name", "backbone": "_target_", "trainer": "epochs", "logger": "project"}
"""Groups of which something must be chosen, and a key that whatever is chosen has."""

Natural = Annotated[int, Field(ge=0)]
Counting = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Drops = list[tuple[Annotated[float, Field(gt=0, lt=1)], Positive]]
Project = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^/\\#?%:]*$")]
"""What W&B takes as the name of a project or an entity."""


class Device(Enum):
    """Where to compute: the first GPU if there is one, or as said."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """auto is bf16 on a GPU that has it, fp32 elsewhere; bf16 on a CPU is refused."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


@dataclass
class Job:
    """Which job is dispatched."""

    name: str = MISSING


@dataclass
class Needs:
    """What a task asks of the trainer and of the input; the command line has the last word, twins follow.

    A key that a task does not name is the trainer's own.
    """

    batch_size: Counting | None = None
    warmup: Share | None = None
    gradient_clip: Positive | None = None
    decay_end: Positive | None = None
    twin_lr: Positive | None = None
    input: str | None = None


@dataclass
class Pretext:
    """A pretext task with the optimiser its paper uses.

    needs: what else its paper needs, see `Needs`.
    parent: name of the pretext task whose trained checkpoint this one starts from.
    epochs, epoch_batches: override the trainer's (tasks of zero images say 0 epochs), as a task that sees an
        image several times needs fewer to see as much; its row stays among the trainer's.
    """

    name: Name = MISSING
    title: str = MISSING
    paper: str = MISSING
    task: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    needs: dict[str, Any] = field(default_factory=dict)
    epochs: Natural | None = None
    epoch_batches: Counting | None = None
    parent: str | None = None


@dataclass
class Trainer:
    """The pretraining budget, the same for every row of a table.

    drops: pairs (share of all steps, factor of the learning rate from there on); instead of the cosine.
    decay_end: weight decay at the end as a multiple of the optimiser's own, by a cosine; constant without.
    epoch_batches: so many batches are an epoch, drawn anew from all images; by default the whole set is.
    twin_lr: learning rate of the supervised twin, where the rows' network asks for another than its YAML's.
    """

    epochs: Natural = MISSING
    batch_size: Counting = MISSING
    warmup: Share = MISSING
    drops: list[Any] = field(default_factory=list)
    epoch_batches: Counting | None = None
    gradient_clip: Positive | None = None
    decay_end: Positive | None = None
    twin_lr: Positive | None = None
    accumulate: Counting = 1
    device: Device = Device.auto
    precision: Precision = Precision.auto
    validate_every: Counting = 1


@dataclass
class Logger:
    """W&B; local records are always written."""

    project: Project = MISSING
    entity: Project | None = None
    enabled: bool = True
    artifact: bool = True


class Notes(Enum):
    """Whether a terminal says how to read a table and what each column is, or what must be known alone."""

    short = "short"
    full = "full"


def _open() -> Any:
    """A mapping that takes any key, as the names of fields are not known before records are read."""
    return OmegaConf.create({}, flags={"struct": False})


@dataclass
class Leaderboard:
    """What stands in a table beside what was measured.

    published: numbers of others on the table's data sets. published_everywhere: all that are known.
    reference: rows of a suite that ship with it, beside one's own of that suite.
    rows, columns, sections: fields of records that these are made of, one or a list; by default the pretext
        tasks, the protocols, and what rows are compared within. where: by field, the value, or a list of
        values, that rows have.
    notes: what stands under the tables of a terminal; files have all of it.
    scores: write `scores.csv` and `scores.json` too: every metric and stage, one line a record.
    parquet: write the same lines as Parquet too, which takes pyarrow.
    export: file of JSON Lines that the chosen records are written to, with their rows in `rows/` beside it.
    push: log the chosen records to W&B, from where `records=[wandb:ENTITY/PROJECT]` takes them.
    """

    published: bool = False
    published_everywhere: bool = False
    reference: bool = False
    rows: Any = field(default_factory=list)
    columns: Any = field(default_factory=list)
    sections: Any = field(default_factory=list)
    where: Any = field(default_factory=_open)
    notes: Notes = Notes.short
    scores: bool = False
    parquet: bool = False
    export: Annotated[str, Field(pattern=r"\.jsonl(\.gz)?$")] | None = None
    push: bool = False


@dataclass
class League:
    """What job=colorize_benchmark does beside colouring.

    images: of test that are coloured, evenly spaced; null for all. entries: manifests of outside systems.
    reader: whether a classifier, trained on the set's colours, reads the coloured images. imagenet: whether
    one of ImageNet's classes does too, where its weights are installed. workers: processes that systems
    colour in, 0 for this one alone, null for one a core. export: a folder for the gray images
    that systems from outside are to colour; then nothing else is done.
    """

    images: Counting | None = 500
    entries: list[str] = field(default_factory=list)
    reader: bool = True
    imagenet: bool = True
    workers: Natural | None = None
    export: str | None = None


@dataclass
class Planning:
    """What job=plan is asked: how many seeds tell two rows apart.

    difference: of the rows, in points or the metric's unit. power: how often it is to be found. rows: how
    many are compared at once; null for as many as are recorded. seeds: numbers of seeds a row, whose least
    difference is said.
    """

    difference: Positive = 1.0
    power: Annotated[float, Field(gt=0.05, lt=1)] = 0.8
    rows: Annotated[int, Field(ge=2)] | None = None
    seeds: list[Annotated[int, Field(ge=3, le=1000)]] = field(default_factory=lambda: [3, 5, 10, 20])


@dataclass
class Suite:
    """A frozen benchmark; `suites.py` reads it.

    targets: what is judged on, options of the group `suite/NAME`; without any the configuration itself.
    """

    name: str = MISSING
    version: Counting = MISSING
    targets: list[str] = field(default_factory=list)


@dataclass
class Config:
    """The root.

    image: for job=colorize and job=predict, a file or folder; size: shorter side of the copy that the network
        sees when it colours.
    colorizer: for job=colorize, a system that colours without being a pretext task. reference: a picture, or
        a folder of pictures, to take colours from; scribbles: a picture of the colours at some pixels.
    colorizers: for job=colorize_benchmark, names of systems and of tasks; all without any.
    encoder: for job=evaluate, an encoder from anywhere; for job=colorize optionally a run's folder, for
        job=predict the encoder that the head was fitted on, where it is no run beside it.
    keep_heads: keep what protocols fit under `output`/heads, to predict new images. head: for job=predict,
        the folder of one.
    against: for job=cka, the encoder that `encoder` is compared with.
    encoder_arguments: of a foreign checkpoint's network, where its weights do not tell them.
    label: the row name of a judged encoder of one's own.
    records: for job=leaderboard and job=plan, whose records are shown together instead of those of `output`:
        folders of an `output`, folders and files of records, wandb:ENTITY/PROJECT.
    redo: make scores again whose scoring code has changed since; what else changes has a digest of its own.
    cache_gb: decimal gigabytes that cached features may take; null for any number.
    verify: compare cached images and features whole with what was written, not by sample.
    sweep: for job=status, the folder of a sweep; the newest under `output` without it.
    input_arguments: of the input, beside its name.
    calibration: of the asked-for run and its twins, after pretraining.
    initialisation: name of a task of zero images whose encoder the run starts from; its twins do not.
    """

    job: Job = field(default_factory=Job)
    pretext: Pretext = field(default_factory=Pretext)
    backbone: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None
    downstream: dict[str, Any] = field(default_factory=dict)
    trainer: Trainer = field(default_factory=Trainer)
    logger: Logger = field(default_factory=Logger)
    leaderboard: Leaderboard = field(default_factory=Leaderboard)
    league: League = field(default_factory=League)
    plan: Planning = field(default_factory=Planning)
    suite: Suite | None = None
    experiment: Any = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    input: str = "lightness"
    input_arguments: dict[str, Any] = field(default_factory=dict)
    initialisation: str | None = None
    calibration: dict[str, Any] | None = None
    output: str = "outputs"
    records: list[str] = field(default_factory=list)
    redo: bool = False
    cache_gb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 20.0
    verify: bool = False
    keep_heads: bool = False
    dry_run: bool = False
    image: str | None = None
    size: Counting = 64
    colorizer: dict[str, Any] | None = None
    reference: str | None = None
    scribbles: str | None = None
    colorizers: list[str] = field(default_factory=list)
    encoder: str | None = None
    head: str | None = None
    against: str | None = None
    encoder_arguments: dict[str, Any] = field(default_factory=dict)
    label: Label = None
    sweep: str | None = None


@cache
def register() -> None:
    """Make the schema known to Hydra, once; called before it composes."""
    ConfigStore.instance().store(name="schema", node=Config)
    # Of `output` before Hydra makes folders in it; an empty one is the root.
    OmegaConf.register_new_resolver("place", _output, replace=True)


def _output(given: str | None) -> str | None:
    try:
        return names.place(given)
    except ValueError as error:
        raise ValueError(f"output: {error}; it is {given!r}") from None


def check(cfg: DictConfig) -> None:
    """Refuse what nobody reads and what lies outside its range; put homes in place of `~`.

    Raises:
        ValueError: a key that the schema does not have (`+key=value` gets round it), a value out of its
            range, a name that is another's.
    """
    _known(cfg)
    for group, key in NEEDED.items():
        if key not in cfg[group] or OmegaConf.is_missing(cfg[group], key):
            if chosen := hints.chosen(group):
                raise ValueError(f"{group}={chosen}: its YAML has no {key!r}, and every {group} has one")
            raise ValueError(
                f"{group} was taken away, and every job needs one: {', '.join(hints.options(group))}"
            )
    for key in PLACES:
        _at_home(cfg, key)
    for number in range(len(cfg.records)):
        _at_home(cfg, f"records[{number}]")
    plain = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    fit(Config, plain, "")
    fit(Needs, plain["pretext"]["needs"], "pretext.needs")
    fit(Drops, plain["trainer"]["drops"], "trainer.drops")
    named_fields.check(plain["leaderboard"])
    for place in ("data", "target", "monitor"):
        if (given := (plain[place] or {}).get("name")) is not None:
            fit(Name, given, f"{place}.name")
    names.of_task(plain["pretext"]["name"], plain["pretext"]["task"].get("_target_", ""))


def _known(cfg: DictConfig) -> None:
    typed = {
        "": Config, "trainer": Trainer, "logger": Logger, "pretext": Pretext, "pretext.needs": Needs,
        "leaderboard": Leaderboard, "league": League, "plan": Planning,
    }  # fmt: skip
    for place, kind in typed.items():
        node = OmegaConf.select(cfg, place) if place else cfg
        known = [f.name for f in fields(kind)]
        for key in node:
            if key not in known:
                where = f" of {place}" if place else ""
                raise ValueError(f"there is no key {key!r}{where}; keys{where}: {', '.join(known)}")


def _at_home(cfg: DictConfig, key: str) -> None:
    given = OmegaConf.select(cfg, key, default=None)
    if not isinstance(given, str):
        return
    try:
        OmegaConf.update(cfg, key, names.place(given))
    except ValueError as error:
        raise ValueError(f"{key}: {error}; it is {given!r}") from None
