"""What is kept of a submission, for whoever goes on with it: a later try of the task, or another triggerer."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_akkio.api.types import NOT_SUBMITTED_AGAIN
from airflow_provider_akkio.exceptions import AkkioNotFoundError, AkkioSubmissionUnknownError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.parameters import TrainRequest
    from airflow_provider_akkio.api.types import SubmittedTraining

log = logging.getLogger(__name__)


KEY = "akkio_training"
"""Under which it lies in the task's state store, and in its XComs while a triggerer has submitted or ends the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTraining:
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


def store_of(context: Context) -> Any:
    """Return the task's state store; ``None`` before Airflow 3.3."""
    return context.get("task_state_store")


def remove(context: Context, key: str) -> None:
    """Remove an entry; a store that fails is logged, since the task's end is not to be upset by it.

    :param context: the task's context.
    :param key: of which entry.
    """
    if (store := store_of(context)) is None:
        return
    try:
        store.delete(key)
    except Exception:  # a store may be any service, with errors of its own
        log.exception("The entry %r of the task's state store could not be removed.", key)


def delete_xcom(context: Context, key: str) -> None:
    """Delete an XCom of the task's own, as Airflow 3 can.

    :param context: the task's context.
    :param key: of the XCom.
    """
    from airflow.sdk.execution_time.xcom import XCom

    ti = context["ti"]
    XCom.delete(key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


RETURN_VALUE = "return_value"


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
        self._store = store_of(context)
        self._fingerprint = fingerprint_of(request.to_json(), akkio_conn_id)
        self._duration = request.duration
        self.is_billed_again = request.force

    def earlier_training(self) -> SubmittedTraining | None:
        """Return the training that an earlier try submitted with the same parameters, if there is one.

        :raises AkkioSubmissionUnknownError: if an earlier try ended between its submission and Akkio's answer, and
            submitting again could be billed.
        """
        from airflow_provider_akkio.api.types import SubmittedTraining

        kept = _kept(self._store)
        if kept is None:
            self._refuse_what_was_lost()
            return None
        if kept.ends_in_triggerer and _ended_in_triggerer(_cleared_xcoms(self._context)):
            forget(self._context)
            return None
        if kept.fingerprint != self._fingerprint:
            log.warning(
                "An earlier try submitted %s with other parameters; it is left alone.",
                f"training {kept.akkio_task_id}" if kept.akkio_task_id else "what may have become a training",
            )
            return None
        if kept.akkio_task_id is None:
            raise AkkioSubmissionUnknownError(
                f"An earlier try of this task ended while it submitted a training. {NOT_SUBMITTED_AGAIN}"
            )
        return SubmittedTraining(kept.akkio_task_id, kept.submitted_at, self._duration)

    def _refuse_what_was_lost(self) -> None:
        """Refuse to pay again where a triggerer submitted, and the DAG was changed before anything else went on."""

        if self.is_billed_again and KEY in _cleared_xcoms(self._context):
            raise AkkioSubmissionUnknownError(
                "An earlier try of this task submitted a training from the triggerer, and its log has the id. "
                f"{NOT_SUBMITTED_AGAIN}"
            )

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Note, where submitting twice would be billed, that a submission is on its way, until it has an outcome.

        So a try that is killed in the middle does not make the next one pay for a second training.
        """
        if self._store is None or not self.is_billed_again:
            yield
            return
        self._store.set(*self._entry(None, time.time()))
        try:
            yield
        except AkkioSubmissionUnknownError:
            raise
        except Exception:  # the client makes errors of Akkio's of whatever happens once a request has left
            forget(self._context)
            raise

    def keep(self, training: SubmittedTraining, *, ends_in_triggerer: bool = False) -> dict[str, Any] | None:
        """Keep a training for the next try, and return what is kept; ``None`` if that did not work.

        It has begun, so a store that fails is no reason to lose it: this try goes on.

        :param training: which training.
        :param ends_in_triggerer: whether a triggerer is to end the task, which cannot :func:`forget` the training then.
        """
        if self._store is None:
            return None
        key, entry = self._entry(training.akkio_task_id, training.submitted_at, ends_in_triggerer)
        try:
            self._store.set(key, entry)
        except Exception:  # a store may be any service, with errors of its own
            log.exception(
                "Training %s could not be kept for a later try; AkkioTrainSensor(akkio_task_id=%r) can pick it up.",
                training.akkio_task_id,
                training.akkio_task_id,
            )
            return None
        return entry

    def _entry(
        self, akkio_task_id: str | None, submitted_at: float, ends_in_triggerer: bool = False
    ) -> tuple[str, dict[str, Any]]:

        kept = StoredTraining(
            fingerprint=self._fingerprint,
            akkio_task_id=akkio_task_id,
            submitted_at=submitted_at,
            ends_in_triggerer=ends_in_triggerer,
        )
        return KEY, kept.to_entry()


def take_over(context: Context) -> None:
    """Take what a triggerer kept in XCom into the state store, for a task that goes on in a worker.

    :param context: the task's context.
    """

    store = store_of(context)
    if store is None or (entry := pull_own(context, KEY)) is None:
        return
    store.set(KEY, entry)
    delete_xcom(context, KEY)


def start_over(context: Context, xcom_keys: Iterable[str]) -> None:
    """Make a task that a triggerer did not start as it is when a worker starts it.

    What an earlier try submitted is kept for this one, unless that try has ended with success. Its XComs are deleted,
    as Airflow does where no trigger came before.

    :param context: the task's context.
    :param xcom_keys: of all that the task leaves.
    """

    kept = _kept(store_of(context))
    left = [key for key in (RETURN_VALUE, KEY) if pull_own(context, key) is not None]
    if kept is not None and kept.ends_in_triggerer and _ended_in_triggerer(left):
        forget(context)
    take_over(context)
    for key in xcom_keys:
        delete_xcom(context, key)


def reclaim(context: Context) -> None:
    """Note that the task, which a triggerer was to end, ends in a worker after all.

    :param context: the task's context.
    """
    from dataclasses import replace

    store = store_of(context)
    if (kept := _kept(store)) is not None and kept.ends_in_triggerer:
        store.set(KEY, replace(kept, ends_in_triggerer=False).to_entry())


def pull_own(context: Context, key: str) -> Any:
    """Return an XCom of the task's own, ``None`` if there is none."""
    ti = context["ti"]
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


def forget(context: Context) -> None:
    """Remove what was kept; as a callback on success, so that clearing a finished task trains again.

    A callback runs once Airflow knows how the task ended. Until then whatever fails must leave the training findable.

    :param context: the task's context.
    """

    remove(context, KEY)


def forget_what_a_person_clears(context: Context) -> None:
    """Remove what was kept if the task failed with an error after which clearing it is to train anew.

    :param context: the task's context, with its exception.
    """
    if isinstance(context.get("exception"), AkkioSubmissionUnknownError | AkkioNotFoundError):
        forget(context)


def _kept(store: Any) -> StoredTraining | None:

    return None if store is None else StoredTraining.from_entry(store.get(KEY))


def _ended_in_triggerer(keys: Sequence[str]) -> bool:
    """Return whether the XComs that a try left say that a triggerer ended its task, and that Airflow knew of it."""

    return RETURN_VALUE in keys and KEY not in keys


def _cleared_xcoms(context: Context) -> Sequence[str]:
    """Return the keys of the XComs that the try before this one left.

    Airflow has a worker delete them before the task begins; which they were is not public.
    """
    from_server = getattr(context.get("ti"), "_ti_context_from_server", None)
    return getattr(from_server, "xcom_keys_to_clear", None) or ()
