"""Chat Explore: questions in natural language about a dataset or project. Source: Akkio's OpenAPI document."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import unquote

from airflow_provider_akkio.api.http import Flow, Method, Request
from airflow_provider_akkio.api.parameters import parse_optional_text
from airflow_provider_akkio.api.requester import Requester
from airflow_provider_akkio.api.text import printable
from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskKind, required_id
from airflow_provider_akkio.exceptions import AkkioParameterError, AkkioResponseError

log = logging.getLogger(__name__)

Message = dict[str, Any]
"""``role`` (``user`` or ``assistant``), ``content`` (text), and from Akkio also ``images`` and ``table``."""

_ROLES = ("user", "assistant")
_MAX_LOGGED = 80


def parse_prompt(name: str, value: Any) -> str:
    """Parse text that may have several lines, but is not blank, and not ``None`` rendered as text."""
    if not isinstance(value, str) or value.strip() in ("", "None"):
        raise AkkioParameterError(f"{name} must be text that is not empty, not {printable(repr(value))}.")
    return value


def parse_messages(name: str, value: Any) -> list[Message]:
    """Parse the messages of a chat; other keys than ``role`` and ``content`` are sent as they are."""
    is_valid = isinstance(value, Sequence) and value and not isinstance(value, str) and all(map(_is_message, value))
    if not is_valid:
        raise AkkioParameterError(
            f"{name} must be a list of messages {{'role': 'user' or 'assistant', 'content': text}}, "
            f"not {printable(repr(value))}."
        )
    if value[-1]["role"] != "user":
        raise AkkioParameterError(f"{name} must end with a message of the role 'user', which is the prompt.")
    try:
        json.dumps(value, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise AkkioParameterError(f"{name} must be JSON: {printable(str(error))}.") from None
    return [dict(message) for message in value]


def parse_guidance(name: str, value: Any) -> str | None:
    """Parse the context or the instructions of a chat; a missing value may be rendered as ``""`` or ``"None"``."""
    return None if value is None or value in ("", "None") else parse_prompt(name, value)


def check_subject(project_id: Any, dataset_id: Any) -> None:
    """Raise :class:`AkkioParameterError` unless a chat has either a project or a dataset."""
    if (project_id is None) == (dataset_id is None):
        raise AkkioParameterError("Set either project_id or dataset_id.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What to ask Chat Explore. The constructor validates.

    :param project_id: ID of the project; Akkio adds the instructions of the project.
    :param dataset_id: ID of the dataset. Set either ``project_id`` or ``dataset_id``.
    :param messages: the messages, oldest first; see :data:`Message`.
    :param chat_context: what Chat Explore has to know about the data; default nothing.
    :param chat_instructions: how Chat Explore has to respond; default Akkio's choice.
    """

    force: ClassVar[bool] = False
    """A second submission is harmless: it trains no model."""

    duration: ClassVar[None] = None
    kind: ClassVar[AkkioTaskKind] = AkkioTaskKind.CHAT

    project_id: Any = field(default=None, metadata={"parse": parse_optional_text, "key": "project_id"})
    dataset_id: Any = field(default=None, metadata={"parse": parse_optional_text, "key": "dataset_id"})
    messages: Any = field(metadata={"parse": parse_messages, "key": "messages"})
    chat_context: Any = field(default=None, metadata={"parse": parse_guidance, "key": "chatContext"})
    chat_instructions: Any = field(default=None, metadata={"parse": parse_guidance, "key": "chatInstructions"})

    def __post_init__(self) -> None:
        for parameter in fields(self):
            parse = parameter.metadata["parse"]
            object.__setattr__(self, parameter.name, parse(parameter.name, getattr(self, parameter.name)))
        check_subject(self.project_id, self.dataset_id)

    def to_json(self) -> dict[str, Any]:
        """Return the body of ``POST /chat-explore/new``, without fields that have no value."""
        values = {parameter.metadata["key"]: getattr(self, parameter.name) for parameter in fields(self)}
        return {key: value for key, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Chat:
    """A finished chat.

    :param id: ID of the chat, which is not Akkio's task ID.
    :param messages: the messages exactly as Akkio sent them; the last one is the answer.
    """

    id: str
    messages: list[Message]

    @property
    def answer(self) -> str:
        """The text of the last message."""
        return str(self.messages[-1]["content"])


class ChatApi:
    """The operations on an account's chats."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def submit(self, request: ChatRequest) -> Flow[AkkioTask]:
        """Submit a chat; retry up to five times, and for up to an hour while Akkio limits the rate."""

        def parse(body: Mapping[str, Any]) -> AkkioTask:
            return AkkioTask(required_id(body, "task_id"), self._requester.clock(), kind=AkkioTaskKind.CHAT)

        project, dataset = request.project_id, request.dataset_id
        subject = f"project {project!r}" if dataset is None else f"dataset {dataset!r}"
        message = Request(Method.POST, self._url("new"), request.to_json())
        chat = yield from self._requester.submit(message, f"Submitting a chat about {subject}", parse)
        prompt = printable(request.messages[-1]["content"])
        shown = prompt if len(prompt) <= _MAX_LOGGED else f"{prompt[:_MAX_LOGGED]}…"
        log.info("Submitted %s about %s: %s", chat, subject, shown)
        return chat

    def get(self, location: str, deadline: float | None = None) -> Flow[Chat]:
        """Fetch the messages of a chat that succeeded; retry while Akkio is unavailable.

        :param location: location of the chat, from its final state, or its ID. Only the ID is used, so that no location
            leads outside the API.
        :param deadline: time of the last attempt, in seconds since the epoch; default in five minutes.
        :raises AkkioNotFoundError: if Akkio does not know the chat.
        """
        chat_id = unquote(location.partition("?")[0].rstrip("/").rpartition("/")[2])
        if not chat_id or not chat_id.isprintable():
            raise AkkioResponseError(f"The location of a chat has no ID: {printable(location)!r}.")
        request = Request(Method.GET, self._url("chats", chat_id))

        def parse(body: Mapping[str, Any]) -> Chat:
            messages = body.get("messages")
            if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
                raise AkkioResponseError("Akkio's response has no valid 'messages'.")
            if messages[-1]["role"] != "assistant":
                raise AkkioResponseError("Akkio's response has no answer in 'messages'.")
            return Chat(chat_id, messages)

        purpose = f"Messages of chat {printable(chat_id)}"
        return self._requester.read(lambda: self._requester.send(request, purpose, parse), deadline)

    def status_url(self, akkio_task_id: str) -> str:
        """Return the URL of the status of a chat."""
        return self._url("status", akkio_task_id)

    def _url(self, *segments: str) -> str:
        return self._requester.config.base_url.url("chat-explore", *segments)


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("role") in _ROLES and isinstance(value.get("content"), str)
