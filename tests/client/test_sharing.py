"""All waits of an account on one event loop share a session, and all of a process its rate_limiter."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import aiohttp
import pytest

from airflow_provider_akkio.api.config import ClientConfig
from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.client import shared
from airflow_provider_akkio.client.asynchronous import AsynchronousClient
from airflow_provider_akkio.exceptions import AkkioConfigurationError
from tests.client.driving import Talk, client_config, asynchronous, blocking, exchanges, get, post
from tests.scripted import Answering, Reply, ScriptedAkkio

GOOD = Response(200, b"{}")


async def ask(client: AsynchronousClient, request: Request) -> Response | TransportError:
    [reply] = await client.run(exchanges((request,)))
    return reply


def session_of(client: AsynchronousClient) -> aiohttp.ClientSession:
    return client._session


def left_behind() -> list[object]:
    """Return what the running event loop shares."""
    return list(shared._shared.get(asyncio.get_running_loop(), {}))


@asynccontextmanager
async def both(
    one: ClientConfig, another: ClientConfig
) -> AsyncIterator[tuple[AsynchronousClient, AsynchronousClient]]:
    async with AsynchronousClient(one) as first, AsynchronousClient(another) as second:
        yield first, second


def test_many_clients_share_eight_connections() -> None:
    together = threading.Barrier(8, timeout=30)

    def eight_at_a_time(handler: BaseHTTPRequestHandler) -> None:
        together.wait()
        Reply()(handler)

    async def one(akkio: ScriptedAkkio) -> tuple[Response | TransportError, aiohttp.ClientSession]:
        async with AsynchronousClient(client_config(akkio.url)) as client:
            return await ask(client, get(akkio)), session_of(client)

    async def main(akkio: ScriptedAkkio) -> None:
        replies, sessions = zip(*await asyncio.gather(*(one(akkio) for _ in range(32))), strict=True)
        assert set(replies) == {GOOD}
        assert len({id(session) for session in sessions}) == 1
        assert sessions[0].closed
        assert not left_behind()

    with ScriptedAkkio(keep_alive=True) as akkio:
        akkio.script("status", eight_at_a_time)
        asyncio.run(main(akkio))
        assert len({received.port for received in akkio.received}) == 8


def test_the_session_is_closed_with_its_last_user(akkio: ScriptedAkkio) -> None:
    async def main() -> None:
        async with AsynchronousClient(client_config(akkio.url)) as last:
            async with AsynchronousClient(client_config(akkio.url)) as first:
                assert session_of(first) is session_of(last)
            assert not session_of(last).closed
        assert session_of(last).closed
        async with AsynchronousClient(client_config(akkio.url)) as next_one:
            assert session_of(next_one) is not session_of(last)

    asyncio.run(main())


@pytest.mark.parametrize(
    "different", [{"url": "http://another.invalid"}, {"key": "another-key"}, {"verify": False}], ids=str
)
def test_another_origin_or_key_or_trust_has_a_session_of_its_own(different: dict[str, str]) -> None:
    async def main() -> None:
        fields = {"url": "http://akkio.invalid"}
        async with both(client_config(**fields), client_config(**fields | different)) as (one, another):
            assert session_of(one) is not session_of(another)

    asyncio.run(main())


def test_two_event_loops_never_share_a_session(akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply())
    with asyncio.Runner() as here, asyncio.Runner() as there:
        one, another = AsynchronousClient(client_config(akkio.url)), AsynchronousClient(client_config(akkio.url))
        here.run(one.__aenter__())
        there.run(another.__aenter__())
        assert session_of(one) is not session_of(another)
        here.run(one.__aexit__())
        assert there.run(ask(another, get(akkio))) == GOOD
        there.run(another.__aexit__())


def test_a_loop_that_shuts_down_closes_the_session(akkio: ScriptedAkkio) -> None:
    sessions = []

    async def wait(entered: asyncio.Semaphore) -> None:
        async with AsynchronousClient(client_config(akkio.url)) as client:
            sessions.append(session_of(client))
            entered.release()
            await asyncio.Event().wait()

    async def main() -> list[asyncio.Task[None]]:
        entered = asyncio.Semaphore(0)
        waiting = [asyncio.create_task(wait(entered)) for _ in range(5)]
        for _ in waiting:
            await entered.acquire()
        return waiting

    assert all(task.cancelled() for task in asyncio.run(main()))
    assert [session.closed for session in sessions] == [True] * 5


@pytest.mark.parametrize("turns", range(8))
def test_whenever_a_client_is_cancelled_while_it_is_entered_nothing_stays(akkio: ScriptedAkkio, turns: int) -> None:
    async def main() -> None:
        clients = [AsynchronousClient(client_config(akkio.url)) for _ in range(3)]
        entering = [asyncio.create_task(client.__aenter__()) for client in clients]
        await asyncio.sleep(0)
        [opened] = shared._shared[asyncio.get_running_loop()].values()
        while opened._session is None:  # noqa: ASYNC110 - of its turns, each one counts
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in entering:
            task.cancel()
        await asyncio.wait(entering)
        for client, task in zip(clients, entering, strict=True):
            if not task.cancelled():
                await client.__aexit__()
        assert opened._session.closed
        assert not left_behind()

    asyncio.run(main())


def test_certificates_that_cannot_be_read_leave_nothing_behind(
    secure_akkio: ScriptedAkkio, bundle: Path, tmp_path: Path
) -> None:
    certificates = tmp_path / "certificates.pem"
    certificates.write_text("no certificates")
    ours = client_config(secure_akkio.url, verify=str(certificates))
    secure_akkio.script("status", Reply())

    async def main() -> None:
        clients = [AsynchronousClient(ours) for _ in range(3)]
        failures = await asyncio.gather(*(client.__aenter__() for client in clients), return_exceptions=True)
        assert [type(failure) for failure in failures] == [AkkioConfigurationError] * 3
        assert not left_behind()
        shutil.copy(bundle, certificates)
        async with AsynchronousClient(ours) as client:
            assert await ask(client, get(secure_akkio)) == GOOD

    asyncio.run(main())


def test_two_connections_of_one_account_keep_each_its_own_time_limit(akkio: ScriptedAkkio) -> None:
    has_given_up = threading.Event()

    def when_one_has_given_up(handler: BaseHTTPRequestHandler) -> None:
        has_given_up.wait(30)
        Reply()(handler)

    akkio.script("status", when_one_has_given_up)

    async def main() -> None:
        async with both(client_config(akkio.url, timeout=60), client_config(akkio.url, timeout=0.5)) as (patient, impatient):
            assert session_of(patient) is session_of(impatient)
            waiting = asyncio.create_task(ask(patient, get(akkio)))
            cut = await ask(impatient, get(akkio))
            has_given_up.set()
            assert isinstance(cut, TransportError)
            assert "timed out" in cut.reason or "Timeout" in cut.reason
            assert await waiting == GOOD

    asyncio.run(main())


class Noting:
    """Answers, and remembers when it was asked and when it had answered."""

    def __init__(self, *answers: Answering) -> None:
        self._answers = iter(answers)
        self.asked_at: list[float] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked_at.append(time.monotonic())
        next(self._answers)(handler)


@pytest.mark.parametrize("first", [blocking, asynchronous])
@pytest.mark.parametrize("then", [blocking, asynchronous])
def test_a_client_that_is_throttled_holds_up_the_others(akkio: ScriptedAkkio, first: Talk, then: Talk) -> None:
    noting = Noting(Reply(429, headers={"Retry-After": "1"}), Reply())
    akkio.script("status", noting)
    first(client_config(akkio.url), get(akkio))
    assert then(client_config(akkio.url), get(akkio)) == [GOOD]
    throttled_at, asked_at = noting.asked_at
    assert asked_at - throttled_at >= 1


def test_each_client_keeps_to_the_rate(talk: Talk, akkio: ScriptedAkkio) -> None:
    noting = Noting(Reply(), Reply())
    akkio.script("status", noting)
    assert talk(client_config(akkio.url, requests_per_second=1), *[get(akkio)] * 2) == [GOOD] * 2
    first, second = noting.asked_at
    assert second - first >= 1


def test_a_submission_goes_over_a_connection_of_its_own() -> None:
    with ScriptedAkkio(keep_alive=True) as akkio:
        akkio.script("new", Reply(201, {"task_id": "T1"}))
        akkio.script("status", Reply())
        asynchronous(client_config(akkio.url), get(akkio), post(akkio), post(akkio), get(akkio))
        first, submission, another, last = [received.port for received in akkio.received]
        assert first == last
        assert len({first, submission, another}) == 3
