"""What a server imports to start."""

import subprocess
import sys


def test_a_server_of_embedded_networks_starts_without_torchvision() -> None:
    """It takes a third of the start, with the compiler of torch that it imports."""
    program = (
        "import sys, service.server\n"
        "from pathlib import Path\n"
        "from service.models.catalogue import Catalogue\n"
        "Catalogue(None, {}).blueprint('cifar10-plain', '').build()\n"
        "print([name for name in ('torchvision', 'torch._dynamo') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.strip() == "[]"
