"""Built-in datasets, CSV folders, and datasets uploaded over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from airflow_provider_akkio.sandbox.datasets import (
    LEADS_ID,
    Cell,
    Dataset,
    FieldType,
    InvalidFolderError,
    cast_cell,
    cell_text,
    generate_leads,
    read_folder,
)
from tests.sandbox.api_client import ApiClient
from tests.sandbox.conftest import write_csv

LEADS_FIELDS = (
    "Job Title, Years of Experience, Company Size, Industry, Location, Webinars Attended, Whitepapers Downloaded, "
    "Pages Visited, Days Since Last Visit, Email Open Rate, Email Click Rate, Responded to Survey, Positive Lead"
)


def test_built_in_datasets_have_fixed_ids() -> None:
    with Sandbox() as sandbox:
        assert {dataset_id: dataset.fields[-1] for dataset_id, dataset in sandbox.datasets.items()} == {
            "YTV32jCdVf5DbcMxzvX5": "Positive Lead",
            "breast_cancer": "diagnosis",
            "wine": "cultivar",
            "diabetes": "progression",
        }


def test_leads_have_fields_of_training_page_and_rare_positives(sandbox: Sandbox) -> None:
    leads = sandbox.datasets[LEADS_ID]
    assert leads.fields == tuple(LEADS_FIELDS.split(", "))
    assert "synthetic" in leads.name
    assert 0.05 < leads.cells("Positive Lead").count("1") / len(leads.rows) < 0.2


def test_leads_are_deterministic() -> None:
    assert generate_leads() == generate_leads()
    assert generate_leads(10) != generate_leads(10, seed=1)


def test_folder_offers_files_by_name(sandbox: Sandbox, folder: Path) -> None:
    assert {path.stem for path in folder.iterdir()} < set(sandbox.datasets)


def test_csv_may_have_byte_order_mark_blank_lines_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "Mine.CSV").write_text('\ufeffName,"Of, course"\n\n a ,"1"\n,\n', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a table", encoding="utf-8")
    assert read_folder(tmp_path) == [Dataset(id="Mine", name="Mine", fields=("Name", "Of, course"), rows=(("a", "1"),))]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "distinct field names"),
        (b"\n , \n", "distinct field names"),
        (b"a,a\n1,2\n", "distinct field names"),
        (b"a,\n1,2\n", "distinct field names"),
        (b"a,b\n1,2\n1,2,3\n", "2 fields, but row 2 has 3 cells"),
        (b"a,b\n\xff,1\n", "UTF-8"),
        (b'a,b\n"1,2\n', "cannot be read"),
    ],
)
def test_invalid_csv_is_rejected_with_path(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidFolderError, match=reason) as caught:
        Sandbox(data=tmp_path)
    assert str(path) in str(caught.value)


def test_folder_without_csv_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidFolderError, match="no CSV file"):
        Sandbox(data=tmp_path)


def test_csv_with_id_of_built_in_dataset_is_rejected(tmp_path: Path) -> None:
    write_csv(tmp_path / "wine.csv", ("a", "b"), [(1, 2)])
    with pytest.raises(InvalidFolderError, match="'wine' is the ID of a built-in dataset"):
        Sandbox(data=tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        (" a ", "a"),
        ("01", "01"),
        (7, "7"),
        (7.0, "7.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e300, "1e+300"),
        (True, "True"),
    ],
)
def test_cell_is_stored_as_text(value: Cell, text: str) -> None:
    assert cell_text(value) == text


def test_first_rows_define_fields(client: ApiClient) -> None:
    dataset_id = client.upload([])
    assert client.get("datasets", id=dataset_id).json() == {
        "status": "success",
        "name": "uploaded",
        "rows": 0,
        "fields": [],
    }
    assert client.post("datasets", id=dataset_id, rows=[{}]).status_code == 422
    client.post("datasets", id=dataset_id, rows=[{"b": 1.5, "a": "x"}, {"a": None}])
    client.post("datasets", id=dataset_id, rows=[{"a": "y"}, {}])
    dataset = client.get("datasets", id=dataset_id).json()
    assert (dataset["rows"], [field["name"] for field in dataset["fields"]]) == (4, ["b", "a"])
    assert {"id": dataset_id, "name": "uploaded"} in client.get("datasets").json()["datasets"]


def test_text_has_no_other_type_until_parsed(client: ApiClient) -> None:
    rows = [
        {
            "whole": str(number),
            "share": f"{number}.50",
            "few": str(number % 3),
            "word": f"w{number % 3}",
            "words": f"w{number}",
            "day": f"2026-01-{number % 28 + 1:02}",
            "flag": number % 2 == 0,
            "empty": None,
        }
        for number in range(60)
    ]
    dataset_id = client.upload(rows)
    assert set(client.field_types(dataset_id).values()) == {"string", "category"}
    assert client.field_types(dataset_id)["empty"] == "category"
    assert "parse the fields" in client.fail(dataset_id=dataset_id, predict_fields=["whole"])
    client.post("datasets", id=dataset_id, parse_fields=True)
    parsed = {
        "whole": "integer",
        "share": "float",
        "few": "category",
        "word": "category",
        "words": "string",
        "day": "date",
        "flag": "category",
        "empty": "category",
    }
    assert client.field_types(dataset_id) == parsed
    client.post("datasets", id=dataset_id, fields=[{"name": "few", "type": "number", "valid": True}])
    client.post("datasets", id=dataset_id, fields=[{"name": "whole", "type": "id"}])
    assert client.field_types(dataset_id) == {**parsed, "few": "float", "whole": "id"}
    client.post("datasets", id=dataset_id, rows=[{"share": "many"}])
    assert client.field_types(dataset_id) == {**parsed, "few": "float", "whole": "id"}
    client.post("datasets", id=dataset_id, parse_fields=True)
    assert client.field_types(dataset_id) == {**parsed, "share": "string"}


def test_json_numbers_are_numbers_without_parsing(client: ApiClient) -> None:
    dataset_id = client.upload([{"many": number, "mixed": number or "0"} for number in range(60)])
    assert client.field_types(dataset_id) == {"many": "integer", "mixed": "string"}


@pytest.mark.parametrize(
    ("cell", "field_type", "value"),
    [
        ("007", "integer", 7),
        ("12345678901234567891", "integer", 12345678901234567891),
        ("7.0", "integer", 7),
        ("7.5", "integer", 7.5),
        ("1.10", "float", 1.1),
        ("many", "float", None),
        ("1e999", "float", None),
        ("1.10", "category", "1.10"),
        ("007", "string", "007"),
        ("", "string", None),
        ("2026-01-02", "date", "2026-01-02"),
        ("2026-13-02", "date", None),
    ],
)
def test_cell_is_cast_to_type(cell: str, field_type: str, value: Cell) -> None:
    assert cast_cell(cell, FieldType(field_type)) == value


def test_datasets_may_share_name(client: ApiClient) -> None:
    ids = [client.upload([], "twice"), client.upload([], "twice")]
    assert [len(one) for one in ids] == [20, 20]
    assert [one["id"] for one in client.get("datasets").json()["datasets"] if one["name"] == "twice"] == ids
    assert ids[0] != ids[1]


def test_batches_are_appended_in_order(client: ApiClient, sandbox: Sandbox) -> None:
    dataset_id = client.upload([])
    for batch in range(200):
        client.post("datasets", id=dataset_id, rows=[{"batch": batch, "row": str(row)} for row in range(3)])
    expected = [(str(batch), str(row)) for batch in range(200) for row in range(3)]
    assert list(sandbox.datasets[dataset_id].rows) == expected


def test_built_in_dataset_can_grow_and_be_deleted() -> None:
    with Sandbox() as sandbox:
        client = ApiClient(sandbox.url)
        before = client.get("datasets", id="wine").json()
        client.post("datasets", id="wine", rows=[{"ash": 2}])
        assert client.get("datasets", id="wine").json() == {**before, "rows": before["rows"] + 1}
        assert client.delete("datasets", id="wine").json() == {"status": "success"}
        assert "wine" not in sandbox.datasets
        assert client.get("datasets", id="wine").status_code == 404
