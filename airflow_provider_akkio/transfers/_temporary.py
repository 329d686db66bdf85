"""Temporary files of rows that disappear with their process, even if it is killed."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal


@dataclass(frozen=True, slots=True)
class TemporaryFile:
    """A temporary JSON Lines file without a directory entry, so that the operating system deletes it in every case.

    It is a :class:`~airflow_provider_akkio.files.reader.ReadablePath`.

    :param label: what error messages call the file.
    :param output: the file, open for writing.
    """

    label: str
    output: BinaryIO

    def __str__(self) -> str:
        return self.label

    @property
    def name(self) -> str:
        """A file name whose extension defines the format."""
        return "rows.jsonl"

    def open(self, mode: Literal["rb"]) -> BinaryIO:  # noqa: ARG002 - like the method of a path
        """Open the file for reading from its start."""
        self.output.flush()
        return io.BufferedReader(_Reader(self.output.fileno()))


@contextmanager
def temporary_file(label: str) -> Iterator[TemporaryFile]:
    """Create a temporary file.

    :param label: what error messages call the file.
    """
    with tempfile.TemporaryFile(prefix="akkio-") as file:
        yield TemporaryFile(label, file)


class _Reader(io.RawIOBase):
    """Read from a file descriptor, with an own position and without closing it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        block = os.pread(self._descriptor, len(buffer), self._position)
        self._position += len(block)
        buffer[: len(block)] = block
        return len(block)
