"""The shared training loop: deterministic, and still where it must be still."""

import copy

import pytest
import torch
from planted import SIZE, small_encoder
from recipes import by_epochs
from torch import Tensor, nn
from torch.nn import functional as F

from downstream.course import Course
from downstream.protocol import Runtime
from downstream.tuning.finetuning import (
    Norm,
    Optimiser,
    Recipe,
    finetune,
    mirror,
    private_copy,
    random_flips,
    seeded,
)
from pretext.encoder import Encoder

IMAGES = torch.rand(20, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(20) % 3


class Model(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        with seeded(0, torch.device("cpu")):
            self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(x).maps["conv5"].mean((2, 3)))
        return logits


def train(recipe: Recipe, runtime: Runtime | None = None) -> tuple[Model, Course, list[Tensor]]:
    model = Model(private_copy(small_encoder(), torch.device("cpu")))
    order: list[Tensor] = []

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        order.append(index)
        images = mirror(IMAGES[index], random_flips(len(index), generator))
        return F.cross_entropy(model(images), TARGETS[index])

    course = finetune(model, loss, len(IMAGES), recipe, runtime or Runtime(), model.encoder)
    return model, course, order


def moved(before: nn.Module, after: nn.Module) -> set[str]:
    state = after.state_dict()
    return {name for name, value in before.state_dict().items() if not torch.equal(value, state[name])}


@pytest.mark.parametrize("optimiser", list(Optimiser))
def test_same_seed_same_weights_other_seed_other_weights(optimiser: Optimiser) -> None:
    recipe = by_epochs(epochs=2, batch_size=8, optimiser=optimiser)
    torch.manual_seed(1)
    first, course, _ = train(recipe)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second, again, _ = train(recipe)
    assert torch.equal(torch.get_rng_state(), state)
    assert moved(first, second) == set()
    assert course == again
    other, _, _ = train(recipe, Runtime(seed=1))
    assert "head.1.weight" in moved(first, other)


def test_every_example_once_an_epoch_in_batches_of_almost_one_size() -> None:
    _, course, order = train(by_epochs(epochs=3, batch_size=8))
    assert course.steps == 9
    assert [len(index) for index in order] == [7, 7, 6] * 3
    for epoch in range(3):
        assert torch.cat(order[3 * epoch : 3 * epoch + 3]).sort().values.tolist() == list(range(20))
    assert order[0].tolist() != order[3].tolist()


@pytest.mark.parametrize(("least", "steps"), [(0, 6), (6, 6), (7, 7), (20, 20)])
def test_a_budget_has_a_least_number_of_steps(least: int, steps: int) -> None:
    recipe = by_epochs(epochs=2, batch_size=8, least_steps=least)
    assert recipe.steps(20) == steps
    assert recipe.length == ("2+ epochs" if least else "2 epochs")
    _, _, order = train(recipe)
    assert [len(index) for index in order] == ([7, 7, 6] * 7)[:steps]
    for first in range(0, steps - 2, 3):  # passes stay whole
        assert torch.cat(order[first : first + 3]).sort().values.tolist() == list(range(20))
    # The schedule is that of the steps that are made.
    assert recipe.factor(steps - 1, steps) < 0.25 < recipe.factor(steps // 2, steps)
    with pytest.raises(ValueError, match="Recipe: least_steps=-1 is out of range"):
        by_epochs(least_steps=-1)


def test_encoder_stays_to_the_bit_without_a_learning_rate() -> None:
    model, _, _ = train(by_epochs(epochs=2, backbone_lr=0.0, weight_decay=0.1))
    assert moved(small_encoder(), model.encoder) == set()
    assert "weight" in moved(Model(small_encoder()).head[1], model.head[1])


def test_batchnorm_follows_the_batches_only_when_told() -> None:
    def moving(recipe: Recipe) -> set[str]:
        model, _, _ = train(recipe)
        return moved(small_encoder(), model.encoder)

    still = moving(by_epochs(epochs=1, norm=Norm.EVAL))
    assert still
    assert not any("running" in name for name in still)
    assert any("running" in name for name in moving(by_epochs(epochs=1, norm=Norm.TRAIN)))
    # Statistics may follow although the weights are still.
    statistics = moving(by_epochs(epochs=1, norm=Norm.TRAIN, backbone_lr=0.0))
    assert statistics
    assert all("running" in name or "num_batches" in name for name in statistics)


@pytest.mark.parametrize("norm", list(Norm))
def test_frozen_stages_stay_to_the_bit_and_others_move(norm: Norm) -> None:
    model, _, _ = train(by_epochs(epochs=2, norm=norm, frozen_stages=("conv1", "conv2")))
    names = moved(small_encoder(), model.encoder)
    assert not any("conv1" in name or "conv2" in name for name in names)
    assert {f"backbone.blocks.conv{i}.conv.weight" for i in (3, 4, 5)} <= names


def test_a_frozen_tensor_that_moves_is_an_error() -> None:
    model = Model(private_copy(small_encoder(), torch.device("cpu")))

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        with torch.no_grad():
            model.encoder.backbone.blocks["conv1"].norm.running_mean.add_(1)
        return F.cross_entropy(model(IMAGES[index]), TARGETS[index])

    recipe = by_epochs(epochs=1, frozen_stages=("conv1",))
    with pytest.raises(RuntimeError, match=r"frozen tensor moved .*norm\.running_mean"):
        finetune(model, loss, len(IMAGES), recipe, Runtime(), model.encoder)


def test_encoder_learns_at_its_share_of_the_rate() -> None:
    # The first step of AdamW moves every weight by the learning rate, whatever the gradient's size.
    recipe = by_epochs(epochs=1, batch_size=20, lr=0.01, backbone_lr=0.1, weight_decay=0.0, warmup=0.0)
    model, _, _ = train(recipe)
    before = Model(small_encoder())
    head = (model.head[1].bias - before.head[1].bias).abs()
    encoder = (
        model.encoder.backbone.blocks["conv5"].norm.bias - before.encoder.backbone.blocks["conv5"].norm.bias
    ).abs()
    torch.testing.assert_close(head, torch.full_like(head, 0.01), rtol=1e-3, atol=0)
    assert encoder.max().item() == pytest.approx(0.001, rel=1e-2)


@pytest.mark.parametrize(("epochs", "bad"), [(1, 0), (1, 2), (9, 25)])
def test_loss_that_is_not_finite_names_its_step(epochs: int, bad: int) -> None:
    model, seen = nn.Linear(2, 1), []

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(index)
        return model(torch.ones(1, 2)).sum() * (torch.inf if len(seen) - 1 == bad else 1.0)

    with pytest.raises(FloatingPointError, match=rf"probe: the loss of step {bad} is -?inf"):
        finetune(model, loss, 9, by_epochs(epochs=epochs, batch_size=3), Runtime(), what="probe")


def test_gradients_are_clipped_to_the_norm() -> None:
    def weights(clip: float | None, scale: float) -> Tensor:
        model = nn.Linear(3, 1)
        nn.init.zeros_(model.weight)
        recipe = Recipe(
            epochs=1, batch_size=4, lr=1.0, clip=clip, optimiser=Optimiser.SGD, warmup=0.0, weight_decay=0.0
        )

        def loss(index: Tensor, generator: torch.Generator) -> Tensor:
            return scale * model.weight.sum()

        finetune(model, loss, 4, recipe, Runtime())
        return model.weight.detach().clone()

    torch.testing.assert_close(weights(2.0, 100.0).norm(), torch.tensor(2.0))
    torch.testing.assert_close(weights(2.0, 0.1).norm(), torch.tensor(0.1 * 3**0.5))
    torch.testing.assert_close(weights(None, 100.0).norm(), torch.tensor(100 * 3**0.5))


def test_rate_warms_up_and_ends_near_zero() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    path: list[float] = []

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        path.append(model.weight.item())
        return -model.weight.sum()

    recipe = by_epochs(
        epochs=1, batch_size=1, lr=0.1, warmup=0.2, weight_decay=0.0
    )  # constant gradient: AdamW steps by the rate
    finetune(model, loss, 20, recipe, Runtime())
    steps = torch.tensor([*path, model.weight.item()]).diff()
    assert steps.argmax().item() == 4
    torch.testing.assert_close(steps[:5], 0.1 * torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0]), rtol=1e-3, atol=1e-6)
    assert (steps[4:].diff() < 0).all()
    assert 0 < steps[-1] < 0.002


def test_progress_reaches_the_total() -> None:
    calls: list[tuple[str, int, int]] = []
    train(by_epochs(epochs=2, batch_size=10), Runtime(progress=lambda *call: calls.append(call)))
    assert calls == [("fine-tune", i, 4) for i in (1, 2, 3, 4)]


def test_private_copy_leaves_the_original_alone() -> None:
    encoder = small_encoder()
    before = copy.deepcopy(encoder)
    encoder.requires_grad_(False)
    own = private_copy(encoder, torch.device("cpu"))
    with torch.no_grad():
        for value in own.parameters():
            assert value.requires_grad
            value.add_(1)
    assert moved(before, encoder) == set()


def test_mirror_turns_what_was_drawn() -> None:
    images = torch.arange(12.0).view(2, 1, 2, 3)
    flipped = mirror(images, torch.tensor([True, False]))
    assert torch.equal(flipped[0, 0], images[0, 0].flip(-1))
    assert torch.equal(flipped[1], images[1])
    assert random_flips(4000, torch.Generator().manual_seed(0)).float().mean().item() == pytest.approx(
        0.5, abs=0.03
    )


def test_recipe_takes_plain_values_and_names_wrong_ones() -> None:
    recipe = by_epochs(optimiser="sgd", norm="train", frozen_stages=["conv1"])  # type: ignore[arg-type]
    assert recipe == by_epochs(optimiser=Optimiser.SGD, norm=Norm.TRAIN, frozen_stages=("conv1",))
    with pytest.raises(ValueError, match="norm must be one of eval, train; got 'sync'"):
        by_epochs(norm="sync")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lr=0 is out of range"):
        by_epochs(lr=0)
    with pytest.raises(ValueError, match="frozen_stages has 'conv9'; the encoder's stages are: conv1, conv2"):
        train(by_epochs(frozen_stages=("conv9",)))
    with pytest.raises(ValueError, match="no training examples"):
        finetune(nn.Linear(1, 1), lambda index, _: torch.zeros(()), 0, by_epochs(), Runtime())
