"""What can go wrong, as one tree.

::

    AkkioError
    ├── AkkioParameterError           a parameter is wrong; nothing was sent           (no retry, a ValueError)
    ├── AkkioSourceFileError           a file's rows cannot be used; nothing was sent   (no retry, a ValueError)
    ├── AkkioConfigurationError          the Airflow connection cannot be used            (no retry)
    ├── AkkioRequestRejectedError           Akkio understood the request and refused it      (no retry)
    │   ├── AkkioUnauthorizedError             401: no such key
    │   ├── AkkioForbiddenError                403: the key's organization may not do this
    │   ├── AkkioNotFoundError                 404: no such dataset, training or model
    │   └── AkkioUnprocessableError            422: a field of the request is wrong
    ├── AkkioUntrustedUrlError         an answer pointed where the key must not go      (no retry)
    ├── AkkioUnavailableError              Akkio could not be reached, or could not answer
    │   └── AkkioResponseError          what arrived is not what Akkio documents
    ├── AkkioSubmissionUnknownError     a training may or may not have been started      (no retry)
    ├── AkkioUploadIncompleteError         rows arrived, and it is not safe to add the rest (no retry)
    ├── AkkioPredictionMismatchError      Akkio's predictions do not fit the rows that were sent
    ├── AkkioModelRejectedError           the new model does not replace the champion      (no retry)
    ├── AkkioTrainingFailedError           Akkio reports that the training failed
    └── AkkioTrainingTimeoutError          the training did not end in time

"No retry" classes derive from :class:`AirflowFailException`, by which Airflow fails a task at once whatever its
``retries``: a second try would meet the same refusal, or pay for a second training. All others leave the decision to
the task's ``retries``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class AkkioError(AirflowException):
    """Root of everything that this package raises on purpose."""


class AkkioParameterError(AkkioError, AirflowFailException, ValueError):
    """A parameter is wrong; raised when the DAG is parsed, or after rendering and before anything is sent."""


class AkkioSourceFileError(AkkioError, AirflowFailException, ValueError):
    """The rows of a file cannot be used; the message names the file, and the line where there is one."""


class AkkioConfigurationError(AkkioError, AirflowFailException):
    """The Airflow connection is incomplete or contradicts itself."""


class AkkioRequestRejectedError(AkkioError, AirflowFailException):
    """Akkio answered with a 4xx status: the same request will be refused again."""


class AkkioUnauthorizedError(AkkioRequestRejectedError):
    """401: the API key is missing, wrong, or no longer valid."""


class AkkioForbiddenError(AkkioRequestRejectedError):
    """403: the API key is valid, but its organization may not use this resource."""


class AkkioNotFoundError(AkkioRequestRejectedError):
    """404: Akkio has nothing under this id."""


class AkkioUnprocessableError(AkkioRequestRejectedError):
    """422: Akkio refused a field of the request; the message names the field and Akkio's reason."""


class AkkioUntrustedUrlError(AkkioError, AirflowFailException):
    """A redirect or a ``location`` leads away from the configured API root; the key was not sent there."""


class AkkioUnavailableError(AkkioError):
    """Akkio could not be reached, or answered that it cannot serve the request now; trying again can help.

    :param message: what happened.
    :param outcome_is_unknown: whether Akkio may have acted on the request all the same.
    :param is_throttled: whether Akkio asked for fewer requests, by which it says that it did not act on this one.
    :param retry_after: seconds that Akkio asked to wait, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        outcome_is_unknown: bool = True,
        is_throttled: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.outcome_is_unknown = outcome_is_unknown
        self.is_throttled = is_throttled
        self.retry_after = retry_after


class AkkioResponseError(AkkioUnavailableError):
    """What arrived is not JSON, or lacks what Akkio documents."""


class AkkioSubmissionUnknownError(AkkioError, AirflowFailException):
    """The submission with ``force=True`` left, and no answer says whether a training was started."""


class AkkioUploadIncompleteError(AkkioError, AirflowFailException):
    """Some rows arrived, others did not or may not have; to go on could add rows twice. The message says which."""


class AkkioPredictionMismatchError(AkkioError):
    """Akkio's predictions are not one for each row that was sent; none of them was written."""


class AkkioModelRejectedError(AkkioError, AirflowFailException):
    """The new model does not replace the champion, and ``fail_if_worse`` is set; the message has both numbers."""


class AkkioTrainingFailedError(AkkioError):
    """Akkio ended the training with ``FAILED`` or ``UNKNOWN_TIMEOUT``; the message has Akkio's own reason."""


class AkkioTrainingTimeoutError(AkkioError):
    """The training did not end before its deadline; it may still be running at Akkio.

    :param message: what happened.
    :param last_status: the last status that was seen, as Akkio wrote it.
    """

    def __init__(self, message: str, *, last_status: str = "") -> None:
        super().__init__(message)
        self.last_status = last_status
