"""What one try of a task leaves for the next: which training it submitted."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.advice import NOT_SUBMITTED_AGAIN
from airflow_provider_akkio.exceptions import AkkioNotFound, AkkioSubmitOutcomeUnknown
from airflow_provider_akkio.keeping import delete_xcom, remove, store_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.request import TrainRequest
    from airflow_provider_akkio.api.training import SubmittedTraining
    from airflow_provider_akkio.submission import Submission

log = logging.getLogger(__name__)

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
        from airflow_provider_akkio.submission import fingerprint_of

        self._context = context
        self._store = store_of(context)
        self._fingerprint = fingerprint_of(request.to_json(), akkio_conn_id)
        self._duration = request.duration
        self.is_billed_again = request.force

    def earlier_training(self) -> SubmittedTraining | None:
        """Return the training that an earlier try submitted with the same parameters, if there is one.

        :raises AkkioSubmitOutcomeUnknown: if an earlier try ended between its submission and Akkio's answer, and
            submitting again could be billed.
        """
        from airflow_provider_akkio.api.training import SubmittedTraining

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
            raise AkkioSubmitOutcomeUnknown(
                f"An earlier try of this task ended while it submitted a training. {NOT_SUBMITTED_AGAIN}"
            )
        return SubmittedTraining(kept.akkio_task_id, kept.submitted_at, self._duration)

    def _refuse_what_was_lost(self) -> None:
        """Refuse to pay again where a triggerer submitted, and the DAG was changed before anything else went on."""
        from airflow_provider_akkio.submission import KEY

        if self.is_billed_again and KEY in _cleared_xcoms(self._context):
            raise AkkioSubmitOutcomeUnknown(
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
        except AkkioSubmitOutcomeUnknown:
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
        from airflow_provider_akkio.submission import KEY, Submission

        kept = Submission(
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
    from airflow_provider_akkio.submission import KEY

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
    from airflow_provider_akkio.submission import KEY

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

    from airflow_provider_akkio.submission import KEY

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
    from airflow_provider_akkio.submission import KEY

    remove(context, KEY)


def forget_what_a_person_clears(context: Context) -> None:
    """Remove what was kept if the task failed with an error after which clearing it is to train anew.

    :param context: the task's context, with its exception.
    """
    if isinstance(context.get("exception"), AkkioSubmitOutcomeUnknown | AkkioNotFound):
        forget(context)


def _kept(store: Any) -> Submission | None:
    from airflow_provider_akkio.submission import KEY, Submission

    return None if store is None else Submission.from_entry(store.get(KEY))


def _ended_in_triggerer(keys: Sequence[str]) -> bool:
    """Return whether the XComs that a try left say that a triggerer ended its task, and that Airflow knew of it."""
    from airflow_provider_akkio.submission import KEY

    return RETURN_VALUE in keys and KEY not in keys


def _cleared_xcoms(context: Context) -> Sequence[str]:
    """Return the keys of the XComs that the try before this one left.

    Airflow has a worker delete them before the task begins; which they were is not public.
    """
    from_server = getattr(context.get("ti"), "_ti_context_from_server", None)
    return getattr(from_server, "xcom_keys_to_clear", None) or ()
