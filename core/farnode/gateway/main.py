"""Puts a gateway together from its configuration, runs it, and takes it down in order."""

from __future__ import annotations

import asyncio
import gc
import getpass
import logging
import os
import secrets
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import yaml

from farnode.errors import Invalid
from farnode.gateway import stimuli as s
from farnode.gateway.asking import Means, Policy
from farnode.gateway.batch import Cadence
from farnode.gateway.config import GatewayConfig, load
from farnode.gateway.disk import check_state_directory
from farnode.gateway.dispatcher import Dispatcher
from farnode.gateway.engine import Engine
from farnode.gateway.http.app import create_app
from farnode.gateway.http.server import serve as serve_http
from farnode.gateway.images import ImageStore
from farnode.gateway.lock import StateLock
from farnode.gateway.machine import Machine
from farnode.gateway.planner import Planner
from farnode.gateway.requests import Terms
from farnode.gateway.runners import Intervals, Runners, Secret, connect_file
from farnode.gateway.service import Facts, Gateway
from farnode.gateway.site import Activity
from farnode.gateway.spool import Spool
from farnode.gateway.state import Rules
from farnode.gateway.storage import Keeper
from farnode.gateway.store import Store
from farnode.gateway.tls import Certificate, ensure_certificate, server_context
from farnode.gateway.token_file import TokenFile
from farnode.gateway.tokens import Role, Tokens
from farnode.gateway.usage import NodeHours, Usage
from farnode.providers.port import AllocationProvider, Calls, Site, SupportsCalls
from farnode.scheduler import pilots
from farnode.scheduler import terms as matching
from farnode.wire.messages import Limits

log = logging.getLogger(__name__)

COLLECT_INTERVAL = 600.0
"""Seconds between two looks at how much the spool holds."""
FENCE_MARGIN = 15.0
"""Seconds a runner may take, at most, to end its pods once it must."""
INVENTORY_INTERVAL = 1800.0
"""Seconds between two looks at what the site offers while nothing says that it has changed: a look is five commands."""


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers. `address` is for clients (`unix:/path` or `https://host:port`)."""

    address: str
    certificate: Certificate
    service: Gateway


def serve(config_path: Path) -> None:
    """Run until SIGTERM or SIGINT; pods go on without a gateway and are found again by the next."""
    gc.set_threshold(50_000, 20, 100)  # next to nothing here is cyclic garbage, and what is kept is not to be walked
    os.umask(0o077)  # whatever is written, by image tools too, is this account's alone
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(_serve(load(config_path)))


async def _serve(config: GatewayConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config) as gateway:
        introduce(config, gateway)
        log.info("site %s: answering at %s", config.site, gateway.address)
        await stop.wait()


def issue_token(config_path: Path, owner: str, role: Role) -> str:
    """A new token for a client of this site; it is shown once and only its hash is kept."""
    return tokens(config_path).issue(owner, role)


def tokens(config_path: Path) -> Tokens:
    """Who may call this site's gateway, whether it runs or not."""
    config = load(config_path)
    config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Tokens(TokenFile(config.state))


def introduce(config: GatewayConfig, gateway: Running) -> None:
    """Let this account's own command line find the site: a token and an entry among its sites."""
    token = config.state / "token"
    if not token.exists():
        _write_private(token, Tokens(TokenFile(config.state)).issue(_account(), "admin"))
    home = Path(os.environ.get("FARNODE_CONFIG", "~/.config/farnode/config.yaml")).expanduser().parent / "sites.d"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    entry = {"name": config.site, "url": gateway.address, "tokenFile": str(token)}
    if gateway.address.startswith("https:"):
        entry["fingerprint"] = gateway.certificate.fingerprint
    _write_private(home / f"{config.site}.yaml", yaml.safe_dump(entry, sort_keys=False))


def _account() -> str:
    return getpass.getuser().lower()


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, whoever reads it and whenever this process dies."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    new.replace(path)


@asynccontextmanager
async def running(config: GatewayConfig) -> AsyncIterator[Running]:
    """A gateway that answers as long as the block lasts."""
    config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_state_directory(config.state)
    with StateLock(config.state):
        store = Store(config.state / "farnode.db")
        try:
            async with _assembled(config, store) as gateway:
                yield gateway
        finally:
            store.close()


@asynccontextmanager
async def _assembled(config: GatewayConfig, store: Store) -> AsyncIterator[Running]:
    host = config.runners.advertise
    certificate = ensure_certificate(config.state, [host, "localhost"])
    context = server_context(certificate)
    machine = Machine(_rules(config))
    clock = steady_clock()
    engine = Engine(machine, store, clock)
    hours = NodeHours(config.quotas.node_hours_per_day, engine.ledger)
    usage = Usage()
    secret = Secret.at(config.state / "secret")
    spool = Spool(config.spool, secret.identity)
    runners = Runners(
        secret, Intervals(config.heartbeat, config.fence_after), machine.allocations.get, engine.tell, clock
    )
    means = Means(_terms(config), _policy(config), spool.directory, _nonce, hours)
    planner = Planner(machine, means, usage)
    address = f"{host}:{await runners.listen(config.runners.listen.host, config.runners.listen.port, context)}"
    storage = Keeper(config.storage, engine)
    provider = load_provider(config, Site(config.site, spool.script, config.state))
    dispatcher = Dispatcher(
        engine,
        provider,
        runners,
        spool,
        ImageStore(config.images, spool.images),
        lambda nonce: connect_file(nonce, address, certificate.fingerprint, secret, config.site),
        Cadence(config.poll_interval, INVENTORY_INTERVAL, COLLECT_INTERVAL, config.quotas.spool_bytes),
        config.site,
        _limits(config),
        storage,
    )
    facts = Facts(
        config.site, config.provider.kind, config.runtimes, config.quotas.pods_per_owner, config.quotas.bundle_bytes
    )
    activity = Activity(machine, planner.queues, hours, usage, engine.timings, lambda: _calls(provider))
    service = Gateway(facts, engine, planner, dispatcher, runners, spool, storage, activity)
    _connect(engine, planner, dispatcher, runners)
    effects = engine.load()
    planner.draining = bool(engine.settings.get("draining"))
    await asyncio.to_thread(dispatcher.readdress)
    async with _tasks(engine, dispatcher):
        dispatcher.perform(effects)
        async with _http(config, service, context) as url:
            yield Running(url, certificate, service)
        await runners.close()


def _connect(engine: Engine, planner: Planner, dispatcher: Dispatcher, runners: Runners) -> None:
    timer: asyncio.TimerHandle | None = None

    def plan() -> Iterator[s.Stimulus]:
        nonlocal timer
        planner.offers = dispatcher.offers
        yield from planner.plan(engine.clock(), runners.connected.__contains__)
        if planner.wake_at is not None and (timer is None or timer.when() <= asyncio.get_running_loop().time()):
            delay = planner.wake_at - engine.clock()
            timer = asyncio.get_running_loop().call_later(delay + 0.01, engine.nudge)

    engine.plan = plan
    engine.perform = dispatcher.perform


@asynccontextmanager
async def _tasks(engine: Engine, dispatcher: Dispatcher) -> AsyncIterator[None]:
    """The loops, for as long as the block lasts; when one dies the block is cancelled and its error comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(engine.run()), group.create_task(dispatcher.run())]
            yield
            for task in tasks:
                task.cancel()
    finally:
        await dispatcher.close()


@asynccontextmanager
async def _http(config: GatewayConfig, service: Gateway, context: ssl.SSLContext) -> AsyncIterator[str]:
    app = create_app(service, Tokens(TokenFile(config.state)))
    server = await serve_http(app, config.listen, context)
    try:
        yield server.address
    finally:
        await server.stop()


def steady_clock() -> Callable[[], float]:
    """Seconds since the epoch that never jump: steps of the host's clock neither age nor rejuvenate what waits here."""
    begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return lambda: begun + time.clock_gettime(time.CLOCK_BOOTTIME)


def load_provider(config: GatewayConfig, site: Site) -> AllocationProvider:
    """The driver of `provider.kind`, working for `site`; Invalid names those that are installed."""
    installed = entry_points(group="farnode.providers")
    for entry in installed:
        if entry.name == config.provider.kind:
            provider: AllocationProvider = entry.load().create(config.provider.settings, site)
            return provider
    names = ", ".join(sorted(entry.name for entry in installed))
    raise Invalid("provider.kind", f"{config.provider.kind!r} is not installed; accepted: {names}")


def _calls(provider: AllocationProvider) -> Calls | None:
    return provider.calls() if isinstance(provider, SupportsCalls) else None


def _rules(config: GatewayConfig) -> Rules:
    return Rules(
        fence_after=config.fence_after,
        fence_margin=FENCE_MARGIN + 3 * config.heartbeat,
        settle_after=config.settle_after,
        max_attempts=config.max_attempts,
        retention=config.retention.pods,
    )


def _policy(config: GatewayConfig) -> Policy:
    own = config.pilots
    return Policy(
        share=config.share_across_owners,
        matching=matching.Terms(config.walltime.default, config.walltime.margin, config.starve_after),
        pilots=pilots.Terms(own.max, own.first, own.idle_after, own.walltime),
        dedicated=not own.enabled,
        cores=own.cores,
    )


def _limits(config: GatewayConfig) -> Limits:
    limits = Limits(log_size=config.limits.log_size, log_files=config.limits.log_files)
    if config.limits.processes:
        limits["processes"] = config.limits.processes
    return limits


def _terms(config: GatewayConfig) -> Terms:
    environment = {"FARNODE_PYTHON": config.python, "FARNODE_RUNTIMES": ":".join(config.runtimes)}
    return Terms(config.site, config.walltime.default, config.walltime.margin, environment)


def _nonce() -> str:
    return secrets.token_hex(8)
