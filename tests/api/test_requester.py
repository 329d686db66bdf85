"""Test how responses become values or errors, and that every flow ends well with any response."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import re
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from types import NoneType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from yarl import URL

from airflow_provider_akkio.api import chats, requester, tasks
from airflow_provider_akkio.api.chats import Chat, ChatRequest
from airflow_provider_akkio.api.http import Method, Request, Response, TransportError
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.requester import NO_METRICS, Requester, parse_response
from airflow_provider_akkio.api.tasks import AkkioApi
from airflow_provider_akkio.api.types import AkkioTask, AkkioTaskState, TrainingResult
from airflow_provider_akkio.exceptions import (
    AkkioError,
    AkkioForbiddenError,
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
    AkkioUntrustedUrlError,
)
from tests.api.conftest import Tried
from tests.api.driving import CONFIG, STARTED_AT, FlowDriver, response
from tests.api.malformed import Locations, Malformed, is_plausible, malformed, odd_locations


def parse(received: Response | TransportError) -> dict[str, Any]:
    return parse_response(CONFIG, "Requester", received, 1_784_888_000.0)


class TestParseResponse:
    def test_byte_order_mark_is_ignored(self) -> None:
        assert parse(Response(200, b"\xef\xbb\xbf{}")) == {}

    def test_numbers_that_postgresql_rejects_become_null(self) -> None:
        body = b'{"f1": NaN, "r2": -Infinity, "rmse": 1e999, "mae": 0.5}'
        assert parse(Response(200, body)) == {"f1": None, "r2": None, "rmse": None, "mae": 0.5}

    def test_characters_that_postgresql_rejects_are_replaced(self) -> None:
        body = json.dumps({"stats": [{"class_name": "a\0b", "x\0": 1}, "\ud83d\ude00", "ü\n", None]}).encode()
        stored = {"stats": [{"class_name": "a\ufffdb", "x\ufffd": 1}, "\U0001f600", "ü\n", None]}
        assert parse(Response(200, body)) == stored
        assert parse(Response(200, body.replace(b'"\\u00fc\\n"', b'"\\ud800"')))["stats"][2] == "?"

    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"a": 1', b'"\xed\xa0\x80"'),
            *("{}".encode("utf-16"), b'{"stats":' + b"[" * 100 + b"]" * 100 + b"}"),
        ],
    )
    def test_body_that_is_not_json_is_an_error(self, body: bytes) -> None:
        with pytest.raises(AkkioResponseError, match=r"^Requester: .* is not valid JSON"):
            parse(Response(200, body))

    def test_nesting_up_to_the_limit_is_accepted(self) -> None:
        body = b'{"stats":' + b"[" * 99 + b"]" * 99 + b"}"
        assert parse(Response(200, body)) == json.loads(body)

    @pytest.mark.parametrize("defect", ["was cut short\n (bad chunk)", "is longer than 32 MiB"])
    def test_incomplete_body_is_an_error_with_the_reason(self, defect: str) -> None:
        reason = re.escape(" ".join(defect.split()))
        with pytest.raises(AkkioResponseError, match=rf"response {reason}. It begins: aaa$"):
            parse(Response(200, b"aaa", defect=defect))

    def test_http_422_names_the_field_and_the_reason(self) -> None:
        detail = [{"loc": ["body", "predict_fields", 0], "msg": "no such field"}, {"msg": "odd"}, 7]
        with pytest.raises(AkkioUnprocessableError, match=r"\(HTTP 422\): predict_fields.0: no such field; body: odd"):
            parse(Response(422, json.dumps({"detail": detail}).encode()))

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b'{"detail": "sorry"}', r": sorry\.$"),
            (b'{"status": "sorry."}', r": sorry\.$"),
            (b'{"status": "error", "message": "no such column"}', r": error: no such column\.$"),
            (b'{"message": "no such column"}', r": no such column\.$"),
            (b'{"status": "sorry", "message": 7}', r": sorry\.$"),
            (b'{"status": 1}', r': {"status": 1}\.$'),
            (b'{"detail": []}', r': {"detail": \[\]}\.$'),
            (b"plain text", r": plain text\.$"),
            (b"", r"\(HTTP 400\)\.$"),
            (b'["list"]', r': \["list"\]\.$'),
            (b"<h1>Bad\nGateway</h1>", r": <h1>Bad Gateway</h1>\.$"),
        ],
    )
    def test_error_contains_the_reason(self, body: bytes, reason: str) -> None:
        with pytest.raises(AkkioRequestRejectedError, match=reason):
            parse(Response(400, body))

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (302, AkkioUntrustedUrlError),
            (400, AkkioRequestRejectedError),
            (401, AkkioUnauthorizedError),
            (403, AkkioForbiddenError),
            (404, AkkioNotFoundError),
            (422, AkkioUnprocessableError),
        ],
    )
    def test_final_status_maps_to_its_exception(self, status: int, error: type[AkkioError]) -> None:
        with pytest.raises(error, match=f"HTTP {status}") as caught:
            parse(response({"detail": "no"}, status))
        assert type(caught.value) is error
        assert ("'akkio_default'" in str(caught.value)) is (status not in (400, 422))

    @pytest.mark.parametrize(
        ("status", "is_unknown"), [(408, False), (425, False), (429, False), (500, True), (503, True), (100, True)]
    )
    def test_unavailable_status_says_whether_the_outcome_is_unknown(self, status: int, is_unknown: bool) -> None:
        with pytest.raises(AkkioUnavailableError, match=f"HTTP {status}") as caught:
            parse(Response(status))
        assert caught.value.outcome_is_unknown is is_unknown
        assert caught.value.is_throttled is (status == 429)

    @pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"detail": "unknown"}', b'{"detail": "%s"}' % (b"x" * 20_000)])
    def test_404_with_a_byte_order_mark_or_a_long_reason_is_from_akkio(self, body: bytes) -> None:
        with pytest.raises(AkkioNotFoundError):
            parse(Response(404, body))

    def test_incomplete_404_is_an_error_with_the_reason(self) -> None:
        with pytest.raises(AkkioResponseError, match="HTTP 404, and the response ended early"):
            parse(Response(404, b'{"detail": "un', defect="ended early"))

    @pytest.mark.parametrize("was_sent", [True, False])
    def test_transport_error_names_the_origin(self, was_sent: bool) -> None:
        with pytest.raises(AkkioUnavailableError, match=r"https://api.akkio.com failed \(reset\)") as caught:
            parse(TransportError("reset", was_sent))
        assert caught.value.outcome_is_unknown is was_sent

    def test_key_is_redacted_in_values_and_errors(self) -> None:
        echo = json.dumps({"status": f"key {CONFIG.api_key}"}).encode()
        assert parse(Response(200, echo)) == {"status": "key ***"}
        for received in (Response(500, echo), Response(200, echo[:-1]), TransportError(CONFIG.api_key, was_sent=True)):
            with pytest.raises(AkkioError, match=r"\*\*\*") as caught:
                parse(received)
            assert CONFIG.api_key not in str(caught.value)


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null"])
def test_json_value_that_is_not_an_object_is_a_complete_invalid_response(body: bytes) -> None:
    requester = Requester(CONFIG, lambda: STARTED_AT, NO_METRICS)
    request = Request(Method.GET, f"{CONFIG.base_url.api_root}/status")
    with pytest.raises(AkkioResponseError, match=r"^Requester: .* is not a JSON object. It begins: ") as caught:
        FlowDriver([Response(200, body)]).run(lambda _: requester.send(request, "Requester", dict))
    assert caught.value.is_complete


def test_client_without_a_response_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="response"):
        FlowDriver([]).run(lambda akkio: akkio.test_connection())


TRAINING = AkkioTask("T1", STARTED_AT)
DEADLINE = STARTED_AT + 200
ANSWER = {"role": "assistant", "content": "42"}
GOOD = response({"task_id": "T1", "status": "SUCCEEDED", "model_id": "M1", "messages": [ANSWER]})
REQUEST = TrainRequest(dataset_id="D1")
CHAT_REQUEST = ChatRequest(dataset_id="D1", messages=[{"role": "user", "content": "How many?"}])
FORCED = TrainRequest(dataset_id="D1", force=True)

FLOWS: dict[str, tuple[Callable[[AkkioApi], Any], tuple[type, ...]]] = {
    "submit": (lambda akkio: akkio.submit(REQUEST), (AkkioTask,)),
    "submit with force": (lambda akkio: akkio.submit(FORCED), (AkkioTask,)),
    "status": (lambda akkio: akkio.status("T1", DEADLINE), (AkkioTaskState,)),
    "result": (lambda akkio: akkio.result("T1", deadline=DEADLINE), (TrainingResult,)),
    "poll_until_done": (lambda akkio: akkio.poll_until_done(TRAINING, DEADLINE), (AkkioTaskState,)),
    "get_resumable_state": (lambda akkio: akkio.get_resumable_state(TRAINING), (AkkioTaskState, NoneType)),
    "submit a chat": (lambda akkio: akkio.chats.submit(CHAT_REQUEST), (AkkioTask,)),
    "get a chat": (lambda akkio: akkio.chats.get("C1", DEADLINE), (Chat,)),
    "test_connection": (lambda akkio: akkio.test_connection(), (NoneType,)),
}
FLOWS_PER_EXAMPLE = 25
EXAMPLES = 48
MAX_MESSAGE = 2000
MAX_STEPS = 8000  # an hour of submissions that are throttled for a second each, and their sleeps
MAX_SLEEP = 300.0
MAX_ID = 200
MAX_DEPTH = 102  # the 100 levels of a response, as a part of a value


def repeatable(examples: int) -> settings:
    """Return settings under which every run tries the same examples and leaves no file behind."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


class CheckedRun:
    """Runs a flow with malformed responses, and checks its requests, sleeps, value or error.

    A good response follows them, except in the second longest flows, which repeat the last response.
    """

    def __init__(self, tried: Tried) -> None:
        self.sent: list[Response | TransportError] = []
        self._tried = tried

    def __call__(self, name: str, responses: Iterator[Response | TransportError], count: int) -> FlowDriver:
        start, types = FLOWS[name]
        self.sent = []
        ending = [] if count == FLOWS_PER_EXAMPLE - 1 else [GOOD]
        driver = FlowDriver(itertools.chain(self._counted(responses, count), ending), max_steps=MAX_STEPS)
        try:
            with self._traced_memory() if count == FLOWS_PER_EXAMPLE else contextlib.nullcontext():
                value = driver.run(start)
        except AkkioError as error:
            assert_is_readable(str(error))
        else:
            assert_is_storable(value, types)
        for request in driver.requests:
            assert_is_below_api_root(request.url)
        assert all(0 <= seconds <= MAX_SLEEP for seconds in driver.sleeps)
        return driver

    @contextlib.contextmanager
    def _traced_memory(self) -> Iterator[None]:
        """Trace the longest flows only: tracing is slow."""
        tracemalloc.start()
        try:
            yield
        finally:
            self._tried.peak = max(self._tried.peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    def _counted(
        self, responses: Iterator[Response | TransportError], count: int
    ) -> Iterator[Response | TransportError]:
        for received in itertools.islice(responses, count):
            self._tried.responses += not is_plausible(received)
            self.sent.append(received)
            yield received


class ReadableLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        assert_is_readable(record.getMessage())


@pytest.fixture
def _readable_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check log messages instead of having pytest store them: there are thousands."""
    log = logging.Logger("readable", logging.INFO)
    log.addHandler(ReadableLog())
    for module in (chats, requester, tasks):
        monkeypatch.setattr(module, "log", log)


@pytest.fixture
def checked_run(tried: Tried, _readable_log: None) -> CheckedRun:
    return CheckedRun(tried)


def assert_is_readable(message: str) -> None:
    assert message.isprintable()
    assert len(message) <= MAX_MESSAGE


def assert_is_storable(value: Any, types: tuple[type, ...]) -> None:
    """Check that PostgreSQL can store the value, and that Airflow can serialize it by recursion."""
    assert type(value) in types
    assert_is_json(value and asdict(value), MAX_DEPTH)
    for name in ("akkio_task_id", "model_id"):
        an_id = getattr(value, name, "T1")
        assert an_id.isprintable()
        assert 0 < len(an_id) <= MAX_ID


def assert_is_json(value: Any, levels: int) -> None:
    assert levels > 0
    match value:
        case str():
            assert "\0" not in value
            value.encode()
        case Mapping():
            for key, item in value.items():
                assert_is_json(key, levels)
                assert_is_json(item, levels - 1)
        case list():
            for item in value:
                assert_is_json(item, levels - 1)
        case float():
            assert value - value == 0, "a finite number"
        case _:
            assert value is None or isinstance(value, int)


@cache
def assert_is_below_api_root(url: str) -> None:
    """Check a URL as it is, and as each client library sends it."""
    for sent in (url, str(requests.Request("GET", url).prepare().url), str(URL(url))):
        parts = urlsplit(sent)
        assert f"{parts.scheme}://{parts.netloc}" == CONFIG.base_url.origin
        path = parts.path
        for _ in range(6):
            path = unquote(path)
        assert path.startswith("/api/v1/") or path == "/v1/datasets"
        assert not {".", ".."} & set(re.split(r"/|\\|;|\0", path))


@pytest.mark.parametrize("name", FLOWS)
@repeatable(EXAMPLES)
@given(responses=malformed)
def test_every_flow_ends_with_a_value_or_a_readable_error(
    checked_run: CheckedRun, name: str, responses: Malformed
) -> None:
    received = iter(responses)
    for count in range(FLOWS_PER_EXAMPLE):
        checked_run(name, received, count + 1)


@repeatable(EXAMPLES)
@given(responses=malformed)
def test_submission_with_force_is_not_repeated_if_it_may_have_started_a_training(
    checked_run: CheckedRun, responses: Malformed
) -> None:
    received = iter(responses)
    for count in range(FLOWS_PER_EXAMPLE):
        driver = checked_run("submit with force", received, count + 1)
        assert {request.method for request in driver.requests} == {Method.POST}
        assert all(was_not_executed(one) for one in checked_run.sent[: len(driver.requests) - 1])


def was_not_executed(received: Response | TransportError) -> bool:
    if isinstance(received, TransportError):
        return not received.was_sent
    return received.status in (404, 408, 425, 429) or (received.status == 503 and received.retry_after is not None)


@repeatable(EXAMPLES)
@given(locations=odd_locations)
def test_location_never_leads_outside_the_api_root(locations: Locations) -> None:
    followed = 0
    for location in itertools.islice(locations, 50):
        driver = FlowDriver([GOOD])
        with contextlib.suppress(AkkioError):
            driver.run(lambda akkio, location=location: akkio.result("T1", location))
        for request in driver.requests:
            assert_is_below_api_root(request.url)
        followed += len(driver.requests)
    assert followed, "some locations are valid"


@pytest.mark.usefixtures("_readable_log")
def test_flows_retain_no_response() -> None:
    def memory_after_many_flows() -> int:
        for seed, (start, _) in itertools.product(range(13), FLOWS.values()):
            received = iter(Malformed([{"status": "IN_PROGRESS"}, {"detail": ["x"]}], ["\0"], seed))
            with contextlib.suppress(AkkioError):
                FlowDriver([*itertools.islice(received, 20), GOOD]).run(start)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = memory_after_many_flows()
    after = memory_after_many_flows()
    tracemalloc.stop()
    assert after - before < 100_000, "the responses themselves have some megabytes"


def test_property_tests_tried_twenty_thousand_responses_in_little_memory(
    tried: Tried, request: pytest.FixtureRequest
) -> None:
    """Allow for the responses of one flow (600 kB), which the test keeps, and for parsing one of them."""
    if sum("checked_run" in getattr(item, "fixturenames", ()) for item in request.session.items) < len(FLOWS) + 1:
        pytest.skip("only some of the property tests ran")
    assert tried.responses >= 20_000
    assert tried.peak < 16 * 2**20
