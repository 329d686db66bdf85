"""What to tell whoever is left with a training."""

from __future__ import annotations

NOT_SUBMITTED_AGAIN = (
    "Whether a training was started is not known. It was not submitted again, since force=True would start (and bill) "
    "a second one. Look for the model in Akkio; if there is none, clear this task."
)
"""For whoever finds the outcome of a submission unknown."""


def still_running(akkio_task_id: str) -> str:
    """Return what to tell whoever stops waiting for a training that goes on at Akkio."""
    return (
        f"Training {akkio_task_id} may still be running at Akkio, which has no call to cancel it: "
        f"AkkioTrainSensor(akkio_task_id={akkio_task_id!r}) waits for it and takes its result."
    )
