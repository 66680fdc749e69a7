"""The digest by which one network is told from another."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

import torch
from torch import Tensor

from service.imaging import Preprocessing


def digest_of(
    architecture: str,
    preprocessing: Preprocessing,
    tensors: Mapping[str, Tensor],
    two_logits: bool,
    graph: bytes = b"",
) -> str:
    """Compute a network's digest.

    Args:
        architecture: its name.
        preprocessing: of its images.
        tensors: its state dict.
        two_logits: one output became two logits (`interp.network.load_checks.one_logit`).
        graph: an ONNX graph that the network is built from; none for others.

    Returns:
        SHA-256 of all of these, 64 hexadecimal digits.
    """
    facts = [architecture, asdict(preprocessing)]
    if two_logits:  # of one output
        facts.append("two logits")
    if graph:
        facts.append(hashlib.sha256(graph).hexdigest())
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(values.numpy().data)
    return digest.hexdigest()
