"""Training of models and their predictions."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

from airflow_provider_akkio.sandbox import Sandbox, learning
from airflow_provider_akkio.sandbox.datasets import LEADS_ID, Dataset, FieldType
from airflow_provider_akkio.sandbox.learning import TrainedModel, TrainingParameters, UntrainableError, train
from tests.sandbox.api_client import ApiClient

SHARE_OF_TIME_FOR_TREES = learning._SHARE_OF_TIME_FOR_TREES
ROWS = [{"number": number, "answer": ("yes", "no")[number % 2], "even": number % 2 == 0} for number in range(80)]


def train_table(fields: Sequence[str], rows: Sequence[Sequence[str]], **options: Any) -> TrainedModel:
    """Train on a parsed table whose last field is predicted."""
    dataset = Dataset(id="any", name="Any", fields=tuple(fields), rows=tuple(map(tuple, rows))).parsed()
    dataset = replace(dataset, types={**dataset.types, **options.pop("types", {})})
    return train(dataset, TrainingParameters(predict_fields=tuple(fields[-1:]), **options), threading.Event())


@pytest.fixture(scope="module")
def model_id(client: ApiClient) -> str:
    dataset_id = client.upload(ROWS, "parity")
    return str(client.train(dataset_id=dataset_id, predict_fields=["answer"], ignore_fields=["number"])["model_id"])


@pytest.mark.parametrize(("dataset_id", "least"), [("breast_cancer", 0.9), ("wine", 0.85)])
def test_models_of_classes_are_good(client: ApiClient, dataset_id: str, least: float) -> None:
    (classes,) = client.train(dataset_id=dataset_id)["stats"]
    assert min(one["f1"] for one in classes) > least


def test_model_of_number_is_good(client: ApiClient) -> None:
    assert 0.3 < client.train(dataset_id="diabetes")["stats"][0][0]["r2"] < 1


def test_decisive_field_is_most_important(client: ApiClient) -> None:
    result = client.train(dataset_id="signal")
    assert [one["f1"] for one in result["stats"][0]] == [1.0, 1.0]
    assert result["field_importance"]["Signal"] > 0.9


def test_statistics_are_of_held_out_rows(client: ApiClient) -> None:
    """A model cannot predict coins that it has not seen."""
    (classes,) = client.train(dataset_id="memory")["stats"]
    assert 0.3 < sum(one["true positives"] for one in classes) / sum(one["count"] for one in classes) < 0.7


def test_ignored_field_is_not_used(client: ApiClient) -> None:
    result = client.train(dataset_id="signal", ignore_fields=["Signal"])
    assert list(result["field_importance"]) == ["Noise", "Coin", "Bought"]
    assert min(one["f1"] for one in result["stats"][0]) < 0.7
    causes = [cause["field"] for outcome in result["data_story"][0]["outcomes"] for cause in outcome["causes"]]
    assert "Signal" not in causes


def test_extra_attention_raises_recall_of_rare_class(client: ApiClient) -> None:
    usual, attentive = (
        client.train(dataset_id=LEADS_ID, predict_fields=["Positive Lead"], duration=60, extra_attention=attention)[
            "stats"
        ][0][1]
        for attention in (False, True)
    )
    assert usual["class_name"] == "1"
    assert attentive["count"] == usual["count"]
    assert attentive["recall"] > usual["recall"] + 0.05


def test_last_field_is_predicted_by_default(client: ApiClient) -> None:
    named = client.train(dataset_id=LEADS_ID, predict_fields=["Positive Lead"])
    assert client.train(dataset_id=LEADS_ID) == client.train(dataset_id=LEADS_ID, predict_fields=None) == named


def test_predicted_fields_do_not_predict_each_other(client: ApiClient) -> None:
    result = client.train(dataset_id="signal", predict_fields=["Bought", "Signal"])
    assert [classes[0]["field_name"] for classes in result["stats"]] == ["Bought", "Signal"]
    assert [story["name"] for story in result["data_story"]] == ["Bought", "Signal"]
    assert result["field_importance"]["Signal"] == result["field_importance"]["Bought"] == 0
    assert sum(result["field_importance"].values()) == pytest.approx(1)


def test_empty_cells_are_missing_values(client: ApiClient) -> None:
    result = client.train(dataset_id="holes")
    assert sum(one["count"] for one in result["stats"][0]) == 60
    assert result["field_importance"]["Hole"] == 0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"dataset_id": "wine", "predict_fields": ["Cultivar"]}, "no field 'Cultivar' (predict_fields)"),
        ({"dataset_id": "wine", "ignore_fields": ["Ash", "Hue"]}, "no field 'Ash', 'Hue' (ignore_fields)"),
        ({"dataset_id": "wine", "ignore_fields": ["cultivar"]}, "both predicted and ignored"),
        ({"dataset_id": "constant"}, "'x' in every row"),
        ({"dataset_id": "tiny"}, "in 9 rows; 10 are required"),
        ({"dataset_id": "unique"}, "300 distinct values in 300 rows; at most 50"),
        ({"dataset_id": "few"}, "in 30 rows; at most 9"),
        ({"dataset_id": "holes", "predict_fields": ["Hole"]}, "a value in 0 rows"),
        ({"dataset_id": "lonely"}, "no field left"),
    ],
)
def test_untrainable_dataset_fails_with_reason(client: ApiClient, payload: dict[str, Any], reason: str) -> None:
    assert reason in client.fail(**payload)


def test_dataset_without_rows_fails(client: ApiClient) -> None:
    assert "has no rows" in client.fail(dataset_id=client.upload([]), predict_fields=["x"])


def test_few_distinct_numbers_are_classes_in_numeric_order_as_spelled() -> None:
    model = train_table(("x", "grade"), [(str(row), ("10", "1.10", "1.1", "2.5")[row % 4]) for row in range(80)])
    assert [one["class_name"] for one in model.stats[0]] == ["1.1", "1.10", "2.5", "10"]


@pytest.mark.parametrize(
    ("field_type", "kind"),
    [
        (FieldType.INTEGER, "number"),
        (FieldType.FLOAT, "number"),
        (FieldType.CATEGORY, "category"),
        (FieldType.STRING, "category"),
    ],
)
def test_field_type_overrides_inference(field_type: FieldType, kind: str) -> None:
    rows = [(f"0{row % 3}", f"0{row % 3}") for row in range(80)]
    model = train_table(("code", "same"), rows, types={"code": field_type, "same": field_type})
    assert model.stats[0][0]["field_type"] == kind
    (prediction,) = model.predict([{"code": "02"}], explain=False)
    assert prediction["same"] == (2 if kind == "number" else "02")
    (unseen,) = model.predict([{"code": "2"}], explain=False)
    assert (unseen["same"] == prediction["same"]) is (kind == "number")


MONTHS = [(f"{number % 12 + 1}.5", str(number % 12 + 1)) for number in range(240)]


def test_month_numbers_are_classes_only_if_they_are_a_category() -> None:
    (number,) = train_table(("x", "month"), MONTHS).stats[0]
    assert number["field_type"] == "number"
    classes = train_table(("x", "month"), MONTHS, types={"month": FieldType.CATEGORY}).stats[0]
    assert [one["class_name"] for one in classes] == [str(month) for month in range(1, 13)]
    assert {one["f1"] for one in classes} == {1.0}


@pytest.mark.parametrize("field_type", [FieldType.ID, FieldType.UNKNOWN])
def test_disabled_field_is_no_feature_and_no_target(field_type: FieldType) -> None:
    rows = [(*row, row[1]) for row in MONTHS]
    model = train_table(("x", "copy", "month"), rows, types={"copy": field_type, "month": FieldType.CATEGORY})
    assert list(model.features) == ["x"]
    assert list(model.field_importance) == ["x", "month"]
    with pytest.raises(UntrainableError, match=f"'month' has the type {field_type}, which cannot be predicted"):
        train_table(("x", "month"), MONTHS, types={"month": field_type})
    with pytest.raises(UntrainableError, match="no field left"):
        train_table(("x", "month"), MONTHS, types={"x": field_type})


def test_dates_are_features_in_their_order_and_no_target() -> None:
    rows = [(f"20{year}-01-02T10:00:00+02:00", "old" if year < 20 else "new") for year in range(10, 50)]
    model = train_table(("day", "age"), rows)
    assert model.features == {"day": FieldType.DATE}
    first, later, invalid = model.predict(
        [{"day": "2011-05-06"}, {"day": "2040-05-06"}, {"day": "soon"}], explain=False
    )
    assert (first["age"], later["age"]) == ("old", "new")
    assert invalid == model.predict([{}], explain=False)[0]
    with pytest.raises(UntrainableError, match="type date, which cannot be predicted"):
        train_table(("age", "day"), [row[::-1] for row in rows])


def test_long_numbers_are_distinct_features() -> None:
    rows = [(str(1_234_567_000 + number), "low" if number < 100 else "high") for number in range(200)]
    model = train_table(("phone", "part"), rows)
    predictions = model.predict([{"phone": phone} for phone, _ in rows], explain=False)
    assert sum(one["part"] == part for one, (_, part) in zip(predictions, rows, strict=True)) >= 199


def test_number_far_beyond_those_in_training_is_predicted() -> None:
    rows = [(f"{number}e-30", "low" if number < 100 else "high") for number in range(200)]
    model = train_table(("tiny", "part"), rows)
    predictions = model.predict([{"tiny": "-3e38"}, {"tiny": "3e38"}], explain=False)
    assert [one["part"] for one in predictions] == ["low", "high"]


def test_large_dataset_is_sampled(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_MAX_CELLS", 400)
    parameters = TrainingParameters(predict_fields=("Bought",))
    (classes,) = train(sandbox.datasets["signal"], parameters, threading.Event()).stats
    assert sum(one["count"] for one in classes) == 0.2 * 400 / 4


def test_time_limit_stops_growth_of_forest(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_SHARE_OF_TIME_FOR_TREES", 0.0)
    model = train(sandbox.datasets["wine"], TrainingParameters(predict_fields=("cultivar",)), threading.Event())
    assert len(model.forests["cultivar"].estimators_) == learning._TREES_PER_STEP


def test_longer_duration_grows_more_trees(sandbox: Sandbox) -> None:
    models = [
        train(
            sandbox.datasets["wine"], TrainingParameters(predict_fields=("ash",), duration=duration), threading.Event()
        )
        for duration in (10, 60)
    ]
    short, long = (len(model.forests["ash"].estimators_) for model in models)
    assert short < long


class HastyClock:
    """A clock that advances by a second with each look."""

    def __init__(self) -> None:
        self.monotonic = itertools.count().__next__


def test_training_grows_trees_for_half_of_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_SHARE_OF_TIME_FOR_TREES", SHARE_OF_TIME_FOR_TREES)
    monkeypatch.setattr(learning, "time", HastyClock())
    model = train_table(("A", "Coin"), list(zip("1234" * 20, "0011" * 20, strict=True)), duration=10)
    assert len(model.forests["Coin"].estimators_) == 5 * learning._TREES_PER_STEP


def test_training_inspects_no_thread_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inspection while another thread imports a library can deadlock (joblib/threadpoolctl#239)."""

    def inspect(self: ThreadpoolController) -> None:
        raise AssertionError("a training inspects the thread pools of the process")

    monkeypatch.setattr(ThreadpoolController, "__init__", inspect)
    model = train_table(("A", "Coin"), list(zip("1234" * 20, "0011" * 20, strict=True)))
    assert model.predict([{"A": "1"}], explain=True)[0]["Coin"] == "0"


CELLS: tuple[st.SearchStrategy[str], ...] = (
    st.just(""),
    st.just("x"),
    st.sampled_from(["a", "b", "b", ""]),
    st.sampled_from(["1", "2.0", "2", ""]),
    st.sampled_from(["nan", "inf", "1e400", "-1e300", "-1"]),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.text(alphabet="abcé \u2028", max_size=3),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, ...]]]:
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4))
    return [f"f{position}" for position in range(len(kinds))], draw(st.lists(st.tuples(*kinds), max_size=40))


@given(table=tables(), attention=st.booleans())
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_table_is_trained_or_rejected(table: tuple[list[str], list[tuple[str, ...]]], attention: bool) -> None:
    fields, rows = table
    try:
        model = train_table(fields, rows, extra_attention=attention)
    except UntrainableError:
        return
    assert sum(model.field_importance.values()) == pytest.approx(1)
    assert min(model.field_importance.values()) >= 0
    predictions = model.predict([dict(zip(fields, row, strict=True)) for row in rows], explain=True)
    json.dumps([model.stats, model.field_importance, model.data_story, predictions], allow_nan=False)


def test_predictions_are_in_order_of_rows(client: ApiClient, model_id: str) -> None:
    predictions = client.predict(model_id, [*ROWS, {}, {"even": None, "odd": 1}])
    assert [one["answer"] for one in predictions[: len(ROWS)]] == [row["answer"] for row in ROWS]
    assert len(predictions) == len(ROWS) + 2
    for one in predictions:
        assert set(one) == {"answer", "Probability answer is yes", "Probability answer is no"}
        assert one["Probability answer is yes"] + one["Probability answer is no"] == pytest.approx(1)
    assert client.predict(model_id, []) == []


def test_text_and_json_values_train_and_predict_the_same(client: ApiClient) -> None:
    rows = [
        {"whole": row, "share": row / 7, "flag": row % 3 == 0, "word": f"w{row % 5}", "target": row % 2}
        for row in range(100)
    ]
    texts = [{name: str(value) for name, value in row.items()} for row in rows]
    models = [client.train(dataset_id=client.upload(table, parse=True)) for table in (rows, texts)]
    assert {**models[0], "model_id": ""} == {**models[1], "model_id": ""}
    predictions = [client.predict(model["model_id"], table) for model in models for table in (rows, texts)]
    assert predictions == [predictions[0]] * 4


def test_unseen_and_invalid_values_are_missing(client: ApiClient) -> None:
    rows = [{**row, "word": f"w{row['number'] % 3}"} for row in ROWS]
    trained = client.train(dataset_id=client.upload(rows), predict_fields=["answer"], ignore_fields=["even"])
    data = [{"number": value, "word": "unseen"} for value in (None, "many", 10**400, "", "1e39")]
    predictions = client.predict(trained["model_id"], [{}, *data])
    assert predictions == [predictions[0]] * 6


def test_explanation_has_effect_of_each_field(client: ApiClient, model_id: str) -> None:
    [prediction] = client.predict(model_id, ROWS[:1], explain=True)
    assert list(prediction["explanation"]) == ["even"]
    assert prediction["explanation"]["even"] > 0


def test_numbers_and_several_fields_are_predicted(client: ApiClient) -> None:
    rows = [{"x": number, "double": 2.0 * number, "sign": "low" if number < 100 else "high"} for number in range(200)]
    trained = client.train(dataset_id=client.upload(rows), predict_fields=["double", "sign"])
    low, high = client.predict(trained["model_id"], [{"x": 20}, {"x": "180"}], explain=True)
    assert low["double"] < 150
    assert high["double"] > 250
    assert (low["sign"], high["sign"]) == ("low", "high")
    assert low["explanation"]["x"] != 0
