"""The list of all trainings."""

from __future__ import annotations

import html
import re

import pytest
from fastapi.testclient import TestClient

from airflow_provider_akkio.web.trainings import PAGE
from tests.web.conftest import MAPPED, TRAIN, Recorded, Records, RecordsOften, better, counting_queries, text_of

ABSENT = "\N{EN DASH}"


def rows_of(page: str) -> list[list[str]]:
    """Return the text of the table's cells, row by row."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("<tr>")[1:])
    return [[" ".join(html.unescape(re.sub("<[^>]*>", " ", cell)).split()) for cell in row] for row in rows]


def listed(client: TestClient, number: int = 1) -> str:
    answer = client.get(f"/akkio/models?page={number}")
    assert answer.status_code == 200
    return str(answer.text)


@pytest.fixture
def mapped(record: Records) -> Recorded:
    """A run with more trainings than a page of the list takes."""
    return record(MAPPED.format([f"D{number}" for number in range(PAGE + 5)]))


def test_the_newest_run_comes_first_with_its_model_and_metric_over_time(record_often: RecordsOften) -> None:
    last = record_often([better(0.5), better(0.75)])
    newest, before = rows_of(listed(last.client))[:2]
    training, run, state, model, metric, over_time, _ = newest
    assert (training, run, state) == (f"{last.dag_id} train", last.run_id, "Done")
    assert (model, metric) == ("M1", "f1 0.75")
    assert over_time == "f1, oldest first: 0.5, 0.75"
    assert (before[0], before[4], before[5]) == (training, "f1 0.5", "")
    assert before[1] < run


def test_each_row_leads_to_the_page_of_its_training(record: Records) -> None:
    training = record()
    [path] = re.findall(f'<a href="(/akkio/dags/{training.dag_id}/[^"]+)">', listed(training.client))
    assert "Model id M1" in text_of(training.client.get(html.unescape(path)).text)


def test_a_training_without_a_model_is_listed_too(record: Records) -> None:
    training = record(TRAIN.replace("duration=60", "wait_for_completion=False"))
    assert rows_of(listed(training.client))[0][2:6] == ["No model", ABSENT, ABSENT, ""]
    for state, said in (("failed", "Failed"), ("skipped", "Not run"), ("deferred", "Training"), (None, "Not begun")):
        training.change(state=state)
        assert rows_of(listed(training.client))[0][2] == said


def test_a_model_without_statistics_of_its_own_has_no_metric(record_often: RecordsOften) -> None:
    last = record_often([better(0.5), better(0.75)])
    last.take("stats")
    assert rows_of(listed(last.client))[0][3:6] == ["M1", ABSENT, ""]


def test_a_sensors_model_is_listed_and_no_task_of_another_kind(record: Records) -> None:
    sensor = record(
        """
        wait = AkkioTrainSensor(task_id="wait", akkio_task_id="T1", poll_interval=0.05)
        task(task_id="other")(lambda model_id: model_id)(wait.output)
        """,
        "wait",
    )
    rows = [row for row in rows_of(listed(sensor.client)) if row[1] == sensor.run_id]
    assert [row[0] for row in rows] == [f"{sensor.dag_id} wait"]


def test_it_is_paged_and_a_page_takes_three_queries_beside_that_of_the_login(mapped: Recorded) -> None:
    listed(mapped.client)
    with counting_queries() as statements:
        first = listed(mapped.client)
    of_airflow = ("revoked_token", "dag_bundle_team")  # the login, and in Airflow 3.1 each DAG's team
    assert 1 <= len([one for one in statements if not any(table in one for table in of_airflow)]) <= 3, statements
    assert len(rows_of(first)) == PAGE
    names = [row[0] for row in rows_of(first)]
    assert names == [f"{mapped.dag_id} train [{index}]" for index in range(PAGE)]
    assert 'rel="next" href="/akkio/models?page=2"' in first
    assert 'rel="prev"' not in first
    second = listed(mapped.client, 2)
    assert [row[0] for row in rows_of(second)[:5]] == [
        f"{mapped.dag_id} train [{index}]" for index in range(PAGE, PAGE + 5)
    ]
    assert 'rel="prev" href="/akkio/models?page=1"' in second
    assert "There are no more trainings. Back to the newest" in text_of(listed(mapped.client, 9999))


@pytest.mark.parametrize("page", ["0", "-1", "x", "99999"])
def test_a_page_that_cannot_be_is_refused(client: TestClient, page: str) -> None:
    assert client.get(f"/akkio/models?page={page}").status_code == 422
