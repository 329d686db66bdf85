"""The same trainings in a worker, ended by the triggerer, and started by it; and some that need a worker."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_akkio.operators.akkio import AkkioTrainOperator

LEADS = "YTV32jCdVf5DbcMxzvX5"
WAYS = {"by_workers": {}, "ended": {"end_from_trigger": True}, "started": {"start_from_trigger": True}}


def say_failure(context):
    print("on_failure_callback:", type(context["exception"]).__name__)


def say_retry(context):
    print("on_retry_callback:", type(context["exception"]).__name__)


def say_success(context):
    print("on_success_callback:", context["ti"].task_id)


for way, arguments in WAYS.items():
    with DAG(
        f"trained_{way}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        params={"field": "Positive Lead"},
        default_args={
            **arguments,
            "retries": 1,
            "retry_delay": timedelta(seconds=1),
            "on_failure_callback": say_failure,
            "on_retry_callback": say_retry,
        },
    ):

        @task
        def choose():
            return LEADS

        AkkioTrainOperator(task_id="succeeds", dataset_id=LEADS, predict_fields="Positive Lead")
        AkkioTrainOperator(
            task_id="templated",
            dataset_id=choose(),
            predict_fields=["{{ params.field }}"],
            ignore_fields="{{ ['Industry', 'Location'] }}",
            duration="{{ 5 * 2 }}",
        )
        AkkioTrainOperator(task_id="no_such_field", dataset_id=LEADS, predict_fields="no such field")
        AkkioTrainOperator(task_id="no_such_dataset", dataset_id="no such dataset")
        AkkioTrainOperator(task_id="no_such_connection", dataset_id=LEADS, akkio_conn_id="no_such_connection")
        AkkioTrainOperator(task_id="wrong_key", dataset_id=LEADS, akkio_conn_id="akkio_wrong_key")
        AkkioTrainOperator(task_id="wrong_once_rendered", dataset_id=LEADS, duration="{{ 11 }}")
        AkkioTrainOperator(task_id="unknown_template", dataset_id="{{ no_such_macro }}")

with DAG("need_a_worker", schedule=None, start_date=datetime(2026, 1, 1)):
    train = {"dataset_id": LEADS, "predict_fields": "Positive Lead", "start_from_trigger": True}
    AkkioTrainOperator(task_id="outlets", outlets=[Asset("model")], **train)
    AkkioTrainOperator(task_id="on_success_callback", on_success_callback=say_success, **train)
    AkkioTrainOperator(task_id="on_execute_callback", on_execute_callback=say_success, **train)
    AkkioTrainOperator(task_id="do_xcom_push", do_xcom_push=False, **train)
    AkkioTrainOperator.partial(task_id="mapped", predict_fields="Positive Lead", start_from_trigger=True).expand(
        dataset_id=[LEADS]
    )
