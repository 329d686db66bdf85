"""Rows of a sheet of an Excel file. Importing this module needs python-calamine (extra ``excel``)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files.options import ReadOptions
from airflow_provider_akkio.files.source import TableRows, check_row_size

try:
    from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, WorksheetNotFound
except ImportError as error:
    raise AkkioParameterError(
        "Excel files need python-calamine. Install airflow-provider-akkio[excel] on the worker."
    ) from error

_MAX_EXACT_INTEGER = 2.0**53


class ExcelRows(TableRows):
    """The rows of a sheet, which is loaded into memory. The first row that is not blank has the field names.

    :param file: the Excel file.
    :param options: which sheet and columns to read.
    """

    def __init__(self, file: BinaryIO, options: ReadOptions) -> None:
        super().__init__(_read_records(_open_sheet(file, options.sheet_name)), options)


def _open_sheet(file: BinaryIO, name: str | None) -> CalamineSheet:
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        return workbook.get_sheet_by_index(0) if name is None else workbook.get_sheet_by_name(name)
    except WorksheetNotFound:
        sheets = printable(", ".join(workbook.sheet_names))
        raise AkkioSourceFileError(f"the file has no sheet '{printable(str(name))}'. Its sheets are {sheets}") from None
    except PasswordError:
        raise AkkioSourceFileError("the file is protected by a password") from None
    except CalamineError:
        raise AkkioSourceFileError("the extension is .xlsx, but the file is damaged or is not an Excel file") from None


def _read_records(sheet: CalamineSheet) -> Iterator[tuple[int, list[Any], int]]:
    """Yield the number, the cells and the number of characters of each row, beginning with the header."""
    if sheet.start is None:  # old releases of python-calamine panic at the rows of an empty sheet
        return
    is_header = True
    for number, values in enumerate(sheet.iter_rows(), 1):
        cells = [_to_integer(value) for value in values]
        if all(cell == "" for cell in cells):
            cells = []
        elif is_header:
            cells = list(map(str, cells))
        if is_header and not cells:
            continue
        is_header = False
        size = sum(len(str(cell)) for cell in cells)
        check_row_size("row", number, size)
        yield number, cells, size


def _to_integer(value: Any) -> Any:
    """Return a whole number as an integer, because Excel stores all numbers as floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT_INTEGER:
        return int(value)
    return value
