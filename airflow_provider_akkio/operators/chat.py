"""Ask Chat Explore about a dataset or project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_akkio.api.chats import (
    Chat,
    ChatRequest,
    Message,
    check_subject,
    parse_guidance,
    parse_messages,
    parse_prompt,
)
from airflow_provider_akkio.api.parameters import (
    is_literal,
    naming_task,
    parse_id,
    parse_optional_text,
    parse_seconds,
    validate_literals,
)
from airflow_provider_akkio.api.types import KIND_KEY, AkkioTaskKind
from airflow_provider_akkio.exceptions import AkkioParameterError
from airflow_provider_akkio.hooks.akkio import DEFAULT_CONNECTION_ID
from airflow_provider_akkio.operators._base import AkkioTaskOperator, CurrentAkkioTask
from airflow_provider_akkio.operators._durable import delete_on_failure, delete_on_success, with_callback

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_akkio.api.types import AkkioTask
    from airflow_provider_akkio.hooks.akkio import AkkioHook


class AkkioChatExploreOperator(AkkioTaskOperator[Chat]):
    """Ask Chat Explore a question about a dataset or project, and wait for the answer without occupying a worker.

    A task retry reattaches to the chat that a previous attempt submitted with the same parameters. This needs Airflow
    3.3 or newer; with an older Airflow each attempt submits a new chat.

    XComs: ``akkio_task_kind``, which is ``chat``; ``akkio_task_id`` as soon as Akkio has accepted the chat;
    ``akkio_status`` during the wait; at the end ``chat_id`` and ``messages`` as Akkio sent them, or ``akkio_error``.
    The return value is the text of the last message. Source of the API facts: Akkio's OpenAPI document.

    .. code-block:: python

        ask = AkkioChatExploreOperator(
            task_id="ask", dataset_id="YTV32jCdVf5DbcMxzvX5", prompt="Which region has the most leads?"
        )

    :param project_id: ID of the project; Akkio adds the instructions of the project.
    :param dataset_id: ID of the dataset. Set either ``project_id`` or ``dataset_id``.
    :param prompt: what to ask.
    :param messages: a whole conversation that ends with the prompt, as a list of
        ``{"role": "user" or "assistant", "content": text}``. Set either ``prompt`` or ``messages``.
    :param chat_context: what Chat Explore has to know about the data; default nothing.
    :param chat_instructions: how Chat Explore has to respond, such as ``"Respond in Spanish."``; default Akkio's
        choice.
    :param akkio_conn_id: ID of the Airflow connection; default ``akkio_default``.
    :param deferrable: whether to wait in the triggerer (default) instead of the worker.
    :param poll_interval: seconds between two polls; default the polling schedule of
        :func:`~airflow_provider_akkio.api.polling.seconds_until_next_poll`.
    :param timeout: seconds or a timedelta after which the task fails, counted from the submission, or from the start
        of a task retry; default an hour.
    :param durable: whether a task retry reattaches to the chat of a previous attempt; default yes.
    :raises AkkioParameterError: if a literal is invalid (when the DAG is parsed), or a rendered value is invalid
        (before anything is sent).
    """

    template_fields: Sequence[str] = (
        "project_id",
        "dataset_id",
        "prompt",
        "messages",
        "chat_context",
        "chat_instructions",
        "akkio_conn_id",
    )
    kind = AkkioTaskKind.CHAT

    def __init__(
        self,
        *,
        project_id: str | None = None,
        dataset_id: str | None = None,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        chat_context: str | None = None,
        chat_instructions: str | None = None,
        akkio_conn_id: str = DEFAULT_CONNECTION_ID,
        deferrable: bool = True,
        poll_interval: float | None = None,
        timeout: float | timedelta = 3600.0,
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(akkio_conn_id=akkio_conn_id, deferrable=deferrable, poll_interval=poll_interval, **kwargs)
        self.on_success_callback = with_callback(self.on_success_callback, delete_on_success)
        self.on_failure_callback = with_callback(self.on_failure_callback, delete_on_failure)
        self.project_id = project_id
        self.dataset_id = dataset_id
        self.prompt = prompt
        self.messages = messages
        self.chat_context = chat_context
        self.chat_instructions = chat_instructions
        self.durable = durable
        validate_literals(self.task_id, vars(self), _PARSERS)
        with naming_task(self.task_id):
            self.timeout = parse_seconds("timeout", timeout)
            if is_literal(project_id) and is_literal(dataset_id):
                check_subject(project_id, dataset_id)
            if (prompt is None) == (messages is None):
                raise AkkioParameterError("Set either prompt or messages.")

    def execute(self, context: Context) -> str:
        """Submit the chat, or reattach to the one of a previous attempt; then wait for the answer."""
        self.push(context, KIND_KEY, self.kind.value)
        with self.pushing_errors(context):
            request = ChatRequest(
                project_id=self.project_id,
                dataset_id=self.dataset_id,
                messages=self._parse_messages(),
                chat_context=self.chat_context,
                chat_instructions=self.chat_instructions,
            )
            hook = self.make_hook()
            chat, state = self.submit_or_reattach(context, hook, request, hook.submit_chat, durable=self.durable)
            return self.wait_or_finish(context, hook, chat, state, self.timeout)

    def request_result(
        self,
        hook: AkkioHook,
        task: AkkioTask,  # noqa: ARG002 - only the location has the ID of the chat
        location: str | None,
        last_attempt_at: float,
    ) -> Chat:
        """Fetch the messages of the chat."""
        return hook.get_chat(location or "", last_attempt_at)

    def push_result(self, context: Context, hook: AkkioHook, akkio_task_id: str, result: Chat) -> str:
        """Push the messages to XCom, and return the text of the last one."""
        self.current_task = CurrentAkkioTask(hook, akkio_task_id, result)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="chat_id", value=result.id)
            context["ti"].xcom_push(key="messages", value=result.messages)
        self.log.info("Chat %s has an answer of %d characters.", result.id, len(result.answer))
        return result.answer

    def _parse_messages(self) -> Any:
        if self.prompt is None:
            return self.messages
        return [{"role": "user", "content": parse_prompt("prompt", self.prompt)}]


def _parse_optional(parse: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    return lambda name, value: None if value is None else parse(name, value)


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "project_id": parse_optional_text,
    "dataset_id": parse_optional_text,
    "prompt": _parse_optional(parse_prompt),
    "messages": _parse_optional(parse_messages),
    "chat_context": parse_guidance,
    "chat_instructions": parse_guidance,
    "akkio_conn_id": parse_id,
}
