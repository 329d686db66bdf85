"""What the readers of the formats share: how they are asked for rows, and how they say what is wrong."""

from __future__ import annotations

import gzip
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Literal, NoReturn, Protocol

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioSourceFileError
from airflow_provider_akkio.files.cells import Column, Converter, Value

LARGEST = 4 * 1024 * 1024
"""Most bytes of a line, characters of a row, and characters of a batch that has more than one row."""


class ReadablePath(Protocol):
    """Where a file is: a :class:`pathlib.Path`, or Airflow's ``ObjectStoragePath``."""

    @property
    def name(self) -> str:
        """The last part of the path."""

    def open(self, mode: Literal["rb"]) -> AbstractContextManager[BinaryIO]:
        """Open the file for reading bytes."""


class Source(ABC):
    """An open file, whose header has been read.

    :param name: the file's name, as messages have it.
    :param fields: the names of the fields.
    """

    schema: Any = None
    """The Arrow schema, where the format has one."""

    def __init__(self, name: str, fields: Sequence[str]) -> None:
        self.name = name
        self.fields = tuple(fields)
        _check_fields(name, self.fields)

    @abstractmethod
    def rows(self) -> Iterator[tuple[Sequence[Any], int]]:
        """Yield the cells of each row, and about how many characters they have.

        :raises AkkioSourceFileError: at the first row that is wrong.
        """

    @abstractmethod
    def converter(self, position: int) -> Converter:
        """Return what makes values of the cells of one field.

        :param position: the field's place among the fields.
        """

    @abstractmethod
    def text_converter(self, position: int) -> Converter:
        """Return what makes texts of the cells of one field, even where they are numbers.

        :param position: the field's place among the fields.
        """

    def numbers(self, position: int, column: Column) -> Sequence[Value] | None:
        """Return the values of a field if none of them is text.

        :param position: the field's place among the fields.
        :param column: cells of the field.
        """
        values = self.converter(position)(column)
        return None if any(isinstance(value, str) for value in values) else values


def refuse(name: str, problem: str) -> NoReturn:
    """Raise :class:`AkkioSourceFileError`.

    :param name: the file's name, as messages have it.
    :param problem: what is wrong with the file.
    """
    raise AkkioSourceFileError(f"{name}: {problem}.")


@contextmanager
def opened(path: ReadablePath, name: str) -> Iterator[BinaryIO]:
    """Open a file, and say in one sentence why it cannot be read.

    What may pass, such as a connection that breaks, is left as it is: a later try can succeed.

    :param path: where the file is.
    :param name: the file's name, as messages have it.
    :raises AkkioSourceFileError: if there is no such file, it may not be read, or is not compressed as its name says.
    """
    try:
        with path.open("rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError):
        refuse(name, "there is no such file")
    except IsADirectoryError:
        refuse(name, "this is a folder, not a file")
    except PermissionError:
        refuse(name, "there is no permission to read the file")
    except (gzip.BadGzipFile, EOFError, zlib.error):
        refuse(name, "the file ends in .gz, but is broken or was not compressed by gzip")


def _check_fields(name: str, fields: Sequence[str]) -> None:
    if not fields:
        refuse(name, "the file has no fields")
    seen: set[str] = set()
    for number, field in enumerate(fields, 1):
        if not field.strip():
            refuse(name, f"field {number} has no name")
        if field in seen:
            refuse(name, f"two fields are named '{printable(field)}'")
        seen.add(field)
