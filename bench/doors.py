"""What the doors cost: one unary FGSM on one image through the service over the same in process, in
the clear and with TLS and a token, on a small network and on a large one.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

import striate
from bench.figure import Figure, Figures
from bench.setting import Setting, setting
from bench.timing import interleaved, ratio, seconds
from interp.attack.base import attack
from interp.attack.pgd import fgsm
from interp.network.network import Network
from interp.probe import solve
from service.auth.tokens import digest, new_token
from service.models.blueprint import RANDOM
from service.models.catalogue import Catalogue
from service.models.initialization import randomize

EPSILON = 1 / 255
SMALL_SECONDS = 0.01  # of the small network's FGSM in process: of these the one that is nearest
SMALL = tuple(f"cifar_resnet{depth}" for depth in (20, 32, 44, 56, 110))
LARGE = "resnet18"  # at 224 x 224 pixels


def doors(place: Setting, repeats: int = 150) -> Figures:
    """In turn: in process, in the clear, in process, with TLS and a token."""
    small = min(SMALL, key=lambda name: abs(_in_process(_network(name)) - SMALL_SECONDS))
    figures = Figures()
    with _guarded(place.threads) as (guarded, ca, token):
        for name, turns, clear_bar, guarded_bar in (
            (small, repeats, 1.30, 1.36),
            (LARGE, repeats // 5, 1.05, None),
        ):
            network = _network(name)
            with (
                place.connect() as open_service,
                striate.connect(guarded, ca=ca, token=token, timeout=600) as guarded_service,
            ):
                nets = [one.load(name, "random") for one in (open_service, guarded_service)]
                ask, local = partial(_ask, network), partial(_solve, network)
                calls = {
                    "local": local,
                    "clear": partial(ask, nets[0]),
                    "local again": local,
                    "guarded": partial(ask, nets[1]),
                }
                times = interleaved(calls, turns)
            about = f"unary FGSM of {name} over in process"
            note = f"{1000 * sorted(times['local'])[turns // 2]:.1f} ms in process"
            figures[f"{about}: in the clear"] = Figure(
                ratio(times, "clear", "local"), at_most=clear_bar, note=note
            )
            figures[f"{about}: with TLS and a token"] = Figure(
                ratio(times, "guarded", "local again"), at_most=guarded_bar, note=note
            )
    return figures


def _network(name: str) -> Network:
    """A network with random weights, as a server hosts it."""
    plan = Catalogue(None, {}).blueprint(name, RANDOM)
    module, seen = plan.build(), plan.preprocessing
    randomize(module, seen.shape, seen.mean, seen.std)
    return Network(module.eval(), seen.shape, seen.mean, seen.std)


def _image(network: Network) -> torch.Tensor:
    return torch.rand(1, *network.shape, generator=torch.Generator().manual_seed(0))


def _solve(network: Network) -> None:
    solve(attack(_image(network), torch.tensor([3]), fgsm(), epsilon=EPSILON), network)


def _ask(network: Network, net: striate.Model) -> None:
    net.attack(_image(network).numpy(), [3], striate.FGSM(EPSILON))


def _in_process(network: Network) -> float:
    """The median seconds of some."""
    _solve(network)
    return sorted(seconds(partial(_solve, network)) for _ in range(9))[4]


@contextmanager
def _guarded(threads: int) -> Iterator[tuple[str, Path, str]]:
    """A server with TLS and an auth file: its address, its authority's file and a token."""
    token = new_token()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        key, certificate, auth = (folder / name for name in ("tls.key", "tls.crt", "auth.toml"))
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=localhost"]
        command += ["-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        auth.write_text(f'[[tokens]]\nname = "bench"\nrole = "admin"\nsha256 = "{digest(token)}"\n')
        auth.chmod(0o600)
        flags = ["--tls-certificate", str(certificate), "--tls-key", str(key), "--auth", str(auth)]
        with setting(threads, None, *flags) as guarded:
            yield guarded.target, certificate, token
