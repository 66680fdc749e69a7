"""The server: everything put together around one grpc.aio server, from the first model that is
loaded to the last job that is drained.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import grpc
import structlog
import torch
from grpc_health.v1 import health_pb2
from prometheus_client import start_http_server
from torch import nn

from service.auth import certificates
from service.auth.access_log import AccessLog
from service.auth.authority import Authority
from service.auth.certificates import Pems
from service.auth.identity import EVERYONE, acting_as
from service.auth.reread import Reread
from service.auth.usage import Meter
from service.config import Settings
from service.datasets import Datasets
from service.datasets.uploads import Uploads
from service.engine.engine import Engine
from service.engine.limits import EngineLimits
from service.engine.metrics import Metrics
from service.imaging.decoding import DecodeLimits
from service.index.store import IndexStore
from service.models.trial.factory import FactoryTrials
from service.models.zoo import ModelZoo
from service.operations import Operations, OperationsService, OperationStore, Upkeep
from service.process.tracing import untraced
from service.process.tracing.export import traces_to
from service.rpc.compute import Compute
from service.rpc.context import VERSION, request_id
from service.rpc.doors.access import Access
from service.rpc.doors.admission import Admission
from service.rpc.doors.decoding import Decoder
from service.rpc.doors.quotas import Quotas
from service.rpc.errors import status_of
from service.rpc.handlers.audit import AUDIT
from service.rpc.handlers.datasets import in_use
from service.rpc.health import HealthService
from service.rpc.interceptor import CallInterceptor
from service.rpc.probes import probe_server
from service.rpc.registration import Resources, register_services
from service.rpc.standard_services import READINESS, SERVICE_NAMES, register_standard_services
from service.rpc.tls import server_credentials
from service.state import StateFolder
from service.state.migrations import MIGRATIONS
from service.threads import in_daemon_thread, torch_pool
from service.watch import readings
from service.watch.device import DeviceWatch
from service.watch.gauges import Gauges
from service.watch.loop_lag import LoopLag
from service.watch.memory import MemoryWatch
from service.watch.state_sizes import StateSizes

log = structlog.get_logger("striate")

MESSAGE_BYTES = 64 * 2**20
MOST_CALLS = 1024  # in flight
MOST_UNSEEN = 16384  # calls that have come and wait for the event loop
ALWAYS_LET_IN = ("/grpc.health.v1.Health/Check",)
STALLED_SECONDS = 30.0  # that a download may bring nothing before it is given up
SWITCH_SECONDS = 0.001
CLOSE_SECONDS = 5.0  # that the device's thread has to finish its pass
_SERVING, _NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


class Server:
    """Everything that one process serves: first `start` it, then `drain` it.

    Args:
        settings: of the whole process.
        modules: networks in memory that stand in the place of their settings tables' factories.

    Raises:
        StateInUse: another server has the state folder.
        StateUnusable: the state folder cannot be written or locked.
        FilesUnusable: a file of TLS, or the auth file, cannot be used.
        OSError: the access log cannot be written.
        TracingUnusable: traces are asked for, and the packages for it are missing.
    """

    def __init__(self, settings: Settings, modules: Mapping[str, nn.Module] | None = None) -> None:
        self.settings = settings
        self._pems = _tls_files(settings)
        self._authority = None if settings.auth is None else Authority(settings.auth)
        self.metrics = Metrics()
        if self._authority is not None:
            self.metrics.identities = self._authority.names
        self._traces = traces_to(settings.otlp_endpoint, VERSION)
        # First: what another server is writing there must not be taken for left over.
        self.state = StateFolder(
            settings.state_dir,
            VERSION,
            settings.disk_floor_bytes,
            lambda kind: self.metrics.damaged.labels(kind).inc(),
            MIGRATIONS,
        )
        self._device = device = _device(settings.device)
        limits = EngineLimits.for_device(device, settings)
        self._meter = Meter()
        self.engine = Engine(self.metrics, limits, spent=self._meter.spend)
        self._access_log = None
        if settings.access_log is not None:
            self._access_log = AccessLog(settings.access_log, self.metrics.access_log_lost.inc)
        self._loop_lag = LoopLag(self.metrics.loop_lag.observe)
        self._sizes = StateSizes(settings.state_dir)
        self._admission = Admission(MOST_CALLS, ALWAYS_LET_IN)
        self._access = Access(
            self._authority,
            settings.tls_client_ca is not None,
            lambda reason: self.metrics.auth_failures.labels(reason).inc(),
        )
        threads = limits.threads or torch.get_num_threads()
        self._workers = max(2, os.cpu_count() or 2)
        self._pool = torch_pool(self._workers, "images", threads)
        # A pool of its own: no request waits there for images to be decoded.
        self._doors = ThreadPoolExecutor(2, "doors")
        self._beside = torch_pool(1, "beside-device", max(1, threads // 2))
        self.zoo = ModelZoo(
            weights_dir=settings.weights_dir,
            models=settings.tables,
            run=self.engine.run,
            device=device,
            modules=modules,
            most_bytes=settings.model_bytes,
            trials=FactoryTrials(settings.factory_seconds),
            seconds=settings.load_seconds,
        )
        cache = settings.state_dir / "datasets"
        uploads = Uploads(cache / "uploads", space=self.state.space, served=self.state.served)
        self._datasets = Datasets(settings.dataset, cache, settings.on_error == "skip", uploads)
        self._health = HealthService((READINESS, *SERVICE_NAMES))

    async def start(self) -> int:
        """Load the models, take up interrupted operations, and open the port.

        Returns:
            The port's number.

        Raises:
            OSError: the port cannot be had.
            ModelError, UnknownModel: a model cannot be loaded.
        """
        settings = self.settings
        self._operations = Operations(
            OperationStore(settings.state_dir / "operations.sqlite", self.state.quarantine),
            lambda error: status_of(error, request_id.get()),
            require_room=self.state.space.require,
            served=self.state.served,
            traced=self._traces.operation if self._traces else untraced,
        )
        doors = self._access, self._admission, Decoder(self._doors)
        about = self._access_log, Quotas(self._meter), self._traces
        self._server = _grpc_server(CallInterceptor(self.metrics, *doors, *about))
        self._probes = probe_server(self._health)
        self._register()
        port = self._open_port(self._server, self.settings.port)
        if settings.health_port:
            self._open_port(self._probes, settings.health_port, plain=True)
        for name in settings.models_at_start:
            await in_daemon_thread(self.zoo.load, name)
            await self._report_model(name)
        if settings.metrics_port:
            start_http_server(settings.metrics_port, settings.metrics_host, self.metrics.registry)
        try:
            await self._operations.recover()
            await self._server.start()
            await self._probes.start()
        except asyncio.CancelledError:
            # Told to stop: what was just taken up must not count as lost in a crash.
            await self._operations.drain(0)
            await self._operations.close()
            raise
        for service in ("", *SERVICE_NAMES):
            await self._health.set(service, _SERVING)
        await self._report_readiness(True)
        watch = DeviceWatch(self.engine.activity, settings.stall_seconds, self._report_readiness)
        self._watching = [
            asyncio.create_task(task)
            for task in (
                self._loop_lag.run(),
                watch.run(),
                MemoryWatch().run(),
                self._sizes.run(),
                self._access.look_again(),
            )
        ]
        self._upkeep = asyncio.create_task(self._make_upkeep().run())
        return port

    def _open_port(self, server: grpc.aio.Server, port: int, plain: bool = False) -> int:
        """Take a port, where nothing is answered yet; with TLS if the settings say so."""
        address = f"{self.settings.host}:{port}"
        try:
            if plain or self._pems is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, server_credentials(self._pems))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error

    def _make_upkeep(self) -> Upkeep:
        """What goes after how long, as the settings say."""
        settings, datasets = self.settings, self._datasets
        return Upkeep(
            self._operations,
            self.state.served,
            {AUDIT: settings.keep_audits_days},
            settings.keep_operations_days,
            settings.keep_uploads_days,
            datasets.uploads.unused,
            lambda: in_use(self._operations),
            datasets.delete,
        )

    def _register(self) -> None:
        """Make the handlers, and have the server answer with them."""
        settings = self.settings
        limits = DecodeLimits(
            settings.image_pixels, settings.request_pixels, settings.decode_pixels
        )
        compute = Compute(self.engine, self._pool, self._beside, limits, self._workers, self._meter)
        self._observe(compute)
        resources = Resources(
            zoo=self.zoo,
            compute=compute,
            datasets=self._datasets,
            index=IndexStore(
                settings.state_dir,
                settings.index_uri or "",
                self.state.quarantine,
                self._datasets.may_name,
            ),
            operations=self._operations,
            state=settings.state_dir,
            picture_cache_bytes=settings.picture_cache_bytes,
            on_model_change=self._report_model,
            quarantine=self.state.quarantine,
            space=self.state.space,
        )
        register_services(self._server, resources)
        register_standard_services(self._server, OperationsService(self._operations), self._health)

    def _observe(self, compute: Compute) -> None:
        """Have the metrics tell, whenever they are asked, how it stands with every part."""
        parts = [
            readings.of_engine(self.engine),
            readings.of_loop(self._loop_lag, lambda: self._admission.inside),
            readings.of_images(compute.pool, compute.budget),
            readings.of_memory(self.zoo, self._device),
            readings.of_disk(self.state.space, self._sizes.found),
            readings.of_operations(self._operations),
        ]
        self.metrics.registry.register(Gauges(chain.from_iterable(parts)))

    async def _report_readiness(self, ready: bool) -> None:
        """Tell health and metrics whether work gets done. The server itself, "", is alive as long
        as it answers.
        """
        await self._health.set(READINESS, _SERVING if ready else _NOT_SERVING)
        self.metrics.ready.set(ready)

    async def _report_model(self, name: str) -> None:
        """Tell the health service what is so now: of two calls that change one model, either may be
        the last to get here.
        """
        with acting_as(EVERYONE):  # whoever has changed it
            names = {model.name for model in self.zoo.loaded()}
        await self._health.set(name, _SERVING if name in names else _NOT_SERVING)

    async def drain(self) -> None:
        """Take no new calls, let running ones finish and journal operations, all within the
        settings' `drain_seconds`.
        """
        grace = self.settings.drain_seconds
        log.info("draining", seconds=grace)
        for task in self._watching:
            task.cancel()
        self.metrics.ready.set(0)
        self._upkeep.cancel()
        await self._health.enter_graceful_shutdown()
        await asyncio.gather(self._server.stop(grace), self._operations.drain(grace))
        await self._probes.stop(0)
        await self._operations.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(in_daemon_thread(self.engine.close, 1.0), CLOSE_SECONDS)
        if self._traces is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(in_daemon_thread(self._traces.close), CLOSE_SECONDS)
        for pool in (self._pool, self._beside, self._doors):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._authority is not None:
            self._authority.close()
        if self._access_log is not None:
            self._access_log.close()
        self.state.close()


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Prints one line to stdout once the port is open: "striate listening on HOST:PORT". Threads that
    hang may be left; they do not hold up the loop.

    Args:
        settings: of the whole process.

    Raises:
        OSError: the port cannot be had.
        ModelError, UnknownModel: a model cannot be loaded.
    """
    socket.setdefaulttimeout(STALLED_SECONDS)  # the libraries that download set none
    # What has been imported stays: a collection, as each unloading makes one, need not walk over
    # its million objects, for two thirds of a second in which no other thread moves.
    gc.collect()
    gc.freeze()
    # By default a thread of pure Python keeps the event loop waiting for 5 ms at a time.
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(settings)
    starting = asyncio.ensure_future(server.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # told to stop while models are being loaded: nothing is open yet
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return
    port = starting.result()
    print(f"striate listening on {settings.host}:{port}", flush=True)
    await stop.wait()
    await server.drain()


def _grpc_server(interceptor: CallInterceptor) -> grpc.aio.Server:
    """A server with the project's interceptor and limits, which answers nothing yet."""
    return grpc.aio.server(
        interceptors=[interceptor],
        options=[
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            # While more calls than this wait to be looked at, gRPC cancels some at random without a
            # status, and from the second number on all. By default these are 1000 and 3000; the
            # event loop refuses as many within a second, with a reason.
            ("grpc.server.max_pending_requests", MOST_UNSEEN),
            ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_UNSEEN),
            # A second server on the same port is a mistake, not a load balancer.
            ("grpc.so_reuseport", 0),
        ],
    )


def _tls_files(settings: Settings) -> Reread[Pems] | None:
    """The files of TLS, checked; None where the settings name none. Raises FilesUnusable."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    return certificates.watched(certificate, key, settings.tls_client_ca)


def _device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
