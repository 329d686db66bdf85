"""``make demo``: run the retraining loop twice in a real Airflow, with good and with shuffled rows."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_akkio.api.statistics import ModelSummary, log_lines
from dev.airflow_api import AirflowApi, TaskView
from dev.processes import wait_until
from dev.stack import EXAMPLES, Stack, running_stack
from dev.terminal import interruptible, stopwatch, table

RETRAIN = "akkio_retrain_weekly"
PREDICT = "akkio_predict_leads"
ROWS = EXAMPLES / "rows" / "leads.csv"
_MAX_XCOM_LENGTH = 60


def main() -> None:
    """Show how a good model is promoted and used, and how a bad one is rejected."""
    say = stopwatch()
    with interruptible(status=130), running_stack(say=say) as stack:
        say(f"Airflow is running; starting {RETRAIN}: upload, train, promote")
        run_id = _retrain(stack.api, ROWS, say)
        _check_states(stack.api, run_id, promote="success")
        xcoms = stack.api.xcoms(RETRAIN, run_id, "train")
        model = "\n".join(f"│ {line}" for line in log_lines(ModelSummary.of(xcoms)))
        print(f"\n{model}\n\nXComs of train\n{_listing(xcoms)}\n", flush=True)
        _show_predictions(stack, say)
        say("starting a second run with shuffled outcomes: its model cannot be better")
        run_id = _retrain(stack.api, _shuffle_outcomes(stack.folder / "shuffled_leads.csv"), say)
        _check_states(stack.api, run_id, promote="skipped")
        say(_rejection(stack.api, run_id))
        say("done; stopping everything")
    say("all programs have been stopped and all temporary files deleted")


def _retrain(api: AirflowApi, source_path: Path, say: Callable[[str], None]) -> str:
    run_id = api.trigger(RETRAIN, conf={"source": str(source_path)})

    def show(task: TaskView) -> None:
        detail = ""
        if task.state == "deferred":
            slots = api.slots()
            detail = f"   (in the triggerer: {slots.running} worker slots in use, {slots.deferred} deferred)"
        say(f"  {task.name:8} {task.state}{detail}")

    api.follow(RETRAIN, run_id, show)
    return run_id


def _check_states(api: AirflowApi, run_id: str, promote: str) -> None:
    states = {task.task_id: task.state for task in api.tasks(RETRAIN, run_id)}
    for task_id, expected in {"upload": "success", "train": "success", "promote": promote}.items():
        if states.get(task_id) != expected:
            log = api.log(RETRAIN, run_id, task_id)
            raise SystemExit(f"task {task_id} is {states.get(task_id)} instead of {expected}; its log:\n{log}")


def _show_predictions(stack: Stack, say: Callable[[str], None]) -> None:
    say(f"the promotion's asset event has started {PREDICT}")
    wait_until(lambda: bool(stack.api.runs(PREDICT)), f"a run of {PREDICT}", 300)
    [run_id] = stack.api.runs(PREDICT)
    state = stack.api.follow(PREDICT, run_id, lambda task: say(f"  {task.name:8} {task.state}"))
    if state != "success":
        raise SystemExit(f"{PREDICT} is {state}; its log:\n{stack.api.log(PREDICT, run_id, 'predict')}")
    xcoms = stack.api.xcoms(PREDICT, run_id, "predict")
    with Path(xcoms["output_path"]).open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    last_columns = table(header[-3:], [row[-3:] for row in rows[:3]])
    print(f"\nthe first of {xcoms['row_count']} predictions\n{last_columns}\n", flush=True)


def _shuffle_outcomes(path: Path) -> Path:
    with ROWS.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    outcomes = [row[-1] for row in rows]
    random.Random(1).shuffle(outcomes)  # noqa: S311 - data without a pattern, not a secret
    shuffled = [[*row[:-1], outcome] for row, outcome in zip(rows, outcomes, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *shuffled])
    return path


def _rejection(api: AirflowApi, run_id: str) -> str:
    lines: list[str] = []

    def has_been_logged() -> bool:
        lines[:] = [line for line in api.log(RETRAIN, run_id, "promote").splitlines() if "was rejected" in line]
        return bool(lines)

    wait_until(has_been_logged, "the log line about the rejected model", 120)
    return lines[0]


def _listing(xcoms: dict[str, Any]) -> str:
    width = max(map(len, xcoms))
    return "\n".join(f"  {key:{width}}  {json.dumps(value)[:_MAX_XCOM_LENGTH]}" for key, value in sorted(xcoms.items()))


if __name__ == "__main__":
    main()
