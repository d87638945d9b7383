"""Modules of somebody's own as encoders: what is taken, what is refused, and which are one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from own_modules import Dictionary, Listed
from small_encoder import small
from torch import Tensor, nn

from pretext.foreign.module import wrap


@pytest.mark.parametrize(
    ("stages", "said"),
    [(["a"], "returns 5 maps or vectors, and stages names 1"), (["a"] * 5, "a name of its own")],
)
def test_stages_that_do_not_fit_are_refused(stages: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wrap(Listed(small("rgb")), (64, 64), stages)


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage output: a map .* it is \(2, 3, 4096\)"):
        wrap(nn.Flatten(2), (64, 64))


class Shifted(nn.Module):
    """One class, printed form and set of weights, whatever it does."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.how = how

    def forward(self, rgb: Tensor) -> Tensor:
        return self.how(self.conv(rgb))


def test_modules_that_say_other_things_are_others_and_the_same_one_is_itself() -> None:
    forms = [
        wrap(Shifted(how), (16, 16)).digest()
        for how in (torch.relu, lambda x: torch.relu(x - 0.3), lambda x: x[:, :, ::2], torch.relu)
    ]
    assert len(set(forms[:3])) == 3
    assert forms[3] == forms[0]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda x: x + torch.rand(1), "something else of the same images the second time, at stage output"),
        (lambda x: x - x.mean(), "something else of an image alone than of it beside another"),
        (lambda x: x @ torch.rand(3, 3), r"tried on RGB in \[0, 1\] of \(2, 3, 16, 16\), and failed: .*"),
    ],
)
def test_a_module_that_no_image_decides_alone_is_refused(how: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=f"Shifted .*{said}"):
        wrap(Shifted(how), (16, 16))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda x: x[:1], r"of 2 images it is \(1, 4, 14, 14\)"),
        (lambda x: x.mean((2, 3))[:1], r"of 2 images it is \(1, 4\)"),
        (lambda x: x.transpose(1, 3).flatten(0, 2), r"of 2 images it is \(392, 4\)"),
        (lambda x: x[:, :0], r"it is \(2, 0, 14, 14\) of torch.float32"),
        (lambda x: x[:, :, :0], r"it is \(2, 4, 0, 14\) of torch.float32"),
        (lambda x: (x * 100).int(), r"it is \(2, 4, 14, 14\) of torch.int32"),
        (lambda x: x > 0, r"of torch.bool"),
        (lambda x: x.to(torch.complex64), r"of torch.complex64"),
        (lambda x: x.mean((2, 3)).to_sparse(), r"torch.sparse_coo"),
    ],
)
def test_one_map_of_real_numbers_an_image_is_needed(how: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=f"stage output: .*{said}"):
        wrap(Shifted(how), (16, 16))


def test_a_module_that_forgets_images_later_is_found_out() -> None:
    wrapped = wrap(Shifted(lambda x: x[:2]), (16, 16))
    with pytest.raises(ValueError, match=r"of 3 images it is \(2, 4, 14, 14\)"):
        wrapped(torch.rand(3, 3, 16, 16))


def test_one_name_is_one_stage() -> None:
    assert wrap(Shifted(torch.relu), (16, 16), "ab").stage_names == ("ab",)


@pytest.mark.parametrize("name", ["", "a.b", "a\nb", "\x1b[31m", 3])
def test_a_stage_has_a_name_of_use(name: str) -> None:
    with pytest.raises(ValueError, match="some printable text without a dot"):
        wrap(Shifted(torch.relu), (16, 16), [name])


def test_a_wrapped_module_declares_its_stages_and_refuses_what_it_cannot() -> None:
    encoder = small("rgb")
    whole = wrap(Dictionary(encoder), (64, 64))
    assert [(s.name, s.channels, s.stride) for s in whole.stages] == [tuple(s) for s in encoder.stages]
    rgb = torch.rand(2, 3, 64, 64)
    second = encoder.stage_names[1]
    assert list(whole(rgb, stop=second).maps) == list(encoder.stage_names[:2])
    assert torch.equal(whole(rgb).maps[second], encoder(rgb).maps[second])
    with pytest.raises(ValueError, match="runs as a whole"):
        whole(rgb, start=second)
    with pytest.raises(ValueError, match="frozen alone"):
        whole.backbone.blocks[second].requires_grad_(False)


class Growing(nn.Module):
    """Maps of another size at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, rgb: Tensor) -> Tensor:
        self.calls += 1
        return rgb[:, :, self.calls :]


class InPlace(nn.Module):
    """Changes the images that it is given."""

    def forward(self, rgb: Tensor) -> Tensor:
        return rgb.sub_(0.5).div_(0.25)


def test_modules_that_nobody_can_judge_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"Growing says .* second time.*: stage output is \(3, 15, 16\), then \(3, 14"
    ):
        wrap(Growing(), (16, 16))
    with pytest.raises(ValueError, match="Conv2d: weight lies on the meta device"):
        wrap(nn.Conv2d(3, 4, 3, device="meta"), (16, 16))
    packed = nn.Conv2d(3, 4, 3)
    packed._register_state_dict_hook(lambda module, state, prefix, local: state.update(packed=(1, 2)))
    with pytest.raises(ValueError, match="packed of its state dict is a tuple and no tensor"):
        wrap(packed, (16, 16))
    assert wrap(InPlace(), (16, 16)).stage_names == ("output",)
