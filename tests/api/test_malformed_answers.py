"""Whatever comes back, a conversation ends: with a value that can be used, or with an error that can be read."""

from __future__ import annotations

import contextlib
import gc
import itertools
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

from airflow_provider_akkio.api import requester, protocol
from airflow_provider_akkio.api.http import Method, Response, TransportError
from airflow_provider_akkio.api.parameters import TrainRequest
from airflow_provider_akkio.api.trainings import AkkioApi
from airflow_provider_akkio.api.types import SubmittedTraining, TrainingResult, TrainingState
from airflow_provider_akkio.exceptions import AkkioError
from tests.api.conftest import Tried
from tests.api.driving import ACCOUNT, STARTED_AT, Talk, answer, status
from tests.api.malformed import Locations, Malformed, malformed, may_be_akkios, odd_locations

TRAINING = SubmittedTraining("T1", STARTED_AT)
DEADLINE = STARTED_AT + 200
GOOD = answer({"task_id": "T1", "status": "SUCCEEDED", "model_id": "M1"})
REQUEST = TrainRequest(dataset_id="D1")
FORCED = TrainRequest(dataset_id="D1", force=True)

Start = Callable[[AkkioApi], Any]

CONVERSATIONS: dict[str, tuple[Start, list[tuple[type, ...]]]] = {
    "submit": (lambda akkio: akkio.submit(REQUEST), [(SubmittedTraining,)]),
    "submit with force": (lambda akkio: akkio.submit(FORCED), [(SubmittedTraining,)]),
    "status": (lambda akkio: akkio.status("T1", DEADLINE), [(TrainingState,)]),
    "result": (lambda akkio: akkio.result("T1", deadline=DEADLINE), [(TrainingResult,)]),
    "wait": (lambda akkio: akkio.wait(TRAINING, DEADLINE), [(TrainingState,)]),
    "finish": (lambda akkio: akkio.finish(TRAINING, DEADLINE), [(TrainingState, TrainingResult)]),
    "revisit": (lambda akkio: akkio.revisit(TRAINING), [(TrainingState,), (NoneType,)]),
    "check": (lambda akkio: akkio.check(), [(NoneType,)]),
}
CONVERSATIONS_PER_EXAMPLE = 24
EXAMPLES = 44
LONGEST_MESSAGE = 2000
MOST_STEPS = 8000  # an hour of submissions that are throttled for a second each, the shortest time, and their pauses
LONGEST_PAUSE = 300.0
LONGEST_ID = 200
DEEPEST = 102  # what an answer's 100 levels become as a part of a value


def repeatable(examples: int) -> settings:
    """Return settings with which a run tries what the last one tried, and leaves no file behind."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


class Hold:
    """Holds conversations over malformed answers, and looks at all that comes out of them.

    A good answer follows them; in the second longest conversations, the last one is repeated instead.
    """

    def __init__(self, tried: Tried) -> None:
        self.fed: list[Response | TransportError] = []
        self._tried = tried

    def __call__(self, name: str, replies: Iterator[Response | TransportError], count: int) -> Talk:
        start, types = CONVERSATIONS[name]
        self.fed = []
        ending = [] if count == CONVERSATIONS_PER_EXAMPLE - 1 else [GOOD]
        talk = Talk(itertools.chain(self._counted(replies, count), ending), most_steps=MOST_STEPS)
        try:
            with self._watched_memory() if count == CONVERSATIONS_PER_EXAMPLE else contextlib.nullcontext():
                value = talk.hold(start)
        except AkkioError as error:
            assert_is_readable(str(error))
        else:
            assert_is_storable(value, types)
        for request in talk.requests:
            assert_goes_to_the_api(request.url)
        assert all(0 <= seconds <= LONGEST_PAUSE for seconds in talk.pauses)
        return talk

    @contextlib.contextmanager
    def _watched_memory(self) -> Iterator[None]:
        """Watch the longest conversations alone, since it makes everything take three times as long."""
        tracemalloc.start()
        try:
            yield
        finally:
            self._tried.peak = max(self._tried.peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    def _counted(self, replies: Iterator[Response | TransportError], count: int) -> Iterator[Response | TransportError]:
        for reply in itertools.islice(replies, count):
            self._tried.answers += not may_be_akkios(reply)
            self.fed.append(reply)
            yield reply


class ReadableLog(logging.Handler):
    """Looks at each message."""

    def emit(self, record: logging.LogRecord) -> None:
        assert_is_readable(record.getMessage())


@pytest.fixture(autouse=True)
def _readable_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a log of its own in the log's place: pytest keeps whatever reaches the latter, thousands of messages."""
    log = logging.Logger("readable", logging.INFO)
    log.addHandler(ReadableLog())
    for module in (requester, protocol):
        monkeypatch.setattr(module, "log", log)


@pytest.fixture
def hold(tried: Tried) -> Hold:
    return Hold(tried)


def assert_is_readable(message: str) -> None:
    assert message.isprintable()
    assert len(message) <= LONGEST_MESSAGE


def assert_is_storable(value: Any, types: list[tuple[type, ...]]) -> None:
    """Check what PostgreSQL asks of JSON, and that Airflow, which descends in Python, gets to the bottom of it."""
    parts = value if isinstance(value, tuple) else (value,)
    assert tuple(type(part) for part in parts) in types
    for part in parts:
        assert_is_json(part and asdict(part), DEEPEST)
        for name in ("akkio_task_id", "model_id"):
            an_id = getattr(part, name, "T1")
            assert an_id.isprintable()
            assert 0 < len(an_id) <= LONGEST_ID


def assert_is_json(value: Any, levels: int) -> None:
    assert levels > 0
    match value:
        case str():
            assert "\0" not in value
            value.encode()
        case Mapping():
            for key, one in value.items():
                assert_is_json(key, levels)
                assert_is_json(one, levels - 1)
        case list():
            for one in value:
                assert_is_json(one, levels - 1)
        case float():
            assert value - value == 0, "neither infinite nor no number"
        case _:
            assert value is None or isinstance(value, int)


@cache
def assert_goes_to_the_api(url: str) -> None:
    """Check a URL as it stands, and as each client's library puts it on the wire."""
    for sent in (url, str(requests.Request("GET", url).prepare().url), str(URL(url))):
        parts = urlsplit(sent)
        assert f"{parts.scheme}://{parts.netloc}" == ACCOUNT.site.origin
        path = parts.path
        for _ in range(6):
            path = unquote(path)
        assert path.startswith("/api/v1/")
        assert not {".", ".."} & set(re.split(r"/|\\|;|\0", path))


@pytest.mark.parametrize("name", CONVERSATIONS)
@repeatable(EXAMPLES)
@given(answers=malformed)
def test_every_conversation_ends_well_or_with_an_error_of_this_package(
    hold: Hold, name: str, answers: Malformed
) -> None:
    replies = iter(answers)
    for count in range(CONVERSATIONS_PER_EXAMPLE):
        hold(name, replies, count + 1)


@repeatable(EXAMPLES)
@given(answers=malformed)
def test_with_force_nothing_that_may_have_started_a_training_is_followed_by_another_submission(
    hold: Hold, answers: Malformed
) -> None:
    replies = iter(answers)
    for count in range(CONVERSATIONS_PER_EXAMPLE):
        talk = hold("submit with force", replies, count + 1)
        assert {request.method for request in talk.requests} == {Method.POST}
        followed = hold.fed[: len(talk.requests) - 1]
        assert all(says_that_nothing_started(reply) for reply in followed)


def says_that_nothing_started(reply: Response | TransportError) -> bool:
    if isinstance(reply, TransportError):
        return not reply.was_sent
    return reply.status in (408, 425, 429) or (reply.status == 503 and reply.retry_after is not None)


@repeatable(EXAMPLES)
@given(locations=odd_locations)
def test_no_location_leads_away_from_the_api(hold: Hold, locations: Locations) -> None:
    asked = 0
    for location in itertools.islice(locations, 50):
        talk = hold("finish", iter([status("SUCCEEDED", location=location)]), 1)
        asked += len(talk.requests) > 1
    assert asked, "so that it is not for a lack of requests"


def test_nothing_of_an_answer_stays() -> None:
    def a_hundred_conversations() -> int:
        for seed, (start, _) in itertools.product(range(13), CONVERSATIONS.values()):
            replies = iter(Malformed([{"status": "IN_PROGRESS"}, {"detail": ["x"]}], ["\0"], seed))
            with contextlib.suppress(AkkioError):
                Talk([*itertools.islice(replies, 20), GOOD]).hold(start)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    before = a_hundred_conversations()
    after = a_hundred_conversations()
    tracemalloc.stop()
    assert after - before < 100_000, "a hundred conversations have some megabytes of answers"


def test_that_was_twenty_thousand_answers_in_little_memory(tried: Tried, request: pytest.FixtureRequest) -> None:
    """Expect no more than a conversation's own answers, which this test keeps, and what it takes to read one of them.

    The longest have 600 kB; being read, one is there as text and as objects too.
    """
    if sum("hold" in getattr(item, "fixturenames", ()) for item in request.session.items) < len(CONVERSATIONS) + 2:
        pytest.skip("only some of the conversations were held")
    assert tried.answers >= 20_000
    assert tried.peak < 16 * 2**20
