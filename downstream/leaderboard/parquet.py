"""Lines of a table as Parquet, where pyarrow is installed; nothing else of the package needs it."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

EXTRA = "parquet"
"""The extra of this package that pyarrow comes with."""


def can_be_written() -> bool:
    """Whether pyarrow is installed."""
    return importlib.util.find_spec("pyarrow") is not None


def parquet(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """One row a line, a column a key; of a kind that its values have: numbers, text, truth.

    Args:
        lines: at least one, of the same keys; values are scalars.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(map(dict, lines))), file)
    return file.getvalue()
