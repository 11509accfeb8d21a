"""The blocking face: in threads, and where a loop is already running (a notebook)."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from farnode import Client, Denied, NotFound, Site
from tests.client.conftest import QUICK
from tests.client.fake import Gateway, pod


@pytest.mark.anyio
async def test_it_works_where_a_loop_is_running(gateway: Gateway) -> None:
    gateway.state.on_submit = gateway.state.end
    with Client(gateway.site()) as client:
        assert client.run(pod()).succeeded


def test_everything_has_a_blocking_form(gateway: Gateway) -> None:
    with Client(gateway.site(), patience=QUICK) as client:
        one, two = client.submit([pod("one"), pod("two")])
        assert {each.uid for each in client.pods()} == {one.uid, two.uid}
        gateway.do(lambda site: site.start(one.uid))
        gateway.do(lambda site: site.write(one.uid, b"hello\n"))
        assert b"".join(client.logs(one)) == b"hello\n"
        with client.exec(one, ["cat"], stdin=True) as session:
            session.send(b"abc")
            session.close_stdin()
            assert [data for _, data in session] == [b"abc"]
            assert session.exit_code == 0
        with client.exec(one, ["sizes"], stdin=True, tty=True, size=(1, 2)) as session:
            session.resize(3, 4)
            session.send(b"q")
            assert session.wait() == 0
        events = client.watch()
        assert next(events)["type"] == "pod"
        events.close()
        gateway.do(lambda site: site.end(one.uid))
        assert client.wait(one).succeeded
        client.delete(two, grace=0)
        assert sorted(each.name for each in client.as_ended([one, two])) == ["one", "two"]
        offered = {"pod": pod("three", uid=str(uuid.uuid4()))}
        assert [verdict["verdict"] for verdict in client.offer([offered])] == ["accepted"]
        assert client.update_inputs(offered["pod"]["metadata"]["uid"], 3, {}) == 3
        assert client.site()["name"] == "lab"
        with pytest.raises(NotFound):
            client.pod("no-such")
        with pytest.raises(Denied, match="role admin"):
            client.drain()
    admin = Site("lab", gateway.address, token_file=gateway.token("admin"))
    with Client(admin) as client:
        assert client.drain()["draining"]
        assert client.stop() == 3


def test_many_threads_share_one(gateway: Gateway) -> None:
    gateway.state.on_submit = gateway.state.end
    with Client(gateway.site(), patience=QUICK) as client, ThreadPoolExecutor(8) as threads:
        ended = list(threads.map(lambda number: client.run(pod(f"pod-{number}")), range(40)))
    assert all(each.succeeded for each in ended)
    assert gateway.state.watched == 1
