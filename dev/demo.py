"""``make demo``: the loop of a retraining in a real Airflow, twice, from an empty machine; and nothing left behind."""

from __future__ import annotations

import csv
import random
import time
from collections.abc import Callable
from pathlib import Path

from airflow_provider_akkio.api.summary import ModelSummary, card, framed

from dev.airflow_api import AirflowApi, TaskView
from dev.listing import listing, rows_of
from dev.processes import wait_until
from dev.stack import EXAMPLES, Stack, running_stack
from dev.terminal import interruptible, stopwatch

RETRAIN = "akkio_retrain_weekly"
PREDICT = "akkio_predict_leads"
GOOD_ROWS = EXAMPLES / "rows" / "leads.csv"


def main() -> None:
    """Retrain with good rows, and with worse ones, and show what becomes of each model."""
    say = stopwatch()
    with interruptible(status=130), running_stack(say=say) as stack:
        say(f"Airflow is up; starting a run of {RETRAIN}: upload, train, promote")
        run_id = _retrain(stack.api, GOOD_ROWS, say)
        _expect(stack.api, run_id, promote="success")
        xcoms = stack.api.xcoms(RETRAIN, run_id, "train")
        print(f"\n{framed(card(ModelSummary.of(xcoms)))}\n\nXComs of train\n{listing(xcoms)}\n", flush=True)
        _show_predictions(stack, say)
        say("a second run, with rows whose outcomes are shuffled: its model cannot be any good")
        run_id = _retrain(stack.api, _made_worse(stack.folder / "worse_leads.csv"), say)
        _expect(stack.api, run_id, promote="skipped")
        say(_verdict(stack.api, run_id))
        say("done; stopping everything")
    say("nothing is left running, and no folder behind")


def _retrain(api: AirflowApi, source: Path, say: Callable[[str], None]) -> str:
    """Run the DAG of the loop to its end, and return the run's id."""
    run_id = api.trigger(RETRAIN, conf={"source": str(source)})

    def show(task: TaskView) -> None:
        aside = ""
        if task.state == "deferred":
            slots = api.slots()
            aside = f"   (waits in the triggerer: {slots.running} worker slots in use, {slots.deferred} deferred)"
        say(f"  {task.name:8} {task.state}{aside}")

    api.follow(RETRAIN, run_id, show)
    return run_id


def _expect(api: AirflowApi, run_id: str, promote: str) -> None:
    states = {task.task_id: task.state for task in api.tasks(RETRAIN, run_id)}
    wanted = {"upload": "success", "train": "success", "promote": promote}
    for task_id, state in wanted.items():
        if states.get(task_id) != state:
            log = api.log(RETRAIN, run_id, task_id)
            raise SystemExit(f"{task_id} ended with {states.get(task_id)}, not {state}; its log:\n{log}")


def _show_predictions(stack: Stack, say: Callable[[str], None]) -> None:
    """Wait for the DAG that the promotion started, and show what it wrote."""
    say(f"the promotion's event has started a run of {PREDICT}")
    wait_until(lambda: bool(stack.api.runs(PREDICT)), f"a run of {PREDICT}", 60)
    [run_id] = stack.api.runs(PREDICT)
    state = stack.api.follow(PREDICT, run_id, lambda task: say(f"  {task.name:8} {task.state}"))
    if state != "success":
        raise SystemExit(f"the run ended with {state}; its log:\n{stack.api.log(PREDICT, run_id, 'predict')}")
    output = Path(stack.api.xcoms(PREDICT, run_id, "predict")["output"])
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"\nthe first of {len(rows)} predictions\n{rows_of(rows[:3])}\n", flush=True)


def _made_worse(path: Path) -> Path:
    """Write the good rows with their outcomes in another order, and return where they are."""
    with GOOD_ROWS.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    outcomes = [row[-1] for row in rows]
    random.Random(1).shuffle(outcomes)  # noqa: S311 - data to learn nothing from
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [header, *([*row[:-1], outcome] for row, outcome in zip(rows, outcomes, strict=True))]
        )
    return path


def _verdict(api: AirflowApi, run_id: str) -> str:
    """Return what the log says of the second model."""
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:  # the log of a task may be there a moment after its end
        for line in api.log(RETRAIN, run_id, "promote").splitlines():
            if "is not promoted" in line:
                return line
        time.sleep(0.5)
    raise SystemExit("the log does not say why the second model is not promoted")


if __name__ == "__main__":
    main()
