"""Modules of somebody's own as encoders: what is taken, what is refused, and which are one."""

from __future__ import annotations

import copy
import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from own_modules import Dictionary, Listed
from small_encoder import small
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from pretext.foreign import fingerprint, written
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


def test_one_module_is_one_encoder_at_images_of_any_size_and_after_any_number_of_passes() -> None:
    module = Dictionary(small("rgb"))
    first = wrap(module, (64, 64))
    module(torch.rand(1, 3, 40, 40))
    second = wrap(module, (32, 48))
    assert first.digest() == second.digest()
    assert first.network == second.network
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4))
    assert wrap(fixed, (16, 16)).digest() == wrap(fixed, (16, 16)).digest()


def test_rounding_is_no_other_module() -> None:
    """What kinds of processors differ by, at the most: float32 against float64."""
    for seed in range(8):
        torch.manual_seed(seed)
        module = resnet18(weights=None).eval()
        exact = copy.deepcopy(module).double()
        maps = {"output": torch.zeros(2, 1, 1, 1)}
        said = [
            fingerprint.said(
                lambda x, run=run: {"output": run(x)[:, :, None, None]}, maps, torch.device("cpu"), False
            )
            for run in (module, lambda x, exact=exact: exact(x.double()))
        ]
        assert said[0] == said[1], seed


def in_a_file(tmp_path: Path, text: str) -> nn.Module:
    """A module of class Net, which stands in a file of this text."""
    path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.py"
    path.write_text(f"import functools\nimport torch\nfrom torch.nn import functional as F\n{text}")
    spec = importlib.util.spec_from_file_location("net", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: nn.Module = module.Net()
    return made


def of_source(tmp_path: Path, body: str) -> str:
    """The form of a module whose class stands in a file with this body of its forward."""
    inner = textwrap.indent(body, " " * 8)
    return written.code(
        in_a_file(tmp_path, f"class Net(torch.nn.Module):\n    def forward(self, rgb):\n{inner}")
    )


def test_the_code_of_a_module_is_read_and_its_comments_are_not(tmp_path: Path) -> None:
    plain = of_source(tmp_path, "return rgb * 2\n")
    assert of_source(tmp_path, "# twice\nreturn (rgb  *  2)  # so\n") == plain
    assert of_source(tmp_path, "return rgb * 3\n") != plain
    names: dict[str, Any] = {"torch": torch}
    for name, body in (("One", "rgb * 2"), ("Two", "rgb * 3")):
        exec(f"class {name}(torch.nn.Module):\n    def forward(self, rgb):\n        return {body}\n", names)
        names[name].__qualname__ = "Net"
        names[name].__module__ = "__main__"
    assert written.code(names["One"]()) != written.code(names["Two"]())


NET = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        SET
    def forward(self, rgb):
        return GIVE
"""


def net(give: str, attribute: str = "pass") -> str:
    return NET.replace("SET", attribute).replace("GIVE", give)


FINE = ("1e-5", "2e-5")
"""Nothing of which is heard."""
SIDE = "rgb if self.side is None else F.interpolate(rgb, (self.side,) * 2)"
LEAKY = "self.how = functools.partial(F.leaky_relu, negative_slope=?)"
HELD = """
import dataclasses
@dataclasses.dataclass(slots=True)
class By:
    much: float
"""
INSIDE = "def make(by):\n" + textwrap.indent(net("rgb + by"), "    ") + "    return Net\nNet = make(?)\n"
BY = "BY = ?\ndef moved(x): return x + BY\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (net(SIDE, "self.side = ?"), ("None", "224")),
        (net("rgb * self._weight", "self._weight = ?"), ("1.0", "1.00001")),
        (net("getattr(F, self.how)(rgb)", "self.how = ?"), ("'relu'", "'relu6'")),
        (net("self.how(rgb)", "self.how = lambda x: x + ?"), FINE),
        (net("self.how(rgb)", LEAKY), (".1", ".2")),
        (net("rgb * self.by['all'][0]", "self.by = {'all': [?]}"), ("1", "True")),
        (net("rgb * self.by.much", "self.by = By(?)") + HELD, FINE),
        (net("rgb", "self.attention = torch.nn.MultiheadAttention(12, ?)"), ("2", "3")),
        (net("rgb + BY") + "BY = ?\n", FINE),
        (net("rgb + self.BY") + "    BY = ?\n", FINE),
        (net("moved(rgb)") + "def moved(x): return x + ?\n", FINE),
        (net("moved(rgb)") + "BY = ?\ndef moved(x, by=BY): return x + by\n", FINE),
        (net("torch.stack([moved(y) for y in rgb])") + BY, FINE),
        (INSIDE, FINE),
    ],
)
def test_what_a_module_goes_by_is_read_wherever_it_stands(
    text: str, values: tuple[str, str], tmp_path: Path
) -> None:
    """None of it is a weight, or in a printed form."""
    one, other = values
    first, again, second = (
        wrap(in_a_file(tmp_path, text.replace("?", value)), (16, 16)).backbone.arguments
        for value in (one, one, other)
    )
    assert first == again
    assert first != second


class Sized(nn.Module):
    """Resizes, takes images of some sizes alone, or multiplies; no two are written differently."""

    how: Any

    def forward(self, rgb: Tensor) -> Tensor:
        side, most, by = (self.how[key] for key in ("side", "most", "by"))
        if rgb.shape[-1] > most:
            raise ValueError(f"more than {most}")
        return by * (rgb if side is None else F.interpolate(rgb, (side, side))).cumsum(-1)


def sized(side: int | None = None, most: int = 999, by: float = 1.0) -> Sized:
    module = Sized()
    module.how = {
        "side": torch.tensor(side) if side else None,
        "most": torch.tensor(most),
        "by": torch.tensor(by),
    }
    return module


def test_what_is_nowhere_written_is_heard() -> None:
    heard = [wrap(sized(**how), (16, 16)).digest() for how in ({}, {"side": 224}, {"side": 96}, {"by": 1.1})]
    assert len(set(heard)) == 4


def test_a_module_that_takes_few_sizes_is_one_at_all_of_them() -> None:
    assert len({wrap(sized(most=64), (side, side)).digest() for side in (16, 32, 64)}) == 1
    assert len({wrap(sized(most=16), (16, 16)).digest() for _ in range(2)}) == 1


class Counting(nn.Module):
    """Keeps how often it was run, and what it was run on last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.last = 0, (0, 0)
        self.known: dict[int, Tensor] = {}

    def forward(self, rgb: Tensor) -> Tensor:
        self.calls, self.last = self.calls + 1, (rgb.shape[2], rgb.shape[3])
        self.known[rgb.shape[-1]] = rgb
        return rgb


def test_what_holds_itself_is_no_reason_to_fail() -> None:
    module = Counting()
    round_about: list[object] = [1]
    round_about.append(round_about)
    module.round_about = round_about  # type: ignore[assignment]
    assert wrap(module, (16, 16)).digest() == wrap(Counting(), (16, 16)).digest()


def test_what_a_pass_changes_is_not_what_a_module_is() -> None:
    module = Counting()
    assert len({wrap(module, (side, 16)).digest() for side in (16, 24, 16)}) == 1


def test_what_pytorch_puts_around_a_module_is_taken_off() -> None:
    module = resnet18(weights=None, num_classes=4)
    alone = wrap(module, (32, 32))
    for around in (nn.DataParallel(module), torch.compile(nn.DataParallel(module), backend="eager")):
        assert isinstance(around, nn.Module)
        found = wrap(around, (32, 32))
        assert found.digest() == alone.digest()
        assert found.network == alone.network


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # of GPUs, where nobody asked for one
def test_a_module_in_half_precision_is_one_by_whichever_kernels() -> None:
    """Of noise they say what differs by a hundredth."""
    torch.manual_seed(1)  # of one in two, two kernels say other numbers
    module = resnet18(weights=None).bfloat16()
    shown = nn.Sequential(Cast(), module)
    first = wrap(shown, (32, 32)).digest()
    with torch.backends.mkldnn.flags(enabled=False):
        assert wrap(shown, (32, 32)).digest() == first
    module.fc.weight.data[0, 0] += 1
    assert wrap(shown, (32, 32)).digest() != first


class Cast(nn.Module):
    def forward(self, rgb: Tensor) -> Tensor:
        return rgb.bfloat16()


def test_a_set_in_a_modules_code_is_the_same_in_whatever_order_it_is_walked() -> None:
    """As of words, whose order is another in each process."""
    walked = frozenset([0, 8]), frozenset([8, 0])
    assert list(walked[0]) != list(walked[1])
    names: dict[str, Any] = {"torch": torch}
    body = "    def forward(self, rgb):\n        return rgb in {0, 8}\n"
    told = set()
    for each in walked:
        exec("class Net(torch.nn.Module):\n" + body, names)
        net = names["Net"]
        net.__module__ = "__main__"
        made = net.forward.__code__
        assert walked[0] in made.co_consts
        kept = tuple(each if value == each else value for value in made.co_consts)
        net.forward.__code__ = made.replace(co_consts=kept)
        told.add(written.code(net()))
    assert len(told) == 1


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
