"""What ``docs/operations.md`` names is there, and what it tells of ``docker-compose.yaml`` and ``make stack`` is so."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from importlib.resources import files
from typing import Any

import pytest
import yaml
from airflow.configuration import conf
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.providers.celery.get_provider_info import get_provider_info

from airflow_provider_akkio import exceptions
from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND
from airflow_provider_akkio.api.requester import MetricName
from dev.compose import LEFT_TO_DOCKER
from dev.distributed import COMPOSE_FILE
from dev.trial import ALL_PROMISES, MEMORY, PHASES, PROMISES, WORKERS
from tests.airflow_runs import DagRunner
from tests.documentation.blocks import OPERATIONS, block, blocks, broken_links
from tests.scripted import ScriptedAkkio, accepted, result_of_its_own, status

TEXT = OPERATIONS.read_text(encoding="utf-8")
DAG = "from datetime import datetime"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
COMMON = SERVICES["scheduler"]["environment"]
CELERY = get_provider_info()["config"]
_, *POOL = shlex.split(SERVICES["pool"]["command"][-1].partition("||")[2])
COMMANDS = re.findall(r"`(airflow [^`]+)`", TEXT)


def test_every_block_is_run() -> None:
    code = [one.text for one in blocks(OPERATIONS) if one.language != "text"]
    assert [text.startswith(beginning) for text, beginning in zip(code, ("make stack\n", DAG), strict=True)] == [
        True,
        True,
    ]


def test_the_example_trains_a_model_for_each_dataset(run_dag: DagRunner, connected: ScriptedAkkio) -> None:
    connected.script("new", accepted("T1"), accepted("T2"))
    connected.script("status", status("SUCCEEDED"))
    connected.script("result", result_of_its_own)
    source = block(DAG, OPERATIONS).replace('pool="akkio"', 'pool="default_pool"')
    assert run_dag.file(source, "retrain_branches").state == "success"
    assert len(connected.asked("new")) == 2


def test_the_pool_of_the_page_is_the_one_of_the_file() -> None:
    pools, command, name, slots, description = POOL
    assert (pools, command) == ("pools", "set")
    assert f'pool="{name}"' in block(DAG, OPERATIONS)
    assert f'airflow pools set {name} {slots} "{description}"' in COMMANDS


def test_the_split_of_the_limit_comes_to_what_akkio_allows() -> None:
    slots = int(POOL[3])
    triggerers = [name for name in SERVICES if name.startswith("triggerer")]
    each = json.loads(re.sub(r"\$\{[^}]*\}", "", COMMON["AIRFLOW_CONN_AKKIO_DEFAULT"]))["extra"]["requests_per_second"]
    reserve = 1
    assert (len(triggerers) + slots) * each + reserve == DEFAULT_REQUESTS_PER_SECOND
    assert f"| the reserve | for whatever else asks, such as a script | | {reserve} |" in TEXT
    assert f"| triggerers | {len(triggerers)} | `requests_per_second` {each} | {len(triggerers) * each} |" in TEXT
    assert (
        f"| tasks in workers | {slots}, the slots of the pool `akkio` | `requests_per_second` {each} | {slots * each} |"
        in TEXT
    )


def default(section: str, option: str) -> str:
    if section.startswith("celery"):
        return str(CELERY[section]["options"][option]["default"])
    return str(conf.get_default_value(section, option))


def test_every_setting_that_is_named_exists() -> None:
    named = set(re.findall(r"`\[(\w+)\] (\w+)`", TEXT)) - {("scheduler", "num_stuck_in_queued_retries")}
    assert len(named) >= 9
    for section, option in named:
        known = (
            CELERY[section]["options"]
            if section.startswith("celery")
            else conf.configuration_description[section]["options"]
        )
        assert option in known


def test_the_settings_that_heal_are_those_of_the_file_and_of_airflow() -> None:
    rows = re.findall(r"^\| `\[(\w+)\] (\w+)` \| (\d+) s \| (\d+) s \|", TEXT, re.MULTILINE)
    assert len(rows) == 4
    for section, option, here, usual in rows:
        assert float(usual) == float(default(section, option))
        assert here == COMMON.get(f"AIRFLOW__{section.upper()}__{option.upper()}", usual)
    assert SERVICES["worker"]["stop_grace_period"] == "2m"


def test_how_often_what_is_stuck_is_queued_again_is_what_the_file_and_airflow_say() -> None:
    [(option, here, usual)] = re.findall(r"^\| `\[scheduler\] (num_\w+)` \| (\d+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert here == COMMON[f"AIRFLOW__SCHEDULER__{option.upper()}"]
    source = inspect.getsource(SchedulerJobRunner)  # since no list of settings has it
    assert re.search(rf'key="{option}",\s+fallback={usual},', source)
    each = sum(float(COMMON[f"AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT{end}"]) for end in ("", "_CHECK_INTERVAL"))
    assert f"That happens {here} times at most, some {int(here) * each / 60:.0f} minutes" in TEXT


def test_workers_take_as_much_as_the_scheduler_hands_out() -> None:
    places = SERVICES["worker"]["deploy"]["replicas"] * int(COMMON["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert places == int(COMMON["AIRFLOW__CORE__PARALLELISM"])


def test_every_metric_that_is_named_exists() -> None:
    template = files("airflow._shared.observability.metrics") / "metrics_template.yaml"
    known = {metric["name"] for metric in yaml.safe_load(template.read_text())["metrics"]} | set(map(str, MetricName))
    table = TEXT.partition("## What to watch")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([a-z_.]+)`", row)
    }
    assert len(named - {"akkio"}) >= 14
    assert named - {"akkio"} - known == set()


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_is_one_that_airflow_takes(command: str) -> None:
    from airflow.cli.cli_parser import get_parser
    from airflow.providers.celery.cli.definition import get_celery_cli_commands

    arguments = shlex.split(command)[1:]
    if arguments[0] == "celery":  # which Airflow knows only with Celery's executor
        [celery] = get_celery_cli_commands()
        assert arguments[1] in [one.name for one in celery.subcommands]
    else:
        assert get_parser().parse_args(arguments).func


def test_no_task_is_cleared_by_a_date_since_not_every_run_has_one() -> None:
    assert [command for command in COMMANDS if "clear" in command and "_date" in command.replace("-", "_")] == []
    assert any(command.startswith("airflow dags clear") and "--run-id" in command for command in COMMANDS)


def test_whoever_takes_the_slots_away_also_pauses_what_needs_none() -> None:
    paragraphs = re.split(r"\n\n", TEXT)
    emptied = [one for one in paragraphs if re.search('airflow pools set akkio 0 "(?!no workers)', one)]
    assert len(emptied) == 2
    for one in emptied:
        assert "`start_from_trigger=True`" in one
        assert "`airflow dags pause retrain_branches`" in one


def test_what_is_left_to_docker_is_told() -> None:
    [told] = re.findall(r"^- Not tried is .*?(?=\n- |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", told.partition("are not read")[0])) == LEFT_TO_DOCKER | {"depends_on"}


def test_every_error_that_is_named_exists() -> None:
    named = {name for name in re.findall(r"`(Akkio\w+)`", TEXT) if not name.endswith("Operator")}
    assert named
    assert [name for name in named if not hasattr(exceptions, name)] == []


def test_every_service_that_is_named_exists() -> None:
    commands = [shlex.split(command) for command in re.findall(r"`docker compose ([^`]+)`", TEXT)]
    assert {verb for verb, *_ in commands} <= {"build", "exec", "ps", "restart", "stop", "up"}
    named = [words[:1] if verb == "exec" else words for verb, *words in commands]
    assert {word for words in named for word in words} - {"--all", "--detach"} <= set(SERVICES)


def test_its_links_lead_somewhere() -> None:
    assert broken_links(OPERATIONS) == []


def test_the_tables_are_what_is_printed_where_each_promise_is_kept() -> None:
    [printed] = [one.text for one in blocks(OPERATIONS) if one.language == "text"]
    tables = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
        for part in printed.strip().split("\n\n")
    ]
    assert [tuple(table[0]) for table in tables] == [PHASES, MEMORY, WORKERS, PROMISES]
    assert tuple(row[0] for row in tables[-1][2:]) == ALL_PROMISES
    assert [row[0] for row in tables[-1][2:] if row[-1] != "yes"] == []
    [triggerers] = [row for row in tables[2] if row[0] == "by_triggerers"]
    assert triggerers[2:] == ["0.00", "0.00 s"]
