"""Start :mod:`benchmarks.server` on the loopback interface, and read its counts."""

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
    """A running server.

    :param url: URL of the server.
    :param authority: file with the certificate of its certificate authority.
    :param process: process of the server.
    """

    url: str
    authority: Path
    process: subprocess.Popen[str]

    def counts(self) -> Counts:
        """Return the server's counts; this call blocks."""
        assert self.process.stdin is not None
        self.process.stdin.write("counts\n")
        self.process.stdin.flush()
        return Counts(**json.loads(_read_line(self.process)))


@contextmanager
def loopback_akkio(max_per_second: int = 0, response_seconds: float = 0.0) -> Iterator[Loopback]:
    """Run the server until the ``with`` block ends.

    :param max_per_second: rate limit above which it responds with HTTP 429; default no limit.
    :param response_seconds: delay of each response.
    """
    with tempfile.TemporaryDirectory(prefix="akkio-loopback-") as name:
        folder = Path(name)
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / AUTHORITY)
        certificate.private_key_pem.write_to_path(folder / KEY)
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(folder / CHAIN, append=True)
        command = [sys.executable, "-m", "benchmarks.server", name, str(max_per_second), str(response_seconds)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield Loopback(f"https://127.0.0.1:{_read_line(process).strip()}", folder / AUTHORITY, process)
            finally:
                process.kill()


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the loopback server has exited")
    return line
