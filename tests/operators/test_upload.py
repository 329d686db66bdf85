"""Rows into a dataset, by an operator in a real Airflow, against a real sandbox."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioSourceFileError, AkkioUploadIncompleteError
from airflow_provider_akkio.operators._upload import KEY, Upload
from airflow_provider_akkio.sandbox import Sandbox
from dev.versions import Part
from tests.airflow_runs import DagRunner, FinishedRun
from tests.chaos.gate import ERROR, RESETTING, Fault, Gate
from tests.scripted import Reply
from tests.versions import lacks, needs

ROWS = 25
HEADER = "id,zip,word\n"
ONCE = replace(RESETTING, name="loses the answer", seconds=0)
LOST = replace(RESETTING, name="loses the request", seconds=0, acts=False)
REFUSAL = Fault("refuses", lambda _: Reply(422, {"status": "rows.0: no such field"}), seconds=0, acts=False)
OUTAGE = replace(ERROR, seconds=0.5, acts=False)
THIRD_BATCH = 2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "".join(f"{number},0{number},w\n" for number in range(ROWS)))
    return path


@pytest.fixture
def dataset_id(sandbox: Sandbox) -> str:
    """A dataset that has three rows already."""
    dataset_id = sandbox.datasets.create("old")
    sandbox.datasets.append(dataset_id, [{"id": -1, "zip": "x", "word": "old"}] * 3)
    return dataset_id


def upload(run_dag: DagRunner, source: object, arguments: str) -> FinishedRun:
    return run_dag(
        f'AkkioUploadDatasetOperator(task_id="upload", source={str(source)!r}, batch_size=5, '
        f"retry_delay=timedelta(0), {arguments})"
    )


def named(sandbox: Sandbox, name: str) -> list[str]:
    return [dataset_id for dataset_id, one in sandbox.datasets.items() if one.name == name]


def ids(sandbox: Sandbox, dataset_id: str) -> list[int]:
    return [int(row[0]) for row in sandbox.datasets[dataset_id].rows]


OLD = [-1] * 3
NEW = list(range(ROWS))


def test_a_new_dataset_has_all_rows_with_their_types(run_dag: DagRunner, gate: Gate, source: Path) -> None:
    sandbox = gate._sandbox
    run = upload(run_dag, source, 'dataset_name="typed {{ run_id }}", fields={"word": "string"}')
    xcoms = run.xcoms("upload")
    dataset_id = xcoms["return_value"]
    assert xcoms == {"return_value": dataset_id, "dataset_id": dataset_id, "rows": ROWS}
    dataset = sandbox.datasets[dataset_id]
    assert (dataset.name, len(dataset.rows)) == (f"typed {run.dag_run.run_id}", ROWS)
    assert dataset.field_type("word") == "string"
    sent = [one.body["rows"] for one in gate.asked("datasets") if one.body and "rows" in one.body]
    assert [len(batch) for batch in sent] == [5] * 5
    assert sent[0][1] == {"id": 1, "zip": "01", "word": "w"}


def test_rows_are_appended_and_nothing_is_kept_after_success(
    run_dag: DagRunner, sandbox: Sandbox, source: Path, dataset_id: str
) -> None:
    run = upload(run_dag, source, f'dataset_id="{dataset_id}"')
    assert run.state == "success"
    assert ids(sandbox, dataset_id) == OLD + NEW
    assert run.kept() == []


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv.gz", "parquet"])
def test_each_kind_of_file_is_read(run_dag: DagRunner, sandbox: Sandbox, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2], "word": ["a", None]}), path)
    else:
        lines = "id,word\n1,a\n2,\n" if ending.startswith("csv") else '{"id": 1, "word": "a"}\n{"id": 2}\n'
        path.write_bytes(gzip.compress(lines.encode()) if ending.endswith("gz") else lines.encode())
    dataset_id = upload(run_dag, path, 'dataset_name="kinds"').xcoms("upload")["dataset_id"]
    assert sandbox.datasets[dataset_id].rows == (("1", "a"), ("2", ""))


def test_files_are_uploaded_by_mapped_tasks(run_dag: DagRunner, sandbox: Sandbox, source: Path) -> None:
    run = run_dag(
        'AkkioUploadDatasetOperator.partial(task_id="upload", dataset_name="mapped").expand('
        f"source=[{str(source)!r}, {str(source)!r}])"
    )
    assert run.state == "success"
    datasets = [run.xcoms("upload", index)["dataset_id"] for index in (0, 1)]
    assert [ids(sandbox, one) for one in datasets] == [NEW, NEW]


BAD = {
    "an empty file": (b"", "is empty"),
    "only a header": (HEADER.encode(), "has no rows"),
    "a doubled name": (b"id,id\n1,2\n", "'id'"),
    "a ragged row": (b"a,b\n1,2\n1,2,3\n", "line 3"),
    "bad UTF-8": (b"a,b\n1,\xff\n", "line 2"),
    "a NUL byte": (b"a,b\n1,\0\n", "line 2"),
    "a 20 MB cell": (b"a,b\n1," + b"x" * 20_000_000 + b"\n", "line 2"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_bad_input_gets_a_clear_sentence_and_nothing_is_sent(
    run_dag: DagRunner, gate: Gate, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    failure = upload(run_dag, path, 'dataset_name="bad"').failure
    assert isinstance(failure, AkkioSourceFileError)
    assert said in str(failure)
    assert "bad.csv" in str(failure)
    assert gate.received == []


def test_a_missing_file_is_named_and_nothing_is_sent(run_dag: DagRunner, gate: Gate, tmp_path: Path) -> None:
    failure = upload(run_dag, tmp_path / "missing.csv", 'dataset_name="bad"').failure
    assert isinstance(failure, AkkioSourceFileError)
    assert "there is no such file" in str(failure)
    assert gate.received == []


def test_a_byte_order_mark_and_ten_thousand_columns_are_fine(
    run_dag: DagRunner, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "wide.csv"
    columns = [f"c{number}" for number in range(10_000)]
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join([",".join(columns), *([",".join(["1"] * 10_000)] * 3)]).encode())
    dataset = sandbox.datasets[upload(run_dag, path, 'dataset_name="wide"').xcoms("upload")["dataset_id"]]
    assert (dataset.fields, len(dataset.rows)) == (tuple(columns), 3)


@pytest.mark.parametrize("arguments", ["", 'dataset_name="a", dataset_id="b"', 'dataset_name="a", batch_size=0'])
def test_wrong_literals_are_refused_when_the_file_is_parsed(run_dag: DagRunner, arguments: str) -> None:
    body = f'AkkioUploadDatasetOperator(task_id="upload", source="rows.csv", {arguments})'
    with pytest.raises(AkkioParameterError, match="Task 'upload'"), run_dag.parsed(body):
        pass


either_fault = pytest.mark.parametrize("fault", [ONCE, LOST], ids=lambda fault: fault.name)


@either_fault
def test_each_row_of_a_new_dataset_is_there_once_whatever_is_lost(
    run_dag: DagRunner, gate: Gate, source: Path, fault: Fault
) -> None:
    gate.break_down(fault, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_name="{fault.name}"')
    assert (run.state, run.tries("upload"), gate.faulty_requests) == ("success", 1, 1)
    assert [ids(gate._sandbox, one) for one in named(gate._sandbox, fault.name)] == [NEW]


@either_fault
def test_each_row_is_appended_once_whatever_is_lost(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str, fault: Fault
) -> None:
    gate.break_down(fault, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_id="{dataset_id}"')
    assert (run.state, run.tries("upload"), gate.faulty_requests) == ("success", 1, 1)
    assert ids(gate._sandbox, dataset_id) == OLD + NEW


def test_a_new_dataset_that_fails_half_way_is_deleted(run_dag: DagRunner, gate: Gate, source: Path) -> None:
    gate.break_down(REFUSAL, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, 'dataset_name="half"')
    assert "rows.0: no such field" in str(run.failure)
    assert named(gate._sandbox, "half") == []
    assert run.kept() == []


@needs(Part.TASK_STATE_STORE)
def test_an_append_goes_on_behind_the_last_batch_that_arrived(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_akkio.api.datasets.MAX_RETRIES", 0)
    gate.break_down(OUTAGE, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_id="{dataset_id}", retries=5')
    assert run.state == "success"
    assert run.tries("upload") > 1
    assert ids(gate._sandbox, dataset_id) == OLD + NEW


def test_an_append_without_a_store_says_which_rows_arrived_and_is_not_tried_again(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_akkio.operators._upload.store_of", lambda _: None)
    gate.break_down(REFUSAL, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_id="{dataset_id}", retries=3')
    assert isinstance(run.failure, AkkioUploadIncompleteError)
    assert f"the first 10 are in dataset {dataset_id}, which had 3 before" in str(run.failure)
    assert "adds all rows of the file, these once more" in str(run.failure)
    assert run.tries("upload") == 1
    assert ids(gate._sandbox, dataset_id) == OLD + NEW[:10]


@lacks(Part.TASK_STATE_STORE)
def test_an_append_that_broke_off_is_not_tried_again_where_nothing_is_kept(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str
) -> None:
    gate.break_down(REFUSAL, "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_id="{dataset_id}", retries=3')
    assert isinstance(run.failure, AkkioUploadIncompleteError)
    assert run.tries("upload") == 1
    assert ids(gate._sandbox, dataset_id) == OLD + NEW[:10]


def test_rows_of_somebody_else_end_an_append_that_is_in_doubt(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str
) -> None:
    def interfere(_: Gate) -> object:
        gate._sandbox.datasets.append(dataset_id, [{"id": -2}])
        return RESETTING.answering(gate)

    gate.break_down(replace(ONCE, answering=interfere), "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, f'dataset_id="{dataset_id}", retries=3')
    assert isinstance(run.failure, AkkioUploadIncompleteError)
    assert "Does something else add rows to it?" in str(run.failure)
    assert ids(gate._sandbox, dataset_id) == [*OLD, *NEW[:15], -2]


def one_row_more(gate: Gate, find: Callable[[], str]) -> Fault:
    """The batch arrives, and with it a row of somebody else's."""

    def answering(_: Gate) -> Reply:
        gate._sandbox.datasets.append(find(), [{"id": -2}])
        return Reply(body={"status": "success"})

    return replace(ONCE, answering=answering)


def test_a_row_too_many_in_a_new_dataset_deletes_it(run_dag: DagRunner, gate: Gate, source: Path) -> None:
    gate.break_down(one_row_more(gate, lambda: named(gate._sandbox, "surplus")[0]), "datasets", after=THIRD_BATCH)
    run = upload(run_dag, source, 'dataset_name="surplus"')
    assert "has 26 rows, where 0 from before and 25 of the file make 25" in str(run.failure)
    assert "The dataset is deleted, so nothing is there twice" in str(run.failure)
    assert named(gate._sandbox, "surplus") == []


def test_a_row_of_somebody_else_is_fine_where_nothing_of_an_append_was_in_doubt(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate.break_down(one_row_more(gate, lambda: dataset_id), "datasets", after=THIRD_BATCH)
    assert upload(run_dag, source, f'dataset_id="{dataset_id}"').state == "success"
    assert "Something else adds rows, too." in caplog.text
    assert sorted(ids(gate._sandbox, dataset_id)) == sorted([*OLD, *NEW, -2])


@needs(Part.TASK_STATE_STORE)
def test_a_file_that_changed_before_a_later_try_adds_nothing(
    run_dag: DagRunner, gate: Gate, source: Path, dataset_id: str
) -> None:
    def change(_: Gate) -> object:
        source.write_text(HEADER + "1,2,3\n")
        return ERROR.answering(gate)

    gate.break_down(Fault("changes the file", change, seconds=60, acts=False), "datasets", after=THIRD_BATCH)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("airflow_provider_akkio.api.datasets.MAX_RETRIES", 0)
        run = upload(run_dag, source, f'dataset_id="{dataset_id}", retries=3')
    assert isinstance(run.failures[-1], AkkioUploadIncompleteError)
    assert "have changed since an earlier try of this task added 10 rows or more" in str(run.failures[-1])
    assert run.tries("upload") == 2
    assert ids(gate._sandbox, dataset_id) == OLD + NEW[:10]


def test_what_is_kept_can_be_read_again() -> None:
    kept = Upload(fingerprint="f", dataset_id="d", is_new=True, rows_before=1, rows_arrived=2)
    assert Upload.from_entry(json.loads(json.dumps(kept.to_entry()))) == kept
    assert Upload.from_entry({"dataset_id": "d"}) is None
    assert KEY == "akkio_upload"
