"""Folders of photographs become squares with their classes; what does not fit is named."""

from pathlib import Path

import numpy as np
import pytest
from pictures import encoded, photo
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from pretext.data.class_folders import EmptyFolder, listed
from pretext.data.dataset import DataSet
from pretext.data.decode import BadImage, Decoding, TooManyBadImages
from pretext.data.image_folder import image_folder
from pretext.data.source import BadArchive, MissingData
from pretext.data.split import Leak, check_disjoint
from pretext.data.square import Square
from pretext.data.streamed import Streamed


def fill(folder: Path, seeds: range, suffix: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:03d}.{suffix}").write_bytes(encoded(photo(seed, 16, 16), "PNG"))


def read(root: Path, size: int = 16, **options: object) -> DataSet:
    return image_folder(str(root), str(root.parent / "cache"), size, **options)


def seed_of(image: np.ndarray) -> int:
    return next(seed for seed in range(200) if (photo(seed, 16, 16) == image).all())


def test_class_folders_give_labels_at_any_depth(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root / "bird", range(10))
    fill(root / "ant" / "deeper", range(10, 20), "PNG")
    (root / "ant" / "notes.txt").write_text("no image")
    fill(root / ".hidden", range(20, 21))
    data = read(root, val=0.2, test=0.1)
    assert data.label_names == ("ant", "bird")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 14, "val": 4, "test": 2}
    assert np.bincount(data.test.labels).tolist() == [1, 1]
    for split in data.splits.values():
        for image, label in zip(split.pixels[:], split.labels, strict=True):
            assert (seed_of(image) < 10) == (label == 1)


def test_images_side_by_side_have_no_labels(tmp_path: Path) -> None:
    fill(tmp_path / "set", range(10))
    data = read(tmp_path / "set")
    assert data.label_names == ()
    assert data.train.labels is None
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 8, "val": 1, "test": 1}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        check_disjoint(data.splits[a], data.splits[b])


@pytest.mark.parametrize("part", ["val", "test"])
def test_given_splits_are_kept_and_copies_of_test_leave_train(tmp_path: Path, part: str) -> None:
    root = tmp_path / "set"
    fill(root / "train" / "a", range(10))
    fill(root / "train" / "b", range(10, 21))
    fill(root / part / "a", range(50, 53))
    fill(root / part / "b", range(20, 22))
    data = read(root, val=0.2)
    assert sorted(seed_of(image) for image in data.test.pixels[:]) == [20, 21, 50, 51, 52]
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert {seed_of(image) for s in (data.train, data.val) for image in s.pixels[:]} == set(range(20))
    assert "1 training images left out: their pixels occur in test" in data.notes
    fill(root / part / "c", range(60, 61))
    with pytest.raises(BadArchive, match=f"{part} and the images of train differ in their classes: c"):
        read(root)


def sizes(data: DataSet) -> dict[str, int]:
    return {name: len(split) for name, split in data.splits.items()}


def test_three_given_splits_are_used_as_given(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for part, first in (("train", 0), ("val", 20), ("test", 40)):
        fill(root / part / "a", range(first, first + 5))
        fill(root / part / "b", range(first + 5, first + 9))
    fill(root / "train" / "b", range(20, 21))  # a copy of one of val
    fill(root / "val" / "b", range(40, 41))  # a copy of one of test
    data = read(root)
    for name, first in (("train", 0), ("val", 20), ("test", 40)):
        assert sorted(map(seed_of, data.splits[name].pixels[:])) == list(range(first, first + 9))
    assert data.summary().endswith("left out: 1 duplicate of test; 1 duplicate of val")
    streamed = read(root, stream=True)
    assert sizes(streamed) == {"train": 9, "val": 9, "test": 9}
    for part, seeds in (("train", range(5)), ("val", range(40, 49)), ("test", range(40, 49))):
        fill(tmp_path / "same" / part / "a", seeds)
    with pytest.raises(Leak, match="all 9 images of split 'val' occur in 'test' too"):
        read(tmp_path / "same")


@pytest.mark.parametrize(
    ("train", "held", "note"),
    [
        *(("train", name, f"{name}/ is test") for name in ("valid", "validation", "dev", "eval", "Val")),
        ("training", "testing", ""),
        ("Train", "Test", ""),
    ],
)
def test_folders_of_splits_by_any_name_are_no_classes(
    tmp_path: Path, train: str, held: str, note: str
) -> None:
    root = tmp_path / "set"
    for part, first in ((train, 0), (held, 40)):
        fill(root / part / "a", range(first, first + 5))
        fill(root / part / "b", range(first + 5, first + 10))
    data = read(root)
    assert data.label_names == ("a", "b")
    assert sizes(data) == {"train": 9, "val": 1, "test": 10}
    assert note in data.summary()
    assert min(map(seed_of, data.test.pixels[:])) == 40


def test_a_class_that_is_called_like_a_split_is_said(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for name, first in (("bus", 0), ("train", 20)):
        fill(root / name, range(first, first + 10))
    data = read(root)
    assert data.label_names == ("bus", "train")
    assert data.summary().endswith("the folder train is a class, not a split")
    fill(root / "test" / "x", range(40, 41))
    fill(root / "valid" / "x", range(40, 41))
    fill(root / "val" / "x", range(40, 41))
    with pytest.raises(BadArchive, match="holds both val and valid: which is val"):
        read(root)


def test_splits_without_train_are_named(tmp_path: Path) -> None:
    fill(tmp_path / "set" / "val" / "a", range(5))
    fill(tmp_path / "set" / "test" / "a", range(5))
    with pytest.raises(BadArchive, match="set holds test/ and val/, but no train/"):
        read(tmp_path / "set")


def test_a_test_folder_without_classes_is_left_out_and_said(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root / "train" / "a", range(10))
    fill(root / "train" / "b", range(10, 20))
    fill(root / "test", range(60, 64))
    fill(root, range(70, 71))
    fill(root / "models", range(80, 81))
    data = read(root)
    assert sizes(data) == {"train": 16, "val": 2, "test": 2}
    assert data.summary().endswith(
        "left out: 1 other folder (models); 1 beside train/; 4 in test/ without classes"
    )
    fill(root / "val" / "a", range(40, 43))
    fill(root / "val" / "b", range(43, 45))
    data = read(root)
    assert sorted(map(seed_of, data.test.pixels[:])) == list(range(40, 45))
    assert "4 in test/ without classes" in data.summary()
    assert "val/ is test, val is carved out of train/" in data.summary()


def test_what_lies_beside_the_images_is_counted(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root / "a", range(10))
    fill(root / "a", range(10, 12), "jfif")
    fill(root / "b", range(20, 28))
    fill(root / "b", range(28, 30), "heic")
    fill(root / "__MACOSX" / "a", range(1))
    data = read(root)
    assert sum(sizes(data).values()) == 20
    assert data.summary().endswith("left out: 2 .heic not read; 1 ignored (__MACOSX)")


def test_one_bad_image_of_a_few_is_skipped_and_more_up_to_a_share(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root, range(20))
    (root / "bad.png").write_bytes(encoded(photo(30, 16, 16), "PNG")[:-30])
    with pytest.raises(BadImage, match=r"bad\.png: corrupt or cut short"):
        read(root)
    for stream in (False, True):
        data = read(root, skip_bad=True, stream=stream)
        assert sum(sizes(data).values()) == 20
        assert "left out: 1 skipped (bad.png: corrupt or cut short" in data.summary()
    (root / "worse.png").write_bytes(b"")
    with pytest.raises(TooManyBadImages, match="2 of 22 images are bad, more than 1%"):
        read(root, skip_bad=True)
    data = read(root, skip_bad=True, skip_share=0.1)
    assert "worse.png: empty" in data.summary()
    assert read(root, skip_bad=True).train.digest == data.train.digest  # the share is no part of a pack
    with pytest.raises(ValueError, match=r"the share of images that may be skipped is in \[0, 1\], not 2"):
        read(root, skip_bad=True, skip_share=2, size=8)


def test_narrow_files_are_remarked_packed_and_streamed(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root, range(10))
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    Image.fromarray(values).save(root / "twelve.png")
    for stream in (False, True):
        data = read(root, stream=stream)
        assert data.summary().endswith("1 16-bit file read as 12 bits (twelve.png)")
        brightest = [s.pixels[i].max() for s in data.splits.values() for i in range(len(s))]
        assert min(brightest) > 200
        as_it_is = read(root, stream=stream, bits=16)
        assert "12 bits" not in as_it_is.summary()
        assert min(s.pixels[i].max() for s in as_it_is.splits.values() for i in range(len(s))) == 16


def test_only_files_that_may_be_narrow_are_packed_anew(tmp_path: Path) -> None:
    square = Square(16, upscale=False)
    for suffix, more in (("jpg", {}), ("png", {"wide": 1}), ("TIF", {"wide": 1})):
        fill(tmp_path / suffix, range(3), suffix)
        identity = listed(tmp_path / suffix).source(square).identity
        # Without the files of the other kinds it is what it was before there was a choice.
        assert dict(identity) == {"files": identity["files"], "size": 16, "upscale": False, **more}
        chosen = listed(tmp_path / suffix).source(square, Decoding(upright=False, bits=12)).identity
        assert dict(chosen) == {**identity, "upright": False, "bits": 12}


def test_what_a_narrow_file_is_made_into_is_part_of_a_streamed_digest(tmp_path: Path) -> None:
    root = tmp_path / "set"
    fill(root, range(10))
    pixels = read(root, stream=True).train.pixels
    assert isinstance(pixels, Streamed)
    assert "bits" not in pixels.made
    Image.fromarray(np.full((16, 16), 4000, np.uint16)).save(root / "twelve.png")
    pixels = read(root, stream=True).train.pixels
    assert isinstance(pixels, Streamed)
    assert "12 bits" in pixels.made


def test_a_lone_train_folder_is_everything(tmp_path: Path) -> None:
    fill(tmp_path / "set" / "train" / "a", range(5))
    fill(tmp_path / "set" / "train" / "b", range(5, 10))
    assert read(tmp_path / "set").label_names == ("a", "b")


@pytest.mark.parametrize("shape", [(32, 64), (96, 48), (32, 32), (16, 16), (16, 40)])
def test_the_square_is_torchvisions_resize_and_centre_crop(shape: tuple[int, int]) -> None:
    # Sizes at which torchvision rounds nothing. At the cut it looks across the edge, hence the border.
    image = photo(3, *shape)
    resized = tv.resize(Image.fromarray(image), [16], InterpolationMode.BILINEAR)
    theirs = np.array(tv.center_crop(resized, [16, 16])).astype(int)
    ours = Square(16, upscale=False).fit(image, image.shape[:2]).astype(int)
    assert abs(ours - theirs)[1:-1, 1:-1].max() <= 1
    assert abs(ours - theirs).max() <= 20


def test_an_odd_margin_is_cut_symmetrically() -> None:
    image = photo(3, 32, 47)
    square = Square(16, upscale=False)
    mirrored = square.fit(np.ascontiguousarray(image[:, ::-1]), (32, 47))
    assert abs(square.fit(image, (32, 47))[:, ::-1].astype(int) - mirrored).max() <= 1


def test_small_images_are_refused_or_enlarged(tmp_path: Path) -> None:
    fill(tmp_path / "set", range(10))
    (tmp_path / "set" / "small.png").write_bytes(encoded(photo(99, 30, 15), "PNG"))
    with pytest.raises(
        BadImage,
        match=r"small\.png: is 15×30, smaller than size=16: a size of 15 or less takes it as it is",
    ):
        read(tmp_path / "set")
    data = read(tmp_path / "set", upscale=True)
    assert sum(map(len, data.splits.values())) == 11


def test_empty_folders_are_named(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "b").mkdir(parents=True)
    with pytest.raises(EmptyFolder, match="set holds no images"):
        read(root)
    fill(root / "a", range(3))
    with pytest.raises(EmptyFolder, match=r"class folder .*b holds no images"):
        read(root)
    fill(root, range(3))
    with pytest.raises(BadArchive, match=r"both images \(000\.png\) and folders"):
        read(root)
    with pytest.raises(MissingData, match=r"nowhere is no folder; set data\.root=PATH"):
        read(tmp_path / "nowhere")
    with pytest.raises(MissingData, match="PRETEXTBENCH_DATA"):
        image_folder(None, str(tmp_path), 16)


def test_shares_must_be_shares(tmp_path: Path) -> None:
    fill(tmp_path / "set", range(10))
    with pytest.raises(ValueError, match=r"test must be a share of the images in \(0, 1\), not 1"):
        read(tmp_path / "set", test=1)


def test_a_new_file_makes_a_new_pack(tmp_path: Path) -> None:
    fill(tmp_path / "set", range(10))
    read(tmp_path / "set")
    fill(tmp_path / "set", range(10, 11))
    assert sum(map(len, read(tmp_path / "set").splits.values())) == 11
