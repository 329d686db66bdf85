"""What can be trained on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_akkio.api.types import Duration
from airflow_provider_akkio.sandbox import Sandbox, learning
from airflow_provider_akkio.sandbox.datasets import LEADS_ID, Dataset, UnusableDataError, read_folder
from airflow_provider_akkio.sandbox.leads import generate_leads
from airflow_provider_akkio.sandbox.targets import UntrainableError
from tests.sandbox.calls import Calls
from tests.sandbox.conftest import write_table

LEADS_FIELDS = (
    "Job Title, Years of Experience, Company Size, Industry, Location, Webinars Attended, Whitepapers Downloaded, "
    "Pages Visited, Days Since Last Visit, Email Open Rate, Email Click Rate, Responded to Survey, Positive Lead"
)


def test_the_datasets_that_come_with_it_have_fixed_ids() -> None:
    with Sandbox() as sandbox:
        assert {dataset_id: dataset.fields[-1] for dataset_id, dataset in sandbox.datasets.items()} == {
            "YTV32jCdVf5DbcMxzvX5": "Positive Lead",
            "breast_cancer": "diagnosis",
            "wine": "cultivar",
            "diabetes": "progression",
        }


def test_the_leads_have_the_fields_of_the_page_and_are_called_synthetic(sandbox: Sandbox) -> None:
    leads = sandbox.datasets[LEADS_ID]
    assert leads.fields == tuple(LEADS_FIELDS.split(", "))
    assert "synthetic" in leads.name
    assert 0.05 < leads.cells("Positive Lead").count("1") / len(leads.rows) < 0.2


def test_the_leads_are_the_same_every_time() -> None:
    assert generate_leads() == generate_leads()
    assert generate_leads(10) != generate_leads(10, seed=1)


def test_a_folder_is_offered_under_the_names_of_its_files(sandbox: Sandbox, folder: Path) -> None:
    assert {path.stem for path in folder.iterdir()} < set(sandbox.datasets)


def test_a_file_may_have_a_byte_order_mark_blank_lines_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "Mine.CSV").write_text('\ufeffName,"Of, course"\n\n a ,"1"\n,\n', encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no table", encoding="utf-8")
    (dataset,) = read_folder(tmp_path)
    assert dataset == Dataset(id="Mine", name="Mine", fields=("Name", "Of, course"), rows=(("a", "1"),))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n , \n", "is empty"),
        (b"a,a\n1,2\n", "different field names"),
        (b"a,\n1,2\n", "different field names"),
        (b"a,b\n1,2\n1,2,3\n", "2 fields, but its row 2 has 3 cells"),
        (b"a,b\n\xff,1\n", "UTF-8"),
        (b'a,b\n"1,2\n', "cannot be read"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_bytes(content)
    with pytest.raises(UnusableDataError, match=reason) as caught:
        Sandbox(data=tmp_path)
    assert str(path) in str(caught.value)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableDataError, match="nowhere is not a folder"):
        Sandbox(data=str(tmp_path / "nowhere"))


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableDataError, match="holds no CSV file"):
        Sandbox(data=tmp_path)


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "wine.csv", ("a", "b"), [(1, 2)])
    with pytest.raises(UnusableDataError, match="'wine' is the id of a dataset that comes with the sandbox"):
        Sandbox(data=tmp_path)


def test_a_field_of_few_numbers_is_a_category_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    write_table(
        tmp_path / "grades.csv", ("x", "grade"), [(row, ("10", "9", "9.0", "2.5")[row % 4]) for row in range(80)]
    )
    with Sandbox(data=tmp_path) as sandbox:
        (classes,) = Calls(sandbox.url).train(dataset_id="grades")["stats"]
    assert [one["class_name"] for one in classes] == ["2.5", "9", "10"]


def test_of_a_dataset_that_is_too_large_a_sample_is_learned(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MOST_CELLS_PER_SECOND", 40)
    dataset = sandbox.datasets["signal"]
    (classes,) = learning.learn(dataset, parameters(dataset), threading.Event()).stats
    assert sum(one["count"] for one in classes) == 0.2 * 40 * 10 / len(dataset.fields)


CELLS: tuple[st.SearchStrategy[str], ...] = (
    st.just(""),
    st.just("x"),
    st.sampled_from(["a", "b", "b", ""]),
    st.sampled_from(["1", "2.0", "2", ""]),
    st.sampled_from(["nan", "inf", "1e400", "-1"]),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(str),
    st.text(alphabet="abcé \u2028", max_size=3),
)


@st.composite
def tables(draw: st.DrawFn) -> Dataset:
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4))
    rows = draw(st.lists(st.tuples(*kinds), max_size=40))
    fields = tuple(f"f{position}" for position in range(len(kinds)))
    return Dataset(id="any", name="Any", fields=fields, rows=tuple(rows))


@given(dataset=tables(), attention=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_table_is_either_trained_or_said_why_not(dataset: Dataset, attention: bool) -> None:
    try:
        model = learning.learn(dataset, parameters(dataset, attention), threading.Event())
    except UntrainableError:
        return
    assert sum(model.field_importance.values()) == pytest.approx(1)
    assert min(model.field_importance.values()) >= 0
    json.dumps([model.stats, model.field_importance, model.data_story], allow_nan=False)


def parameters(dataset: Dataset, attention: bool = False) -> learning.Parameters:
    return learning.Parameters(
        dataset_id=dataset.id,
        predict_fields=dataset.fields[-1:],
        ignore_fields=frozenset(),
        duration=Duration.FASTEST,
        extra_attention=attention,
    )
