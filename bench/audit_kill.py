"""The kill test: a server that audits is killed at random moments and started again, and the
reports do not tell.

`python -m bench audit-kill` does it 20 times.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.longrunning import operations_pb2
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.protobuf.duration_pb2 import Duration

from bench.figure import Figure, Figures
from striate.v1 import attack_pb2, audit_pb2
from striate.v1.robustness_pb2_grpc import RobustnessServiceStub

MODEL, SHARD_IMAGES = "digits-lenet5", 8
FORMATS = {name: value for name, value in audit_pb2.ReportFormat.items() if value}
PATIENCE = 300.0  # seconds for what takes a few
LEFT = 8  # shards at the end that no kill waits for, so that each comes before the audit has ended
LATE = 0.1  # seconds after the shard that a kill waits for, at most
STARTING = 3.0  # seconds in which a server starts; a kill may come in the middle of it


def request(shards: int, checked: bool) -> audit_pb2.AuditRequest:
    """An audit of small shards, in two norms."""
    return audit_pb2.AuditRequest(
        models=[MODEL],
        dataset="digits",
        limit=shards * SHARD_IMAGES,
        shard_images=SHARD_IMAGES,
        threats=[
            audit_pb2.ThreatModel(epsilons=[8 / 255, 32 / 255]),
            audit_pb2.ThreatModel(norm=attack_pb2.NORM_L2, epsilons=[1.0]),
        ],
        attacks=[
            attack_pb2.AttackMethod(pgd=attack_pb2.Pgd(steps=10)),
            attack_pb2.AttackMethod(apgd=attack_pb2.Apgd(steps=10)),
        ],
        corruptions=["fog"],
        augmentations=["rotation"],
        skip_checks=not checked,
    )


@dataclass
class Outcome:
    """What became of an audit under fire.

    Attributes:
        same: whether each report is that of an undisturbed audit.
        redone: shards that were judged twice.
        hits: kills that came before the reports were there.
    """

    same: dict[str, bool]
    redone: int
    hits: int


class Machine:
    """One state folder, and servers over it, one after the other."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.folder, self.state, self.shards = folder, folder / "state", shards
        self.logs: list[Path] = []

    @contextlib.contextmanager
    def server(self) -> Iterator[subprocess.Popen[str]]:
        """A process; killed in the end if it still runs."""
        program = str(Path(sys.executable).with_name("striate-server"))
        command = [
            program,
            "--port",
            "0",
            "--threads",
            "1",
            "--model",
            MODEL,
            "--state-dir",
            str(self.state),
        ]
        settings = {
            name: value for name, value in os.environ.items() if not name.startswith("STRIATE_")
        }
        self.logs.append(self.folder / f"{len(self.logs)}.log")
        with self.logs[-1].open("w") as log:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=settings | {"OMP_NUM_THREADS": "1"},
            )
        assert process.stdout is not None
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
            process.stdout.close()

    def done(self, audit: str) -> int:
        """How many shards the journal of an audit has; one more than all when the reports are
        there.
        """
        folder = self.state / "audits" / audit.rpartition("/")[2]
        return (
            self.shards + 1
            if (folder / "report.json").exists()
            else len(list(folder.glob("shard-*")))
        )

    def unfinished(self, audit: str) -> bool:
        """Whether an audit has no report yet."""
        return self.done(audit) <= self.shards

    def begun(self, audit: str) -> list[int]:
        """The numbers of the shards that any server began to judge."""
        lines = [
            json.loads(line)
            for log in self.logs
            for line in log.read_text().splitlines()
            if line.startswith("{")
        ]
        name = audit.rpartition("/")[2]
        return [
            line["shard"]
            for line in lines
            if line["event"] == "audit judges a shard" and line["audit"] == name
        ]


def connected(process: subprocess.Popen[str]) -> grpc.Channel:
    """A channel to a server, once it serves. Raises RuntimeError if it does not; its log
    says why.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith("striate listening on "):
        raise RuntimeError(
            f"the server did not start: it said {line!r} and ended with {process.poll()}"
        )
    return grpc.insecure_channel(line.split()[-1])


def ended(channel: grpc.Channel, name: str) -> Any:
    """An operation, when it is done. Raises RuntimeError if it failed."""
    wait = operations_pb2.WaitOperationRequest(name=name, timeout=Duration(seconds=int(PATIENCE)))
    operation = OperationsStub(channel).WaitOperation(wait, wait_for_ready=True)
    if not operation.done or operation.HasField("error"):
        raise RuntimeError(f"the audit did not end well: {operation}")
    return operation


def reports(channel: grpc.Channel, name: str) -> dict[str, bytes]:
    """All reports of an audit."""
    ask = RobustnessServiceStub(channel).ReadAuditReport
    requests = {
        kind: audit_pb2.ReadAuditReportRequest(operation=name, format=value)
        for kind, value in FORMATS.items()
    }
    return {kind: b"".join(part.data for part in ask(one)) for kind, one in requests.items()}


def under_fire(
    folder: Path, kills: int, shards: int, seed: int = 0, checked: bool = False
) -> Outcome:
    """Run one audit undisturbed, and the same with its server killed `kills` times by SIGKILL, at
    moments that `seed` draws.
    """
    rng = np.random.default_rng(seed)
    machine, wanted = Machine(folder, shards), request(shards, checked)
    targets = sorted(int(target) for target in rng.integers(0, shards - LEFT, kills))
    with machine.server() as process, connected(process) as channel:
        undisturbed = ended(channel, RobustnessServiceStub(channel).Audit(wanted).name)
        expected = reports(channel, undisturbed.name)
        audit = RobustnessServiceStub(channel).Audit(wanted).name
        _fire(machine, process, audit, targets[0], rng)
    hits = int(machine.unfinished(audit))
    idle = False  # whether the life before made no progress
    for target in targets[1:]:
        before = machine.done(audit)
        with machine.server() as process:
            if not idle and rng.random() < 0.2:
                time.sleep(rng.random() * STARTING)
                process.kill()
            else:
                with connected(process):  # its operations run before it says that it serves
                    _fire(
                        machine, process, audit, max(target, before + 2) if idle else target, rng
                    )  # twice in vain is given up
        idle = machine.done(audit) == before
        hits += machine.unfinished(audit)
    with machine.server() as process, connected(process) as channel:
        found = reports(channel, ended(channel, audit).name)
    begun = machine.begun(audit)
    assert set(begun) == set(range(shards))
    return Outcome(
        {kind: found[kind] == expected[kind] for kind in FORMATS},
        len(begun) - len(set(begun)),
        hits,
    )


def _fire(
    machine: Machine,
    process: subprocess.Popen[str],
    audit: str,
    target: int,
    rng: np.random.Generator,
) -> None:
    """Kill a server a little after its audit has so many shards."""
    limit = time.monotonic() + PATIENCE
    while machine.done(audit) < min(target, machine.shards) and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(rng.random() * LATE)
    process.kill()


def audit_kill(_: object) -> Figures:
    """Reports that 20 kills changed, and shards judged twice."""
    kills, shards = 20, 160
    with tempfile.TemporaryDirectory() as folder:
        outcome = under_fire(Path(folder), kills, shards, checked=True)
    changed = [kind for kind, same in outcome.same.items() if not same]
    return {
        "audit-kill reports changed": Figure(
            len(changed),
            at_most=0,
            note=f"of {len(FORMATS)}, by {kills} kills {' '.join(changed)}".rstrip(),
        ),
        "audit-kill shards redone": Figure(
            outcome.redone, at_most=outcome.hits, note=f"of {shards}, by {outcome.hits} kills"
        ),
    }
