"""The client's side of the server on the loopback interface: its start, its address, its counts and its end."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.server import AUTHORITY, CHAIN, KEY, Counts


@dataclass(frozen=True, slots=True)
class Loopback:
    """A server that runs.

    :param url: where it serves.
    :param authority: the file of the certificate to check it by.
    :param process: the program.
    """

    url: str
    authority: Path
    process: subprocess.Popen[str]

    def counts(self) -> Counts:
        """Return what it has seen so far; this blocks for a moment."""
        assert self.process.stdin is not None
        self.process.stdin.write("counts\n")
        self.process.stdin.flush()
        return Counts(**json.loads(_line(self.process)))


@contextmanager
def loopback_akkio(most_per_second: int = 0, answer_seconds: float = 0.0) -> Iterator[Loopback]:
    """Run :mod:`benchmarks.server` until the ``with`` block ends.

    :param most_per_second: requests within one second that it answers; more get a 429. 0 answers all.
    :param answer_seconds: how long each answer takes; default as long as it must.
    """
    with tempfile.TemporaryDirectory(prefix="akkio-loopback-") as name:
        folder = Path(name)
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / AUTHORITY)
        certificate.private_key_pem.write_to_path(folder / KEY)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(folder / CHAIN, append=True)
        command = [sys.executable, "-m", "benchmarks.server", name, str(most_per_second), str(answer_seconds)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Loopback(f"https://127.0.0.1:{_line(process).strip()}", folder / AUTHORITY, process)
            finally:
                process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the server on the loopback interface has ended")
    return line
