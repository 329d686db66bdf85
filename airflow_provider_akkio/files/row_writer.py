"""What all writers of rows and predictions have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioResponseError
from airflow_provider_akkio.files.reader import FileSummary, RowBatch, RowFile
from airflow_provider_akkio.files.sources import refuse


class RowWriter(ABC):
    """Writes rows and their predictions; the first batch says which columns the predictions have.

    As a context manager it finishes the format at the end; the file is left open, and is its owner's to close.

    :param table: where the rows come from.
    :param summary: what is known of them.
    """

    def __init__(self, table: RowFile, summary: FileSummary) -> None:
        self._source_name = table.name
        self._fields = summary.fields
        self._keys: tuple[str, ...] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, batch: RowBatch, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Write some rows.

        :param batch: the rows.
        :param predictions: as many predictions, in the same order.
        :raises AkkioSourceFileError: if the names of the predictions cannot be told from the fields of the rows.
        :raises AkkioResponseError: if a prediction has a key that the first batch did not have.
        """
        keys = self._keys
        if keys is None:
            keys = tuple(dict.fromkeys(key for prediction in predictions for key in prediction))
            self._begin(self._names(keys), self._predicted(keys, predictions))
            self._keys = keys
        self._write(batch, self._predicted(keys, predictions))

    def close(self) -> None:
        """Finish the format; the file stays open."""
        if self._keys is None:
            self._keys = ()
            self._begin(self._fields, [])
        self._finish()

    @abstractmethod
    def _begin(self, names: tuple[str, ...], predicted: list[list[Any]]) -> None:
        """Write what comes before the rows.

        :param names: the names of all columns.
        :param predicted: the values that the first batch's predictions have, row by row.
        """

    @abstractmethod
    def _write(self, batch: RowBatch, predicted: list[list[Any]]) -> None:
        """Write some rows.

        :param batch: the rows.
        :param predicted: the values that their predictions have, row by row.
        """

    @abstractmethod
    def _finish(self) -> None:
        """Write what comes after the rows."""

    def _names(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        taken = {*self._fields, *keys}
        names = list(self._fields)
        for key in keys:
            name = f"{key} (predicted)" if key in self._fields else key
            if name != key and name in taken:
                refuse(
                    self._source_name,
                    f"the prediction '{printable(key)}' has nowhere to go, since '{printable(key)}' and '{printable(name)}' "
                    "are both taken",
                )
            names.append(name)
        return tuple(names)

    def _predicted(self, keys: tuple[str, ...], predictions: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        known = frozenset(keys)
        for prediction in predictions:
            if not known.issuperset(prediction):
                new = next(key for key in prediction if key not in known)
                raise AkkioResponseError(
                    f"Akkio's predictions suddenly have '{printable(new)}', which those of the first rows did not have."
                )
        return [list(map(prediction.get, keys)) for prediction in predictions]
