from __future__ import annotations

import logging
from typing import Any

import pytest

from airflow_provider_akkio.api.chats import Chat, ChatRequest
from airflow_provider_akkio.api.http import Response
from airflow_provider_akkio.api.requester import MAX_COMPLETE_SECONDS, MetricName
from airflow_provider_akkio.api.types import UNKNOWN_STATE, AkkioTask, AkkioTaskKind, AkkioTaskState
from airflow_provider_akkio.exceptions import (
    AkkioChatFailedError,
    AkkioChatTimeoutError,
    AkkioNotFoundError,
    AkkioParameterError,
    AkkioResponseError,
    AkkioUntrustedUrlError,
)
from tests.api.driving import LOST, NOT_FOUND, STARTED_AT, UNREACHABLE, FlowDriver, response, status

QUESTION = {"role": "user", "content": "How many rows?"}
ANSWER = {"role": "assistant", "content": "Two.", "images": ["aGk="], "table": [{"rows": 2}], "other": 1}
REQUEST = ChatRequest(dataset_id="D1", messages=[QUESTION])
CHAT = AkkioTask("T1", STARTED_AT, kind=AkkioTaskKind.CHAT)
LOCATION = "/api/v1/chat-explore/chats/C1"
DEADLINE = STARTED_AT + 1000
MESSAGES = response({"messages": [QUESTION, ANSWER]})


def poll(driver: FlowDriver, chat: AkkioTask = CHAT) -> AkkioTaskState:
    return driver.run(lambda akkio: akkio.poll_until_done(chat, DEADLINE))


def look_up(driver: FlowDriver, chat: AkkioTask = CHAT) -> AkkioTaskState | None:
    return driver.run(lambda akkio: akkio.get_resumable_state(chat))


def get(driver: FlowDriver, location: str = LOCATION) -> Chat:
    return driver.run(lambda akkio: akkio.chats.get(location))


class TestChatRequest:
    def test_body_has_akkios_names_and_only_given_values(self) -> None:
        request = ChatRequest(project_id="P1", messages=(ANSWER, QUESTION), chat_context="leads", chat_instructions="")
        assert request.to_json() == {"project_id": "P1", "messages": [ANSWER, QUESTION], "chatContext": "leads"}

    @pytest.mark.parametrize(
        ("parameters", "name"),
        [
            ({"dataset_id": None}, "project_id"),
            ({"project_id": "P1"}, "project_id"),
            ({"dataset_id": "None"}, "project_id"),
            ({"dataset_id": "two\nlines"}, "dataset_id"),
            ({"chat_context": 7}, "chat_context"),
            ({"chat_instructions": " "}, "chat_instructions"),
            *(
                ({"messages": messages}, "messages")
                for messages in (
                    *([], "How many rows?", None, QUESTION, ["How many rows?"], [{"content": "a"}]),
                    *([{**QUESTION, "role": "system"}], [{**QUESTION, "content": 7}], [{**QUESTION, "table": {1j}}]),
                    *([QUESTION, ANSWER], [{**QUESTION, 1: "mixed"}]),
                )
            ),
        ],
    )
    def test_invalid_parameter_raises(self, parameters: dict[str, Any], name: str) -> None:
        with pytest.raises(AkkioParameterError, match=name):
            ChatRequest(**{"dataset_id": "D1", "messages": [QUESTION], **parameters})


class TestSubmit:
    @pytest.mark.parametrize("outcome", [UNREACHABLE, LOST, Response(503)])
    def test_submission_is_retried_because_a_second_one_is_harmless(self, outcome: Response) -> None:
        driver = FlowDriver([outcome, response({"task_id": "T1"}, 201)])
        chat = driver.run(lambda akkio: akkio.chats.submit(REQUEST))
        assert chat == AkkioTask("T1", driver.now, kind=AkkioTaskKind.CHAT)
        assert driver.requests[1].url == "https://api.akkio.com/api/v1/chat-explore/new"
        assert driver.requests[1].json == REQUEST.to_json()

    def test_log_has_the_beginning_of_the_last_message(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        messages = [{**QUESTION, "content": "secret"}, ANSWER, {**QUESTION, "content": "a\n" + "b" * 200}]
        request = ChatRequest(project_id="P1", messages=messages)
        FlowDriver([response({"task_id": "T1"})]).run(lambda akkio: akkio.chats.submit(request))
        assert f"chat T1 about project 'P1': a {'b' * 78}…" in caplog.text
        assert "secret" not in caplog.text


class TestPoll:
    def test_chat_is_polled_until_it_has_succeeded(self) -> None:
        driver = FlowDriver([status("PENDING"), status("IN_PROGRESS"), status("SUCCEEDED", location=LOCATION)])
        assert poll(driver).location == LOCATION
        assert {request.url for request in driver.requests} == {"https://api.akkio.com/api/v1/chat-explore/status/T1"}
        assert driver.sent_at[0] == STARTED_AT + 2
        assert MetricName.TRAINING_SECONDS not in driver.metrics.timings

    def test_failed_chat_raises_akkios_reason(self) -> None:
        with pytest.raises(AkkioChatFailedError, match=r"^Chat T1 ended with status FAILED: too vague\."):
            poll(FlowDriver([status("FAILED", error="too vague")]))

    @pytest.mark.parametrize("name", ["PENDING", "IN_PROGRESS"])
    def test_chat_times_out_without_a_lookup_of_a_result(self, name: str) -> None:
        driver = FlowDriver([status("IN_PROGRESS"), status(name)])
        with pytest.raises(AkkioChatTimeoutError, match=r"^Chat T1 did not end within 1000 s") as raised:
            poll(driver)
        assert "AkkioTrainSensor" not in str(raised.value)
        assert set(driver.paths) == {"T1"}

    def test_unknown_chat_raises_at_once(self) -> None:
        driver = FlowDriver([NOT_FOUND])
        with pytest.raises(AkkioNotFoundError, match="chat T1"):
            poll(driver)
        assert driver.paths == ["T1"]


class TestResumableState:
    def test_running_chat_is_resumable(self) -> None:
        state = look_up(FlowDriver([status("IN_PROGRESS")]))
        assert state is not None
        assert state.status == "IN_PROGRESS"

    def test_state_is_unknown_while_akkio_is_unavailable(self) -> None:
        assert look_up(FlowDriver([LOST])) is UNKNOWN_STATE

    @pytest.mark.parametrize("name", ["FAILED", "UNKNOWN_TIMEOUT"])
    def test_failed_chat_is_not_resumable(self, name: str) -> None:
        assert look_up(FlowDriver([status(name)])) is None

    def test_chat_that_is_pending_for_over_a_day_is_not_resumable(self) -> None:
        driver = FlowDriver([status("PENDING")], now=STARTED_AT + 86401)
        assert look_up(driver) is None
        assert driver.paths == ["T1"]


class TestGet:
    @pytest.mark.parametrize(
        "location",
        [
            *("C1", LOCATION, "chat-explore/chats/C1/", "/chat-explore/chats/C1?image_format=base64_png"),
            *("https://api.akk.io/api/v1/chat-explore/chats/C1", "https://elsewhere.example/C1"),
        ],
    )
    def test_messages_are_fetched_from_the_documented_url(self, location: str) -> None:
        driver = FlowDriver([UNREACHABLE, MESSAGES])
        chat = get(driver, location)
        assert (chat, chat.answer) == (Chat("C1", [QUESTION, ANSWER]), "Two.")
        assert driver.requests[1].url == "https://api.akkio.com/api/v1/chat-explore/chats/C1"

    @pytest.mark.parametrize("location", ["", "/", "chats/%0A"])
    def test_location_without_an_id_is_invalid(self, location: str) -> None:
        driver = FlowDriver([MESSAGES])
        with pytest.raises(AkkioResponseError, match="no ID"):
            get(driver, location)
        assert driver.requests == []

    def test_location_cannot_change_the_path(self) -> None:
        with pytest.raises(AkkioUntrustedUrlError):
            get(FlowDriver([MESSAGES]), "chats/..")

    @pytest.mark.parametrize(
        "messages", [None, [], "text", [QUESTION], [{"role": "assistant"}], [ANSWER, None], [{**ANSWER, "content": 7}]]
    )
    def test_response_without_an_answer_is_invalid(self, messages: Any) -> None:
        driver = FlowDriver([response({"messages": messages})])
        with pytest.raises(AkkioResponseError, match="'messages'"):
            get(driver)
        assert sum(driver.sleeps) == pytest.approx(MAX_COMPLETE_SECONDS)

    def test_unknown_chat_raises(self) -> None:
        with pytest.raises(AkkioNotFoundError):
            get(FlowDriver([NOT_FOUND]))
