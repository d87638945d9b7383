"""Which modules of somebody's own are one encoder: by what is written of them, and what they say of noise."""

from __future__ import annotations

import copy
import importlib.util
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from own_modules import Dictionary
from small_encoder import small
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from pretext.foreign import fingerprint, written
from pretext.foreign.module import wrap


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
        zeros = torch.zeros(2, 3, 8, 8)
        said = [
            fingerprint.said(
                lambda x, run=run: {"output": run(x)[:, :, None, None]}, zeros, torch.device("cpu"), False
            )
            for run in (module, lambda x, exact=exact: exact(x.double()))
        ]
        assert said[0] == said[1], seed


def in_a_file(tmp_path: Path, text: str) -> nn.Module:
    """A module of class Net, which stands in a file of this text."""
    path = tmp_path / f"net{len(list(tmp_path.iterdir()))}.py"
    path.write_text(f"import argparse, functools\nimport torch\nfrom torch.nn import functional as F\n{text}")
    spec = importlib.util.spec_from_file_location("net", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: nn.Module = module.Net()
    return made


def of_source(tmp_path: Path, body: str) -> dict[str, str]:
    """What is written of a module whose class stands in a file with this body of its forward."""
    inner = textwrap.indent(body, " " * 8)
    return written.read(
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
    assert written.read(names["One"]()) != written.read(names["Two"]())


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
AROUND = """
def around(by):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(self, rgb):
            return function(self, rgb) + by
        return wrapper
    return decorate
class Net(torch.nn.Module):
    @around(?)
    @torch.no_grad()
    def forward(self, rgb):
        return rgb
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
        (net("rgb * self.by.much", "self.by = argparse.Namespace(much=?, root='/a/b')"), FINE),
        (net("rgb * self.by['much']", "self.by = {'much': ?, 'root': '/a/b'}"), FINE),
        (net("self.how(rgb)", "self.how = self.moved") + "    def moved(self, x): return x + ?\n", FINE),
        (AROUND, FINE),
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


def test_functions_of_a_module_of_ones_own_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is imported whole, and of it what is spoken of."""
    monkeypatch.syspath_prepend(tmp_path)
    told = []
    for place, (pre, other) in enumerate([("x + 1e-5", "1"), ("x + 1e-5", "2"), ("x + 2e-5", "1")]):
        name = f"ops_of_{place}"
        (tmp_path / f"{name}.py").write_text(f"def pre(x): return {pre}\ndef other(): return {other}\n")
        module = in_a_file(tmp_path, f"import {name} as ops\n" + net("ops.pre(rgb)"))
        told.append(wrap(module, (16, 16)).digest())
    assert told[0] == told[1] != told[2]


class Keeps(nn.Module):
    """Sets, counts and caches in all places where a module can."""

    made: ClassVar[int] = 0
    sizes: ClassVar[dict[int, int]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.ready: bool = False
        self.most = 0

    def forward(self, rgb: Tensor) -> Tensor:
        self.ready, self.most = True, max(self.most, rgb.shape[-1])
        Keeps.made += 1
        Keeps.sizes[rgb.shape[-1]] = CALLS[0] = CALLS[0] + 1
        return rgb


CALLS = [0]


def test_what_a_first_pass_sets_is_no_other_module_after_it() -> None:
    module = Keeps()
    found = [wrap(module, (side, side)).digest() for side in (16, 16, 96, 224, 16)]
    assert len({*found, wrap(Keeps(), (32, 32)).digest()}) == 1


def test_what_a_library_sets_on_a_module_is_not_what_it_is() -> None:
    module = Keeps()
    first = wrap(module, (16, 16)).digest()
    module._trainer, module._steps = object(), 12  # type: ignore[assignment]
    assert wrap(module, (16, 16)).digest() == first


def test_classes_of_one_name_are_read_in_any_order() -> None:
    def of(by: float) -> type[nn.Module]:
        class Local(nn.Module):
            def forward(self, rgb: Tensor) -> Tensor:
                return rgb * by

        return Local

    one, other = of(1.0), of(2.0)
    module = nn.Sequential(one(), other())
    assert written._code(module, [one, other]) == written._code(module, [other, one])
    assert written._code(module, [one, other]) != written._code(module, [one, one])


class AttrDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


class Awkward(nn.Module):
    """Raises what nobody expects, and holds what takes long to read."""

    options = AttrDict(a=1)

    def __init__(self) -> None:
        super().__init__()
        self.large, self.long, self.shared = 10**5000, dict.fromkeys(map(str, range(10**6))), [1]
        for _ in range(30):
            self.shared = [self.shared, self.shared]  # type: ignore[list-item]

    @property
    def code(self) -> str:
        raise ValueError("none")

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["_modules"][name]

    def forward(self, rgb: Tensor) -> Tensor:
        return rgb * len(self.long) * len(self.shared) * (self.large > 0)


def test_what_cannot_be_read_is_no_reason_to_fail_or_to_wait() -> None:
    assert wrap(Awkward(), (16, 16)).digest() == wrap(Awkward(), (24, 24)).digest()


def test_what_holds_itself_is_no_reason_to_fail() -> None:
    module = Counting()
    round_about: list[object] = [1]
    round_about.append(round_about)
    module.round_about = round_about  # type: ignore[assignment]
    assert wrap(module, (16, 16)).digest() == wrap(module, (24, 24)).digest()


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
        told.add(str(written.read(net())))
    assert len(told) == 1
