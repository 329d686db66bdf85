"""Response times of the pages in Airflow's API server, with a large result and a long history in PostgreSQL."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

from sqlalchemy import Connection, create_engine, text

from dev.airflow_api import AirflowApi
from dev.stack import Stack, running_stack

CLASSES = 200
FIELDS = 500

_DAG_ID = "akkio_train"
_WITH_HISTORY = 20
_WARM_UP = 3
_RUN_ID = "t.run_id || '-' || number"


def seconds_by_page(runs: int, requests: int) -> dict[str, dict[str, float]]:
    """Train once, and return the median and longest response time in seconds and the size in bytes of each page.

    :param runs: copies of the training in the database; the newest 20 have statistics of many classes.
    :param requests: requests per page.
    """
    with running_stack(pace=0.0, say=_say) as stack:
        run_id = stack.api.trigger(_DAG_ID)
        if (state := stack.api.follow(_DAG_ID, run_id)) != "success":
            raise RuntimeError(f"the run is {state}")
        _say(f"copying the run {runs:,} times")
        newest = _fill(stack, runs)
        tab = f"akkio/dags/{_DAG_ID}/runs/{newest}/tasks/train?map_index={{MAP_INDEX}}"
        return {name: _measure(stack.api, path, requests) for name, path in (("tab", tab), ("list", "akkio/trainings"))}


def large_result() -> Mapping[str, Any]:
    """Return a result with 200 classes and 500 fields."""
    names = ("precision", "recall", "f1", "frequency", "true positives", "false positives", "false negatives")
    common = {"field": 12, "field_name": "Segment", "field_type": "category", "count": 100}
    classes = [
        {**common, "class": number, "class_name": f"a class {number}", **dict.fromkeys(names, (number + 1) / 300)}
        for number in range(CLASSES)
    ]
    cause = {"field": "Visits", "top_value": "6", "bottom_value": "0"}
    shares = {"top_case": 0.4, "avg_case": 0.2, "bottom_case": 0.1}
    outcomes = [{"outcome": entry["class_name"], "causes": [cause] * 5, **shares} for entry in classes]
    return {
        "stats": [classes],
        "field_importance": {f"a field with a name {number}": number / 124_750 for number in range(FIELDS)},
        "data_story": [{"name": "Segment", "type": "category", "outcomes": outcomes}],
    }


def _fill(stack: Stack, runs: int) -> str:
    engine = create_engine(stack.database.url("psycopg2"))
    try:
        with engine.begin() as connection:
            _copy(connection, "dag_run", runs, {"id": None, "run_id": _RUN_ID})
            _copy(connection, "task_instance", runs, {"id": "gen_random_uuid()", "run_id": _RUN_ID})
            run = f"(SELECT id FROM dag_run AS made WHERE made.dag_id = t.dag_id AND made.run_id = {_RUN_ID})"  # noqa: S608 - constants only
            _copy(connection, "xcom", runs, {"dag_run_id": run, "run_id": _RUN_ID})
            for key, value in large_result().items():
                copies = _WITH_HISTORY if key == "stats" else 1
                connection.execute(
                    text(
                        "UPDATE xcom SET value = CAST(:value AS JSONB) WHERE key = :key AND dag_run_id IN "
                        "(SELECT id FROM dag_run ORDER BY id DESC LIMIT :copies)"
                    ),
                    {"value": json.dumps(value), "key": key, "copies": copies},
                )
            newest = connection.execute(text("SELECT run_id FROM dag_run ORDER BY id DESC LIMIT 1")).scalar_one()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    finally:
        engine.dispose()
    return str(newest)


def _copy(connection: Connection, table: str, count: int, changed: Mapping[str, str | None]) -> None:
    """Copy the rows of the first run with new values of some columns; ``None`` leaves a column to its default."""
    found = connection.execute(
        text("SELECT column_name FROM information_schema.columns WHERE table_name = :table"), {"table": table}
    )
    values = {name: changed.get(name, f't."{name}"') for name in found.scalars()}
    copied = {name: value for name, value in values.items() if value is not None}
    columns = ", ".join(f'"{name}"' for name in copied)
    first = connection.execute(text("SELECT run_id FROM dag_run ORDER BY id LIMIT 1")).scalar_one()
    statement = (
        f"INSERT INTO {table} ({columns}) SELECT {', '.join(copied.values())} "  # noqa: S608 - names from Airflow's schema
        f"FROM {table} AS t CROSS JOIN generate_series(1, :count) AS number WHERE t.run_id = :first"
    )
    connection.execute(text(statement), {"count": count, "first": first})


def _measure(api: AirflowApi, path: str, requests: int) -> dict[str, float]:
    seconds = []
    for _ in range(_WARM_UP + requests):
        began = time.perf_counter()
        response = api.page(path)
        seconds.append(time.perf_counter() - began)
        response.raise_for_status()
    del seconds[:_WARM_UP]
    return {"median": median(seconds), "longest": max(seconds), "bytes": len(response.content)}


def _say(message: str) -> None:
    print(f"  pages: {message}", file=sys.stderr, flush=True)
