from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_akkio.api.parameters import parse_field_types
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError, AkkioUploadIncompleteError
from airflow_provider_akkio.files.reader import ReadOptions, RowBatch, RowFile
from airflow_provider_akkio.hooks.akkio import AkkioHook
from airflow_provider_akkio.operators import _files, _upload
from airflow_provider_akkio.operators._files import parse_read_options, track_progress
from airflow_provider_akkio.operators._upload import UPLOAD_KEY, StoredUpload, Uploader, UploadPlan, digest_rows
from airflow_provider_akkio.operators.akkio import AkkioUploadDatasetOperator
from airflow_provider_akkio.sandbox import Sandbox
from dev.versions import Part
from tests.airflow_runs import Code, DagRunner, FinishedRun, RunTask, call
from tests.chaos.gate import ERROR, RESETTING, Fault, Gate
from tests.scripted import Reply
from tests.versions import needs

ROWS = 25
HEADER = "id,zip,word\n"
OLD = [-1] * 3
NEW = list(range(ROWS))
THIRD_BATCH = 2
LOST_RESPONSE = replace(RESETTING, name="lost response", seconds=0)
LOST_REQUEST = replace(RESETTING, name="lost request", seconds=0, acts=False)
REJECTION = Fault("rejection", lambda _: Reply(422, {"status": "rows.0: no such field"}), seconds=0, acts=False)
OUTAGE = replace(ERROR, seconds=0.5, acts=False)

IMPORTS = "from pathlib import Path\nfrom airflow.providers.common.compat.sdk import ObjectStoragePath\n"

Upload = Callable[..., FinishedRun]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "".join(f"{number},0{number},w\n" for number in range(ROWS)))
    return path


@pytest.fixture
def upload(run_task: RunTask, gate: Gate, source: Path) -> Upload:
    """Run the operator on the source in batches of five rows; any parameter can be replaced."""
    defaults = {"task_id": "upload", "source_path": str(source), "batch_size": 5}
    return lambda **parameters: run_task("AkkioUploadDatasetOperator", **(defaults | parameters))


@pytest.fixture
def dataset_id(sandbox: Sandbox) -> str:
    """A dataset that already has three rows."""
    dataset_id = sandbox.datasets.create("old")
    sandbox.datasets.append(dataset_id, [{"id": -1, "zip": "x", "word": "old"}] * len(OLD))
    return dataset_id


@pytest.fixture
def no_request_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_akkio.api.datasets.MAX_RETRIES", 0)


@pytest.fixture
def no_task_state_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_upload, "task_state_store", lambda _: None)


def datasets_named(sandbox: Sandbox, name: str) -> list[str]:
    return [dataset_id for dataset_id, dataset in sandbox.datasets.items() if dataset.name == name]


def ids(sandbox: Sandbox, dataset_id: str) -> list[int]:
    return [int(row[0]) for row in sandbox.datasets[dataset_id].rows]


def test_upload_sends_every_cell_as_text_and_then_the_field_types(upload: Upload, gate: Gate) -> None:
    run = upload(dataset_name="typed {{ run_id }}", field_types={"word": "string"})
    xcoms = run.xcoms("upload")
    dataset_id = xcoms["return_value"]
    assert xcoms == {"return_value": dataset_id, "dataset_id": dataset_id, "row_count": ROWS}
    dataset = AkkioHook().get_dataset(dataset_id)
    assert (dataset.name, dataset.rows) == (f"typed {run.dag_run.run_id}", ROWS)
    assert (dataset.fields[2].name, dataset.fields[2].type) == ("word", "string")
    sent = [request.body["rows"] for request in gate.requests_to("datasets") if request.body and "rows" in request.body]
    assert [len(rows) for rows in sent] == [5] * 5
    assert sent[0][1] == {"id": "1", "zip": "01", "word": "w"}


def type_requests(gate: Gate) -> list[str]:
    """Return which requests about field types were sent, in their order."""
    bodies = [request.body or {} for request in gate.requests_to("datasets")]
    return [key for body in bodies for key in ("parse_fields", "fields") if key in body]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"dataset_name": "new"}, ["parse_fields"]),
        ({"dataset_name": "new", "field_types": {"zip": "category"}}, ["parse_fields", "fields"]),
        ({"dataset_name": "new", "parse_fields": False}, []),
        ({}, []),
        ({"parse_fields": "{{ true }}"}, ["parse_fields"]),
    ],
)
def test_upload_lets_akkio_infer_the_types_of_a_new_dataset(
    upload: Upload, gate: Gate, dataset_id: str, parameters: dict[str, Any], expected: list[str]
) -> None:
    destination = {} if "dataset_name" in parameters else {"dataset_id": dataset_id}
    assert upload(**destination, **parameters).state == "success"
    assert type_requests(gate) == expected


def test_upload_appends_rows_and_deletes_the_stored_upload(upload: Upload, sandbox: Sandbox, dataset_id: str) -> None:
    run = upload(dataset_id=dataset_id)
    assert run.state == "success"
    assert ids(sandbox, dataset_id) == OLD + NEW
    assert run.stored_records() == []


def test_upload_can_be_mapped(run_dag: DagRunner, sandbox: Sandbox, source: Path) -> None:
    run = run_dag(
        'AkkioUploadDatasetOperator.partial(task_id="upload", dataset_name="mapped").expand('
        f"source_path={[str(source)] * 2})"
    )
    assert run.state == "success"
    assert [ids(sandbox, run.xcoms("upload", index)["dataset_id"]) for index in (0, 1)] == [NEW, NEW]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "not exist"), (b"", "empty"), (b"a,b\n", "no rows"), (b"a,b\n1,2\n1,2,3\n", "line 3")],
    ids=["missing", "empty", "header only", "ragged"],
)
def test_upload_of_an_invalid_file_sends_nothing(
    upload: Upload, gate: Gate, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    failure = upload(source_path=str(path), dataset_name="bad").failure
    assert isinstance(failure, AkkioSourceFileError)
    assert message in str(failure)
    assert "bad.csv" in str(failure)
    assert gate.received == []


def test_upload_of_a_type_for_an_unknown_field_sends_nothing(upload: Upload, gate: Gate) -> None:
    failure = upload(dataset_name="bad", field_types={"Word": "string"}).failure
    assert isinstance(failure, AkkioSourceFileError)
    assert "'Word'" in str(failure)
    assert "id, zip, word" in str(failure)
    assert gate.received == []


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"dataset_name": "a", "dataset_id": "b"},
        {"dataset_name": "a", "batch_size": 0},
        {"dataset_name": "{{ ds }}", "batch_size": 0},
        {"dataset_name": "a", "field_types": {"word": "text"}},
        {"dataset_name": "a", "field_types": ["word"]},
        {"dataset_name": "a", "source_path": "rows.xls"},
        {"dataset_name": "a", "source_path": Code("Path('rows.txt')")},
        {"dataset_name": "a", "source_path": Code("ObjectStoragePath('memory://rows.txt')")},
        {"dataset_name": "a", "source_path": ""},
        {"dataset_name": "a", "columns": []},
        {"dataset_name": "a", "columns": {"word": 1}},
        {"dataset_name": "a", "exclude_columns": 1.5},
        {"dataset_name": "a", "null_values": [None]},
        {"dataset_name": "a", "delimiter": ";;"},
        {"dataset_name": "a", "delimiter": 1},
        {"dataset_name": "a", "encoding": "utf-9"},
        {"dataset_name": "a", "sheet_name": ["a"]},
        {"dataset_name": "a", "on_empty": "ignore"},
        {"dataset_name": "a", "columns": ["a", "b"], "exclude_columns": "b"},
        {"dataset_name": "a", "source_path": "a.parquet", "delimiter": ";"},
        {"dataset_name": "a", "sheet_name": "leads"},
        {"dataset_name": "a", "field_types": {1.5: "category"}},
    ],
)
def test_upload_rejects_invalid_literals_when_the_dag_is_parsed(run_dag: DagRunner, parameters: dict[str, Any]) -> None:
    defaults = {"task_id": "upload", "source_path": "rows.csv"}
    code = IMPORTS + call("AkkioUploadDatasetOperator", **(defaults | parameters))
    with pytest.raises(AkkioParameterError, match="Task 'upload'"), run_dag.parsed(code):
        pass


@pytest.mark.parametrize(
    ("rendered", "types"), [({2024: "category"}, {"2024": "category"}), ("None", {}), ("", {}), (None, {})]
)
def test_rendered_field_types_are_parsed(rendered: Any, types: dict[str, str]) -> None:
    assert parse_field_types("field_types", rendered) == types


def test_upload_reads_the_file_as_its_parameters_say(upload: Upload, gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes("id;tags;näme\n1;x;NA\n2;y;é\n".encode("cp1252"))
    run = upload(
        source_path=str(path),
        dataset_name="export",
        columns="{{ ['id', 'näme'] }}",
        null_values=["NA", "nan"],
        delimiter=";",
        encoding="cp1252",
        sheet_name="{{ none }}",
    )
    assert run.state == "success"
    sent = [request.body["rows"] for request in gate.requests_to("datasets") if request.body and "rows" in request.body]
    assert sent == [[{"id": "1", "näme": None}, {"id": "2", "näme": "é"}]]


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({"columns": "id"}, {"columns": ("id",)}),
        ({"columns": "['a', 'b']"}, {"columns": ("a", "b")}),
        ({"columns": [2024]}, {"columns": ("2024",)}),
        ({"columns": "None", "exclude_columns": "", "delimiter": "None", "encoding": None, "sheet_name": ""}, {}),
        ({"exclude_columns": ["", "a"]}, {"exclude_columns": ("", "a")}),
        ({"null_values": "NA"}, {"null_values": ("NA",)}),
        ({"null_values": None}, {"null_values": ()}),
        ({"delimiter": "\\t"}, {"delimiter": "\t"}),
        ({"source_path": "a.xlsx", "sheet_name": 2024}, {"sheet_name": "2024"}),
    ],
)
def test_rendered_read_options_are_parsed(parameters: dict[str, Any], options: dict[str, Any]) -> None:
    defaults = {"task_id": "upload", "source_path": "a.csv", "dataset_name": "a"}
    task = AkkioUploadDatasetOperator(**(defaults | parameters))
    assert parse_read_options(vars(task)) == ReadOptions(**options)


@pytest.mark.parametrize("type_", ["integer", "float", "number"])
def test_upload_of_text_in_a_number_field_sends_nothing(upload: Upload, gate: Gate, source: Path, type_: str) -> None:
    source.write_text(HEADER + "1,01,w\nn/a,02,w\n")
    failure = upload(dataset_name="bad", field_types={"id": type_, "word": "category"}).failure
    assert "line 3 has 'n/a' in the field 'id'" in str(failure)
    assert gate.received == []


def test_upload_of_a_file_without_rows_is_skipped_on_request(upload: Upload, gate: Gate, source: Path) -> None:
    source.write_text(HEADER)
    run = upload(dataset_name="empty", on_empty="skip")
    assert run.state == "success"
    assert run.task_state("upload") == "skipped"
    assert gate.received == []


@pytest.mark.parametrize("rendered", ["text", "string"])
def test_upload_validates_templates_after_rendering(upload: Upload, gate: Gate, rendered: str) -> None:
    run = upload(dataset_name="a", field_types={"word": f"{{{{ '{rendered}' }}}}"})
    assert (run.state == "success") is (rendered == "string")
    assert bool(gate.received) is (rendered == "string")


@pytest.mark.parametrize("fault", [LOST_RESPONSE, LOST_REQUEST], ids=lambda fault: fault.name)
@pytest.mark.parametrize("is_new", [True, False], ids=["new dataset", "existing dataset"])
def test_upload_adds_each_row_once_after_a_lost_message(
    upload: Upload, gate: Gate, dataset_id: str, fault: Fault, is_new: bool
) -> None:
    gate.break_down(fault, "datasets", after=THIRD_BATCH)
    run = upload(dataset_name=fault.name) if is_new else upload(dataset_id=dataset_id)
    assert (run.state, run.tries("upload"), gate.faulty_requests) == ("success", 1, 1)
    if is_new:
        dataset_id = run.xcoms("upload")["dataset_id"]
        assert datasets_named(gate._sandbox, fault.name) == [dataset_id]
    assert ids(gate._sandbox, dataset_id) == (NEW if is_new else OLD + NEW)


def test_upload_deletes_an_incomplete_new_dataset(upload: Upload, gate: Gate, sandbox: Sandbox) -> None:
    gate.break_down(REJECTION, "datasets", after=THIRD_BATCH)
    run = upload(dataset_name="half")
    assert "rows.0: no such field" in str(run.failure)
    assert datasets_named(sandbox, "half") == []
    assert run.stored_records() == []


def test_stopped_upload_deletes_the_new_dataset(run_dag: DagRunner, sandbox: Sandbox, source: Path) -> None:
    parameters = {"task_id": "upload", "source_path": str(source), "dataset_name": "stopped"}
    run = run_dag(
        "class StoppedOperator(AkkioUploadDatasetOperator):\n"
        "    def pre_execute(self, context):\n"
        "        self.on_kill()\n" + call("StoppedOperator", **parameters)
    )
    assert "stopped the task" in str(run.failure)
    assert datasets_named(sandbox, "stopped") == []


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_resumes_an_append_after_the_last_batch_that_arrived(
    upload: Upload, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    gate.break_down(OUTAGE, "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=5)
    assert run.state == "success"
    assert run.tries("upload") > 1
    assert ids(sandbox, dataset_id) == OLD + NEW


@pytest.mark.usefixtures("no_task_state_store")
def test_append_without_a_task_state_store_reports_the_arrived_rows_and_is_not_retried(
    upload: Upload, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    gate.break_down(REJECTION, "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=3)
    assert isinstance(run.failure, AkkioUploadIncompleteError)
    assert f"Dataset {dataset_id} had 3 rows before" in str(run.failure)
    assert "first 10 of the 25 rows" in str(run.failure)
    assert run.tries("upload") == 1
    assert ids(sandbox, dataset_id) == OLD + NEW[:10]


def adding_a_row(fault: Fault, sandbox: Sandbox, find_dataset: Callable[[], str]) -> Fault:
    """Return the fault; when it happens, another client adds a row to the dataset."""

    def answering(gate: Gate) -> Any:
        sandbox.datasets.append(find_dataset(), [{"id": -2}])
        return fault.answering(gate)

    return replace(fault, answering=answering)


NO_FAULT = Fault("none", lambda _: Reply(body={"status": "success"}), seconds=0)


def test_uncertain_append_fails_if_another_client_adds_rows(
    upload: Upload, gate: Gate, sandbox: Sandbox, dataset_id: str
) -> None:
    gate.break_down(adding_a_row(LOST_RESPONSE, sandbox, lambda: dataset_id), "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=3)
    assert isinstance(run.failure, AkkioUploadIncompleteError)
    assert dataset_id in str(run.failure)
    assert run.tries("upload") == 1
    assert ids(sandbox, dataset_id) == [*OLD, *NEW[:15], -2]
    assert run.stored_records() == []


def test_certain_append_succeeds_if_another_client_adds_rows(
    upload: Upload, gate: Gate, sandbox: Sandbox, dataset_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate.break_down(adding_a_row(NO_FAULT, sandbox, lambda: dataset_id), "datasets", after=THIRD_BATCH)
    assert upload(dataset_id=dataset_id).state == "success"
    assert "has 29 rows, expected 28" in caplog.text
    assert sorted(ids(sandbox, dataset_id)) == sorted([*OLD, *NEW, -2])


def test_upload_deletes_a_new_dataset_with_too_many_rows(upload: Upload, gate: Gate, sandbox: Sandbox) -> None:
    fault = adding_a_row(NO_FAULT, sandbox, lambda: datasets_named(sandbox, "surplus")[0])
    gate.break_down(fault, "datasets", after=THIRD_BATCH)
    run = upload(dataset_name="surplus")
    assert "has 26 rows, expected 25" in str(run.failure)
    assert not isinstance(run.failure, AkkioUploadIncompleteError)
    assert datasets_named(sandbox, "surplus") == []


def changing_the_file(source: Path) -> Fault:
    def answering(gate: Gate) -> Any:
        source.write_text(HEADER + "1,2,3\n")
        return ERROR.answering(gate)

    return Fault("changed file", answering, seconds=0, acts=False)


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_adds_nothing_to_a_dataset_after_the_file_changed(
    upload: Upload, gate: Gate, sandbox: Sandbox, source: Path, dataset_id: str
) -> None:
    gate.break_down(changing_the_file(source), "datasets", after=THIRD_BATCH)
    run = upload(dataset_id=dataset_id, retries=3)
    assert isinstance(run.failures[-1], AkkioUploadIncompleteError)
    assert "changed" in str(run.failures[-1])
    assert "at least 10 rows" in str(run.failures[-1])
    assert run.tries("upload") == 2
    assert ids(sandbox, dataset_id) == OLD + NEW[:10]
    assert run.stored_records() == []


@needs(Part.TASK_STATE_STORE)
@pytest.mark.usefixtures("no_request_retries")
def test_task_retry_appends_a_changed_file_if_no_row_had_arrived(
    upload: Upload, gate: Gate, sandbox: Sandbox, source: Path, dataset_id: str
) -> None:
    gate.break_down(changing_the_file(source), "datasets")
    run = upload(dataset_id=dataset_id, retries=3)
    assert (run.state, run.tries("upload")) == ("success", 2)
    assert ids(sandbox, dataset_id) == [*OLD, 1]


class InMemoryStore(dict[str, Any]):
    """A task state store."""

    set = dict.__setitem__
    delete = dict.__delitem__


@dataclass(frozen=True)
class KilledUpload:
    """What a killed attempt left at Akkio and in the task state store."""

    rows_in_dataset: int
    rows_stored: int
    later_rows_changed: bool = False
    arrived_rows_changed: bool = False
    dataset_exists: bool = True


@pytest.mark.parametrize(
    ("killed", "is_resumed"),
    [
        (KilledUpload(rows_in_dataset=10, rows_stored=10), True),
        (KilledUpload(rows_in_dataset=15, rows_stored=10), True),
        (KilledUpload(rows_in_dataset=25, rows_stored=25), True),
        (KilledUpload(rows_in_dataset=10, rows_stored=10, later_rows_changed=True), True),
        (KilledUpload(rows_in_dataset=15, rows_stored=10, later_rows_changed=True), False),
        (KilledUpload(rows_in_dataset=10, rows_stored=10, later_rows_changed=True, arrived_rows_changed=True), False),
        (KilledUpload(rows_in_dataset=0, rows_stored=0, dataset_exists=False), False),
    ],
    ids=[
        "between two batches",
        "after a batch arrived",
        "after the last batch",
        "later rows changed",
        "later rows changed after a batch arrived",
        "arrived rows changed",
        "deleted dataset",
    ],
)
def test_task_retry_completes_the_new_dataset_of_a_killed_attempt(
    gate: Gate, sandbox: Sandbox, source: Path, killed: KilledUpload, is_resumed: bool
) -> None:
    plan = UploadPlan(
        akkio_conn_id="akkio_default",
        dataset_name="killed",
        dataset_id=None,
        field_types={},
        parse_fields=None,
        batch_size=5,
    )
    file = RowFile(source)
    summary = file.inspect()
    dataset_id = sandbox.datasets.create("killed")
    all_rows = next(file.batches(ROWS)).rows
    if rows := all_rows[: killed.rows_in_dataset]:
        sandbox.datasets.append(dataset_id, rows)
    if not killed.dataset_exists:
        AkkioHook().delete_dataset(dataset_id)
    source_digest = "digest of the previous file" if killed.later_rows_changed else summary.digest
    stored = StoredUpload(
        fingerprint=plan.fingerprint(source_digest),
        source_digest=source_digest,
        dataset_id=dataset_id,
        is_new=True,
        rows_before=0,
        rows_arrived=killed.rows_stored,
        arrived_digest=digest_rows([] if killed.arrived_rows_changed else all_rows[: killed.rows_stored]),
    )
    context: Any = {"task_state_store": InMemoryStore({UPLOAD_KEY: asdict(stored)})}
    with AkkioHook().open_client() as client:
        uploader = Uploader(
            context=context, client=client, plan=plan, file=file, summary=summary, is_stopped=lambda: False
        )
        uploaded = uploader.run()
    assert (uploaded == dataset_id) is is_resumed
    assert ids(sandbox, uploaded) == NEW
    assert (dataset_id in sandbox.datasets) is is_resumed
    AkkioHook().delete_dataset(uploaded)


def test_stored_upload_survives_json() -> None:
    stored = StoredUpload(
        fingerprint="f", source_digest="s", dataset_id="d", is_new=True, rows_before=1, rows_arrived=2
    )
    assert StoredUpload.from_json(json.loads(json.dumps(asdict(stored)))) == stored


def test_stored_upload_ignores_unknown_keys() -> None:
    stored = StoredUpload(
        fingerprint="f", source_digest="s", dataset_id="d", is_new=False, rows_before=1, rows_arrived=2
    )
    assert StoredUpload.from_json(asdict(stored) | {"new": 1}) == stored


@pytest.mark.parametrize("record", ["text", {}, {"dataset_id": None}, {"rows_arrived": "2"}, {"fingerprint": 1}])
def test_stored_upload_that_is_invalid_prevents_a_second_upload(record: Any) -> None:
    stored = StoredUpload(fingerprint="f", source_digest="s", dataset_id="d", is_new=False, rows_before=1)
    with pytest.raises(AkkioUploadIncompleteError, match="akkio_upload"):
        StoredUpload.from_json(asdict(stored) | record if isinstance(record, dict) and len(record) else record)


def test_progress_is_logged_with_rows_and_total(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    batches = [RowBatch([{"a": "1"}] * 2, [["1"]] * 2)] * 2
    assert list(track_progress(batches, "Upload", 1000, lambda: False)) == batches
    assert caplog.messages == []
    monkeypatch.setattr(_files, "PROGRESS_INTERVAL", 0)
    assert list(track_progress(batches, "Upload", 1000, lambda: False, done=5)) == batches
    assert caplog.messages == ["Upload: 7 of 1,000 rows.", "Upload: 9 of 1,000 rows."]
