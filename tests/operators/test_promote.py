"""Whether a new model takes the champion's place, in a real Airflow, with events of real assets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioModelRejectedError, AkkioParameterError
from tests.airflow_runs import DagRunner, FinishedRun
from tests.conftest import Logged
from tests.scripted import ScriptedAkkio, accepted, result, status

_numbers = itertools.count(1)


def classes(no: float, yes: float) -> list[dict[str, Any]]:
    return [
        {"field_name": "Won", "class_name": "no", "count": 90, "frequency": 0.9, "f1": no, "recall": 0.5},
        {"field_name": "Won", "class_name": "yes", "count": 10, "frequency": 0.1, "f1": yes},
    ]


def stats(no: float = 0.9, yes: float = 0.5) -> list[list[dict[str, Any]]]:
    return [classes(no, yes)]


NUMBER = [[{"field_name": "Price", "field_type": "number", "rmse": 2.5, "r2": 0.8, "count": 10}]]


@pytest.fixture
def asset() -> str:
    """The name of an asset of which there is no event."""
    return f"akkio://models/{next(_numbers)}"


def promote(run_dag: DagRunner, asset: str, model_id: str, statistics: Any, arguments: str = "") -> FinishedRun:
    return run_dag(
        f'AkkioPromoteModelOperator(task_id="promote", model_id="{model_id}", stats={statistics!r}, '
        f'asset=Asset("{asset}"), {arguments})'
    )


def events(asset: str) -> list[dict[str, Any]]:
    """Return what the events of an asset say, the oldest first."""
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent, AssetModel

        asset_id = AssetEvent.asset_id
    except ImportError:  # Airflow 2 calls them datasets
        from airflow.models.dataset import DatasetEvent as AssetEvent
        from airflow.models.dataset import DatasetModel as AssetModel

        asset_id = AssetEvent.dataset_id
    with create_session() as session:
        found = session.query(AssetEvent).join(AssetModel, AssetModel.id == asset_id)
        return [one.extra for one in found.filter(AssetModel.uri == asset).order_by(AssetEvent.id)]


def is_promoted(run: FinishedRun) -> bool:
    state = run.task_state("promote")
    assert state in ("success", "skipped")
    return state == "success"


def test_the_first_model_is_promoted_and_the_event_says_all(run_dag: DagRunner, asset: str) -> None:
    run = promote(run_dag, asset, "M1", stats())
    assert run.xcoms("promote") == {"return_value": "M1"}
    [event] = events(asset)
    assert event.pop("value") == pytest.approx(0.9 * 0.9 + 0.1 * 0.5)
    assert event == {
        "model_id": "M1",
        "metric": "f1",
        "field_name": "Won",
        "class_name": None,
        "champion": None,
        "champion_value": None,
    }


def test_a_better_model_replaces_the_champion(run_dag: DagRunner, asset: str) -> None:
    promote(run_dag, asset, "M1", stats(yes=0.5), 'class_name="yes"')
    assert is_promoted(promote(run_dag, asset, "M2", stats(yes=0.6), 'class_name="yes"'))
    newest = events(asset)[-1]
    assert (newest["model_id"], newest["value"]) == ("M2", 0.6)
    assert (newest["champion"], newest["champion_value"]) == ("M1", 0.5)


@pytest.mark.parametrize("yes", [0.5, 0.4], ids=["equal", "worse"])
def test_a_model_that_is_not_better_is_skipped_with_both_numbers_in_the_log(
    run_dag: DagRunner, asset: str, yes: float, logged: Logged
) -> None:
    promote(run_dag, asset, "M1", stats(yes=0.5), 'class_name="yes"')
    assert not is_promoted(promote(run_dag, asset, "M2", stats(yes=yes), 'class_name="yes"'))
    assert f"Model M2 has {yes} (f1 of 'Won' for class 'yes'); champion M1 has 0.5." in logged()
    assert len(events(asset)) == 1


def test_it_fails_where_that_is_wanted(run_dag: DagRunner, asset: str) -> None:
    promote(run_dag, asset, "M1", stats())
    run = promote(run_dag, asset, "M2", stats(no=0.1), "fail_if_worse=True, retries=2")
    assert isinstance(run.failure, AkkioModelRejectedError)
    assert run.tries("promote") == 1


@pytest.mark.parametrize(("min_value", "is_enough"), [(0.86, True), (0.87, False), ("0.86", True)])
def test_without_a_champion_the_minimum_decides(
    run_dag: DagRunner, asset: str, min_value: float | str, is_enough: bool
) -> None:
    assert is_promoted(promote(run_dag, asset, "M1", stats(), f"min_value={min_value!r}")) is is_enough


@pytest.mark.parametrize(("min_delta", "is_enough"), [(0.05, True), (0.2, False)])
def test_it_must_be_better_by_the_least_difference(
    run_dag: DagRunner, asset: str, min_delta: float, is_enough: bool
) -> None:
    promote(run_dag, asset, "M1", stats(no=0.5))
    assert is_promoted(promote(run_dag, asset, "M2", stats(no=0.6), f"min_delta={min_delta}")) is is_enough


def test_of_an_error_less_is_better(run_dag: DagRunner, asset: str) -> None:
    arguments = 'metric="rmse", lower_is_better=True, min_value=3'
    promote(run_dag, asset, "M1", NUMBER, arguments)
    more, less = ([[NUMBER[0][0] | {"rmse": rmse}]] for rmse in (2.6, 2.4))
    assert not is_promoted(promote(run_dag, asset, "M2", more, arguments))
    assert is_promoted(promote(run_dag, asset, "M3", less, arguments))


def test_an_error_is_not_taken_for_a_merit(run_dag: DagRunner, asset: str) -> None:
    failure = promote(run_dag, asset, "M1", NUMBER, 'metric="rmse"').failure
    assert "lower_is_better=True is needed" in str(failure)


def test_the_event_of_its_own_training_names_no_champion(run_dag: DagRunner, asset: str) -> None:
    run_dag(
        f"""
        @task(outlets=[Asset("{asset}")])
        def train(outlet_events=None):
            outlet_events[Asset("{asset}")].extra = {{"model_id": "M1", "metric": "f1", "value": 0.86}}

        train()
        """
    )
    assert is_promoted(promote(run_dag, asset, "M1", stats()))


def test_a_champion_that_another_task_made_is_compared(run_dag: DagRunner, asset: str) -> None:
    run_dag(
        f"""
        @task(outlets=[Asset("{asset}")])
        def choose(outlet_events=None):
            outlet_events[Asset("{asset}")].extra = {{"model_id": "M0", "metric": "f1", "value": 0.95}}

        choose()
        """
    )
    assert not is_promoted(promote(run_dag, asset, "M1", stats()))


def test_mapped_tasks_need_the_asset_as_inlet_and_outlet(run_dag: DagRunner, asset: str) -> None:
    body = f"""
        AkkioPromoteModelOperator.partial(
            task_id="promote", stats={stats()!r}, asset=Asset("{asset}"), ASSETS
        ).expand(model_id=["M1"])
        """
    named = f'inlets=[Asset("{asset}")], outlets=[Asset("{asset}")]'
    assert "inlets=[asset], outlets=[asset]" in str(run_dag(body.replace("ASSETS", "")).failure)
    assert run_dag(body.replace("ASSETS", named)).state == "success"
    assert len(events(asset)) == 1


def test_the_same_model_is_not_promoted_again(run_dag: DagRunner, asset: str) -> None:
    promote(run_dag, asset, "M1", stats())
    assert not is_promoted(promote(run_dag, asset, "M1", stats()))


def test_an_event_that_names_no_model_is_passed_over(run_dag: DagRunner, asset: str) -> None:
    promote(run_dag, asset, "M1", stats())
    run_dag(f'@task(outlets=[Asset("{asset}")])\ndef touch(): pass\ntouch()')
    assert [event.get("model_id") for event in events(asset)] == ["M1", None]
    assert not is_promoted(promote(run_dag, asset, "M2", stats(no=0.1)))


@pytest.mark.parametrize(
    ("statistics", "arguments", "said"),
    [
        (stats(), 'metric="recall"', "have no metric 'recall'; there are: f1"),
        (NUMBER, "", "have no metric 'f1'; there are: rmse, r2"),
        (stats(), 'class_name="maybe"', "has no class 'maybe'; there are: no, yes"),
        (stats(), 'field_name="Lost"', "does not predict field 'Lost'; there are: Won"),
        ([*stats(), *NUMBER], "", "field_name must be one of: Won, Price"),
        ("None", "", "stats must be the statistics of a training"),
    ],
)
def test_what_is_missing_is_an_error_that_lists_what_is_there(
    run_dag: DagRunner, asset: str, statistics: Any, arguments: str, said: str
) -> None:
    run = promote(run_dag, asset, "M1", statistics, arguments)
    assert isinstance(run.failure, AkkioParameterError)
    assert said in str(run.failure)
    assert events(asset) == []


def test_a_champion_by_another_metric_is_not_compared(run_dag: DagRunner, asset: str) -> None:
    promote(run_dag, asset, "M1", NUMBER, 'metric="r2"')
    run = promote(run_dag, asset, "M2", NUMBER, 'metric="rmse", lower_is_better=True')
    assert "was not promoted by rmse of 'Price'" in str(run.failure)


def test_statistics_may_come_as_xcoms_or_as_the_text_that_a_template_makes(run_dag: DagRunner, asset: str) -> None:
    run = run_dag(
        f"""
        @task(multiple_outputs=True)
        def train():
            return {{"model_id": "M1", "stats": {stats()!r}}}

        trained = train()
        AkkioPromoteModelOperator(
            task_id="promote", model_id=trained["model_id"], stats=trained["stats"], asset=Asset("{asset}")
        )
        trained >> AkkioPromoteModelOperator(
            task_id="again", model_id="M2", asset=Asset("{asset}/2"),
            stats="{{{{ ti.xcom_pull(task_ids='train', key='stats') }}}}",
        )
        """
    )
    assert run.state == "success"
    assert len(events(asset)) == len(events(f"{asset}/2")) == 1


@pytest.mark.parametrize("arguments", ['min_delta="much"', "min_value=True", 'fail_if_worse="perhaps"', 'asset="x"'])
def test_wrong_literals_are_refused_when_the_file_is_parsed(run_dag: DagRunner, arguments: str) -> None:
    asset = "" if "asset=" in arguments else 'asset=Asset("akkio://models/x"), '
    body = f'AkkioPromoteModelOperator(task_id="promote", model_id="M", stats=[], {asset}{arguments})'
    with pytest.raises(AkkioParameterError, match="Task 'promote'"), run_dag.parsed(body):
        pass


def test_a_training_describes_its_model_in_the_events_of_its_assets(
    run_dag: DagRunner, connected: ScriptedAkkio, asset: str
) -> None:
    connected.script("new", accepted())
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("M1", stats=stats()))
    run = run_dag(f'AkkioTrainOperator(task_id="train", dataset_id="D1", outlets=[Asset("{asset}")])')
    assert run.state == "success"
    [event] = events(asset)
    assert event.pop("value") == pytest.approx(0.86)
    assert event == {"model_id": "M1", "metric": "f1", "field_name": "Won"}
