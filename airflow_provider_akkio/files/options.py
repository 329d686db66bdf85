"""How to read a file: the parameters that the upload and the predict operator share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError
from airflow_provider_akkio.files.formats import FileFormat

SELECTION_HINT = "To leave it out, set columns or exclude_columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to read a file, and which of its columns.

    :param delimiter: character between the cells of a CSV file; default ``None``: a comma, or a tab for ``.tsv``. If
        it is set, a file with one column is not examined for another delimiter.
    :param encoding: encoding of a text file; default UTF-8. Byte order marks are removed.
    :param null_values: texts that mean that a value is missing; default the empty text, which always does. They apply
        to text, not to numbers, booleans or dates.
    :param columns: fields to read, in the order of the file; default all.
    :param exclude_columns: fields not to read; default none. The empty text is a column without a name.
    :param sheet_name: sheet of an Excel file; default the first.
    :param number_fields: fields whose text must be a number.
    :raises AkkioParameterError: if an option is invalid.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    columns: tuple[str, ...] | None = None
    exclude_columns: tuple[str, ...] = ()
    sheet_name: str | None = None
    number_fields: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0\ufeff'):
            raise AkkioParameterError(
                f"delimiter must be one character, such as ';' or '\\t', not {printable(repr(self.delimiter))}."
            )
        if not _is_text_encoding(self.encoding):
            raise AkkioParameterError(
                f"encoding must be a text encoding of Python, such as 'utf-8' or 'cp1252', "
                f"not {printable(repr(self.encoding))}."
            )
        if both := sorted(set(self.columns or ()) & set(self.exclude_columns)):
            raise AkkioParameterError(f"columns and exclude_columns both contain {printable(repr(both[0]))}.")

    def check_format(self, name: str, format_: FileFormat) -> None:
        """Raise :class:`AkkioParameterError` if an option does not apply to the format of a file.

        :param name: name of the file, for the message.
        :param format_: its format.
        """
        if self.delimiter is not None and format_ not in (FileFormat.CSV, FileFormat.TSV):
            raise AkkioParameterError(f"{printable(name)}: delimiter applies only to .csv and .tsv files.")
        if self.sheet_name is not None and format_ is not FileFormat.EXCEL:
            raise AkkioParameterError(f"{printable(name)}: sheet_name applies only to .xlsx files.")

    @property
    def missing_texts(self) -> frozenset[str]:
        """The texts that mean that a value is missing."""
        return frozenset(("", *self.null_values))

    @property
    def selects_all(self) -> bool:
        """Whether no column is left out."""
        return self.columns is None and not self.exclude_columns

    def selects(self, field: str) -> bool:
        """Return whether to read a column."""
        return (self.columns is None or field in self.columns) and field not in self.exclude_columns

    def selected_positions(self, fields: Sequence[str]) -> list[int]:
        """Return the positions of the columns to read.

        :param fields: the names of all columns of the file.
        :raises AkkioSourceFileError: if a name is missing in the file, or the selected names are not unique and not
            blank.
        """
        self.check_known(fields)
        positions = [position for position, field in enumerate(fields) if self.selects(field)]
        seen: set[str] = set()
        for position in positions:
            field = fields[position]
            if not field.strip():
                raise AkkioSourceFileError(f"field {position + 1} has no name. {SELECTION_HINT}")
            if field in seen:
                raise AkkioSourceFileError(f"two fields have the name '{printable(field)}'. {SELECTION_HINT}")
            seen.add(field)
        if not positions:
            raise AkkioSourceFileError("no field is left, because of columns or exclude_columns")
        return positions

    def check_known(self, fields: Sequence[str]) -> None:
        """Raise :class:`AkkioSourceFileError` if the file has no fields, or a selected or excluded name is missing."""
        if not fields:
            raise AkkioSourceFileError("the file has no fields")
        for parameter, names in (("columns", self.columns or ()), ("exclude_columns", self.exclude_columns)):
            for name in names:
                if name not in fields:
                    raise AkkioSourceFileError(
                        f"the file has no field '{printable(name)}', which {parameter} names. "
                        f"Its fields are {printable(', '.join(fields))}"
                    )

    def fingerprint(self) -> bytes:
        """Return bytes that are equal only for options that read the same rows."""
        return repr(replace(self, number_fields=frozenset())).encode("utf-8", "surrogatepass")


def _is_text_encoding(name: str) -> bool:
    try:
        b" ".decode(name)
    except UnicodeDecodeError:  # a space is half a character in UTF-16
        return True
    except (LookupError, ValueError):
        return False
    return True
