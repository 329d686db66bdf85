"""The lines of a file, in blocks of bounded size, however long a line would be."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_akkio.files.sources import LARGEST, refuse

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 256 * 1024
_UTF_8_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class _Watched(io.RawIOBase):
    """Bytes of a file on their way to a buffer, each of them digested.

    :param file: what to read; of it, nothing but ``read`` is used.
    :param digest: takes the bytes.
    """

    def __init__(self, file: BinaryIO, digest: _Hash | None) -> None:
        self._file = file
        self._digest = digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what a BufferedReader hands over
        block = self._file.read(len(buffer))
        if self._digest is not None:
            self._digest.update(block)
        buffer[: len(block)] = block
        return len(block)


class Lines:
    """The lines of a file in UTF-8; each ends with a line feed, but for the last.

    :param file: the bytes of the file.
    :param name: the file's name, as messages have it.
    :param is_gzipped: whether they are to be decompressed.
    :param digest: takes the bytes as they stand in the file.
    """

    def __init__(self, file: BinaryIO, name: str, *, is_gzipped: bool, digest: _Hash | None = None) -> None:
        self._name = name
        self._file: BinaryIO = io.BufferedReader(_Watched(file, digest), _BLOCK)
        if is_gzipped:
            self._file = gzip.GzipFile(fileobj=self._file, mode="rb")  # type: ignore[assignment]  # it has read()
        self._lines_before = 0
        self._bytes_since_record = 0
        self._lines = chain.from_iterable(self._blocks())
        self.record_began = 1
        """The line at which what is read just now began: a reader of longer records says so after each."""

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def _blocks(self) -> Iterator[io.StringIO]:
        seen = 0
        for block in self._whole_lines():
            if self.record_began != seen:
                seen, self._bytes_since_record = self.record_began, 0
            self._bytes_since_record += len(block)
            if self._bytes_since_record > 2 * LARGEST + _BLOCK:
                refuse(self._name, f"the record that begins at line {seen} does not end within 4 MiB")
            yield io.StringIO(self._decoded(block), newline="\n")
            self._lines_before += block.count(b"\n")

    def _whole_lines(self) -> Iterator[bytes]:
        rest = self._beginning()
        while block := self._file.read(_BLOCK):
            if len(rest) + (block.find(b"\n") if b"\n" in block else len(block)) > LARGEST:
                refuse(self._name, f"line {self._lines_before + 1} is longer than 4 MiB")
            rest += block
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end]
                rest = rest[end:]
        if rest:
            yield rest

    def _beginning(self) -> bytes:
        mark = self._file.read(3)
        if mark.startswith(_UTF_16_MARKS):
            refuse(self._name, "line 1 is not UTF-8 but UTF-16; save the file as UTF-8")
        return b"" if mark == _UTF_8_MARK else mark

    def _decoded(self, block: bytes) -> str:
        if b"\0" in block:
            line = self._lines_before + 1 + block.count(b"\n", 0, block.index(b"\0"))
            refuse(self._name, f"line {line} has a NUL byte; the file may not be text, or not UTF-8")
        try:
            return block.decode()
        except UnicodeDecodeError as error:
            line = self._lines_before + 1 + block.count(b"\n", 0, error.start)
            refuse(self._name, f"line {line} is not UTF-8")
