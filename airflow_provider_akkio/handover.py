"""What one try of a task leaves for the next: which training it submitted."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.api.training import NOT_SUBMITTED_AGAIN, SubmittedTraining
from airflow_provider_akkio.exceptions import AkkioNotFound, AkkioSubmitOutcomeUnknown

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.training import TrainRequest

log = logging.getLogger(__name__)

KEY = "akkio_training"
"""Under which the entry lies in the task's state store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is kept of a submission.

    :param fingerprint: tells whether a later try asks for the same; see :func:`fingerprint_of`.
    :param akkio_task_id: id of the training; ``None`` from just before the submission until Akkio's answer.
    :param submitted_at: when Akkio accepted it, or when the submission began, in seconds since the epoch.
    """

    fingerprint: str
    akkio_task_id: str | None
    submitted_at: float

    @classmethod
    def from_entry(cls, entry: Any) -> Self | None:
        """Read what :meth:`to_entry` returned; ``None`` if there is nothing, or nothing of ours."""
        if entry is None:
            return None
        match entry:
            case {"fingerprint": str(fingerprint), "akkio_task_id": akkio_task_id, "submitted_at": float(submitted_at)}:
                if math.isfinite(submitted_at) and (akkio_task_id is None or _is_id(akkio_task_id)):
                    return cls(fingerprint=fingerprint, akkio_task_id=akkio_task_id, submitted_at=submitted_at)
        log.warning("What an earlier try kept about its training cannot be read; going on without it.")
        return None

    def to_entry(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return asdict(self)


class Handover:
    """Hands the training that one try of a task submitted over to the next try.

    It lies in Airflow's ``task_state_store``, which outlives tries, since Airflow 3.3. On an older Airflow nothing is
    kept, and each try submits anew.

    :param context: the task's context.
    :param request: what this try asks for.
    :param akkio_conn_id: id of the connection: another account has other trainings.
    """

    def __init__(self, context: Context, request: TrainRequest, akkio_conn_id: str) -> None:
        self._context = context
        self._store = _store(context)
        self._fingerprint = fingerprint_of(request.to_json(), akkio_conn_id)
        self._duration = request.duration
        self.is_billed_again = request.force

    def earlier_training(self) -> SubmittedTraining | None:
        """Return the training that an earlier try submitted with the same parameters, if there is one.

        :raises AkkioSubmitOutcomeUnknown: if an earlier try ended between its submission and Akkio's answer, and
            submitting again could be billed.
        """
        kept = None if self._store is None else Submission.from_entry(self._store.get(KEY))
        if kept is None:
            return None
        if kept.fingerprint != self._fingerprint:
            log.warning(
                "An earlier try submitted %s with other parameters; it is left alone.",
                f"training {kept.akkio_task_id}" if kept.akkio_task_id else "what may have become a training",
            )
            return None
        if kept.akkio_task_id is None:
            raise AkkioSubmitOutcomeUnknown(
                f"An earlier try of this task ended while it submitted a training. {NOT_SUBMITTED_AGAIN}"
            )
        return SubmittedTraining(kept.akkio_task_id, kept.submitted_at, self._duration)

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Note, where submitting twice would be billed, that a submission is on its way, until it has an outcome.

        So a try that is killed in the middle does not make the next one pay for a second training.
        """
        if self._store is None or not self.is_billed_again:
            yield
            return
        self._store.set(KEY, self._entry(None, time.time()))
        try:
            yield
        except AkkioSubmitOutcomeUnknown:
            raise
        except Exception:
            forget(self._context)
            raise

    def keep(self, training: SubmittedTraining) -> None:
        """Keep a training for the next try.

        It has begun, so a store that fails is no reason to lose it: this try goes on.
        """
        if self._store is None:
            return
        try:
            self._store.set(KEY, self._entry(training.akkio_task_id, training.submitted_at))
        except Exception:
            log.exception(
                "Training %s could not be kept for a later try; AkkioTrainSensor(akkio_task_id=%r) can pick it up.",
                training.akkio_task_id,
                training.akkio_task_id,
            )

    def _entry(self, akkio_task_id: str | None, submitted_at: float) -> Mapping[str, Any]:
        return Submission(
            fingerprint=self._fingerprint, akkio_task_id=akkio_task_id, submitted_at=submitted_at
        ).to_entry()


def fingerprint_of(payload: Mapping[str, Any], akkio_conn_id: str) -> str:
    """Return a text that is the same for the same payload, sent with the same connection, alone."""
    return hashlib.sha256(json.dumps([akkio_conn_id, payload], sort_keys=True).encode()).hexdigest()


def forget(context: Context) -> None:
    """Remove what was kept; as a callback on success, so that clearing a finished task trains again.

    A callback runs once Airflow knows how the task ended. Until then whatever fails must leave the training findable.

    :param context: the task's context.
    """
    if (store := _store(context)) is None:
        return
    try:
        store.delete(KEY)
    except Exception:
        log.exception("The entry %r of the task's state store could not be removed.", KEY)


def forget_what_a_person_clears(context: Context) -> None:
    """Remove what was kept if the task failed with an error after which clearing it is to train anew.

    :param context: the task's context, with its exception.
    """
    if isinstance(context.get("exception"), AkkioSubmitOutcomeUnknown | AkkioNotFound):
        forget(context)


def _store(context: Context) -> Any:
    return context.get("task_state_store")


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
