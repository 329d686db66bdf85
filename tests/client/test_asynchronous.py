"""Clients of one event loop share a session pool; all clients of a process share a rate limiter."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler

import pytest

from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.client.asynchronous import AsynchronousClient, SessionPool, session_pool
from tests.client.driving import OK, SendAll, asynchronous, blocking, client_config, flow_of, get, post
from tests.scripted import Reply, Responder, ScriptedAkkio


async def send(client: AsynchronousClient, request: Request) -> Response | TransportError:
    [reply] = await client.run(flow_of((request,)))
    return reply


def is_closed(pool: SessionPool) -> bool:
    return all(session.closed for session in pool.sessions.values())


def test_clients_share_eight_connections() -> None:
    eight_at_once = threading.Barrier(8, timeout=60)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        eight_at_once.wait()
        Reply()(handler)

    async def main(url: str) -> list[Response | TransportError]:
        async with AsyncExitStack() as stack:  # so that no client ends before all have begun
            clients = [await stack.enter_async_context(AsynchronousClient(client_config(url))) for _ in range(32)]
            return await asyncio.gather(*(send(client, get(url)) for client in clients))

    with ScriptedAkkio(keep_alive=True) as akkio:
        akkio.script("status", respond)
        assert asyncio.run(main(akkio.url)) == [OK] * 32
        assert len({received.port for received in akkio.received}) == 8


def test_last_user_closes_the_pool() -> None:
    async def main() -> None:
        config = client_config("http://akkio.invalid")
        async with session_pool(config) as pool:
            async with session_pool(config) as same:
                assert same is pool
            assert not is_closed(pool)
        assert is_closed(pool)
        async with session_pool(config) as new:
            assert new is not pool

    asyncio.run(main())


@pytest.mark.parametrize(
    "difference", [{"url": "http://another.invalid"}, {"api_key": "another-key"}, {"verify": False}], ids=str
)
def test_pool_is_not_shared_between(difference: dict[str, str]) -> None:
    async def main() -> None:
        fields = {"url": "http://akkio.invalid"}
        one, another = client_config(**fields), client_config(**fields | difference)
        async with session_pool(one) as first, session_pool(another) as second:
            assert first is not second

    asyncio.run(main())


def test_event_loops_do_not_share_a_pool(akkio: ScriptedAkkio) -> None:
    akkio.script("status", Reply())
    with asyncio.Runner() as here, asyncio.Runner() as there:
        one, another = AsynchronousClient(client_config(akkio.url)), AsynchronousClient(client_config(akkio.url))
        here.run(one.__aenter__())
        there.run(another.__aenter__())
        here.run(one.__aexit__())
        assert there.run(send(another, get(akkio.url))) == OK
        there.run(another.__aexit__())


def test_event_loop_that_stops_closes_the_pool() -> None:
    pools = []

    async def use_pool(is_open: asyncio.Semaphore) -> None:
        async with session_pool(client_config("http://akkio.invalid")) as pool:
            pools.append(pool)
            is_open.release()
            await asyncio.Event().wait()

    async def main() -> list[asyncio.Task[None]]:
        is_open = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(use_pool(is_open)) for _ in range(5)]
        for _ in tasks:
            await is_open.acquire()
        return tasks

    assert all(task.cancelled() for task in asyncio.run(main()))
    assert len(pools) == 5
    assert all(is_closed(pool) for pool in pools)


@pytest.mark.parametrize("turns", range(5))
def test_cancelled_client_leaves_no_open_pool(turns: int) -> None:
    async def main() -> None:
        config = client_config("http://akkio.invalid")
        async with session_pool(config) as pool:
            clients = [AsynchronousClient(config) for _ in range(3)]
            entering = [asyncio.create_task(client.__aenter__()) for client in clients]
            while turns and not any(task.done() for task in entering):  # noqa: ASYNC110 - cancels at an exact turn
                await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in entering:
                task.cancel()
            await asyncio.wait(entering)
            for client, task in zip(clients, entering, strict=True):
                if not task.cancelled():
                    await client.__aexit__()
            assert pool.users == 1
        assert is_closed(pool)

    asyncio.run(main())


def test_clients_of_one_pool_have_their_own_timeouts(akkio: ScriptedAkkio) -> None:
    has_timed_out = threading.Event()

    def respond_late(handler: BaseHTTPRequestHandler) -> None:
        has_timed_out.wait(60)
        Reply()(handler)

    akkio.script("status", respond_late)

    async def main() -> None:
        long, short = (AsynchronousClient(client_config(akkio.url, timeout=seconds)) for seconds in (120, 0.5))
        async with long, short:
            waiting = asyncio.create_task(send(long, get(akkio.url)))
            assert isinstance(await send(short, get(akkio.url)), TransportError)
            has_timed_out.set()
            assert await waiting == OK

    asyncio.run(main())


def test_only_get_reuses_connections() -> None:
    with ScriptedAkkio(keep_alive=True) as akkio:
        akkio.script("new", Reply(201, {"task_id": "T1"}))
        akkio.script("status", Reply())
        url = akkio.url
        asynchronous(client_config(url), get(url), post(url), post(url), get(url))
        first, submission, another, last = [received.port for received in akkio.received]
        assert first == last
        assert len({first, submission, another}) == 3


def test_client_must_be_entered() -> None:
    with pytest.raises(TypeError, match="async with"):
        asyncio.run(send(AsynchronousClient(client_config("http://akkio.invalid")), get("http://akkio.invalid")))


class Recorder:
    """Respond, and record when each request arrived."""

    def __init__(self, *replies: Responder) -> None:
        self._replies = iter(replies)
        self.times: list[float] = []

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.times.append(time.monotonic())
        next(self._replies)(handler)


@pytest.mark.parametrize("first", [blocking, asynchronous])
@pytest.mark.parametrize("then", [blocking, asynchronous])
def test_429_delays_other_clients(akkio: ScriptedAkkio, first: SendAll, then: SendAll) -> None:
    recorder = Recorder(Reply(429, headers={"Retry-After": "1"}), Reply())
    akkio.script("status", recorder)
    first(client_config(akkio.url), get(akkio.url))
    assert then(client_config(akkio.url), get(akkio.url)) == [OK]
    throttled_at, sent_at = recorder.times
    assert sent_at - throttled_at >= 1


def test_client_respects_its_rate(send_all: SendAll, akkio: ScriptedAkkio) -> None:
    recorder = Recorder(Reply(), Reply())
    akkio.script("status", recorder)
    created_at = time.monotonic()
    assert send_all(client_config(akkio.url, requests_per_second=1), *[get(akkio.url)] * 2) == [OK] * 2
    first, second = recorder.times
    assert first - created_at >= 1
    assert second - first >= 1
