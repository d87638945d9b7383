"""What a step of each task costs beside a step of its bare networks, on as many images of the same sizes.

    python -m benchmarks.steps [NAME …] [--backbone resnet18 --images 16]

Writes benchmarks/results/steps.json. The task's step is what training does with a batch that is at hand:
views, loss, backward pass, optimiser, and what follows it (a teacher). The bare step passes noise through the
blocks of the same networks, as often, in the same shapes and layouts, with a gradient where the task had one,
and takes the same optimiser over them. Both take turns, so that what else the machine does falls on both
alike; the ratio is the median over rounds of one by the other. What a task adds, views, heads and losses, is
what is seen. Beside it stand what drawing the views takes of it, and the same ratio of multiply-adds (torch's
counter): a head that is a network of its own has its share there, views and what waits for memory not. Why a
task adds more than the limit is said in REASONS; one that is not there is named. Of NAMEs only these are
measured, and the others keep their figures.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.committed import RESULTS
from pretext.atomic import write_json
from pretext.backbones import Backbone
from pretext.data.loader import EpochLoader
from pretext.fit import Optimisation
from pretext.task import Images, Progress, Task
from pretextbench import heap, runs, schema
from pretextbench.configurations import CONF
from pretextbench.context import Context

FILE = RESULTS / "steps.json"
LIMIT = 1.08
SEEN = ("data.train=512", "data.val=64", "data.test=64")
WARM, ROUNDS = 2, 7
REASONS = {
    "a head that is a network of its own, which fills in, paints, predicts or generates": (
        "autoencoder", "bigan", "colorization", "colorization_class", "colorization_l2", "colorization_l2_ft",
        "dahl", "denoising", "ijepa", "iizuka", "inpainting", "larsson", "mae", "multi", "split_brain",
    ),
    "wide fully connected layers behind few passes of small tiles or patches": (
        "context_prediction", "exemplar", "jigsaw",
    ),
    "every cell is compared with a queue, and matched with every cell of the other view": ("densecl",),
    "views are drawn of every image and changed in colour, beside a small network": (
        "barlow_twins", "byol", "counting", "dino", "lejepa", "moco", "npid", "pirl", "simclr", "simsiam",
        "swav", "vicreg",
    ),
}  # fmt: skip
"""Why tasks add more than the limit, each once."""
NETWORKS = ("small", "vit_mini", "split_small")
"""Names of small networks of each kind that a task may ask for."""


class Pass(NamedTuple):
    """A pass through a layer: what it was given, as noise, and the gradient that came back; None without."""

    layer: nn.Module
    given: tuple[Any, ...]
    gradient: Tensor | None


class Passes:
    """The passes of one step through the layers of a task's networks, to be made again on noise."""

    def __init__(self) -> None:
        self.made: list[Pass] = []
        self._inside = 0

    @contextmanager
    def watching(self, task: Task) -> Iterator[None]:
        """Note every pass while it lasts."""
        networks = [module for module in task.modules() if isinstance(module, Backbone)]
        layers = {part for network in networks for layer in network.layers() for part in layer}
        with ExitStack() as hooks:
            for layer in layers:
                hooks.callback(layer.register_forward_pre_hook(self._enter).remove)
                hooks.callback(layer.register_forward_hook(self._leave).remove)
            yield

    def again(self) -> None:
        """Make all passes, forward and backward."""
        outputs, gradients = [], []
        for layer, given, gradient in self.made:
            for value in given:
                if isinstance(value, Tensor):
                    value.grad = None
            with torch.set_grad_enabled(gradient is not None):
                output = layer(*given)
            if gradient is not None:
                outputs.append(output)
                gradients.append(gradient)
        torch.autograd.backward(outputs, gradients)

    def parameters(self) -> list[nn.Parameter]:
        """What a gradient reaches, each once."""
        layers = [one.layer for one in self.made if one.gradient is not None]
        return [
            p for p in dict.fromkeys(p for layer in layers for p in layer.parameters()) if p.requires_grad
        ]

    def _enter(self, layer: nn.Module, given: tuple[Any, ...]) -> None:
        self._inside += 1

    def _leave(self, layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        self._inside -= 1
        if not self._inside:  # the outermost: a network may lie in another
            gradient = torch.randn_like(output) if output.requires_grad else None
            self.made.append(Pass(layer, tuple(map(_noise, given)), gradient))


def _noise(value: Any) -> Any:
    """Noise in the place of a tensor: of its shape, layout and need of a gradient."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    return torch.randn_like(value).requires_grad_(value.requires_grad)


def measure(name: str, backbone: str, most: int | None, rounds: int) -> dict[str, Any]:
    """Median seconds of both steps of a task, and of their ratio.

    Args:
        backbone: where the task takes it.
        most: images of a batch at most; None for those that the task needs.
    """
    cfg = compose("config", [*on_a_network(name, backbone), *SEEN])
    context = Context(cfg)
    run = runs.one(cfg, cfg.pretext, context.data, "32-true")
    torch.manual_seed(0)
    task, optimisation = runs.build_task(run).train(), runs.build_optimisation(run)
    assert optimisation is not None
    size = min(int(run.spec["budget"]["batch_size"]), most or sys.maxsize)
    loader = EpochLoader(context.data.train, size, shuffle=False, drop_last=True, device=torch.device("cpu"))
    with tempfile.TemporaryDirectory() as cache:
        task.prepare(loader, Path(cache))
    task.eval()
    with torch.no_grad():
        task.before_epoch(loader, Progress(0, 100, 0.0))
    task.train()
    images = next(iter(loader))
    step, passes = stepping(task, optimisation, images), Passes()
    with passes.watching(task):
        step()
    bare = alone(passes, optimisation)
    work = flops(step) / flops(bare)
    for _ in range(WARM):
        step(), bare()
    generator = torch.Generator().manual_seed(0)

    def draw() -> object:
        return task.views(images, generator)

    taken = [(seconds(step), seconds(bare), seconds(draw)) for _ in range(rounds)]
    return {
        "network": str(run.spec["backbone"]["_target_"]).rpartition(".")[2],
        "images": size,
        "step s": round(statistics.median(own for own, _, _ in taken), 4),
        "bare s": round(statistics.median(other for _, other, _ in taken), 4),
        "step / bare": round(statistics.median(own / other for own, other, _ in taken), 3),
        "views / bare": round(statistics.median(drawn / other for _, other, drawn in taken), 3),
        "multiply-adds / bare": round(work, 3),
    }


def on_a_network(name: str, backbone: str = NETWORKS[0]) -> list[str]:
    """A task as its YAML states it, on a backbone, or else the first of NETWORKS that it takes."""
    kind: type[Task] = get_class(compose("config", [f"pretext={name}"]).pretext.task["_target_"])
    for each in (backbone, *NETWORKS):
        network = get_class(compose("config", [f"backbone={each}"]).backbone["_target_"])
        if issubclass(network, kind.takes):
            return [f"pretext={name}", f"backbone={each}"]
    raise ValueError(f"pretext={name} takes none of {backbone}, {', '.join(NETWORKS)}")


def stepping(task: Task, optimisation: Optimisation, images: Images) -> Callable[[], None]:
    """A step of a task on a batch, in the order in which training takes it."""
    optimizer, generator = optimisation.optimizer(task.param_groups()), torch.Generator().manual_seed(0)
    progress = Progress(1, 100, 0.5)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(task.views(images, generator)).loss)
        task.before_step(progress)
        optimizer.step()
        task.after_step(progress)

    return step


def alone(passes: Passes, optimisation: Optimisation) -> Callable[[], None]:
    """A step of the bare networks."""
    optimizer = optimisation.optimizer([{"params": passes.parameters()}])

    def step() -> None:
        optimizer.zero_grad()
        passes.again()
        optimizer.step()

    return step


def unexplained(tasks: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Tasks that add more than the limit, of which REASONS says nothing."""
    named = {name for names in REASONS.values() for name in names}
    return [name for name, own in tasks.items() if own["step / bare"] > LIMIT and name not in named]


def flops(way: Callable[[], object]) -> int:
    """What torch counts in one call."""
    with FlopCounterMode(display=False) as counter:
        way()
    return int(counter.get_total_flops())


def seconds(way: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def main() -> None:
    """Measure, write the result, and say what the median is and which tasks' figures have no reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbone", default=NETWORKS[0], help="where a task takes it")
    parser.add_argument("--images", type=int, help="of a batch, at most")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    heap.keep()  # as the commands do
    schema.register()
    found = json.loads(FILE.read_text())["tasks"] if arguments.names and FILE.is_file() else {}
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        every = sorted(path.stem for path in (CONF / "pretext").glob("*.yaml"))
        trained = [name for name in every if compose("config", [f"pretext={name}"]).pretext.epochs != 0]
        for name in arguments.names or trained:
            found[name] = measure(name, arguments.backbone, arguments.images, arguments.rounds)
            print(name, found[name], flush=True)
    report = {
        "machine": {"processor": platform.machine(), "threads": arguments.threads},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "limit": LIMIT,
        "tasks": dict(sorted(found.items())),
    }
    write_json(FILE, report)
    middle = statistics.median(figures["step / bare"] for figures in found.values())
    print(f"median {middle:.3f}, limit {LIMIT}; above it for no reason that is said: {unexplained(found)}")


if __name__ == "__main__":
    main()
