"""Operators that predict with models, promote them and delete them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSkipException, BaseOperator

from airflow_provider_akkio.api.parameters import (
    naming_task,
    parse_flag,
    parse_id,
    parse_number,
    parse_optional_text,
    parse_row_count,
    validate_literals,
)
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.exceptions import AkkioModelRejectedError, AkkioParameterError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID, AkkioHook
from airflow_provider_akkio.operators._durable import delete_record, task_state_store, with_callback
from airflow_provider_akkio.operators._files import (
    check_output_name,
    open_source,
    parse_path,
    track_progress,
    validate_source,
)
from airflow_provider_akkio.operators._predictor import Predictor, validate_predictor

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Asset, Context, ObjectStoragePath

    from airflow_provider_akkio.api.statistics import ModelMetric

OUTPUT_KEY = "akkio_output"
"""Key in the task state store of the output path, from just before the file is renamed until Airflow has recorded the
success. It shows a task retry that the existing output is from a previous attempt of the same task."""


def delete_stored_output(context: Context) -> None:
    """Delete the stored output path; as a callback on success, so that a cleared task protects the output again."""
    delete_record(context, OUTPUT_KEY)


class AkkioPredictOperator(BaseOperator):
    """Predict for the rows of a file, and write the rows with the predictions to another file.

    Both files are CSV (``.csv``, ``.tsv``), JSON Lines (``.jsonl``, ``.ndjson``) or Parquet (``.parquet``; extra
    ``parquet``). The source may also be JSON (``.json``) or Excel (``.xlsx``; extra ``excel``). The operator validates
    the whole source before the first request. It sends every cell as text, and a missing value as null. The output has
    the columns that were sent, then those of Akkio: the predicted field and the probability of each class. A column
    that exists in both gets the suffix ``(predicted)``. With ``transforms_only``, the transformed columns replace those
    of the same name, and new ones follow.

    The output appears only when it is complete. Task retries are safe, because predictions change nothing at Akkio.
    Before Airflow 3.3, set ``overwrite=True`` if a retry must succeed after a worker died just after the rename.

    XComs: ``row_count``, ``output_path``. The return value is the output path.

    :param model_id: ID of the model.
    :param deployment: deployed model, as ``<id>/<version>``. Set either ``model_id`` or ``deployment``.
    :param source_path: path or URL of the file with the rows, as for ``ObjectStoragePath``.
    :param output_path: path or URL of the file to write; its extension selects the format.
    :param explain: have Akkio explain each prediction of ``model_id``; default ``False``.
    :param transforms_only: apply only the transforms of ``deployment``, without predictions; default ``False``.
    :param batch_size: maximum number of rows per request; default 500. Requests with large rows have fewer.
    :param overwrite: replace an existing output; default ``False``, which fails the task before the first request.
    :param columns: name or names of the columns to send; default all.
    :param exclude_columns: name or names of the columns not to send; default none.
    :param null_values: texts that are sent as null, such as ``["NA", "nan"]``. An empty text always is.
    :param delimiter: character between the cells of a CSV file; default a comma, or a tab for ``.tsv``.
    :param encoding: encoding of a text file; default UTF-8.
    :param sheet_name: sheet of an Excel file; default the first.
    :param on_empty: ``fail`` (default) or ``skip`` the task if the file has no rows.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid, or the output exists.
    :raises AkkioSourceFileError: if the source is invalid, before anything is sent; if it changes during the
        predictions; or if the output would have two columns with the same name, after the first request.
    :raises AkkioPredictionMismatchError: if Akkio returns more or fewer predictions than rows.
    :raises AkkioNotFoundError: if the model or deployment does not exist.
    """

    template_fields: Sequence[str] = (
        "model_id",
        "deployment",
        "source_path",
        "output_path",
        "explain",
        "transforms_only",
        "batch_size",
        "overwrite",
        "columns",
        "exclude_columns",
        "null_values",
        "delimiter",
        "encoding",
        "sheet_name",
        "on_empty",
        "akkio_conn_id",
    )
    _is_stopped = False  # Airflow calls on_kill() while execute() runs, so an attribute is the only way to pass this on

    def __init__(
        self,
        *,
        model_id: str | None = None,
        deployment: str | None = None,
        source_path: str | os.PathLike[str],
        output_path: str | os.PathLike[str],
        explain: bool | str = False,
        transforms_only: bool | str = False,
        batch_size: int | str = 500,
        overwrite: bool | str = False,
        columns: str | Sequence[str] | None = None,
        exclude_columns: str | Sequence[str] | None = None,
        null_values: str | Sequence[str] | None = ("",),
        delimiter: str | None = None,
        encoding: str = "utf-8",
        sheet_name: str | None = None,
        on_empty: str = "fail",
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_success_callback = with_callback(self.on_success_callback, delete_stored_output)
        self.model_id = model_id
        self.deployment = deployment
        self.source_path = source_path
        self.output_path = output_path
        self.explain = explain
        self.transforms_only = transforms_only
        self.batch_size = batch_size
        self.overwrite = overwrite
        self.columns = columns
        self.exclude_columns = exclude_columns
        self.null_values = null_values
        self.delimiter = delimiter
        self.encoding = encoding
        self.sheet_name = sheet_name
        self.on_empty = on_empty
        self.akkio_conn_id = akkio_conn_id
        validate_literals(
            self.task_id,
            vars(self),
            {
                "batch_size": parse_row_count,
                "overwrite": parse_flag,
                "akkio_conn_id": parse_id,
                "output_path": check_output_name,
            },
        )
        validate_source(self.task_id, vars(self))
        validate_predictor(self.task_id, vars(self))

    def execute(self, context: Context) -> str:
        """Validate both files, predict, and write the output."""
        from airflow_provider_akkio.files.writer import atomic_write, open_prediction_writer

        predictor = Predictor.parse(vars(self))
        batch_size = parse_row_count("batch_size", self.batch_size)
        hook = AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id))
        output = parse_path("output_path", self.output_path)
        check_output_name("output_path", output.name)
        self._check_output(output, task_state_store(context))

        source, summary = open_source(vars(self))
        token, previous_tokens = _file_tokens(context)
        with (
            hook.open_client() as client,
            atomic_write(output, token, previous_tokens) as file,
            open_prediction_writer(
                file, output.name, source, summary, replaces_columns=predictor.transforms_only
            ) as writer,
        ):
            batches = source.batches(batch_size, expected=summary)
            what = f"Predictions of {predictor}"
            for batch in track_progress(batches, what, summary.row_count, lambda: self._is_stopped):
                writer.write(batch, client.run(predictor.predict(client.api, batch.rows)))
            if (store := task_state_store(context)) is not None:
                store.set(OUTPUT_KEY, str(self.output_path))
        self.log.info("Wrote the predictions of %s to %s.", predictor, self.output_path)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="row_count", value=summary.row_count)
            context["ti"].xcom_push(key="output_path", value=str(self.output_path))
        return str(self.output_path)

    def on_kill(self) -> None:
        """Stop between two requests, so that the operator can delete the temporary file."""
        self._is_stopped = True

    def _check_output(self, output: ObjectStoragePath, store: Any) -> None:
        if output.is_dir():
            raise AkkioParameterError(f"output_path {str(self.output_path)!r} is a folder; set the path of a file.")
        if parse_flag("overwrite", self.overwrite) or not output.exists():
            return
        if store is None or store.get(OUTPUT_KEY) != str(self.output_path):
            raise AkkioParameterError(
                f"output_path {str(self.output_path)!r} exists. Set overwrite=True to replace it, or change the path."
            )
        self.log.info("Replacing %s, which a previous attempt of this task wrote.", self.output_path)


def _file_tokens(context: Context) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Return what identifies the temporary file of this attempt, and those of the previous attempts."""
    ti = context["ti"]
    attempts = range(1, max(ti.try_number, 1) + 1)  # Airflow 2 may number the first attempt 0
    *previous, current = [(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, attempt) for attempt in attempts]
    return current, previous


_MAX_EVENTS = 100
_ERROR_METRICS = frozenset({"rmse", "mae", "mse", "mape", "false positives", "false negatives"})


class AkkioPromoteModelOperator(BaseOperator):
    """Promote a model to champion with an asset event if it is better than the current champion.

    The champion is the model of the newest event of ``asset``, except events of train operators. If the new model is
    better, the task succeeds with an event whose ``extra`` has ``model_id``, ``metric``, ``value``, ``field_name``,
    ``class_name``, ``champion`` (ID of the replaced model; ``None`` for the first) and ``champion_value``. The event
    starts DAGs with ``schedule=[asset]``, which read the model from ``triggering_asset_events``. Otherwise the task is
    skipped.

    The return value is the model ID.

    :param model_id: ID of the new model.
    :param stats: statistics of the new model, such as ``train.output["stats"]``.
    :param metric: metric to compare, with Akkio's name; default ``f1``.
    :param class_name: class whose metric counts; default all classes, weighted by their frequency.
    :param field_name: predicted field whose metric counts; required if the model predicts several fields.
    :param min_value: lowest accepted value of the metric (highest with ``lower_is_better``); default no limit.
    :param min_delta: required difference to the champion; default 0. An equal value is never better.
    :param asset: asset that represents the model in use; the operator adds it to the inlets and outlets of the task.
    :param lower_is_better: whether a lower value is better, as for an error; default ``False``.
    :param fail_if_worse: fail the task instead of skipping it; default ``False``.
    :raises AkkioParameterError: if a parameter is invalid or the metric does not exist; the message lists the metrics.
    :raises AkkioModelRejectedError: if the model is not better and ``fail_if_worse`` is set.
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
            if not hasattr(asset, "uri"):
                raise AkkioParameterError(f"asset must be an Asset, not {printable(repr(asset))}.")
        parsers = {"model_id": parse_id, "fail_if_worse": parse_flag, **_METRIC_PARSERS, **_CONDITION_PARSERS}
        validate_literals(self.task_id, vars(self), parsers)
        self.inlets = _with_asset(self.inlets, asset)
        self.outlets = _with_asset(self.outlets, asset)

    def execute(self, context: Context) -> str:
        """Compare the new model with the champion."""
        from airflow_provider_akkio.api.statistics import get_metric, parse_statistics

        model_id = parse_id("model_id", self.model_id)
        fail_if_worse = parse_flag("fail_if_worse", self.fail_if_worse)
        conditions = {name: parse(name, getattr(self, name)) for name, parse in _CONDITION_PARSERS.items()}
        measured = {name: parse(name, getattr(self, name)) for name, parse in _METRIC_PARSERS.items()}
        new = get_metric(parse_statistics(self.stats), **measured)
        if new.metric.lower() in _ERROR_METRICS and not conditions["lower_is_better"]:
            raise AkkioParameterError(f"A lower {new.metric} is better; set lower_is_better=True.")

        champion = self._find_champion(context)
        champion_id = None if champion is None else champion["model_id"]
        champion_value = None if champion is None else _champion_value(champion, new)
        comparison = f"{_describe(new)} is {new.value:.6g}"
        if champion_value is not None:
            comparison += f", champion {printable(str(champion_id))} has {champion_value:.6g}"
        unmet = _unmet_condition(new.value, champion_value, **conditions)
        if champion_id == model_id:
            unmet = "it is already the champion"
        if unmet is not None:
            message = f"Model {model_id} was rejected: {comparison}; {unmet}"
            self.log.info(message)
            raise AkkioModelRejectedError(message) if fail_if_worse else AirflowSkipException(message)

        self.log.info("Model %s was promoted%s: %s", model_id, "" if champion else " as the first champion", comparison)
        context["outlet_events"][self.asset].extra = {
            "model_id": model_id,
            "metric": new.metric,
            "value": new.value,
            "field_name": new.field_name,
            "class_name": new.class_name,
            "champion": champion_id,
            "champion_value": champion_value,
        }
        return model_id

    def _find_champion(self, context: Context) -> dict[str, Any] | None:
        """Return the ``extra`` of the newest event with a model; users and other tasks can create events, too."""
        try:
            events = context["inlet_events"][self.asset]
        except KeyError:
            raise AkkioParameterError(
                "A mapped task needs the asset as inlet and outlet: .partial(inlets=[asset], outlets=[asset], …)."
            ) from None
        newest = [dict(event.extra or {}) for event in _newest_first(events)]
        # A train operator's event has the ID of its training. Its model was not compared.
        candidates = [extra for extra in newest if "akkio_task_id" not in extra]
        if len(candidates) < len(newest):
            self.log.warning(
                "Ignoring %d events of trainings. Use another asset for promotions than for trainings, so that DAGs "
                "that depend on it start with promoted models only.",
                len(newest) - len(candidates),
            )
        for extra in candidates:
            model_id = extra.get("model_id")
            if isinstance(model_id, str) and model_id:
                return extra
            self.log.warning("Ignoring an event of %s: its extra has no model_id.", self.asset)
        if len(newest) == _MAX_EVENTS:
            raise AkkioParameterError(
                f"None of the newest {_MAX_EVENTS} events of {self.asset} is a promotion, so the champion is unknown. "
                "Use another asset for promotions than for trainings."
            )
        return None


def _parse_optional_number(name: str, value: Any) -> float | None:
    return None if value is None else parse_number(name, value)


_METRIC_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "metric": parse_id,
    "field_name": parse_optional_text,
    "class_name": parse_optional_text,
}

_CONDITION_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "min_value": _parse_optional_number,
    "min_delta": parse_number,
    "lower_is_better": parse_flag,
}


def _unmet_condition(
    value: float,
    champion_value: float | None,
    *,
    min_value: float | None,
    min_delta: float,
    lower_is_better: bool,
) -> str | None:
    sign, direction, limit = (-1.0, "lower", "at most") if lower_is_better else (1.0, "higher", "at least")
    if champion_value is not None:
        improvement = sign * (value - champion_value)
        if improvement <= 0 or improvement < min_delta:
            by_delta = f" by at least {min_delta:g}" if min_delta > 0 else ""
            return f"the new model must be {direction}{by_delta}"
    if min_value is not None and sign * value < sign * min_value:
        return f"the new model must have {limit} {min_value:g}"
    return None


def _champion_value(champion: Mapping[str, Any], new: ModelMetric) -> float:
    """Return the champion's value of the same metric, field and class from the event of its promotion."""
    from airflow_provider_akkio.api.statistics import finite

    value = finite(champion.get("value"))
    metric = champion.get("metric")
    measured = (metric, champion.get("field_name", new.field_name), champion.get("class_name"))
    if value is None or measured != (new.metric, new.field_name, new.class_name):
        raise AkkioParameterError(
            f"Champion {printable(champion['model_id'])} has no value for {_describe(new)}: its asset event has metric "
            f"{printable(str(metric))!r} and the keys {', '.join(printable(str(key)) for key in champion)}. Compare by "
            "that metric, or use a new asset."
        )
    return value


def _newest_first(events: Any) -> Iterable[Any]:
    if hasattr(events, "ascending"):
        newest: Iterable[Any] = events.ascending(False).limit(_MAX_EVENTS)
        return newest
    return list(events[-_MAX_EVENTS:])[::-1]  # Airflow 2 and 3.0 return the events in ascending order


def _describe(metric: ModelMetric) -> str:
    of_class = "" if metric.class_name is None else f" (class {printable(metric.class_name)!r})"
    return f"{printable(metric.metric)} of {printable(metric.field_name)!r}{of_class}"


def _with_asset(assets: Any, asset: Any) -> list[Any]:
    present = list(assets or ())
    return present if asset in present else [*present, asset]


class AkkioDeleteModelOperator(BaseOperator):
    """Delete a model; succeed if it does not exist.

    :param model_id: ID of the model.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :raises AkkioParameterError: if a parameter is invalid.
    """

    template_fields: Sequence[str] = ("model_id", "akkio_conn_id")

    def __init__(self, *, model_id: str, akkio_conn_id: str = DEFAULT_CONNECTION_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_id = model_id
        self.akkio_conn_id = akkio_conn_id
        validate_literals(self.task_id, vars(self), {"model_id": parse_id, "akkio_conn_id": parse_id})

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow passes it as a keyword
        """Delete the model."""
        model_id = parse_id("model_id", self.model_id)
        existed = AkkioHook(parse_id("akkio_conn_id", self.akkio_conn_id)).delete_model(model_id)
        self.log.info("Deleted model %s." if existed else "Model %s does not exist.", model_id)
