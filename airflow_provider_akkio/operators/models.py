"""Have a model predict for the rows of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_akkio.api.parameters import (
    is_literal,
    naming_task,
    parse_flag,
    parse_id,
    parse_number,
    parse_row_count,
)
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioError, AkkioModelRejectedError, AkkioParameterError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION, AkkioHook
from airflow_provider_akkio.operators._base import listed
from airflow_provider_akkio.operators._durable import remove, store_of
from airflow_provider_akkio.operators._upload import ProgressLog

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context, ObjectStoragePath

    from airflow_provider_akkio.api.statistics import ModelMetric
    from airflow_provider_akkio.files.reader import FileSummary, RowFile


KEY = "akkio_output"
"""Under which the output lies in the task's state store, from its last moment aside until Airflow knows the success."""


def forget(context: Context) -> None:
    """Remove what was kept; as a callback on success.

    :param context: the task's context.
    """
    remove(context, KEY)


class AkkioPredictOperator(BaseOperator):
    """Stream the rows of a file through a model, and write them with Akkio's predictions beside them.

    Both files are CSV (``.csv``), JSON Lines (``.jsonl``, ``.ndjson``), either also with ``.gz``, or Parquet
    (``.parquet``; extra ``parquet``). The columns of the output are the source's, and then Akkio's: the predicted
    field, and each class's probability. One that the source has, too, is called ``… (predicted)``.

    The output is there whole or not at all. A retry is safe, since nothing changes at Akkio; before Airflow 3.3 it
    needs ``overwrite=True`` where a worker dies just after it has written the output.

    XComs: ``rows``, how many there are, and ``output``. The return value is the output's path.

    :param model_id: the model.
    :param source: the file with the rows: whatever Airflow's ``ObjectStoragePath`` opens.
    :param output: the file to write, likewise; its ending says in which format.
    :param explain: let Akkio add what led to each prediction; default no.
    :param batch_size: most rows of a request; default 500. One with many or long cells takes fewer.
    :param overwrite: replace an output that exists; default no, which fails the task before anything is sent.
    :param akkio_conn_id: id of the Airflow connection, of the type ``akkio``; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is wrong, or the output exists.
    :raises AkkioSourceFileError: if the source cannot be used; nothing was sent then.
    :raises AkkioPredictionMismatchError: if Akkio answers with more or fewer predictions than rows.
    :raises AkkioNotFoundError: if the model is gone.
    """

    template_fields: Sequence[str] = (
        "model_id",
        "source",
        "output_path",
        "explain",
        "batch_size",
        "overwrite",
        "akkio_conn_id",
    )
    _is_stopped = False

    def __init__(
        self,
        *,
        model_id: str,
        source: str | os.PathLike[str],
        output: str | os.PathLike[str],
        explain: bool | str = False,
        batch_size: int | str = 500,
        overwrite: bool | str = False,
        akkio_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = [*listed(self.on_success_callback), forget]
        self.model_id = model_id
        self.source = source
        self.output_path = output  # a task's ``output`` is its return value, for those that follow
        self.explain = explain
        self.batch_size = batch_size
        self.overwrite = overwrite
        self.akkio_conn_id = akkio_conn_id
        with naming_task(self.task_id):
            self._refuse_wrong_literals()

    def execute(self, context: Context) -> str:
        """Check both files, ask for the predictions, and write them."""
        from airflow_provider_akkio.files.formats import Format, kind_of
        from airflow_provider_akkio.files.reader import RowFile
        from airflow_provider_akkio.files.storage import path_of

        parse_id("model_id", self.model_id)
        output = path_of("output", self.output_path)
        kind = kind_of(output.name)
        if output.is_dir():
            raise AkkioParameterError(f"output {str(self.output_path)!r} is a folder; it must be a file.")
        self._refuse_existing(context, output)
        table = RowFile(path_of("source", self.source))
        summary = table.inspect(finds_numbers=kind.format is Format.PARQUET)
        self.log.info("%s has %s rows of %d fields.", self.source, f"{summary.rows:,}", len(summary.fields))
        self._predict(context, table, summary, output)
        self.log.info("%s has the predictions of model %s.", self.output_path, self.model_id)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="rows", value=summary.rows)
            context["ti"].xcom_push(key="output", value=str(self.output_path))
        return str(self.output_path)

    def on_kill(self) -> None:
        """End between two requests, so that nothing is left aside."""
        self._is_stopped = True

    def _predict(self, context: Context, table: RowFile, summary: FileSummary, output: ObjectStoragePath) -> None:
        from airflow_provider_akkio.files.formats import kind_of
        from airflow_provider_akkio.files.storage import written_whole
        from airflow_provider_akkio.files.writer import writer_for

        explain = parse_flag("explain", self.explain)
        progress, done = ProgressLog(self.log.info, f"Predictions of model {self.model_id}", summary.rows), 0
        with (
            AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id)).open_client() as client,
            written_whole(output, context) as file,
            writer_for(file, kind_of(output.name), table, summary) as writer,
        ):
            for batch in table.batches(parse_row_count("batch_size", self.batch_size), expected=summary):
                if self._is_stopped:
                    raise AkkioError("The task was told to end while it asked for predictions.")
                models = client.api.models
                writer.write(batch, client.run(models.predict(self.model_id, batch.rows, explain=explain)))
                done += len(batch.rows)
                progress.reached(done)
            self._note(context)

    def _refuse_existing(self, context: Context, output: ObjectStoragePath) -> None:
        """Refuse to replace a file that was there before the task, unless that is wanted."""
        if parse_flag("overwrite", self.overwrite) or not output.exists():
            return
        store = store_of(context)
        if store is not None and store.get(KEY) == str(self.output_path):
            self.log.info("%s is of an earlier try of this task, and is written anew.", self.output_path)
            return
        raise AkkioParameterError(f"output {str(self.output_path)!r} exists; overwrite=True replaces it.")

    def _note(self, context: Context) -> None:
        """Note that the output is this task's own, for a try that comes after it is there."""
        if (store := store_of(context)) is not None:
            store.set(KEY, str(self.output_path))

    def _refuse_wrong_literals(self) -> None:
        for name in ("model_id", "akkio_conn_id"):
            if is_literal(value := getattr(self, name)):
                parse_id(name, value)
        for name in ("explain", "overwrite"):
            if is_literal(value := getattr(self, name)):
                parse_flag(name, value)
        if is_literal(self.batch_size):
            parse_row_count("batch_size", self.batch_size)


_EVENTS_LOOKED_AT = 100
_ERRORS = frozenset({"rmse", "mae", "mse", "mape", "false positives", "false negatives"})


@dataclass(frozen=True, slots=True)
class Champion:
    """The model in use, as the event tells that made it so.

    :param model_id: its id.
    :param extra: all that the event says.
    """

    model_id: str
    extra: dict[str, Any]

    def value_of(self, new: ModelMetric) -> float:
        """Return its value of a measure.

        :raises AkkioParameterError: if it was promoted by another one.
        """
        value = self.extra.get("value")
        field_name = self.extra.get("field_name", new.field_name)
        by = (self.extra.get("metric"), field_name, self.extra.get("class_name"))
        if by != (new.metric, new.field_name, new.class_name) or isinstance(value, bool | None | str):
            shown = ", ".join(printable(str(key)) for key in self.extra)
            raise AkkioParameterError(
                f"Champion {self.model_id} was not promoted by {_named(new)}: its event has {shown}, by "
                f"metric {printable(str(by[0]))!r}. Compare by that, or begin a new asset."
            )
        return float(value)


class AkkioPromoteModelOperator(BaseOperator):
    """Let a new model take the champion's place if it is better, and say so with an asset event.

    The champion is the model that the newest event of ``asset`` names. Where the new one is better, the task succeeds
    with an event whose ``extra`` has ``model_id``, ``metric``, ``value``, ``field_name``, ``class_name``, ``champion``
    (the model that it replaces, ``None`` for the first) and ``champion_value``: a DAG with ``schedule=[asset]`` starts,
    and reads the model from ``triggering_asset_events``. Where it is not, the task is skipped, and so is what follows.

    The return value is the model's id.

    :param model_id: the new model.
    :param stats: its statistics, such as ``train.output["stats"]``.
    :param metric: what to compare by, as Akkio names it; default ``f1``. Any number of the statistics will do.
    :param class_name: the class whose metric counts; default all, each with the weight of its frequency.
    :param field_name: the predicted field whose metric counts; needed if the model predicts several.
    :param min_value: what the metric must reach in any case (with ``lower_is_better``: not exceed); default nothing.
    :param min_delta: by how much it must be better than the champion's; default 0. An equal one is never better.
    :param asset: the asset that stands for the model in use; it becomes the task's inlet and outlet.
    :param lower_is_better: compare the other way round, as for an error; default no.
    :param fail_if_worse: fail the task rather than skip it; default no.
    :raises AkkioParameterError: if a parameter is wrong, or the metric is missing; the message lists those there are.
    :raises AkkioModelRejectedError: if it is not better, with ``fail_if_worse``.
    """

    template_fields: Sequence[str] = (
        "model_id",
        "stats",
        "metric",
        "class_name",
        "field_name",
        "min_value",
        "min_delta",
        "lower_is_better",
        "fail_if_worse",
    )

    def __init__(
        self,
        *,
        model_id: str,
        stats: Any,
        metric: str = "f1",
        class_name: str | None = None,
        field_name: str | None = None,
        min_value: float | str | None = None,
        min_delta: float | str = 0.0,
        asset: Asset,
        lower_is_better: bool | str = False,
        fail_if_worse: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_id = model_id
        self.stats = stats
        self.metric = metric
        self.class_name = class_name
        self.field_name = field_name
        self.min_value = min_value
        self.min_delta = min_delta
        self.asset = asset
        self.lower_is_better = lower_is_better
        self.fail_if_worse = fail_if_worse
        with naming_task(self.task_id):
            self._refuse_wrong_literals()
        self.inlets = _with(self.inlets, asset)
        self.outlets = _with(self.outlets, asset)

    def execute(self, context: Context) -> str:
        """Compare the new model with the champion."""
        from airflow_provider_akkio.api.statistics import measure, parse_statistics

        model_id = parse_id("model_id", self.model_id)
        new = measure(parse_statistics(self.stats), self.metric, self.field_name, self.class_name)
        champion = self._champion(context, model_id)
        champion_value = None if champion is None else champion.value_of(new)
        self._compare(model_id, new, champion, champion_value)
        context["outlet_events"][self.asset].extra = {
            "model_id": model_id,
            "metric": new.metric,
            "value": new.value,
            "field_name": new.field_name,
            "class_name": new.class_name,
            "champion": None if champion is None else champion.model_id,
            "champion_value": champion_value,
        }
        return model_id

    def _compare(
        self, model_id: str, new: ModelMetric, champion: Champion | None, champion_value: float | None
    ) -> None:
        sign = -1.0 if parse_flag("lower_is_better", self.lower_is_better) else 1.0
        if sign > 0 and new.metric.lower() in _ERRORS:
            raise AkkioParameterError(f"Of {new.metric}, less is better: lower_is_better=True is needed.")
        least = None if self.min_value is None else parse_number("min_value", self.min_value)
        gain = parse_number("min_delta", self.min_delta)
        said = f"Model {model_id} has {new.value:.6g} ({_named(new)})"
        if champion is not None and champion_value is not None:
            said += f"; champion {champion.model_id} has {champion_value:.6g}"
            if champion.model_id == model_id:
                self._refuse(f"{said}. It is the champion already.")
            better_by = sign * (new.value - champion_value)
            if not (better_by > 0 and better_by >= gain):
                wanted = "be less" if sign < 0 else "be more"
                self._refuse(f"{said}. To take its place, it must {wanted}{f' by at least {gain:g}' if gain else ''}.")
        if least is not None and sign * new.value < sign * least:
            self._refuse(f"{said}. It must be {least:g} at {'most' if sign < 0 else 'least'}.")
        self.log.info("%s. It is promoted%s.", said, "" if champion else ", the first champion")

    def _refuse(self, message: str) -> None:
        self.log.info("%s It is not promoted.", message)
        if parse_flag("fail_if_worse", self.fail_if_worse):
            raise AkkioModelRejectedError(message)
        raise AirflowSkipException(message)

    def _champion(self, context: Context, new_model_id: str) -> Champion | None:
        """Return the model of the newest event that names one; people and other tasks can make events, too."""
        try:
            events = context["inlet_events"][self.asset]
        except KeyError:
            raise AkkioParameterError(
                "A mapped task needs its asset as inlet and outlet, too: .partial(inlets=[asset], outlets=[asset], …)."
            ) from None
        for event in _newest_first(events):
            extra = dict(event.extra or {})
            model_id = extra.get("model_id")
            if model_id == new_model_id and "champion" not in extra:
                continue  # its own training's event
            if isinstance(model_id, str) and model_id:
                return Champion(model_id, extra)
            self.log.warning("An event of %s names no model; looking at the one before.", self.asset)
        return None

    def _refuse_wrong_literals(self) -> None:
        if not hasattr(self.asset, "uri"):
            raise AkkioParameterError(f"asset must be an Asset, not {printable(repr(self.asset))}.")
        if is_literal(self.model_id):
            parse_id("model_id", self.model_id)
        for name in ("min_value", "min_delta"):
            value = getattr(self, name)
            if value is not None and is_literal(value):
                parse_number(name, value)
        for name in ("lower_is_better", "fail_if_worse"):
            if is_literal(value := getattr(self, name)):
                parse_flag(name, value)


def _newest_first(events: Any) -> Iterable[Any]:
    if hasattr(events, "ascending"):
        latest: Iterable[Any] = events.ascending(False).limit(_EVENTS_LOOKED_AT)
        return latest
    return list(events[-_EVENTS_LOOKED_AT:])[::-1]  # Airflow 2 and 3.0 have them in the order in which they came


def _named(new: ModelMetric) -> str:
    of_class = "" if new.class_name is None else f" for class {printable(new.class_name)!r}"
    return f"{printable(new.metric)} of {printable(new.field_name)!r}{of_class}"


def _with(assets: Any, asset: Any) -> list[Any]:
    listed = list(assets or ())
    return listed if asset in listed else [*listed, asset]
