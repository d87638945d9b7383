"""What the paper's full recipe costs, worked out from the network: writes docs/zhang16.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn

from pretext import inputs
from pretext.backbones.cost import macs, parameter_count
from pretext.encoder import Encoder
from pretextbench import schema
from pretextbench.runs import plain

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "zhang16.md"
PASSES = 3
"""Forward once, backward twice: by the input and by the weights."""


class Machine(NamedTuple):
    """An assumption: peak by the maker's sheet in TFLOP/s, and the share of it that training reaches."""

    name: str
    peak: float
    share: float


MACHINES = (
    Machine("Titan X (Maxwell), fp32", 6.7, 0.5),
    Machine("V100, fp32", 15.7, 0.6),
    Machine("A100, TF32", 156.0, 0.4),
    Machine("H100, bf16", 989.0, 0.35),
    Machine("two CPU cores", 0.1, 1.0),
)


class Trained(nn.Module):
    """Trunk and head on an input map, as a step runs them."""

    def __init__(self, task: nn.Module, size: int) -> None:
        super().__init__()
        assert isinstance(task.encoder, Encoder)
        self.trunk, self.head = task.encoder.backbone, task.head
        self._last, self._side = task.encoder.stage_names[-1], size // 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, H, W) to (B, 313, H / 4, W / 4)."""
        y: torch.Tensor = self.head(self.trunk(x).maps[self._last], (self._side, self._side))
        return y


def recipe() -> dict[str, Any]:
    """The resolved configuration of the experiment."""
    schema.register()
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        config: dict[str, Any] = plain(compose("config", overrides=["experiment=zhang16", "data.root=null"]))
    return config


def network(config: Mapping[str, Any], size: int) -> Trained:
    """The recipe's network without memory for its weights."""
    with torch.device("meta"):
        seen = inputs.build(config["input"], **config["input_arguments"])
        encoder = Encoder(seen, instantiate(config["backbone"], in_channels=seen.channels))
        return Trained(instantiate(config["pretext"]["task"], encoder=encoder), size)


def page(config: Mapping[str, Any]) -> str:
    """The text of docs/zhang16.md."""
    task, budget, optimizer = config["pretext"]["task"], config["trainer"], config["pretext"]["optimizer"]
    size = task["crop"]
    whole = network(config, size)
    forward = 2 * macs(whole, size, channels=1)
    steps = budget["epochs"] * budget["epoch_batches"]
    images = steps * budget["batch_size"]
    total = PASSES * forward * images
    drops = ", ".join(f"{round(s * steps):,} (× {f:g})" for s, f in budget["drops"])
    rows = "\n".join(
        f"| {m.name} | {m.peak:g} | {m.share:.0%} | {_time(total / (m.peak * 1e12 * m.share))} |"
        for m in MACHINES
    )
    positions = (size // 4) ** 2
    betas = " and ".join(f"{beta:g}" for beta in optimizer["betas"])
    return f"""# The full recipe of Colorful Image Colorization

Written by `benchmarks/zhang16.py` from `conf/experiment/zhang16.yaml` and the network itself. **Computed, not
measured**: nobody has run it here.

```sh
python run.py experiment=zhang16 data.root=/where/imagenet/is
```

## What it costs

| | |
|---|---|
| parameters of trunk and head | {parameter_count(whole):,} |
| one image forward, {size} px | {forward / 1e9:.2f} GFLOP ({forward / 2e9:.2f} G multiply-adds) |
| training, forward and backward | {PASSES} × that: {PASSES * forward / 1e9:.1f} GFLOP an image |
| steps × batch | {steps:,} × {budget["batch_size"]} = {images:,} images |
| all | {total:.3g} FLOP |

Convolutions alone are counted. Hours follow from throughput that is assumed, not known: the maker's peak, and
a guess at the share of it that such a network reaches.

| machine | peak, TFLOP/s | share | one run |
|---|---|---|---|
{rows}

To this comes reading: {images:,} decoded 256-pixel images, and two passes over the training set before the
first step (colour prior, k-means initialisation).

## What is the release's, and what is not

- Network: blocks 1 to 8 with BatchNorm without scale and shift behind blocks 1 to 7; input L − 50, undivided.
- Crops of {size} out of 256 pixels, mirrored or not; batch {budget["batch_size"]};
  {task["neighbours"]} neighbours (the paper says 5); λ = {task["rebalance"]}, T = {task["temperature"]}.
- Adam, β {betas}, learning rate {optimizer["lr"]:g}, at step {drops}: the release's solver says
  "step" every 225,000 iterations, which is twice in 500,000.
- **The loss** is summed over the {positions} positions of a crop in the release and averaged here. Adam takes
  the same steps from both if weight decay and ε shrink alike, so 0.001 became {optimizer["weight_decay"]:.4g}
  and 1e-8 became {optimizer["eps"]:.4g}. Left at 0.001, the decay would be {positions:,} times as strong.
- Biases are not decayed here; they are in the release.
- The mean is over the images that have colour; the release divides by all.
- The colour prior is counted on the training images at hand; the release brings its own file.
- k-means initialisation sets the trunk; block 8 starts from He's normal distribution, its last layer near
  zero.
- An epoch is {budget["epoch_batches"]:,} batches drawn anew from all images, so that checkpoints come in
  time; the release passes through a shuffled database in order.
- BatchNorm's running averages move by 0.1 a step, the release's by 0.001.
"""


def _time(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 96 else f"{hours / 24:.0f} days"


if __name__ == "__main__":
    PAGE.write_text(page(recipe()))
