"""Why a file of weights cannot be read, in one line: PyTorch has paragraphs, with advice to trust it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

_ZIP = b"PK"
"""What `torch.save` begins a file with."""
_HEAD = 9
"""Bytes at the beginning of a file: of safetensors the length of a header, and its brace."""
_TOLD = ("Unpickler error", "GLOBAL")
"""Words of the line, among PyTorch's advice, that says what was refused."""
_SENTENCE = re.compile(r"(?<=[^.]{3}\.)\s")


def reason(path: Path, error: Exception) -> str:
    """What is wrong with a file that PyTorch or safetensors refused."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    packed, safetensors = head.startswith(_ZIP), path.suffix == ".safetensors"
    if packed and not zipfile.is_zipfile(path):
        return "it is cut short: what is packed in it has no end"
    if packed and safetensors:
        return "it is no safetensors file but a zip, as torch.save writes: name it .pt"
    if packed:
        with zipfile.ZipFile(path) as entries:
            if not any(name.endswith("data.pkl") for name in entries.namelist()):
                return "it is a zip, and not one that torch.save wrote"
    if head[_HEAD - 1 :] == b"{" and not safetensors:
        return "it is a safetensors file under another name: name it .safetensors"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if any(word in line for word in _TOLD)]
    return _SENTENCE.split((told or lines or [type(error).__name__])[0])[0]
