"""What is kept of a submission, for whoever goes on with it: a later try of the task, or another triggerer."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

log = logging.getLogger(__name__)

KEY = "akkio_training"
"""Under which it lies in the task's state store, and in its XComs while a triggerer has submitted or ends the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submission that is on its way, or a training that came of it.

    :param fingerprint: tells whether a later try asks for the same; see :func:`fingerprint_of`.
    :param akkio_task_id: id of the training; ``None`` from just before the submission until Akkio's answer.
    :param submitted_at: when Akkio accepted it, or when the submission began, in seconds since the epoch.
    :param ends_in_triggerer: whether a triggerer ends the task, which cannot remove the entry from the state store.
    """

    fingerprint: str
    akkio_task_id: str | None
    submitted_at: float
    ends_in_triggerer: bool = False

    @classmethod
    def from_entry(cls, entry: Any) -> Self | None:
        """Read what :meth:`to_entry` returned; ``None`` if there is nothing, or nothing of ours."""
        if entry is None:
            return None
        match entry:
            case {"fingerprint": str(fingerprint), "akkio_task_id": akkio_task_id, "submitted_at": float(submitted_at)}:
                if math.isfinite(submitted_at) and (akkio_task_id is None or _is_id(akkio_task_id)):
                    return cls(
                        fingerprint=fingerprint,
                        akkio_task_id=akkio_task_id,
                        submitted_at=submitted_at,
                        ends_in_triggerer=entry.get("ends_in_triggerer") is True,
                    )
        log.warning("What an earlier try kept about its training cannot be read; going on without it.")
        return None

    def to_entry(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


def fingerprint_of(payload: Mapping[str, Any], akkio_conn_id: str) -> str:
    """Return a text that is the same for the same payload, sent with the same connection, alone."""
    return hashlib.sha256(json.dumps([akkio_conn_id, payload], sort_keys=True).encode()).hexdigest()


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
