"""Generate random malformed responses.

Hypothesis draws the documents and a seed. A random generator with that seed then damages their bytes: that is much
faster than drawing every byte, and also repeatable.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import strategies as st

from airflow_provider_akkio.api.http import Response, TransportError

any_text = st.text(st.characters(), max_size=12)  # with control characters, NUL and halves of surrogate pairs
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), any_text)
_values = _scalars | st.recursive(
    _scalars, lambda inner: st.lists(inner) | st.dictionaries(any_text, inner), max_leaves=6
)

_LOCATION_PARTS = [
    *("/", "//", "\\", ".", "..", "%2e%2e", "%252e%252e", "%2f", "%5c", "%25", "%00", "%", ";", "?", "#", "@"),
    *(":", "&"),
    *("https:", "http:", "https://", "HTTPS://", "ftp://", "javascript:", "://", ":443", ":444", ":99999", "["),
    *("]"),
    *("api.akkio.com", "API.AKKIO.COM", "evil.example", "user:word@", "127.0.0.1", "[::1]", "akkio"),
    *("api", "/api/v1", "/api/v1/", "/api/v1/models/train/T1/result", "v1", "models", "train", "T1", "result"),
    *(" ", "\t", "\r\n", "\0", "ü", "\u2024\u2024", "\uff0e\uff0e", "\u3002", "\uff0f", "\u202e", "\ud800"),
]
_locations = st.lists(st.sampled_from(_LOCATION_PARTS) | any_text, max_size=8).map("".join)

_ids = st.sampled_from(["T1", "..", "a/b", "x" * 200, "x" * 201, "two\nlines", "\u202e", ""]) | any_text
_statuses = st.sampled_from(["PENDING", "IN_PROGRESS", "IN_PROGRESS", "SUCCEEDED", "FAILED", "CELEBRATING", "S" * 300])

_documents = st.fixed_dictionaries(
    {},
    optional={
        "task_id": _ids | _values,
        "model_id": _ids | _values,
        "status": _statuses | _values,
        "metadata": _values
        | st.fixed_dictionaries(
            {}, optional={"location": _locations | _values, "estimate_seconds": _values, "error": any_text | _values}
        ),
        "stats": _values,
        "data_story": _values,
        "detail": _values | st.lists(st.fixed_dictionaries({"loc": _values, "msg": _values}), max_size=2),
    },
)

_INSERTED = [b"NaN", b"-Infinity", b"1e999", b"-1e999", b"9" * 4000, b"9" * 5000, b"\0", b"\x1b[31m", b"\xed\xa0\x80"]
_INSERTED += [b"\\u0000", b"\\ud800", b"\\udc00\\ud800", b"\xff", b"\xf4\x90\x80\x80", b"{", b"}", b'"', b",", b"[" * 9]
_HTTP_STATUSES = [200] * 10 + [201] * 10 + [302, 400, 401, 403, 404, 408, 422, 425, 429, 500, 502, 503, 503]
_RETRY_AFTERS = ["0", "-1", "nan", "inf", "1e400", "1_0", "\uff19", "9" * 5000, "soon", "", "\0", ", , ,"]
_RETRY_AFTERS += ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 1 Jan 1 0:0:0 +9999", "Fri, 24 Jul 2026 10:13:30"]
_RETRY_AFTERS += ["Mon, 99 Foo 2026 99:99:99 +99999999"]


@dataclass(frozen=True)
class Malformed:
    """An endless, repeatable sequence of malformed responses.

    :param documents: documents to damage.
    :param texts: texts to insert.
    :param seed: seed of the random generator.
    """

    documents: list[dict[str, Any]]
    texts: list[str]
    seed: int

    def __iter__(self) -> Iterator[Response | TransportError]:
        random = Random(self.seed)
        while True:
            yield self._response(random)

    def _response(self, random: Random) -> Response | TransportError:
        if random.random() < 0.05:
            return TransportError(random.choice(self.texts), was_sent=random.random() < 0.5)
        return Response(
            random.choice(_HTTP_STATUSES) if random.random() < 0.9 else random.randint(100, 999),
            random.choice(_MAKERS)(random.choice(self.documents), random),
            self._retry_after(random),
            random.choice([*self.texts, "did not end in time"]) if random.random() < 0.05 else None,
        )

    def _retry_after(self, random: Random) -> str | None:
        return random.choice([None, random.choice(self.texts), random.choice(_RETRY_AFTERS), str(random.gauss(0, 200))])


malformed = st.builds(
    Malformed,
    st.lists(_documents, min_size=1, max_size=2),
    st.lists(any_text, min_size=1, max_size=2),
    st.integers(0, 2**32),
)


def is_plausible(received: Response | TransportError) -> bool:
    """Return whether Akkio itself might send this response, so that it does not count as malformed."""
    if isinstance(received, TransportError) or received.defect is not None:
        return False
    try:
        body = json.loads(received.body)
    except (ValueError, RecursionError):
        return False
    keys = ("detail",) if received.status >= 400 else ("task_id", "status", "model_id")
    return isinstance(body, dict) and any(isinstance(body.get(key), str) for key in keys)


@dataclass(frozen=True)
class Locations:
    """An endless, repeatable sequence of locations, most of them invalid.

    :param texts: texts to insert.
    :param seed: seed of the random generator.
    """

    texts: list[str]
    seed: int

    def __iter__(self) -> Iterator[str]:
        random = Random(self.seed)
        while True:
            parts = random.choices([*_LOCATION_PARTS, *self.texts], k=random.randint(0, 4))
            beginning = random.choice(
                ["", "/", "models/", "/api/v1/", "https://api.akkio.com", "https://api.akkio.com/api/v1/"]
            )
            yield beginning + random.choice(["", "/"]).join(parts)


odd_locations = st.builds(Locations, st.lists(any_text, min_size=5, max_size=20), st.integers(0, 2**32))


def _plain(document: Any, random: Random) -> bytes:
    is_ascii = random.random() < 0.5
    return json.dumps(document, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")


def _truncated(document: Any, random: Random) -> bytes:
    body = _plain(document, random)
    return body[: random.randint(0, len(body))]


def _mutated(document: Any, random: Random) -> bytes:
    body = bytearray(_plain(document, random))
    for _ in range(random.randint(1, 3)):
        body[random.randrange(len(body))] = random.randrange(256)
    return bytes(body)


def _interrupted(document: Any, random: Random) -> bytes:
    body = _plain(document, random)
    at = random.choice([place for place, one in enumerate(body) if one in b' :,"{}[]'])
    return body[:at] + random.choice(_INSERTED) + body[at + random.randint(0, 1) :]


def _with_odd_numbers(document: Any, random: Random) -> bytes:
    odd = random.choice(["NaN", "Infinity", "1e999", "-0", "1e-999", "9" * 4000, "9" * 4400, "1" + "0" * 400 + ".5"])
    return _plain(document | {"stats": ["ODD"], "status": "PENDING", "model_id": "M1"}, random).replace(
        b'"ODD"', odd.encode()
    )


def _twice(document: Any, random: Random) -> bytes:
    one, two = _plain(document, random), _plain(document, random)
    return random.choice([one + two, one[:-1] + b', "status": null, ' + two[1:], b"[" + one + b"," + two + b"]"])


def _nested(document: Any, random: Random) -> bytes:
    opening, closing = random.choice([("[", "]"), ('{"a":', "}")])
    depth = random.choice([random.randint(1, 120), random.randint(1, 1200), 100_000])
    deep = f"{opening * depth}1{closing * depth}"
    where = random.choice(['"model_id": "M1", "stats"', '"status": "SUCCEEDED", "metadata"', '"status"', '"detail"'])
    return random.choice([deep, f"{{{where}: {deep}}}", f"{{{where}: {deep}"]).encode()


def _in_another_encoding(document: Any, random: Random) -> bytes:
    encoding = random.choice(["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-7", "cp037"])
    return json.dumps(document).encode(encoding)


def _as_html(document: Any, random: Random) -> bytes:
    return b"<!doctype html>\r\n<h1>\x1b]0;" + _plain(document, random) + b"</h1>" + b"&nbsp;" * random.randint(0, 999)


def _noise(document: Any, random: Random) -> bytes:
    return random.randbytes(random.randint(0, 200))


_MAKERS = [_plain, _truncated, _mutated, _interrupted, _with_odd_numbers, _twice]
_MAKERS += [_nested, _in_another_encoding, _as_html, _noise]
