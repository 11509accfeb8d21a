"""Events and waiting, through restarts of the gateway."""

from __future__ import annotations

from contextlib import aclosing

import anyio
import pytest

from farnode import AsyncClient, Invalid, NotFound, Transient, Unreachable
from farnode.client.patience import Patience
from tests.client.fake import Gateway, pod

pytestmark = pytest.mark.anyio


async def test_a_watch_begins_with_what_is_and_survives_a_restart(client: AsyncClient, gateway: Gateway) -> None:
    one, two = await client.submit([pod("one"), pod("two")])
    async with aclosing(client.watch()) as events:
        assert {(await anext(events))["uid"] for _ in range(2)} == {one.uid, two.uid}
        gateway.do(lambda site: site.start(one.uid))
        assert (await anext(events))["pod"]["status"]["phase"] == "Running"
        gateway.stop()
        gateway.do(lambda site: site.start(two.uid))
        gateway.do(lambda site: site.end(one.uid))
        gateway.start()
        missed = [await anext(events), await anext(events)]
        assert [(event["uid"], event["seq"]) for event in missed] == [(two.uid, 4), (one.uid, 5)]


async def test_a_watch_that_fell_behind_lists_again(client: AsyncClient, gateway: Gateway) -> None:
    one, two, three = await client.submit([pod("one"), pod("two"), pod("three")])
    async with aclosing(client.watch()) as events:
        for _ in range(3):
            await anext(events)
        gateway.stop()
        gateway.do(lambda site: site.remove(one.uid))
        gateway.do(lambda site: site.end(two.uid))
        gateway.do(lambda site: site.forget_events())
        gateway.start()
        seen = [await anext(events) for _ in range(3)]
        assert [(event["type"], event["uid"]) for event in seen] == [
            ("gone", one.uid),
            ("pod", two.uid),
            ("pod", three.uid),
        ]
        gateway.do(lambda site: site.end(three.uid))
        assert (await anext(events))["pod"]["ended"]


async def test_a_watch_can_be_taken_up_again(client: AsyncClient, gateway: Gateway) -> None:
    (one,) = await client.submit(pod())
    gateway.do(lambda site: site.end(one.uid))
    async with aclosing(client.watch(after=1)) as events:
        assert (await anext(events))["seq"] == 2


async def test_a_gateway_that_stays_away_ends_a_watch(gateway: Gateway) -> None:
    async with AsyncClient(gateway.site(), patience=Patience(total=0.05, first=0.001, most=0.01)) as client:
        (one,) = await client.submit(pod())
        async with aclosing(client.watch()) as events:
            await anext(events)
            gateway.stop()
            with pytest.raises(Transient):
                await anext(events)
        with pytest.raises(Unreachable):
            await client.wait(one)


async def test_run_waits_for_the_end(client: AsyncClient, gateway: Gateway) -> None:
    gateway.state.on_submit = lambda uid: gateway.state.end(uid, 7)
    ended = await client.run(pod())
    assert (ended.phase, ended.exit_code()) == ("Failed", 7)
    with pytest.raises(Invalid, match="run takes one pod, not 2"):
        await client.run([pod("a"), pod("b")])  # type: ignore[arg-type]


async def test_a_pod_that_ran_before_is_not_waited_for(client: AsyncClient, gateway: Gateway) -> None:
    (one,) = await client.submit(pod())
    gateway.do(lambda site: site.end(one.uid))
    assert (await client.run(dict(one.manifest))).succeeded
    assert (await client.wait(one.uid)).succeeded


async def test_a_thousand_waits_cost_one_stream(client: AsyncClient, gateway: Gateway) -> None:
    submitted = await client.submit([pod(f"pod-{number}") for number in range(200)])
    ended = []

    async def wait(uid: str) -> None:
        ended.append((await client.wait(uid)).uid)

    async with anyio.create_task_group() as tasks:
        for each in submitted:
            tasks.start_soon(wait, each.uid)
        gateway.do(lambda site: site.end_all())
    assert sorted(ended) == sorted(each.uid for each in submitted)
    assert gateway.state.watched <= 1


async def test_pods_come_as_they_end(client: AsyncClient, gateway: Gateway) -> None:
    one, two, three = await client.submit([pod("one"), pod("two"), pod("three")])
    gateway.do(lambda site: site.end(three.uid))
    async with aclosing(client.as_ended([one, two, three])) as ending:
        assert (await anext(ending)).name == "three"
        gateway.do(lambda site: site.end(two.uid))
        assert (await anext(ending)).name == "two"
        gateway.do(lambda site: site.remove(one.uid))
        with pytest.raises(NotFound, match="was removed before its end was seen"):
            await anext(ending)
    with pytest.raises(NotFound):
        await client.wait("no-such")


async def test_who_listens_when_pods_are_handed_over_asks_for_no_list(client: AsyncClient, gateway: Gateway) -> None:
    gateway.state.on_submit = lambda uid: gateway.state.end(uid)
    await client.run(pod("first"))
    listed = gateway.state.listed
    early = await client.submit([pod("one"), pod("two")])
    await client.run(pod("later"))  # so that the ends of both were heard before they are asked for
    gateway.state.on_submit = lambda uid: None
    late = await client.submit(pod("three"))
    async with aclosing(client.as_ended([*early, *late])) as ending:
        assert sorted([(await anext(ending)).name, (await anext(ending)).name]) == ["one", "two"]
        gateway.do(lambda site: site.end(late[0].uid))
        assert (await anext(ending)).name == "three"
    assert gateway.state.listed == listed
    again = [one.name async for one in client.as_ended(early)]
    assert sorted(again) == ["one", "two"]
    assert gateway.state.listed == listed + 1, "what was told once is not kept"


async def test_a_pod_that_was_there_before_is_asked_for(client: AsyncClient, gateway: Gateway) -> None:
    (old,) = await client.submit(pod("old"))
    gateway.do(lambda site: site.end(old.uid))
    async with anyio.create_task_group() as tasks:
        (other,) = await client.submit(pod("other"))
        tasks.start_soon(client.wait, other)
        await anyio.wait_all_tasks_blocked()
        (same,) = await client.submit(dict(old.manifest))
        with anyio.fail_after(5):
            assert [one.name async for one in client.as_ended([same])] == ["old"]
        gateway.do(lambda site: site.end(other.uid))


async def test_closing_the_client_ends_all_waits(gateway: Gateway) -> None:
    caught: list[Exception] = []
    async with anyio.create_task_group() as tasks, AsyncClient(gateway.site()) as client:
        (one,) = await client.submit(pod())
        waiting = anyio.Event()

        async def wait() -> None:
            waiting.set()
            try:
                await client.wait(one)
            except Unreachable as error:
                caught.append(error)

        tasks.start_soon(wait)
        await waiting.wait()
        while not gateway.state.watchers:
            await client.pods()
    assert "the client was closed" in str(caught[0])
