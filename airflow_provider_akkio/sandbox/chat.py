"""Chat Explore: questions about a dataset, answered from its cells without a language model."""

from __future__ import annotations

import re
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from airflow_provider_akkio.sandbox.datasets import Dataset, FieldType, NotFoundError, format_number, parse_numbers
from airflow_provider_akkio.sandbox.tasks import Progress, TaskStatus, task_progress

Message = dict[str, Any]
"""``role``, ``content``, ``images`` and ``table``, as documented."""

_MAX_VALUES_IN_TABLE = 10


class UnanswerableError(ValueError):
    """The messages contain nothing to answer."""


@dataclass(frozen=True, slots=True)
class _Chat:
    id: str
    messages: Future[list[Message]]
    submitted_at: float


class ChatExplore:
    """Answers questions and stores the chats.

    :param pace: minimum seconds from a submission to its final status; default 0.
    """

    def __init__(self, *, pace: float = 0.0) -> None:
        self._pace = pace
        self._by_task: dict[str, _Chat] = {}
        self._by_id: dict[str, _Chat] = {}

    @property
    def submissions(self) -> int:
        """Number of accepted submissions."""
        return len(self._by_task)

    def submit(self, dataset: Dataset, messages: Sequence[Message]) -> str:
        """Submit messages and return the task ID.

        :param dataset: dataset that the messages are about.
        :param messages: messages, of which the last one by the user is answered.
        """
        future: Future[list[Message]] = Future()
        try:
            future.set_result([*messages, _assistant_message(dataset, messages)])
        except UnanswerableError as error:
            future.set_exception(error)
        task_id, chat = secrets.token_hex(10), _Chat(secrets.token_hex(10), future, time.monotonic())
        self._by_id[chat.id] = self._by_task[task_id] = chat
        return task_id

    def progress(self, task_id: str) -> Progress:
        """Return the status of a task; raise :class:`NotFoundError` if there is no such task."""
        chat = self._chat(self._by_task, task_id, "task")
        return task_progress(chat.messages, submitted_at=chat.submitted_at, pace=self._pace, estimate_seconds=1.0)

    def chat_id(self, task_id: str) -> str:
        """Return the ID of a task's chat; raise :class:`NotFoundError` if there is no such task."""
        return self._chat(self._by_task, task_id, "task").id

    def messages(self, chat_id: str) -> list[Message]:
        """Return the messages of a chat and the answer; raise :class:`NotFoundError` if there is no such chat."""
        chat = self._chat(self._by_id, chat_id, "chat")
        progress = task_progress(chat.messages, submitted_at=chat.submitted_at, pace=self._pace, estimate_seconds=1.0)
        if progress.status is not TaskStatus.SUCCEEDED:
            raise NotFoundError(f"There is no chat {chat_id!r}.")
        return chat.messages.result()

    @staticmethod
    def _chat(chats: Mapping[str, _Chat], key: str, kind: str) -> _Chat:
        if key not in chats:
            raise NotFoundError(f"There is no {kind} {key!r}.")
        return chats[key]


def _assistant_message(dataset: Dataset, messages: Sequence[Message]) -> Message:
    prompts = [str(message["content"]) for message in messages if message["role"] == "user"]
    if not prompts or not prompts[-1].strip():
        raise UnanswerableError("The messages contain no text by the user.")
    named = [name for name in dataset.fields if _is_named(name, prompts[-1])]
    size = f"{len(dataset.rows)} rows and {len(dataset.fields)} fields"
    sentences = [
        "This is the Akkio sandbox, which has no language model.",
        f"Dataset {dataset.name!r} has {size}: {', '.join(dataset.fields)}.",
        *(_describe(dataset, name) for name in named),
    ]
    table = _value_counts(dataset, named[0]) if len(named) == 1 else None
    return {"role": "assistant", "content": "\n".join(sentences), "images": [], "table": table}


def _is_named(field: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(field)}(?!\w)", text, re.IGNORECASE) is not None


def _describe(dataset: Dataset, name: str) -> str:
    cells = list(filter(None, dataset.cells(name)))
    field_type = dataset.field_type(name)
    start = f"Field {name!r} ({field_type}) has {len(cells)} values"
    numbers = parse_numbers(cells)
    numbers = numbers[~np.isnan(numbers)]
    if field_type.is_numeric and numbers.size:
        figures = {"mean": numbers.mean(), "minimum": numbers.min(), "maximum": numbers.max(), "sum": numbers.sum()}
        shown = ", ".join(f"{figure} {format_number(float(f'{number:.6g}'))}" for figure, number in figures.items())
        return f"{start}: {shown}."
    if not cells:
        return f"{start}."
    if field_type is FieldType.DATE:
        return f"{start}: first {min(cells)}, last {max(cells)}."
    (value, count), *_ = Counter(cells).most_common(1)
    return f"{start}, {len(set(cells))} of them distinct. The most frequent value is {value!r} ({count} rows)."


def _value_counts(dataset: Dataset, name: str) -> list[dict[str, Any]] | None:
    if dataset.field_type(name) is not FieldType.CATEGORY:
        return None
    counts = Counter(filter(None, dataset.cells(name)))
    return [{name: value, "rows": count} for value, count in counts.most_common(_MAX_VALUES_IN_TABLE)]
