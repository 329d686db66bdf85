from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_akkio.exceptions import AkkioModelRejectedError, AkkioParameterError
from airflow_provider_akkio.operators import models
from tests.airflow_runs import Code, DagRunner, FinishedRun, RunTask, call
from tests.conftest import Logged
from tests.scripted import ScriptedAkkio, accepted, result, status

NUMBER_STATS = [[{"field_name": "Price", "field_type": "number", "rmse": 2.5, "r2": 0.8, "count": 10}]]
LOWER_RMSE = {"metric": "rmse", "lower_is_better": True, "min_value": 3}

Promote = Callable[..., FinishedRun]
_numbers = itertools.count(1)


def class_stats(no: float = 0.9, yes: float = 0.5) -> list[list[dict[str, Any]]]:
    return [
        [
            {"field_name": "Won", "class_name": "no", "count": 90, "frequency": 0.9, "f1": no, "recall": 0.5},
            {"field_name": "Won", "class_name": "yes", "count": 10, "frequency": 0.1, "f1": yes},
        ]
    ]


def rmse_stats(rmse: float) -> list[list[dict[str, Any]]]:
    return [[NUMBER_STATS[0][0] | {"rmse": rmse}]]


@pytest.fixture
def asset() -> str:
    """The URI of an asset without events."""
    return f"akkio://models/{next(_numbers)}"


@pytest.fixture
def promote(run_task: RunTask, asset: str) -> Promote:
    """Run the operator with a model ID and statistics."""
    code = Code(f'Asset("{asset}")')
    return lambda model_id, stats, **parameters: run_task(
        "AkkioPromoteModelOperator", task_id="promote", model_id=model_id, stats=stats, asset=code, **parameters
    )


@pytest.fixture
def create_event(run_dag: DagRunner, asset: str) -> Callable[[dict[str, Any]], FinishedRun]:
    """Create an event of the asset as another task does."""
    return lambda extra: run_dag(
        f"""
        @task(outlets=[Asset("{asset}")])
        def other(outlet_events=None):
            outlet_events[Asset("{asset}")].extra = {extra!r}

        other()
        """
    )


def events(asset: str) -> list[dict[str, Any]]:
    """Return the ``extra`` of all events of an asset, the oldest first."""
    from airflow.utils.session import create_session

    try:
        from airflow.models.asset import AssetEvent, AssetModel

        asset_id = AssetEvent.asset_id
    except ImportError:  # Airflow 2 calls assets datasets
        from airflow.models.dataset import DatasetEvent as AssetEvent
        from airflow.models.dataset import DatasetModel as AssetModel

        asset_id = AssetEvent.dataset_id
    with create_session() as session:
        found = session.query(AssetEvent).join(AssetModel, AssetModel.id == asset_id)
        return [event.extra for event in found.filter(AssetModel.uri == asset).order_by(AssetEvent.id)]


def is_promoted(run: FinishedRun) -> bool:
    state = run.task_state("promote")
    assert state in ("success", "skipped")
    return state == "success"


def test_promote_creates_an_event_for_the_first_model(promote: Promote, asset: str) -> None:
    run = promote("M1", class_stats())
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


def test_promote_replaces_the_champion_by_a_better_model(promote: Promote, asset: str) -> None:
    promote("M1", class_stats(yes=0.5), class_name="yes")
    assert is_promoted(promote("M2", class_stats(yes=0.6), class_name="yes"))
    event = events(asset)[-1]
    assert (event["model_id"], event["value"]) == ("M2", 0.6)
    assert (event["champion"], event["champion_value"]) == ("M1", 0.5)


@pytest.mark.parametrize("yes", [0.5, 0.4], ids=["equal", "worse"])
def test_promote_skips_a_model_that_is_not_better_and_logs_both_values(
    promote: Promote, asset: str, yes: float, logged: Logged
) -> None:
    promote("M1", class_stats(yes=0.5), class_name="yes")
    assert not is_promoted(promote("M2", class_stats(yes=yes), class_name="yes"))
    assert f"Model M2 was rejected: f1 of 'Won' (class 'yes') is {yes}, champion M1 has 0.5" in logged()
    assert len(events(asset)) == 1


def test_promote_with_fail_if_worse_fails_without_a_task_retry(promote: Promote) -> None:
    promote("M1", class_stats())
    run = promote("M2", class_stats(no=0.1), fail_if_worse=True, retries=2)
    assert isinstance(run.failure, AkkioModelRejectedError)
    assert run.tries("promote") == 1


@pytest.mark.parametrize(("min_value", "is_enough"), [(0.86, True), (0.87, False), ("0.86", True)])
def test_promote_compares_the_first_model_with_min_value(
    promote: Promote, min_value: float | str, is_enough: bool
) -> None:
    assert is_promoted(promote("M1", class_stats(), min_value=min_value)) is is_enough


@pytest.mark.parametrize(("min_delta", "is_enough"), [(0.05, True), (0.2, False)])
def test_promote_requires_min_delta(promote: Promote, min_delta: float, is_enough: bool) -> None:
    promote("M1", class_stats(no=0.5))
    assert is_promoted(promote("M2", class_stats(no=0.6), min_delta=min_delta)) is is_enough


def test_promote_with_lower_is_better_prefers_the_lower_error(promote: Promote) -> None:
    assert not is_promoted(promote("M1", rmse_stats(3.1), **LOWER_RMSE))
    assert is_promoted(promote("M1", rmse_stats(2.5), **LOWER_RMSE))
    assert not is_promoted(promote("M2", rmse_stats(2.6), **LOWER_RMSE))
    assert is_promoted(promote("M3", rmse_stats(2.4), **LOWER_RMSE))


def test_promote_requires_lower_is_better_for_an_error_metric(promote: Promote) -> None:
    assert "lower_is_better=True" in str(promote("M1", NUMBER_STATS, metric="rmse").failure)


def test_promote_does_not_promote_the_champion_again(promote: Promote, asset: str) -> None:
    promote("M1", class_stats())
    assert not is_promoted(promote("M1", class_stats(no=1.0)))
    assert len(events(asset)) == 1


@pytest.mark.parametrize(
    ("extra", "promoted"),
    [
        ({"akkio_task_id": "T1", "model_id": "M1", "metric": "f1", "value": 0.95}, True),
        ({"akkio_task_id": "T0", "model_id": "M0", "metric": "f1", "value": 0.95}, True),
        ({"model_id": "M0", "metric": "f1", "value": 0.95}, False),
        ({"note": "no model"}, True),
    ],
    ids=["training of the new model", "training of another model", "other champion", "no model"],
)
def test_promote_reads_events_of_other_tasks(
    promote: Promote, create_event: Callable[[dict[str, Any]], FinishedRun], extra: dict[str, Any], promoted: bool
) -> None:
    create_event(extra)
    assert is_promoted(promote("M1", class_stats())) is promoted


@pytest.mark.parametrize(("trainings", "state"), [(2, "success"), (3, "failed")])
def test_promote_fails_if_the_champion_may_be_older_than_the_events_that_it_reads(
    promote: Promote,
    create_event: Callable[[dict[str, Any]], FinishedRun],
    monkeypatch: pytest.MonkeyPatch,
    trainings: int,
    state: str,
) -> None:
    monkeypatch.setattr(models, "_MAX_EVENTS", 3)
    for number in range(trainings):
        create_event({"akkio_task_id": f"T{number}", "model_id": f"M{number}"})
    assert promote("M9", class_stats()).state == state


def test_promote_ignores_a_newer_event_without_a_model(
    promote: Promote, create_event: Callable[[dict[str, Any]], FinishedRun]
) -> None:
    promote("M1", class_stats())
    create_event({})
    assert not is_promoted(promote("M2", class_stats(no=0.1)))


@pytest.mark.parametrize(
    "extra",
    [
        {"metric": "r2", "value": 0.8},
        {"metric": "rmse", "value": 2.5, "field_name": "Cost"},
        {"metric": "rmse", "value": 2.5, "class_name": "1"},
        {"metric": "rmse"},
        {"metric": "rmse", "value": "2.5"},
        {"metric": "rmse", "value": True},
        {"metric": "rmse", "value": [2.5]},
    ],
    ids=str,
)
def test_promote_rejects_a_champion_without_a_comparable_value(
    promote: Promote, asset: str, create_event: Callable[[dict[str, Any]], FinishedRun], extra: dict[str, Any]
) -> None:
    create_event({"model_id": "M1", **extra})
    failure = promote("M2", NUMBER_STATS, **LOWER_RMSE).failure
    assert isinstance(failure, AkkioParameterError)
    assert "Champion M1 has no value for rmse of 'Price'" in str(failure)
    assert len(events(asset)) == 1


def test_mapped_promote_requires_the_asset_as_inlet_and_outlet(run_dag: DagRunner, asset: str) -> None:
    def run(**lists: Any) -> FinishedRun:
        parameters = {"task_id": "promote", "stats": class_stats(), "asset": Code(f'Asset("{asset}")'), **lists}
        return run_dag(call("AkkioPromoteModelOperator.partial", **parameters) + '.expand(model_id=["M1"])')

    assert "inlets=[asset], outlets=[asset]" in str(run().failure)
    assets = Code(f'[Asset("{asset}")]')
    assert run(inlets=assets, outlets=assets).state == "success"
    assert len(events(asset)) == 1


@pytest.mark.parametrize(
    ("stats", "parameters", "message"),
    [
        (class_stats(), {"metric": "recall"}, "f1"),
        (NUMBER_STATS, {}, "rmse, r2"),
        (class_stats(), {"class_name": "maybe"}, "no, yes"),
        (class_stats(), {"field_name": "Lost"}, "Won"),
        ([*class_stats(), *NUMBER_STATS], {}, "Won, Price"),
        ("None", {}, "stats"),
    ],
)
def test_promote_lists_the_available_metrics_classes_and_fields(
    promote: Promote, asset: str, stats: Any, parameters: dict[str, Any], message: str
) -> None:
    failure = promote("M1", stats, **parameters).failure
    assert isinstance(failure, AkkioParameterError)
    assert message in str(failure)
    assert events(asset) == []


def test_promote_accepts_statistics_from_xcoms_and_rendered_templates(run_dag: DagRunner, asset: str) -> None:
    run = run_dag(
        f"""
        @task(multiple_outputs=True)
        def train():
            return {{"model_id": "M1", "stats": {class_stats()!r}}}

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


@pytest.mark.parametrize(
    "parameters", [{"min_delta": "much"}, {"min_value": True}, {"fail_if_worse": "perhaps"}, {"asset": "x"}], ids=str
)
def test_promote_rejects_invalid_literals_when_the_dag_is_parsed(
    run_dag: DagRunner, asset: str, parameters: dict[str, Any]
) -> None:
    defaults = {"task_id": "promote", "model_id": "M", "stats": [], "asset": Code(f'Asset("{asset}")')}
    code = call("AkkioPromoteModelOperator", **(defaults | parameters))
    with pytest.raises(AkkioParameterError, match="Task 'promote'"), run_dag.parsed(code):
        pass


def test_train_describes_its_model_in_the_events_of_its_assets(
    run_task: RunTask, connected: ScriptedAkkio, asset: str
) -> None:
    connected.script("new", accepted())
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("M1", stats=class_stats()))
    outlets = Code(f'[Asset("{asset}")]')
    assert run_task("AkkioTrainOperator", task_id="train", dataset_id="D1", outlets=outlets).state == "success"
    [event] = events(asset)
    assert event.pop("value") == pytest.approx(0.86)
    assert event == {"akkio_task_id": "T1", "model_id": "M1", "metric": "f1", "field_name": "Won"}


def test_promote_accepts_digits_that_airflow_renders_as_numbers(
    connected: ScriptedAkkio, asset: str, run_dag: DagRunner
) -> None:
    connected.script("new", accepted())
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result("12345", stats=[[{"field_name": "2024", "class_name": "1", "f1": 0.9}]]))
    run = run_dag(
        f"""
        dag.render_template_as_native_obj = True
        train = AkkioTrainOperator(task_id="train", dataset_id="{{{{ '77' }}}}", predict_fields="{{{{ '2024' }}}}")
        AkkioPromoteModelOperator(
            task_id="promote", model_id=train.output, stats=train.output["stats"], class_name="1", field_name="2024",
            asset=Asset("{asset}"),
        )
        """
    )
    assert run.state == "success"
    [event] = events(asset)
    assert (event["model_id"], event["class_name"], event["field_name"]) == ("12345", "1", "2024")
    [submission] = connected.requests_to("new")
    assert (submission.body["dataset_id"], submission.body["predict_fields"]) == ("77", ["2024"])
