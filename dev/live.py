"""``make live``: check with a real account what this package assumes about Akkio.

Needs an API key in ``AKKIO_API_KEY``; ``AKKIO_URL`` is the base URL, by default Akkio's. Uploads two small tables,
trains a model of each (which Akkio bills), predicts, and deletes everything. Prints names of keys, types and HTTP
statuses. It prints neither data nor messages, which could contain data.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic

from airflow_provider_akkio.api.config import AKKIO_HOST, ClientConfig
from airflow_provider_akkio.api.http import Flow, Outcome, Response
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.statistics import main_metric, parse_statistics
from airflow_provider_akkio.api.tasks import AkkioApi
from airflow_provider_akkio.api.text import printable, redact
from airflow_provider_akkio.api.types import AkkioTask, Duration, FieldType
from airflow_provider_akkio.client.blocking import BlockingClient
from airflow_provider_akkio.exceptions import (
    AkkioConfigurationError,
    AkkioError,
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioRequestRejectedError,
    AkkioTrainingFailedError,
    AkkioUnauthorizedError,
)
from dev.processes import STOP_SIGNALS
from dev.terminal import stopwatch, table

QUESTION = "This uploads two small datasets, trains two models (billed by Akkio), and deletes them. Continue? [y/N] "
DATASET_PREFIX = "airflow-live-test-"
ROW_COUNT = 60
_PREDICTED_ROWS = 5
_TRAINING_SECONDS = 900.0
_INTERRUPTED_TRAINING_SECONDS = 120.0
_UNKNOWN_ID = "airflow-live-test-unknown"


class Assumption(StrEnum):
    """What this package assumes about every dataset and model."""

    NO_ROWS = "`rows` of an empty dataset is 0"
    ROWS = "`rows` is the number of appended rows"
    NUMBERS = "after parse_fields, texts with a number are number fields"
    CATEGORIES = "after parse_fields, texts with a word are category fields"
    TYPES = "field types are accepted and returned"
    STATISTICS = "statistics are a list of objects per field, with a metric"
    PREDICTIONS = "predictions have one object per row"
    COLUMNS = "predictions have the field, and probabilities of a category"


class ErrorAssumption(StrEnum):
    """What this package assumes about errors."""

    WRONG_KEY_V1 = "a wrong key is recognized (v1)"
    WRONG_KEY_V2 = "a wrong key is recognized (v2)"
    UNKNOWN_DATASET = "an unknown dataset ID is recognized (v1)"
    UNKNOWN_MODEL = "an unknown model ID is recognized (v1)"
    UNKNOWN_TRAINING = "an unknown training ID is recognized (v2)"


@dataclass(frozen=True, slots=True)
class Target:
    """A field to predict."""

    kind: str
    field_name: str


TARGETS = (Target("category", "Quality"), Target("number", "Price"))
INFERRED_TYPES = {
    "Material": FieldType.CATEGORY,
    "Width": FieldType.FLOAT,
    "Quality": FieldType.CATEGORY,
    "Price": FieldType.FLOAT,
}
SET_TYPES = {**INFERRED_TYPES, "Material": FieldType.STRING}
"""One type differs from the inferred type, to show that Akkio stores it."""


def generate_rows() -> list[dict[str, str]]:
    """Return the rows of both datasets, with every cell as text."""
    materials = ("quartzite", "obsidian", "travertine")
    rows = []
    for number in range(ROW_COUNT):
        width = 1000.137 + 131.071 * (number * 37 % ROW_COUNT)
        rows.append(
            {
                "Material": materials[number % 3],
                "Width": f"{width:.3f}",
                "Quality": "pristine" if width > 4000 + 500 * (number % 3) else "tarnished",
                "Price": f"{7 * width + 2111 * (number % 3):.3f}",
            }
        )
    return rows


@dataclass(frozen=True, slots=True)
class Step(Generic[Outcome]):
    """The end of a step.

    :param outcome: what its flow returned; ``None`` after an error.
    :param error: why it failed.
    :param response: the last response.
    """

    outcome: Outcome | None
    error: Exception | None
    response: Response | None

    @property
    def body(self) -> Mapping[str, Any]:
        """The JSON object of the last response; empty if it is missing or invalid."""
        try:
            body = json.loads(self.response.body) if self.response else None
        except (ValueError, RecursionError):
            body = None
        return body if isinstance(body, dict) else {}

    @property
    def may_have_succeeded(self) -> bool:
        """Whether Akkio may have executed the request."""
        return not isinstance(self.error, AkkioRequestRejectedError)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about an assumption; ``holds`` is ``None`` if it could not be checked."""

    found: str
    holds: bool | None


NOT_CHECKED = Finding("", None)


@dataclass
class Report:
    """Runs steps, and collects what is printed at the end.

    :param say: prints a message after the elapsed time.
    :param cells: texts that are masked in the names of keys.
    :param api_key: the API key, which is masked there, too.
    """

    say: Callable[[str], None]
    cells: Sequence[str]
    api_key: str
    findings: dict[tuple[str, Assumption | ErrorAssumption], Finding] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    failed_steps: list[str] = field(default_factory=list)

    def run(
        self,
        label: str,
        client: BlockingClient,
        flow: Flow[Outcome],
        *,
        expected: type[AkkioError] | None = None,
        leftover: str | None = None,
    ) -> Step[Outcome]:
        """Run a step and print a line about it; never raise an error except for an interrupt.

        :param expected: the error that the step should have; default none.
        :param leftover: what remains at Akkio if the step fails; default nothing.
        """
        responses: list[Response] = []
        outcome, error = None, None
        try:
            outcome = client.run(_record(flow, responses))
        except Exception as caught:  # noqa: BLE001 - a failed step must not stop the others, and its text may contain data
            error = caught
        except KeyboardInterrupt:
            self.say(f"{label}: interrupted; deleting what was created. Another Ctrl-C skips a step of that.")
            self._note_leftover(leftover)
            raise
        step = Step(outcome, error, responses[-1] if responses else None)
        has_failed = error is not None if expected is None else not isinstance(error, expected)
        if has_failed:
            self.failed_steps.append(label)
            self._note_leftover(leftover)
        self.say(f"{label}: {'FAILED' if has_failed else 'ok'}, {self.describe(step)}")
        return step

    def describe(self, step: Step[Any]) -> str:
        """Return the HTTP status of a step; for an error also its class and the keys of the body."""
        http = "no response" if step.response is None else f"HTTP {step.response.status}"
        if step.error is None:
            return http
        keys = ", ".join(self.masked(key) for key in step.body) or "none"
        return f"{http}, {type(step.error).__name__}, keys: {keys}"

    def masked(self, name: str) -> str:
        """Return the name of a key without cells, which are parts of the names of probabilities."""
        for cell in self.cells:
            name = name.replace(cell, "…")
        return printable(redact(name, self.api_key))

    def shape(self, values: Sequence[Any]) -> str:
        """Return names of keys and types that occur in some JSON values."""
        objects = [value for value in values if isinstance(value, dict)]
        lists = [value for value in values if isinstance(value, list)]
        members: dict[str, list[Any]] = {}
        for key, value in ((key, value) for one in objects for key, value in one.items()):
            members.setdefault(self.masked(key), []).append(value)
        parts = sorted({type(value).__name__ for value in values if not isinstance(value, dict | list)})
        if objects:
            parts.append(f"{{{', '.join(f'{key}: {self.shape(inside)}' for key, inside in members.items())}}}")
        if lists:
            parts.append(f"[{self.shape([item for one in lists for item in one])}]")
        return " | ".join(parts)

    def _note_leftover(self, leftover: str | None) -> None:
        if leftover is not None:
            self.leftovers.append(leftover)


def _record(flow: Flow[Outcome], responses: list[Response]) -> Flow[Outcome]:
    """Run a flow, and add each response to a list."""
    reply = None
    while True:
        try:
            step = flow.send(reply)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
        reply = yield step
        if isinstance(reply, Response):
            responses.append(reply)


@dataclass(frozen=True, slots=True)
class TargetTest:
    """The job of one target: upload, train, predict and delete."""

    target: Target
    client: BlockingClient
    report: Report

    def run(self) -> None:
        """Run the job. At the end, also after an error or Ctrl-C, delete its dataset and model."""
        datasets, name = self.client.api.datasets, f"{DATASET_PREFIX}{secrets.token_hex(6)}"
        with ExitStack() as cleanup:
            # If the response with the ID is lost, only the name identifies the dataset.
            by_name = _delete_datasets(self.client.api, name)
            cleanup.callback(self._step, "delete datasets with its name", by_name, leftover=f"dataset {name}")
            created = self._step("create dataset", datasets.create(name))
            if created.outcome is None:
                self.report.say(f"{self.target.kind}: the steps with a dataset are skipped")
                return
            dataset_id, _ = created.outcome
            delete = datasets.delete(dataset_id)
            cleanup.callback(self._step, "delete dataset", delete, leftover=f"dataset {dataset_id}")
            self._upload(dataset_id)
            model_id = self._train(dataset_id, name, cleanup)
            if model_id is None:
                self.report.say(f"{self.target.kind}: the predictions are skipped")
            else:
                self._predict(model_id)

    def _step(self, label: str, flow: Flow[Outcome], *, leftover: str | None = None) -> Step[Outcome]:
        return self.report.run(f"{self.target.kind}: {label}", self.client, flow, leftover=leftover)

    def _found(self, assumption: Assumption, found: str, holds: bool) -> None:
        self.report.findings[self.target.kind, assumption] = Finding(found, holds)

    def _shape(self, what: str, value: Any) -> None:
        self.report.shapes[f"{self.target.kind}: {what}"] = self.report.shape([value])

    def _upload(self, dataset_id: str) -> None:
        datasets = self.client.api.datasets
        empty = self._step("describe the empty dataset", datasets.get(dataset_id))
        if empty.body:
            rows = empty.body.get("rows", "missing")
            self._found(
                Assumption.NO_ROWS,
                f"{type(rows).__name__}{', 0' if rows == 0 else ''}",
                empty.outcome is not None and rows == 0,
            )
            self._shape("empty dataset", empty.body)
        self._step("append rows", datasets.append(dataset_id, generate_rows(), 0))
        counted = self._step("describe the dataset", datasets.wait_for_row_count(dataset_id, ROW_COUNT))
        if counted.outcome is not None:
            self._found(Assumption.ROWS, f"{counted.outcome} after {ROW_COUNT} rows", counted.outcome == ROW_COUNT)
        before = _field_types(counted)
        if self._step("parse fields", datasets.parse_fields(dataset_id)).error is None:
            after = _field_types(self._step("describe the parsed fields", datasets.get(dataset_id)))
            for assumption, is_number in ((Assumption.NUMBERS, True), (Assumption.CATEGORIES, False)):
                names = [name for name, type_ in INFERRED_TYPES.items() if type_.is_number is is_number]
                changes = [f"{before.get(name, 'missing')} to {after.get(name, 'missing')}" for name in names]
                holds = all(_is_type(after.get(name), INFERRED_TYPES[name]) for name in names)
                self._found(assumption, ", ".join(dict.fromkeys(changes)), holds)
        accepted = self._step("set field types", datasets.set_field_types(dataset_id, SET_TYPES))
        described = self._step("describe the typed fields", datasets.get(dataset_id))
        types = _field_types(described)
        holds = all(_is_type(types.get(name), type_) for name, type_ in SET_TYPES.items())
        found = f"{self.report.describe(accepted)}; {', '.join(dict.fromkeys(types.values()))}"
        self._found(Assumption.TYPES, found, accepted.error is None and holds)
        self._shape("dataset", described.body)

    def _train(self, dataset_id: str, dataset_name: str, cleanup: ExitStack) -> str | None:
        """Train, and return the ID of the model, which is deleted at the end."""
        api, field_name = self.client.api, self.target.field_name
        request = TrainRequest(dataset_id=dataset_id, predict_fields=[field_name], duration=Duration.FASTEST)
        uncertain = f"perhaps a training of dataset {dataset_name} and its model"
        try:
            submitted = self._step("submit training", api.submit(request))
        except KeyboardInterrupt:
            self.report.leftovers.append(uncertain)
            raise
        training = submitted.outcome
        if training is None:
            if submitted.may_have_succeeded:
                self.report.leftovers.append(uncertain)
            return None
        leftover = f"training {training.akkio_task_id} and its model"
        cleanup.callback(self._step, "delete model", _delete_model_of(api, training), leftover=leftover)
        deadline = training.submitted_at + _TRAINING_SECONDS
        trained = self._step("wait for the training", api.poll_until_done(training, deadline))
        if trained.outcome is None:
            return None
        fetched = self._step("fetch the result", api.result(training.akkio_task_id, trained.outcome.location))
        if fetched.outcome is None:
            return None
        stats = fetched.outcome.stats
        metric = main_metric(stats)
        found = "no metric" if metric is None else f"metric {self.report.masked(metric.metric)}"
        self._found(Assumption.STATISTICS, found, metric is not None and self._has_documented_shape(stats))
        self._shape("statistics", stats)
        return fetched.outcome.model_id

    def _has_documented_shape(self, stats: Any) -> bool:
        try:
            [entries] = parse_statistics(stats)
        except (AkkioParameterError, ValueError):
            return False
        needed = {"field_name"} | ({"class_name", "count", "precision", "recall", "f1"} if self._is_category else set())
        return all(needed <= set(entry) for entry in entries)

    @property
    def _is_category(self) -> bool:
        return self.target.kind == "category"

    def _predict(self, model_id: str) -> None:
        field_name = self.target.field_name
        rows = [{name: cell for name, cell in row.items() if name != field_name} for row in generate_rows()]
        predicted = self._step("predict", self.client.api.models.predict(model_id, rows[:_PREDICTED_ROWS]))
        predictions = predicted.body.get("predictions")
        if not isinstance(predictions, list):
            return
        self._found(
            Assumption.PREDICTIONS, f"{len(predictions)} for {_PREDICTED_ROWS} rows", predicted.outcome is not None
        )
        objects = [one for one in predictions if isinstance(one, dict)]
        values = [one.get(field_name) for one in objects]
        probabilities = {key for one in objects for key in one if key.startswith(f"Probability {field_name} is ")}
        classes = {row[field_name] for row in generate_rows()} if self._is_category else set()
        has_values = bool(values) and all(
            isinstance(value, str) if self._is_category else _is_number(value) for value in values
        )
        types = ", ".join(sorted({type(value).__name__ for value in values}))
        self._found(
            Assumption.COLUMNS,
            f"{types}, {len(probabilities)} probabilities",
            has_values and probabilities == {f"Probability {field_name} is {one}" for one in classes},
        )
        self._shape("predictions", predictions)


def _delete_datasets(api: AkkioApi, name: str) -> Flow[None]:
    for entry in (yield from api.datasets.list()):
        if entry.name == name:
            yield from api.datasets.delete(entry.id)


def _delete_model_of(api: AkkioApi, training: AkkioTask) -> Flow[None]:
    """Delete the model of a training; first wait for it, because Akkio has no call to cancel a training."""
    try:
        state = yield from api.poll_until_done(training, time.time() + _INTERRUPTED_TRAINING_SECONDS)
    except AkkioTrainingFailedError:
        return
    result = yield from api.result(training.akkio_task_id, state.location)
    yield from api.models.delete(result.model_id)


def _field_types(step: Step[Any]) -> dict[str, str]:
    """Return the type of each field in a description of a dataset, as Akkio sent it."""
    fields = step.body.get("fields")
    entries = [entry for entry in fields if isinstance(entry, dict)] if isinstance(fields, list) else []
    return {str(entry.get("name")): printable(str(entry.get("type"))) for entry in entries}


def _is_type(text: str | None, expected: FieldType) -> bool:
    try:
        found = FieldType(text or "")
    except ValueError:
        return False
    return found.is_number if expected.is_number else found is expected


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, bool)


def check_errors(client: BlockingClient, wrong: BlockingClient, report: Report) -> None:
    """Check the responses to a wrong key and to unknown IDs.

    :param wrong: a client with a wrong key.
    """
    api, rows = client.api, generate_rows()[:1]
    unauthorized, not_found = AkkioUnauthorizedError, AkkioNotFoundError
    checks: list[tuple[ErrorAssumption, BlockingClient, Flow[Any], type[AkkioError]]] = [
        (ErrorAssumption.WRONG_KEY_V1, wrong, wrong.api.datasets.list(), unauthorized),
        (ErrorAssumption.WRONG_KEY_V2, wrong, wrong.api.test_connection(), unauthorized),
        (ErrorAssumption.UNKNOWN_DATASET, client, api.datasets.get(_UNKNOWN_ID), not_found),
        (ErrorAssumption.UNKNOWN_MODEL, client, api.models.predict(_UNKNOWN_ID, rows), not_found),
        (ErrorAssumption.UNKNOWN_TRAINING, client, api.status(_UNKNOWN_ID), not_found),
    ]
    for assumption, sender, flow, expected in checks:
        step = report.run(f"errors: {assumption}", sender, flow, expected=expected)
        if step.response is not None:
            report.findings["errors", assumption] = Finding(report.describe(step), isinstance(step.error, expected))


def check_all(config: ClientConfig, report: Report) -> None:
    """Check everything; nothing but errors if Akkio does not accept the key."""
    wrong_config = replace(config, api_key=secrets.token_hex(16))
    with BlockingClient(config) as client, BlockingClient(wrong_config) as wrong:
        accepts_v2 = report.run("access: v2", client, client.api.test_connection()).error is None
        accepts_v1 = accepts_v2 and report.run("access: v1", client, client.api.datasets.list()).error is None
        if not accepts_v1:
            report.say("Akkio is unreachable or rejects the key; nothing else was sent")
            return
        check_errors(client, wrong, report)
        for target in TARGETS:
            try:
                TargetTest(target, client, report).run()
            except Exception as error:  # noqa: BLE001 - the other target is independent, and the text may contain data
                report.failed_steps.append(f"{target.kind}: {type(error).__name__} in the check of a response")


def print_report(report: Report) -> bool:
    """Print shapes, assumptions and leftovers; return whether all assumptions hold and all steps succeeded."""
    keys: list[tuple[str, Assumption | ErrorAssumption]] = [("errors", one) for one in ErrorAssumption]
    keys += [(target.kind, one) for one in Assumption for target in TARGETS]
    findings = [(subject, str(one), report.findings.get((subject, one), NOT_CHECKED)) for subject, one in keys]
    words = {True: "yes", False: "NO", None: "not checked"}
    rows = [(subject, text, finding.found, words[finding.holds]) for subject, text, finding in findings]
    print("\nKeys and types of responses:")
    for what, shape in report.shapes.items():
        print(f"- {what}: {shape}")
    print(f"\n{table(('about', 'assumption', 'found', 'holds'), rows)}\n")
    if report.failed_steps:
        print(f"Failed steps: {'; '.join(report.failed_steps)}.")
    if report.leftovers:
        print(f"NOT DELETED, look for them in Akkio: {'; '.join(report.leftovers)}.")
    else:
        print("Everything that was created has been deleted.")
    sys.stdout.flush()
    return not report.failed_steps and not report.leftovers and all(finding.holds for _, _, finding in findings)


def _configuration() -> ClientConfig:
    """Return the client configuration.

    :raises AkkioConfigurationError: if a variable is missing or invalid, or ``CI`` is set.
    """
    if os.environ.get("CI"):
        raise AkkioConfigurationError("CI is set. This command trains models that Akkio bills, and never runs in CI.")
    key = os.environ.get("AKKIO_API_KEY", "").strip()
    if not key:
        raise AkkioConfigurationError("AKKIO_API_KEY is not set. Copy an API key from Akkio's Team Settings into it.")
    host = os.environ.get("AKKIO_URL", "").strip() or AKKIO_HOST
    return ClientConfig.from_connection("AKKIO_URL", host=host, port=None, schema=None, password=key, extra={})


def _is_confirmed() -> bool:
    try:
        return input(QUESTION).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def main() -> int:
    """Ask, check, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="make live", description="Check with a real account what we assume about Akkio."
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before anything is billed")
    arguments = parser.parse_args()
    try:
        config = _configuration()
    except AkkioConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Akkio is {config.base_url.origin}{config.base_url.prefix}.")
    if not arguments.yes and not _is_confirmed():
        print("Nothing was sent.")
        return 0
    logging.disable(logging.CRITICAL)  # log messages contain texts from Akkio
    for number in STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    cells = sorted({cell for row in generate_rows() for cell in row.values()})
    report = Report(stopwatch(), cells, config.api_key)
    try:
        check_all(config, report)
    except KeyboardInterrupt:
        print_report(report)
        print("interrupted", flush=True)
        return 130
    return 0 if print_report(report) else 1


if __name__ == "__main__":
    sys.exit(main())
