"""What the formats share: an open file whose records become rows of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from airflow_provider_akkio.api.cells import cell_to_text
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files import MAX_ROW_SIZE
from airflow_provider_akkio.files.options import SELECTION_HINT, ReadOptions


class JsonNumber(str):
    """A JSON number, spelled as in the file: ``1.10`` and integers with 20 digits keep all digits."""

    __slots__ = ()


_PRINTED = frozenset({JsonNumber, bool})
"""Types whose values :func:`cell_to_text` converts by ``str``, which alone is five times as fast."""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Consecutive rows of a file.

    :param rows: the rows as they go to Akkio: field name to text, or to ``None`` for an empty cell.
    :param cells: the same cells as the source stores them. The type depends on the format; see the format's module.
    """

    rows: list[dict[str, str | None]]
    cells: list[Any]


class RowSource:
    """Base class of an open file; implemented once per format."""

    unit = "row"
    """What a row's number counts: ``line`` or ``row``."""

    fields: tuple[str, ...]
    """The selected fields. In JSON files the rows define them, so the tuple is final after the last row."""

    omitted_index: tuple[str, ...] = ()
    """Columns of an index of pandas that are left out."""

    def rows(self) -> Iterator[tuple[int, Any, int]]:
        """Yield the number, the selected cells and the number of characters of each row."""
        raise NotImplementedError

    def to_texts(self, cells: Any, missing_texts: frozenset[str]) -> Sequence[str | None]:
        """Return cells as they go to Akkio: text as it is, ``None`` for missing values, values in their one spelling.

        :param cells: the cells of a row.
        :param missing_texts: texts that mean a missing value.
        :raises ValueError: if the type of a cell is not supported.
        """
        return [
            None
            if cell is None
            else (None if cell in missing_texts else cell)
            if type(cell) is str
            else str(cell)
            if type(cell) in _PRINTED
            else cell_to_text(cell)
            for cell in cells
        ]


class TableRows(RowSource):
    """The rows below the header of a table: a CSV file or a sheet.

    A blank row is a missing value if the table has one column, and otherwise an error. At the end it is ignored.

    :param records: number, cells and number of characters of the header and each row; a blank row has no cells.
    """

    def __init__(self, records: Iterator[tuple[int, list[Any], int]], options: ReadOptions) -> None:
        self._records = records
        number, header, _ = next(records, (1, None, 0))
        if header is None:
            raise AkkioSourceFileError("the file is empty")
        if not header:
            raise AkkioSourceFileError(f"{self.unit} {number} is blank; it must have the field names")
        self.width = len(header)
        self._positions = options.selected_positions(header)
        self.fields = tuple(header[position] for position in self._positions)

    def rows(self) -> Iterator[tuple[int, list[Any], int]]:
        """Yield the number, the selected cells and the number of characters of each row."""
        width, positions = self.width, self._positions
        has_all = len(positions) == width
        blank_rows = first_blank = 0
        for number, cells, size in self._records:
            if not cells:
                first_blank = first_blank or number
                blank_rows += 1
                continue
            if blank_rows and width > 1:
                raise AkkioSourceFileError(f"{self.unit} {first_blank} is blank, but rows follow")
            if len(cells) != width:
                cell_unit = "cell" if len(cells) == 1 else "cells"
                raise AkkioSourceFileError(
                    f"{self.unit} {number} has {len(cells)} {cell_unit}, but the header has {width}"
                )
            yield from repeat((first_blank, [""], 0), blank_rows)
            blank_rows = first_blank = 0
            yield number, cells if has_all else [cells[position] for position in positions], size


def check_row_size(unit: str, number: int, size: int) -> None:
    """Raise :class:`AkkioSourceFileError` if a row has more than 4 MiB of text."""
    if size > MAX_ROW_SIZE:
        raise AkkioSourceFileError(f"{unit} {number} is larger than 4 MiB")


def unsupported_value(place: str, field: str, what: str) -> AkkioSourceFileError:
    """Return the error for a value that cannot be a cell."""
    return AkkioSourceFileError(f"{place} has {what} in the field '{printable(field)}'. {SELECTION_HINT}")
