"""A state folder in the hands of real servers: two at once, a copy made meanwhile, damage, a full
disk, a read-only one, and SIGKILL at random moments.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import striate
from bench.faults import under_faults
from service.__main__ import main
from tests.toys_mounts import in_mount
from tests.toys_server import serving, start, stop

pytestmark = pytest.mark.slow  # servers that are started and ended

NAME = "digits-lenet5"
MODEL = ("--model", NAME)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def check(folder: Path) -> tuple[int, dict[str, object]]:
    """Exit code and JSON of `striate-server state check`."""
    program = Path(sys.executable).with_name("striate-server")
    ran = subprocess.run(
        [str(program), "state", "check", "--json", "--state-dir", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ran.returncode, json.loads(ran.stdout)


def test_a_second_server_does_not_start(tmp_path: Path) -> None:
    with serving(tmp_path, *MODEL) as (first, _):
        second = start(tmp_path, *MODEL)
        assert second.process.wait(60) == 1
        assert f"belongs to process {first.pid}" in second.log.read_text()
        stop(second)


def test_a_copy_made_meanwhile_is_served_and_damage_is_not(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "restored" / "state"
    with serving(tmp_path, *MODEL) as (_, target), striate.connect(target, timeout=120) as service:
        samples = service.samples("digits", count=20)
        upload = service.upload([s.encoded for s in samples], [s.label or 0 for s in samples])
        audit = service.audit([NAME], dataset=upload, attacks=["fgsm"])
        report = audit.wait(timeout=120)
        service.build_index(NAME, dataset=upload, layers=["c1"]).wait(timeout=120)
        found = service.model(NAME).exemplars("c1:0", k=3, dataset=upload)
        assert main_exit("state", "backup", str(copy), "--state-dir", str(state)) == 0
        code, told = check(copy)
        assert (code, told["damaged"], told["not_needed"], told["owner"]) == (0, {}, {}, None)
        code, told = check(state)
        assert "process" in str(told["owner"])
        assert main_exit("state", "collect", "--state-dir", str(state)) == 1  # it is in use
        service.delete_dataset(upload)  # the copy keeps it
    with (
        serving(tmp_path / "restored", *MODEL) as (_, target),
        striate.connect(target, timeout=120) as service,
    ):
        assert {operation.name for operation in service.operations()} >= {audit.name}
        assert service.audit_report(audit.name).report == report.report
        again = service.model(NAME).exemplars("c1:0", k=3, dataset=upload)
        assert [hit.id for hit in again] == [hit.id for hit in found]

        def report_page(service: striate.Service) -> Path:
            return service.audit_report(audit.name).to_html(tmp_path / "page.html")

        assert report_page(service).exists()
        for pattern, call, remake in (
            ("audits/*/report.html", lambda: report_page(service), None),
            (
                "indexes/*.safetensors",
                lambda: service.model(NAME).exemplars("c1:0", k=3, dataset=upload),
                lambda: service.build_index(NAME, dataset=upload, layers=["c1"]).wait(timeout=120),
            ),
            (
                "datasets/uploads/*.parquet",
                lambda: service.samples(upload),
                lambda: service.upload(
                    [s.encoded for s in samples], [s.label or 0 for s in samples]
                ),
            ),
        ):
            (path,) = copy.glob(pattern)
            flip(path, path.stat().st_size * 2 // 3)
            with pytest.raises(striate.DataLoss, match="again"):
                call()
            assert check(copy)[0] == 1
            if remake is not None:
                remake()
                call()
    assert "report.html" in str(check(copy)[1]["damaged"])


def main_exit(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


FULL = """
import os, subprocess, time
import striate
from tests.toys_server import serving

def fill(left):
    about = os.statvfs(FOLDER)
    with open(FOLDER / "filler", "ab") as filler:
        while (free := os.statvfs(FOLDER).f_bavail * about.f_frsize) > left:
            filler.write(b"x" * min(2**20, free - left))
            filler.flush()

flags = ("--model", "digits-lenet5", "--disk-floor-bytes", str(2**21))
with serving(FOLDER, *flags) as (_, target), striate.connect(target, timeout=60) as service:
    samples = service.samples("digits", count=300)
    images, labels = [s.encoded for s in samples], [s.label or 0 for s in samples]
    audit = service.audit(["digits-lenet5"], dataset="digits", limit=512, attacks=["pgd"])
    while not audit.refresh().metadata.images_done:
        time.sleep(0.05)
    fill(0)
    try:
        audit.wait(timeout=120)
        print("written")
    except striate.StorageFull as error:
        print("ended", audit.refresh().done)
    for work in (
        lambda: service.upload(images, labels),
        lambda: service.build_index("digits-lenet5", dataset="digits", layers=["c1"]),
        lambda: service.audit(["digits-lenet5"], dataset="digits", limit=8, attacks=["fgsm"]),
    ):
        try:
            work()
            print("taken")
        except striate.StorageFull as error:
            print("refused", "disk_floor_bytes" in str(error))
    print(service.model("digits-lenet5").classify(images[:2])[0][0].label is not None)
    (FOLDER / "filler").unlink()
    print(service.upload(images, labels).startswith("upload-"))
    print(service.build_index("digits-lenet5", dataset="digits", layers=["c1"]).wait().images)
    time.sleep(5)  # the end of the audit is written now
with serving(FOLDER, *flags) as (_, target), striate.connect(target, timeout=60) as service:
    print(service.operation(audit.name).error.reason)
"""


def test_a_full_disk_and_back(tmp_path: Path) -> None:
    assert in_mount(tmp_path, "24m", FULL).splitlines() == [
        "ended True",
        *["refused True"] * 3,
        "True",
        "True",
        "1797",
        "STORAGE_FULL",
    ]


READ_ONLY = """
from tests.toys_mounts import read_only
from tests.toys_server import start
read_only(FOLDER)
import tempfile
from pathlib import Path
elsewhere = Path(tempfile.mkdtemp())
server = start(elsewhere, "--state-dir", str(FOLDER))
print(server.process.wait(60))
print(server.log.read_text())
"""


def test_a_read_only_state_folder_is_told_at_the_start(tmp_path: Path) -> None:
    code, *log = in_mount(tmp_path, "4m", READ_ONLY).splitlines()
    assert code == "1"
    assert "cannot be written (Read-only file system)" in log[0]
    assert not any("Traceback" in line for line in log)


@pytest.mark.timeout(600)
def test_what_is_started_outlives_its_server(tmp_path: Path) -> None:
    outcome = under_faults(tmp_path, 5, seed=2)  # `python -m bench faults` kills 50 times
    assert outcome.operations == 4
    assert (outcome.lost, outcome.changed, outcome.left) == ([], [], [])
