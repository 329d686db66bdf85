"""``make demo``: a training in a real Airflow, from an empty machine to the model, and nothing left behind."""

from __future__ import annotations

from dev.airflow_api import TaskView
from dev.card import card, listing
from dev.stack import running_stack
from dev.terminal import interruptible, stopwatch

DAG_ID = "akkio_train"
TASK_ID = "train"


def main() -> None:
    """Run the example DAG through a real Airflow, and show what happens and what comes out."""
    say = stopwatch()
    with interruptible(status=130), running_stack(say=say) as stack:
        api = stack.api
        say(f"Airflow is up; starting a run of the DAG {DAG_ID}")
        run_id = api.trigger(DAG_ID)

        def show(task: TaskView) -> None:
            aside = ""
            if task.state == "deferred":
                slots = api.slots()
                aside = f"   (waits in the triggerer: {slots.running} worker slots in use, {slots.deferred} deferred)"
            say(f"  {task.name:8} {task.state}{aside}")

        state = api.follow(DAG_ID, run_id, show)
        if state != "success":
            raise SystemExit(f"the run ended with {state}; the log of {TASK_ID}:\n{api.log(DAG_ID, run_id, TASK_ID)}")
        xcoms = api.xcoms(DAG_ID, run_id, TASK_ID)
        print(f"\n{card(xcoms)}\n\nXComs of {TASK_ID}\n{listing(xcoms)}\n", flush=True)
        say("done; stopping everything")
    say("nothing is left running, and no folder behind")


if __name__ == "__main__":
    main()
