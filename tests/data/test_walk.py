"""The walk through folders follows links, names loops and unreadable folders, and counts what is left out."""

import os
from pathlib import Path

import pytest

from pretext.data.class_folders import listed
from pretext.data.files import FolderFiles
from pretext.data.named_images import find
from pretext.data.source import BadArchive, MissingData, folder_identity
from pretext.data.walk import image_files, walk


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_links_to_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "deep" / "a.jpg", tmp_path / "b.jpg")
    root = tmp_path / "set"
    root.mkdir()
    (root / "cat").symlink_to(tmp_path / "real")
    (root / "dog").mkdir()
    (root / "dog" / "b.jpg").symlink_to(tmp_path / "b.jpg")
    names = ["cat/deep/a.jpg", "dog/b.jpg"]
    assert [path.relative_to(root).as_posix() for path in image_files(root)] == names
    assert listed(root).classes == ("cat", "dog")
    assert sorted(FolderFiles(root).names) == names
    assert [path.relative_to(root).as_posix() for path in find(root)] == names


def test_one_folder_may_be_linked_twice_but_not_into_itself(tmp_path: Path) -> None:
    touch(tmp_path / "set" / "a" / "x.jpg")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "set" / "a")
    assert len(image_files(tmp_path / "set")) == 2
    (tmp_path / "set" / "a" / "up").symlink_to(tmp_path / "set")
    with pytest.raises(BadArchive, match=r"a/up is a link to .*set, in which it lies: a loop of folders"):
        walk(tmp_path / "set")


def test_a_link_to_itself_is_a_link_to_nothing(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "b.jpg")
    assert walk(tmp_path).broken == (tmp_path / "b.jpg",)


def test_names_that_are_no_text_are_read(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn.jpg")
    touch(Path(path), tmp_path / "a.jpg")
    assert len(folder_identity(tmp_path, image_files(tmp_path))) == 64


def test_what_is_no_part_of_a_set_is_told_apart_and_counted(tmp_path: Path) -> None:
    touch(
        tmp_path / "a" / "1.jpg",
        tmp_path / "a" / "2.JFIF",
        tmp_path / "a" / "3.heic",
        tmp_path / "a" / "4.HEIC",
        tmp_path / "README",
        tmp_path / "a" / "._1.jpg",
        tmp_path / "a" / ".DS_Store",
        tmp_path / "__MACOSX" / "a" / "._1.jpg",
        tmp_path / ".git" / "5.jpg",
    )
    (tmp_path / "a" / "6.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "a" / "7.jpg")
    (tmp_path / "a" / "8.jpg").symlink_to("7.jpg")
    walked = walk(tmp_path)
    assert [path.name for path in walked.images] == ["1.jpg", "2.JFIF"]
    assert [folder.name for folder in walked.folders] == ["a"]
    assert [str(remark) for remark in walked.remarks()] == [
        "2 .heic not read",
        "1 without a suffix not read",
        "3 ignored (.git, __MACOSX, ._1.jpg)",
        "1 link to nothing (a/6.jpg)",
        "2 pipes, sockets or devices (a/7.jpg, a/8.jpg)",
    ]
    assert len(walked.remarks(files=False)) == 3
    assert [path.name for path in walk(tmp_path, deep=False).folders] == ["a"]


def test_a_folder_that_may_not_be_read_is_not_said_to_be_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "1.jpg", tmp_path / "b" / "2.jpg")
    scandir = os.scandir

    def refused(path: Path) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("pretext.data.walk.os.scandir", refused)
    with pytest.raises(MissingData, match=r"/b cannot be read \(Permission denied\)"):
        listed(tmp_path)


def test_a_folder_of_files_that_are_not_read_is_not_said_to_be_empty(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.heic", tmp_path / "b" / "2.jpg")
    with pytest.raises(
        MissingData, match=r"/a holds no images, but files that are not read: 1 \.heic; those"
    ):
        listed(tmp_path)
