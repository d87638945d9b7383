"""Streamed photographs: what packing gives, in the same order, without the packing."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import encoded, photo
from PIL import Image

from pretext.data import streamed
from pretext.data.canvas import Canvas
from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage, decode_reduced, decode_rgb, measure
from pretext.data.image_folder import image_folder
from pretext.data.loader import EpochLoader, batches
from pretext.data.photographs import Encoded, Photographs, no_labels
from pretext.data.pixels import pixel_digests
from pretext.data.split import carve, check_disjoint, drop_duplicates, make_split, subset
from pretext.data.square import Square
from pretext.data.streamed import Streamed


def write(folder: Path, seeds: range, height: int = 20, width: int = 24) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:03d}.jpg").write_bytes(encoded(photo(seed, height, width), quality=95))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes; image 3 of train is there twice, image 11 is in test too."""
    root = tmp_path / "set"
    write(root / "train" / "a", range(10))
    write(root / "train" / "b", range(10, 30))
    (root / "train" / "b" / "copy.jpg").write_bytes((root / "train" / "b" / "020.jpg").read_bytes())
    write(root / "test" / "a", range(40, 45))
    write(root / "test" / "b", range(11, 12))
    return root


def read(root: Path, size: int = 16, **options: object) -> DataSet:
    return image_folder(
        str(root), str(root.parent / "cache"), size, **{"stream": True, "val": 0.2, **options}
    )


def rows(images: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in images)


def test_streaming_gives_the_images_and_labels_of_packing(root: Path) -> None:
    ours, packed = read(root), read(root, stream=False)
    assert isinstance(ours.train.pixels, Streamed)
    assert ours.label_names == packed.label_names == ("a", "b")
    assert rows(ours.test.pixels[:]) == rows(packed.test.pixels[:])
    everything = [np.concatenate([d.train.pixels[:], d.val.pixels[:]]) for d in (ours, packed)]
    # The copy of image 20 leaves only if its original is held out, which pixels and files decide apart.
    assert set(rows(everything[0])) == set(rows(everything[1]))
    label_of = {
        image.tobytes(): label
        for split in packed.splits.values()
        for image, label in zip(split.pixels[:], split.labels, strict=True)
    }
    for split in ours.splits.values():
        for i, label in enumerate(split.labels):
            assert label_of[split.pixels[i].tobytes()] == label
    assert ours.train.digest != packed.train.digest


def test_copies_of_files_leave_train(root: Path) -> None:
    data = read(root)
    assert any("1 training images left out: their pixels occur in test" in note for note in data.notes)
    assert any(note.startswith("streamed: ") for note in data.notes)
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        check_disjoint(data.splits[first], data.splits[second])
    assert np.bincount(data.val.labels).tolist() == [2, 4]
    rest, dropped = drop_duplicates(data.train, subset(data.train, [0, 1, 2]))
    assert dropped in (3, 4)  # 4 if both copies are in train and one of them is drawn
    assert len(rest) == len(data.train) - dropped


def test_who_is_held_out_does_not_depend_on_the_order(root: Path) -> None:
    train = read(root).train
    shuffled = subset(train, np.random.default_rng(0).permutation(len(train)))
    held = [carve(split, 5, "held")[1] for split in (train, shuffled)]
    assert rows(held[0].pixels[:]) == rows(held[1].pixels[:])
    assert held[0].name == "held"


def test_it_indexes_like_an_array(root: Path) -> None:
    pixels = read(root).train.pixels
    assert isinstance(pixels, Streamed)
    array = np.asarray(pixels)
    assert array.shape == pixels.shape == (len(pixels), 16, 16, 3)
    assert array.dtype == np.uint8
    mask = np.arange(len(pixels)) % 3 == 0
    for index in (slice(2, 9, 3), np.array([5, 0, 5]), mask, 4, np.int64(-1), np.array([], np.int64)):
        np.testing.assert_array_equal(pixels[index], array[index])
    np.testing.assert_array_equal(pixels.select(np.array([7, 2])).select(np.array([1]))[:], array[[2]])
    with pytest.raises(IndexError):
        pixels[len(pixels)]
    np.testing.assert_array_equal(pixel_digests(pixels), pixels.digests)


def test_the_loader_gives_the_batches_that_an_array_gives(root: Path) -> None:
    split = read(root).train
    same = make_split("train", np.asarray(split.pixels), labels=split.labels)
    loaders = [EpochLoader(s, 4, seed=3) for s in (split, same)]
    for epoch in (0, 1, 0):
        seen = []
        for loader in loaders:
            loader.set_epoch(epoch)
            seen.append(list(loader))
        assert len(seen[0]) == len(split) // 4
        for ours, theirs in zip(*seen, strict=True):
            assert torch.equal(ours.pixels, theirs.pixels)
            assert torch.equal(ours.positions, theirs.positions)
            assert torch.equal(ours.labels, theirs.labels)
    for ours, theirs in zip(batches(split, 5), batches(same, 5), strict=True):
        assert torch.equal(ours, theirs)


def one_colour(count: int, decoded: list[int]) -> Streamed:
    """Images whose value is their row, which note down when they are decoded; row 99 is bad."""

    def image(row: int) -> np.ndarray:
        decoded.append(row)
        if row == 99:
            raise BadImage("99.jpg", "cut short")
        return np.full((2, 2, 3), row, np.uint8)

    digests = np.zeros((count, 32), np.uint8)
    return Streamed(image, digests, np.arange(count), (2, 2), "test")


def test_few_batches_are_decoded_ahead_and_none_after_stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    pixels = one_colour(90, decoded)
    stream = pixels.ahead([np.arange(i, i + 3) for i in range(0, 90, 3)])
    assert next(stream)[:, 0, 0, 0].tolist() == [0, 1, 2]
    stream.close()
    pixels[np.arange(80, 81)]  # comes behind whatever the threads still had to do
    assert {0, 1, 2} <= set(decoded) <= {*range(3 * (1 + streamed.AHEAD)), 80}
    values = [batch[:, 0, 0, 0].tolist() for batch in pixels.ahead([np.array([i, 0]) for i in range(7)])]
    assert values == [[i, 0] for i in range(7)]


def test_a_bad_image_is_raised_when_its_batch_comes() -> None:
    stream = one_colour(100, []).ahead([np.array([1]), np.array([99]), np.array([2])])
    assert next(stream)[0, 0, 0, 0] == 1
    with pytest.raises(BadImage, match=r"99\.jpg: cut short"):
        next(stream)


def test_files_are_read_once_for_the_index(root: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    first = read(root, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("reading image_folder-test", 6, 6)
    count = len(calls)
    again = read(root, progress=lambda *call: calls.append(call))
    assert len(calls) == count == 31 + 6
    assert [s.digest for s in again.splits.values()] == [s.digest for s in first.splits.values()]
    smaller = read(root, size=12)
    assert smaller.test.digest != first.test.digest
    np.testing.assert_array_equal(pixel_digests(smaller.test.pixels), pixel_digests(first.test.pixels))
    index = next((root.parent / "cache").glob("image_folder-train-index-*"))
    assert {path.stem for path in index.glob("*.npy")} == {"digests", "rows", "labels"}


def test_bad_images_are_named_where_they_are_met(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write(root, range(101))
    bad = root / "042.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-40])  # the head is whole: only decoding finds out
    data = read(root)
    with pytest.raises(BadImage, match=r"042\.jpg: corrupt or cut short"):
        [list(batches(split, 7)) for split in data.splits.values()]
    data = read(root, skip_bad=True)
    assert sum(len(np.asarray(split.pixels)) for split in data.splits.values()) == 100
    assert any("all: 1 bad images skipped: " in note and "042.jpg" in note for note in data.notes)
    bad.write_bytes(whole[:20])
    with pytest.raises(BadImage, match=r"042\.jpg"):
        read(root)
    bad.write_bytes(encoded(photo(0, 15, 40)))
    with pytest.raises(
        BadImage,
        match=r"042\.jpg: is 40×15, smaller than size=16: a size of 15 or less takes it as it is",
    ):
        read(root)


def photograph(height: int, width: int, orientation: int = 1, kind: str = "JPEG") -> bytes:
    image = Image.fromarray(photo(5, height, width))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("fit", [Square(32, upscale=False), Canvas(32, 48)], ids=["square", "canvas"])
def test_decoding_reduced_changes_little(orientation: int, fit: Square | Canvas) -> None:
    for height, width in ((400, 601), (333, 250), (100, 70), (256, 1500)):
        content = photograph(height, width, orientation)
        upright = decode_rgb(content).shape[:2]
        assert measure(content)[:2] == upright
        reduced = decode_reduced(content, fit.scaled)
        assert (reduced.height, reduced.width) == upright
        wanted = fit.scaled(*upright)
        assert all(s >= 2 * w - 1 for s, w in zip(reduced.pixels.shape, wanted, strict=False)) or (
            reduced.pixels.shape[:2] == upright
        )
        ours = fit.fit(reduced.pixels, upright).astype(int)
        full = fit.fit(decode_rgb(content), upright).astype(int)
        assert ours.shape == full.shape == (*fit.shape, 3)
        assert abs(ours - full).mean() < 1.5
        assert abs(ours - full).max() < 20


def test_large_files_are_decoded_reduced_and_others_are_not() -> None:
    assert decode_reduced(photograph(800, 1200), Square(32, False).scaled).pixels.shape == (100, 150, 3)
    assert decode_reduced(photograph(255, 300), Square(64, False).scaled).pixels.shape == (255, 300, 3)
    assert decode_reduced(photograph(256, 300), Square(64, False).scaled).pixels.shape == (128, 150, 3)
    png = photograph(800, 1200, 6, "PNG")
    assert decode_reduced(png, Square(32, False).scaled).pixels.shape == (1200, 800, 3)
    assert measure(png)[:2] == (1200, 800)


def test_photographs_of_every_kind_can_be_streamed(tmp_path: Path) -> None:
    contents = [photograph(40, 60), photograph(60, 40, 6), photograph(40, 60, 8, "PNG")]
    photographs = Photographs(3, lambda i: Encoded(contents[i], f"{i}"), Canvas(20, 30), no_labels)
    for i in range(3):
        packed = photographs.examples().read(i).pixels.astype(int)
        assert abs(photographs.image(i).astype(int) - packed).mean() < 1.5


@pytest.mark.parametrize("size", [0, -5])
def test_a_square_has_a_pixel(size: int) -> None:
    with pytest.raises(ValueError, match=f"size is a number of pixels, at least 1, got {size}"):
        Square(size, upscale=True).check(32, 32, "image.png")
