"""What is started outlives its server: uploads, audits, indexes and pictures under SIGKILL at
random moments are, in the end, those of an undisturbed server, byte for byte, and no operation is
lost.

`python -m bench faults` kills 50 times.
"""

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2_grpc import OperationsStub

from bench.audit_kill import MODEL, PATIENCE, Machine, connected, ended, reports, request
from bench.figure import Figure, Figures
from striate.v1 import audit_pb2, exemplars_pb2, interpret_pb2, types_pb2, visualize_pb2
from striate.v1.interpret_pb2_grpc import InterpretServiceStub
from striate.v1.robustness_pb2_grpc import RobustnessServiceStub

LIFE = 5.0  # seconds of a server, at most; it takes about three to start
SHARDS, UNITS = 24, 6
LAYER = "c1"
UNFINISHED = (".part", ".tmp")

Bytes = dict[str, bytes]


@dataclass
class FaultOutcome:
    """What became of the work.

    Attributes:
        operations: how many were started.
        lost: those that are not listed, or did not end well.
        changed: what is not as an undisturbed server makes it.
        left: unfinished files that stayed behind.
    """

    operations: int
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def images(channel: grpc.Channel) -> list[interpret_pb2.Sample]:
    """Real images, to be sent back as an upload."""
    wanted = interpret_pb2.ReadSamplesRequest(dataset="digits", count=120)
    return list(InterpretServiceStub(channel).ReadSamples(wanted).samples)


def parts(
    samples: list[interpret_pb2.Sample], seconds: float = 0.0
) -> Iterator[audit_pb2.UploadDatasetRequest]:
    """An upload, as slow as is wanted."""
    for sample in samples:
        yield audit_pb2.UploadDatasetRequest(
            images=types_pb2.ImageBatch(encoded=[sample.image]), labels=[sample.label]
        )
        time.sleep(seconds)


def layer_request() -> visualize_pb2.VisualizeLayerRequest:
    """Pictures of the first units of a layer, which are kept on disk."""
    return visualize_pb2.VisualizeLayerRequest(
        model=MODEL,
        layer=LAYER,
        unit_count=UNITS,
        sheet=False,
        settings=visualize_pb2.PictureSettings(steps=16, deterministic=True),
    )


def index_request() -> exemplars_pb2.BuildExemplarIndexRequest:
    """An index of all digits."""
    return exemplars_pb2.BuildExemplarIndexRequest(
        model=MODEL, dataset="digits", layers=[LAYER], k=9, shard_images=64
    )


def start_work(channel: grpc.Channel) -> list[str]:
    """One audit and one index build; returns their names."""
    audit = RobustnessServiceStub(channel).Audit(request(SHARDS, checked=False))
    return [audit.name, InterpretServiceStub(channel).BuildExemplarIndex(index_request()).name]


def kept(machine: Machine, channel: grpc.Channel) -> Bytes:
    """All that a server has in the end beside reports, finished where it is not."""
    found: Bytes = {}
    name = RobustnessServiceStub(channel).UploadDataset(parts(images(channel))).dataset
    uploads = machine.state / "datasets" / "uploads"
    found[f"upload {name}"] = (uploads / f"{name}.parquet").read_bytes()
    for event in InterpretServiceStub(channel).VisualizeLayer(layer_request()):
        found[f"picture {event.picture.unit}"] = event.picture.visualization.png
    for path in (machine.state / "indexes").iterdir():
        if path.is_file():
            found[f"index {path.name}"] = path.read_bytes()
    return found


def disturb(channel: grpc.Channel, samples: list[interpret_pb2.Sample]) -> None:
    """An upload and pictures in the background, which the server's end cuts off."""

    def upload() -> None:
        with_error(lambda: RobustnessServiceStub(channel).UploadDataset(parts(samples, 0.01)))

    def draw() -> None:
        with_error(lambda: list(InterpretServiceStub(channel).VisualizeLayer(layer_request())))

    for work in (upload, draw):
        threading.Thread(target=work, daemon=True).start()


def with_error(call: object) -> None:
    """Call, and pass over what the server's end raises."""
    try:
        call()  # type: ignore[operator]
    except (grpc.RpcError, ValueError):
        return


def progress(channel: grpc.Channel, names: list[str]) -> dict[str, bytes]:
    """How far operations are, those that have ended left out: each is a message to compare."""
    stub, found = OperationsStub(channel), dict[str, bytes]()
    for name in names:
        now = stub.GetOperation(operations_pb2.GetOperationRequest(name=name))
        if not now.done:
            found[name] = now.metadata.value
    return found


def advanced(channel: grpc.Channel, before: dict[str, bytes]) -> bool:
    """Whether every operation has ended or got on since its message was as given."""
    for name, message in before.items():
        now = OperationsStub(channel).GetOperation(operations_pb2.GetOperationRequest(name=name))
        if not now.done and now.metadata.value == message:
            return False
    return True


def under_faults(folder: Path, kills: int, seed: int = 0) -> FaultOutcome:
    """Do the work undisturbed, and under `kills` kills at moments that `seed` draws."""
    rng, (calm, shot) = np.random.default_rng(seed), ("calm", "shot")
    still, machine = (Machine(folder / name, SHARDS) for name in (calm, shot))
    for one in (still, machine):
        one.folder.mkdir()
    with still.server() as process, connected(process) as channel:
        samples, names = images(channel), start_work(channel)
        for name in names:
            ended(channel, name)
        expected, wanted = kept(still, channel), reports(channel, names[0])
    outcome, started = FaultOutcome(0), list[str]()
    for kill in range(kills):
        with machine.server() as process:
            if kill and rng.random() < 0.2 and kill % 3:
                time.sleep(rng.random() * LIFE / 2)  # while it starts
                process.kill()
                continue
            with connected(process) as channel:
                running = progress(channel, started)
                if kill % 3 == 0:
                    started += start_work(channel)
                disturb(channel, samples)
                time.sleep(rng.random() * LIFE / 2)
                limit = time.monotonic() + PATIENCE
                # Every third life gets on: an operation is given up that three servers die of.
                while kill % 3 == 2 and not advanced(channel, running):
                    assert time.monotonic() < limit, "the operations stand still"
                    time.sleep(0.1)
                process.kill()
    with machine.server() as process, connected(process) as channel:
        listed = {
            one.name
            for one in OperationsStub(channel)
            .ListOperations(operations_pb2.ListOperationsRequest(page_size=1000))
            .operations
        }
        outcome.operations = len(started)
        for name in started:
            try:
                ended(channel, name)
            except (RuntimeError, grpc.RpcError):
                outcome.lost.append(name)
        outcome.lost += sorted(set(started) - listed)
        outcome.changed = differing(expected, kept(machine, channel))
        for audit in started[::2]:
            if audit not in outcome.lost:
                found = reports(channel, audit)
                outcome.changed += [f"{audit} {what}" for what in differing(wanted, found)]
        outcome.left = [
            str(path.relative_to(machine.state))
            for path in machine.state.rglob("*")
            if path.suffix in UNFINISHED and "audits" not in path.parts
        ]
    return outcome


def differing(expected: Bytes, found: Bytes) -> list[str]:
    """Names of what is missing, too much or not the same."""
    names = expected.keys() | found.keys()
    return sorted(name for name in names if expected.get(name) != found.get(name))


def faults(_: object) -> Figures:
    """Operations lost, files changed and files left by 50 kills."""
    kills = 50
    with tempfile.TemporaryDirectory() as folder:
        outcome = under_faults(Path(folder), kills)
    note = f"of {outcome.operations} operations, by {kills} kills"
    return {
        "faults operations lost": Figure(len(outcome.lost), at_most=0, note=note),
        "faults files changed": Figure(
            len(outcome.changed), at_most=0, note=" ".join(outcome.changed[:3])
        ),
        "faults files left": Figure(len(outcome.left), at_most=0, note=" ".join(outcome.left[:3])),
    }
