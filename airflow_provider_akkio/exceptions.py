"""All exceptions of this package, as one tree.

::

    AkkioError
    ├── AkkioParameterError            invalid parameter                              [no retry] (ValueError)
    ├── AkkioSourceFileError           invalid file or query result                   [no retry] (ValueError)
    ├── AkkioConfigurationError        invalid Airflow connection                     [no retry]
    ├── AkkioRequestRejectedError      HTTP 4xx: Akkio rejected the request           [no retry]
    │   ├── AkkioUnauthorizedError     HTTP 401: missing or invalid API key
    │   ├── AkkioForbiddenError        HTTP 403: the key's organization has no access
    │   ├── AkkioNotFoundError         HTTP 404: unknown dataset, training or model
    │   └── AkkioUnprocessableError    HTTP 422: invalid field in the request
    ├── AkkioUntrustedUrlError         a URL outside the configured API               [no retry]
    ├── AkkioUnavailableError          no connection, HTTP 429 or HTTP 5xx
    │   └── AkkioResponseError         the response is not what Akkio documents
    ├── AkkioSubmissionUnknownError    a training may have been started               [no retry]
    ├── AkkioUploadIncompleteError     sending the rest of the rows could add some twice [no retry]
    ├── AkkioPredictionMismatchError   the predictions do not match the rows
    ├── AkkioModelRejectedError        the new model is not better than the champion  [no retry]
    ├── AkkioTrainingFailedError       Akkio reports that the training failed
    ├── AkkioTrainingTimeoutError      the training did not end before the deadline
    ├── AkkioChatFailedError           Akkio reports that the chat failed
    └── AkkioChatTimeoutError          the chat did not end before the deadline

``[no retry]`` classes derive from :class:`AirflowFailException`: Airflow fails the task at once, whatever its
``retries``, because a task retry would fail in the same way or pay for a second training.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException


class AkkioError(AirflowException):
    """Base class of all errors that this package raises."""


class AkkioParameterError(AkkioError, AirflowFailException, ValueError):
    """A parameter is invalid. Raised when the DAG is parsed, or after rendering and before any request to Akkio.

    One check needs a prediction: whether a table can receive the columns of the predictions.
    """


class AkkioSourceFileError(AkkioError, AirflowFailException, ValueError):
    """A file or query result cannot be uploaded or used for predictions. The message names it and, if known, the line.

    All rows are validated before any request. If the file changes afterwards, some rows may have been sent. If a
    prediction cannot be named without a clash with a column, the first rows were sent for predictions.
    """


class AkkioConfigurationError(AkkioError, AirflowFailException):
    """The Airflow connection is incomplete or contradictory."""


class AkkioRequestRejectedError(AkkioError, AirflowFailException):
    """Akkio rejected the request with HTTP 4xx or, in its v1 API, a ``status``. It would reject it again."""


class AkkioUnauthorizedError(AkkioRequestRejectedError):
    """The API key is missing, wrong or no longer valid: HTTP 401, or another error of Akkio that says so."""


class AkkioForbiddenError(AkkioRequestRejectedError):
    """HTTP 403: the API key is valid, but its organization has no access."""


class AkkioNotFoundError(AkkioRequestRejectedError):
    """HTTP 404 from Akkio: it does not know the ID."""


class AkkioUnprocessableError(AkkioRequestRejectedError):
    """HTTP 422: a field of the request is invalid. The message names the field and Akkio's reason."""


class AkkioUntrustedUrlError(AkkioError, AirflowFailException):
    """A redirect or an ID leads outside the configured API. The API key was not sent there."""


class AkkioUnavailableError(AkkioError):
    """Akkio is unreachable, limits the rate, or reports a server error. A retry can succeed.

    :param outcome_is_unknown: whether Akkio may have executed the request; default yes.
    :param is_throttled: whether Akkio limited the rate; default no.
    :param retry_after: seconds to wait before the next request, if Akkio sent them.
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
    """The response is not JSON or not from Akkio, or a documented field is missing or invalid.

    :param is_complete: whether the response is a complete JSON text, which a retry is unlikely to change; default no.
    """

    def __init__(self, message: str, *, outcome_is_unknown: bool = True, is_complete: bool = False) -> None:
        super().__init__(message, outcome_is_unknown=outcome_is_unknown)
        self.is_complete = is_complete


class AkkioSubmissionUnknownError(AkkioError, AirflowFailException):
    """A training with ``force=True`` was sent, but no response says whether Akkio started it."""


class AkkioUploadIncompleteError(AkkioError, AirflowFailException):
    """Only some rows were added, or it is unknown how many. Sending the rest could add rows twice."""


class AkkioPredictionMismatchError(AkkioError):
    """The number of predictions differs from the number of rows. No prediction was written."""


class AkkioModelRejectedError(AkkioError, AirflowFailException):
    """The new model is not better than the champion, and ``fail_if_worse`` is set. The message has both values."""


class AkkioTrainingFailedError(AkkioError):
    """The training ended with ``FAILED`` or ``UNKNOWN_TIMEOUT``. The message has Akkio's reason."""


class AkkioTrainingTimeoutError(AkkioError):
    """The training did not end before its deadline. It may still be running at Akkio."""


class AkkioChatFailedError(AkkioError):
    """The chat ended with ``FAILED`` or ``UNKNOWN_TIMEOUT``. The message has Akkio's reason."""


class AkkioChatTimeoutError(AkkioError):
    """The chat did not end before its deadline. It may still be running at Akkio."""
