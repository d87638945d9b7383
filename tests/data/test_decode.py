"""Every mode of image comes in as 8-bit RGB, everything broken as BadImage with its name."""

import contextlib
import io
import os
import pickle
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encoded, photo
from PIL import Image

from pretext.data.decode import (
    BadImage,
    Decoding,
    Skips,
    TooManyBadImages,
    decode,
    decode_index,
    decode_reduced,
    decode_rgb,
    is_turned,
    measure,
)
from pretext.data.named_images import find
from pretext.data.photographs import read_file


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_rgb_comes_back_as_it_was_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    image = photo(0, 10, 20)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(image, "PNG"))
    for source in (path.read_bytes(), path, str(path)):
        decoded = decode_rgb(source)
        assert decoded.dtype == np.uint8
        assert decoded.flags.writeable
        np.testing.assert_array_equal(decoded, image)


def test_gray_is_repeated() -> None:
    gray = photo(1)[..., 0]
    np.testing.assert_array_equal(decode_rgb(encoded(gray, "PNG")), np.repeat(gray[..., None], 3, 2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 128, 129, 257], [32768, 65535, 65406, 65407]], np.uint16)
    expected = np.round(values / 65535 * 255).astype(np.uint8)
    decoded = decode_rgb(saved(Image.fromarray(values), kind))
    np.testing.assert_array_equal(decoded, np.repeat(expected[..., None], 3, 2))


def test_32_bit_integers_within_16_bits_are_scaled_and_others_refused() -> None:
    values = np.array([[0, 65535]], np.int32)
    np.testing.assert_array_equal(decode_rgb(saved(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 255])
    with pytest.raises(BadImage, match=r"x\.tif: values 0 to 65536 do not fit 16 bits"):
        decode_rgb(saved(Image.fromarray(values + np.array([[0, 1]], np.int32)), "TIFF"), "x.tif")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_values_of_12_bits_in_16_are_scaled_by_12(kind: str) -> None:
    values = np.array([[0, 8, 9, 2048, 4095]], np.uint16)
    data = saved(Image.fromarray(values), kind)
    for decoding in (Decoding(), Decoding(bits=12)):
        decoded, narrow = decode(data, decoding=decoding)
        np.testing.assert_array_equal(decoded[0, :, 0], np.round(values[0] / 4095 * 255))
        assert narrow == (decoding.bits is None)
    decoded, narrow = decode(data, decoding=Decoding(bits=16))
    np.testing.assert_array_equal(decoded[0, :, 0], np.round(values[0] / 65535 * 255))
    assert not narrow
    wider, narrow = decode(saved(Image.fromarray(values + np.uint16(1)), kind))
    np.testing.assert_array_equal(wider[0, :, 0], np.round((values[0] + 1) / 65535 * 255))
    assert not narrow
    with pytest.raises(BadImage, match=r"x: values 0 to 4095 do not fit bits=10"):
        decode(data, "x", Decoding(bits=10))
    with pytest.raises(ValueError, match="bits must be 8 to 16, or null to tell by the values; it is 32"):
        Decoding(bits=32)


def test_black_is_not_narrow_and_netpbm_says_its_range_itself() -> None:
    assert not decode(saved(Image.fromarray(np.zeros((2, 2), np.uint16)), "PNG")).narrow
    dark = b"P5 2 1 65535\n" + np.array([0, 4000], ">u2").tobytes()
    decoded, narrow = decode(dark)
    assert decoded[0, :, 0].tolist() == [0, 16]
    assert not narrow


def deep_colour(largest: int) -> bytes:
    """A PNG of 2×1 pixels with 16 bits a channel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + np.array([[0, 0, 0], [largest, largest // 2, 0]], ">u2").tobytes()
    head = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(row)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_colour_of_12_bits_in_16_is_refused_by_name() -> None:
    np.testing.assert_array_equal(decode_rgb(deep_colour(65535))[0], [[0, 0, 0], [255, 127, 0]])
    with pytest.raises(BadImage, match=r"x: is in colour with 16 bits .* within 12 bits: it would be black"):
        decode_rgb(deep_colour(4095), "x")
    assert decode(deep_colour(4095), decoding=Decoding(bits=16)).pixels.max() == 15


def test_a_turned_photograph_can_be_read_as_it_is_stored() -> None:
    stored = photo(2, 12, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.fromarray(stored), "PNG", exif=exif)
    assert is_turned(data)
    assert not is_turned(encoded(stored, "PNG"))
    assert not is_turned(b"no image")
    as_stored = Decoding(upright=False)
    np.testing.assert_array_equal(decode(data, decoding=as_stored).pixels, stored)
    jpeg = saved(Image.fromarray(photo(2, 400, 600)), "JPEG", exif=exif)
    assert measure(jpeg)[:2] == (600, 400)
    assert measure(jpeg, decoding=as_stored)[:2] == (400, 600)
    reduced = decode_reduced(jpeg, lambda height, width: (height / 8, width / 8), decoding=as_stored)
    assert (reduced.height, reduced.width, *reduced.pixels.shape[:2]) == (400, 600, 100, 150)


def test_floating_point_is_refused() -> None:
    with pytest.raises(BadImage, match="no agreed range; save it with 8 or 16 bits"):
        decode_rgb(saved(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"))


def test_cmyk_is_converted() -> None:
    ink = np.zeros((8, 8, 4), np.uint8)
    ink[:, 4:, 0] = 255  # full cyan: no red
    for kind in ("TIFF", "JPEG"):
        decoded = decode_rgb(saved(Image.fromarray(ink, "CMYK"), kind)).astype(int)
        np.testing.assert_allclose(decoded[0, 0], [255, 255, 255], atol=3)
        np.testing.assert_allclose(decoded[0, 7], [0, 255, 255], atol=3)


def test_palette_gives_its_colours_and_its_transparency_becomes_white() -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    np.testing.assert_array_equal(decode_rgb(saved(image, "PNG"))[0], expected)
    expected[1] = [255, 255, 255]
    np.testing.assert_array_equal(decode_rgb(saved(image, "PNG", transparency=1))[0], expected)


def test_alpha_is_laid_on_white() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    decoded = decode_rgb(encoded(rgba, "PNG"))[0]
    np.testing.assert_array_equal(decoded[:2], [[10, 20, 30], [255, 255, 255]])
    np.testing.assert_allclose(decoded[2], 127, atol=1)
    gray_alpha = Image.fromarray(np.array([[[7, 255], [7, 0]]], np.uint8), "LA")
    np.testing.assert_array_equal(decode_rgb(saved(gray_alpha, "PNG"))[0, :, 0], [7, 255])


@pytest.mark.parametrize(
    ("orientation", "back"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (6, np.rot90),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_exif_orientation_is_undone(orientation: int, back) -> None:  # type: ignore[no-untyped-def]
    upright = photo(2, 12, 20)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_rgb(saved(Image.fromarray(np.ascontiguousarray(back(upright))), "PNG", exif=exif))
    np.testing.assert_array_equal(decoded, upright)


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (40, 200)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_rgb(data), 40)


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "no image that can be read"),
        (encoded(photo(3))[:-200], "corrupt or cut short"),
        (encoded(photo(3), "PNG")[:-200], "corrupt or cut short"),
        (encoded(photo(3))[:20], "no image that can be read"),
        (png_claiming(60000, 60000), "more than 89,478,485 pixels"),
        (png_claiming(10000, 10000), "more than 89,478,485 pixels"),
    ],
)
def test_what_is_broken_is_named_in_our_words(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with pytest.raises(BadImage) as caught:
        decode_rgb(path)
    assert caught.value.name == str(path)
    assert str(caught.value) == f"{path}: {reason}"
    with pytest.raises(BadImage, match=rf"^here\[7\]: {reason}$"):
        decode_rgb(data, "here[7]")


def odd_files(folder: Path) -> dict[str, str]:
    """Paths called like images that no image is behind, and why."""
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(folder)  # a socket's path is short
        listening.bind("socket.png")
        os.chdir(before)
    no_file = "no file, but a pipe, a socket or a device"
    return {
        "folder.png": "a folder, and no image",
        "link.png": "a link to nothing",
        "pipe.png": no_file,
        "device.png": no_file,
        "socket.png": no_file,
        "none.png": "there is no such file",
    }


def test_what_is_no_file_is_named_and_waited_for_by_nobody(tmp_path: Path) -> None:
    for name, reason in odd_files(tmp_path).items():
        for read in (decode_rgb, read_file):
            with pytest.raises(BadImage) as caught:
                read(tmp_path / name)
            assert str(caught.value) == f"{tmp_path / name}: {reason}"
    with pytest.raises(BadImage, match=r"loop\.png: a link to nothing"):
        decode_rgb(tmp_path / "loop.png")


def test_what_a_folder_names_like_images_is_given_to_be_named(tmp_path: Path) -> None:
    odd_files(tmp_path)
    (tmp_path / "folder.png" / "a.png").write_bytes(encoded(photo(3), "PNG"))
    (tmp_path / "notes.txt").write_text("")
    found = [path.relative_to(tmp_path).as_posix() for path in find(tmp_path)]
    assert found == ["device.png", "folder.png/a.png", "link.png", "loop.png", "pipe.png", "socket.png"]
    assert find(tmp_path / "pipe.png") == [tmp_path / "pipe.png"]
    with pytest.raises(FileNotFoundError, match=r"link\.png but a link to nothing$"):
        find(tmp_path / "link.png")
    with pytest.raises(FileNotFoundError, match=r"there is no image or folder .*none\.png$"):
        find(tmp_path / "none.png")


def test_a_missing_file_and_a_flipped_checksum_are_bad_images(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=r"none\.png: there is no such file"):
        decode_rgb(tmp_path / "none.png")
    data = bytearray(encoded(photo(4), "PNG"))
    data[len(data) // 2] ^= 255
    with pytest.raises(BadImage, match="corrupt"):
        decode_rgb(bytes(data), "a.png")


def test_a_limit_on_pixels_of_ones_own() -> None:
    data = encoded(photo(5, 10, 10), "PNG")
    assert decode_rgb(data, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(BadImage, match="10×10, more than 99 pixels"):
        decode_rgb(data, max_pixels=99)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_files_give_pixels_or_bad_image_and_nothing_else(kind: str, data: st.DataObject) -> None:
    file = bytearray(encoded(photo(6, 16, 16), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)))
    with contextlib.suppress(BadImage):
        image = decode_rgb(bytes(file[:cut]), "damaged")
        assert image.dtype == np.uint8
        assert image.shape[2] == 3


def test_masks_come_in_as_their_indices() -> None:
    values = np.array([[0, 1, 255]], np.uint8)
    palette = Image.fromarray(values, "P")
    palette.putpalette(list(range(256)) * 3)
    np.testing.assert_array_equal(decode_index(saved(palette, "PNG")), values)
    np.testing.assert_array_equal(decode_index(encoded(values, "PNG")), values)
    with pytest.raises(BadImage, match="palette or 8-bit gray, not mode 'RGB'"):
        decode_index(encoded(photo(7), "PNG"))
    with pytest.raises(BadImage, match="corrupt"):
        decode_index(saved(Image.fromarray(photo(7)[..., 0]), "PNG")[:-40])


def test_bad_image_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(BadImage("a.jpg", "empty")))
    assert (error.name, error.reason, str(error)) == ("a.jpg", "empty", "a.jpg: empty")


def test_skips_raise_by_default_count_when_allowed_and_end_past_one_percent() -> None:
    with pytest.raises(BadImage, match="a: empty"):
        Skips(1000).add(BadImage("a", "empty"))
    skips = Skips(200, allow=True)
    skips.add(BadImage("a", "empty"))
    skips.add(BadImage("b", "empty"))
    assert skips.names == ("a", "b")
    with pytest.raises(
        TooManyBadImages, match=r"3 of 200 images are bad, more than 1%: a: empty; b: empty; c"
    ):
        skips.add(BadImage("c", "empty"))
