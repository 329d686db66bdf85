"""The chat operator in a real Airflow (``dag.test()``), against a scripted Akkio on a real socket."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.exceptions import (
    AkkioChatFailedError,
    AkkioChatTimeoutError,
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioUnavailableError,
)
from dev.versions import Part
from tests.airflow_runs import Code, DagRunner, call
from tests.scripted import Reply, ScriptedAkkio, accepted, chat, reset, status
from tests.versions import needs

either_way = pytest.mark.parametrize("deferrable", [True, False])
with_store = needs(Part.TASK_STATE_STORE)

SUCCEEDED = status("SUCCEEDED", location="/api/v1/chat-explore/chats/C1")
QUESTION = {"role": "user", "content": "Which region?"}
CONVERSATION = chat(("user", "Which region?"), ("assistant", "The north."))
XCOMS = {
    "akkio_task_kind": "chat",
    "akkio_task_id": "T1",
    "chat_id": "C1",
    "messages": CONVERSATION.body["messages"],
    "return_value": "The north.",
}
FIRST_ATTEMPT_STOPS = """
class FirstAttemptStops(AkkioChatExploreOperator):
    def wait_until_done(self, context, *arguments):
        if context["ti"].try_number == 1:
            raise RuntimeError("the worker stops")
        return super().wait_until_done(context, *arguments)

"""


@pytest.fixture
def answering(connected: ScriptedAkkio) -> ScriptedAkkio:
    """An Akkio whose chats succeed."""
    connected.script("new", accepted("T1"), accepted("T2"))
    connected.script("T1", status("IN_PROGRESS"), SUCCEEDED)
    connected.script("T2", SUCCEEDED)
    connected.script("C1", CONVERSATION)
    return connected


def ask(operator: str = "AkkioChatExploreOperator", **parameters: Any) -> str:
    """Return the source of a chat task."""
    defaults = {"task_id": "ask", "dataset_id": "D1", "prompt": "Which region?", "poll_interval": 0.05}
    return call(operator, **defaults | parameters)


@either_way
def test_operator_pushes_the_messages_and_returns_the_answer(
    run_dag: DagRunner, answering: ScriptedAkkio, deferrable: bool
) -> None:
    run = run_dag(ask(deferrable=deferrable))
    assert run.state == "success"
    assert run.xcoms("ask") == XCOMS
    assert run.stored_records() == []


def test_operator_sends_every_parameter_as_a_template(run_dag: DagRunner, answering: ScriptedAkkio) -> None:
    message = {"role": "{{ 'us' ~ 'er' }}", "content": "{{ 'a' * 2 }}"}
    texts = {name: f"{{{{ '{name}' }}}}" for name in ("project_id", "chat_context", "chat_instructions")}
    run = run_dag(ask(dataset_id="{{ none }}", prompt=None, messages=[message], **texts))
    assert run.state == "success"
    [submission] = answering.requests_to("new")
    assert submission.path == "/api/v1/chat-explore/new"
    assert submission.body == {
        "project_id": "project_id",
        "messages": [{"role": "user", "content": "aa"}],
        "chatContext": "chat_context",
        "chatInstructions": "chat_instructions",
    }


def test_answer_can_be_followed_by_another_question(run_dag: DagRunner, answering: ScriptedAkkio) -> None:
    run = run_dag(
        f"first = {ask()}"
        """
@task
def follow_up(messages):
    return [*messages, {"role": "user", "content": "Why?"}]

AkkioChatExploreOperator(
    task_id="second", dataset_id="D1", messages=follow_up(first.output["messages"]), poll_interval=0.05
)
"""
    )
    assert run.state == "success"
    assert answering.requests_to("new")[1].body["messages"] == [*XCOMS["messages"], {"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"dataset_id": None}, "project_id"),
        ({"project_id": "P1"}, "project_id"),
        ({"prompt": None}, "prompt"),
        ({"messages": [QUESTION]}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": None, "messages": []}, "messages"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_invalid_literal_fails_at_parse_time(run_dag: DagRunner, parameters: dict[str, Any], name: str) -> None:
    with pytest.raises(AkkioParameterError, match=f"'ask'.*{name}"), run_dag.parsed(ask(**parameters)):
        pass


@pytest.mark.parametrize("name", ["prompt", "dataset_id"])
def test_missing_rendered_value_fails_before_anything_is_sent(
    run_dag: DagRunner, answering: ScriptedAkkio, name: str
) -> None:
    run = run_dag(ask(**{name: "{{ none }}"}, retries=1))
    assert isinstance(run.failure, AkkioParameterError)
    assert answering.received == []


@either_way
def test_failed_chat_is_submitted_again_by_a_task_retry(
    run_dag: DagRunner, answering: ScriptedAkkio, deferrable: bool
) -> None:
    answering.script("T1", status("FAILED", error="too vague"))
    run = run_dag(ask(deferrable=deferrable, retries=1))
    assert (run.state, run.tries("ask")) == ("success", 2)
    assert run.xcoms("ask") == {**XCOMS, "akkio_task_id": "T2"}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (status("FAILED", error="too vague"), AkkioChatFailedError("Chat T1 ended with status FAILED: too vague")),
        (status("IN_PROGRESS"), AkkioChatTimeoutError("Chat T1 did not end within 0.3 s")),
    ],
)
@either_way
def test_error_names_the_chat(
    run_dag: DagRunner, answering: ScriptedAkkio, deferrable: bool, reply: Reply, expected: Exception
) -> None:
    answering.script("T1", reply)
    run = run_dag(ask(deferrable=deferrable, timeout=0.3))
    assert type(run.failure) is type(expected)
    assert str(expected) in str(run.failure)
    assert run.xcoms("ask") == {"akkio_task_kind": "chat", "akkio_task_id": "T1", "akkio_error": str(run.failure)}


def test_unknown_dataset_is_not_retried(run_dag: DagRunner, answering: ScriptedAkkio) -> None:
    answering.script("new", Reply(404, {"detail": "There is no dataset 'D1'."}))
    run = run_dag(ask(retries=1))
    assert isinstance(run.failure, AkkioNotFoundError)
    assert "There is no dataset 'D1'" in str(run.failure)
    assert len(answering.requests_to("new")) == 1


def test_operator_defers_again_while_the_messages_are_unavailable(
    run_dag: DagRunner, answering: ScriptedAkkio, short_result_retries: None
) -> None:
    answering.script("C1", *[Reply(502)] * 4, CONVERSATION)
    run = run_dag(ask())
    assert run.xcoms("ask") == XCOMS
    assert [len(answering.requests_to(name)) for name in ("new", "T1", "C1")] == [1, 2, 5]


def test_error_names_the_chat_whose_messages_are_unavailable(
    run_dag: DagRunner, answering: ScriptedAkkio, short_result_retries: None
) -> None:
    answering.script("T1", SUCCEEDED)
    answering.script("C1", Reply(502))
    run = run_dag(ask(timeout=3))
    assert isinstance(run.failure, AkkioUnavailableError)
    assert "Chat T1 succeeded, but its result could not be fetched" in str(run.failure)
    assert len(run.stored_records()) == int(Part.TASK_STATE_STORE.is_here)


@with_store
@either_way
@pytest.mark.parametrize("replies", [[status("IN_PROGRESS"), SUCCEEDED], [SUCCEEDED], [reset, SUCCEEDED]])
def test_retry_reattaches_to_the_chat(
    run_dag: DagRunner, answering: ScriptedAkkio, deferrable: bool, replies: list[Reply]
) -> None:
    answering.script("T1", *replies)
    run = run_dag(FIRST_ATTEMPT_STOPS + ask("FirstAttemptStops", deferrable=deferrable, retries=1))
    assert (run.state, run.tries("ask")) == ("success", 2)
    assert run.xcoms("ask") == XCOMS
    assert len(answering.requests_to("new")) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"prompt": "{{ ti.try_number }}"}, marks=with_store),
        {"durable": False, "retry_delay": Code("timedelta(0)")},
    ],
)
def test_retry_asks_again_with_other_parameters_or_without_durable(
    run_dag: DagRunner, answering: ScriptedAkkio, parameters: dict[str, Any]
) -> None:
    run = run_dag(FIRST_ATTEMPT_STOPS + ask("FirstAttemptStops", retries=1, **parameters))
    assert run.xcoms("ask")["akkio_task_id"] == "T2"


@with_store
def test_retry_asks_again_if_akkio_does_not_know_the_chat(run_dag: DagRunner, answering: ScriptedAkkio) -> None:
    answering.script("T1", Reply(404))
    run = run_dag(FIRST_ATTEMPT_STOPS + ask("FirstAttemptStops", retries=1))
    assert run.xcoms("ask")["akkio_task_id"] == "T2"
