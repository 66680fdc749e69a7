"""The awaited twin against a real server: pictures equal those of the handles, and who leaves stops
the work.
"""

import asyncio

import striate
from striate import aio
from tests.e2e.conftest import NAME
from tests.toys_server import Server, eventually, metric

CANCELLED = 'striate_jobs_total{reason="cancelled"}'


def test_pictures_are_those_of_the_handles(server: Server, net: striate.Model) -> None:
    async def scene() -> tuple[bytes, list[int], int]:
        async with aio.connect(server.target, timeout=120) as service:
            twin = await service.model(NAME)
            assert twin.layers == net.layers
            layer = twin.layers[0].name
            async with twin.visualize(f"{layer}:1", steps=8, deterministic=True) as stream:
                steps = [progress.step async for progress in stream]
            (picture,) = stream.result
            whole = await twin.visualize(f"{layer}:1", steps=8, deterministic=True)
            assert whole[0].png == picture.png
            pictures = twin.visualize_layer(layer, steps=2)
            units = [one.unit async for one in pictures]
            assert pictures.total == len(units)
            assert steps == list(range(1, 9))
            return picture.png, units, pictures.total

    png, units, total = asyncio.run(scene())
    layer = net.layers[0].name
    assert net.visualize(f"{layer}:1", steps=8, deterministic=True).png == png
    assert sorted(units) == list(range(total))


def test_an_operation_is_awaited(server: Server) -> None:
    async def scene() -> None:
        async with aio.connect(server.target, timeout=120) as service:
            net = await service.model(NAME)
            layer = net.layers[0].name
            operation = await service.build_index(NAME, "digits", [layer], limit=64)
            report = await operation.wait()
            assert (operation.done, report.images) == (True, 64)
            found = await net.exemplars(f"{layer}:1", 4, dataset="digits")
            assert len(found) == 4
            assert operation.name in {one.name for one in await service.operations()}

    asyncio.run(scene())


def test_who_leaves_stops_the_work(server: Server) -> None:
    before = metric(server.metrics_port, CANCELLED)

    async def scene() -> None:
        async with aio.connect(server.target) as service:
            net = await service.model("cifar10-plain")
            begun = asyncio.Event()

            async def watch() -> None:
                async for _ in net.visualize("layer2.0:7", steps=4096):
                    begun.set()

            task = asyncio.create_task(watch())
            await asyncio.wait_for(begun.wait(), 60)
            task.cancel()
            await asyncio.to_thread(
                eventually, lambda: metric(server.metrics_port, CANCELLED) > before
            )

    asyncio.run(scene())
