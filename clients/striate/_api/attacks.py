"""Attacks on a model."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from striate._api.stream import AttackStream
from striate._requests.attack import AttackSettings, ImageSettings, RowValues
from striate._requests.attack_stream import ItemEncoder, check_items
from striate._rpc.batching import check_count, send
from striate._rpc.checks import seed_value, whole
from striate._rpc.warnings import warn
from striate.attacks import named_attack
from striate.images import as_batch, naming
from striate.results.attack import SHOWN_ROWS, AttackResult, EpsilonCurve
from striate.v1 import attack_pb2

if TYPE_CHECKING:
    from striate._api.context import ModelContext
    from striate._requests.attack_stream import Items
    from striate.attacks import Attack, EpsilonSearch
    from striate.images import Images
    from striate.images.labels import Labels
    from striate.results.attack import StreamedImage

_READ_AHEAD = 256  # images of a stream that names no number; more than the server's own default
_ROW_BYTES = 64  # of a row in a reply beside its image


def attack(
    net: ModelContext,
    images: Images,
    labels: Labels | None,
    method: Attack | EpsilonSearch | str,
    settings: AttackSettings,
    image_settings: ImageSettings,
    timeout: float | None,
) -> AttackResult:
    """Attacks images, and issues the server's doubts as warnings of the caller's caller.

    Args:
        net: The model, with its connection.
        images: One image or several, see `striate.images`.
        labels: Their classes by index or name, one each or one for all, None for the model's own
            predictions.
        method: How images are attacked, or the name of an attack; an EpsilonSearch tries several
            radii.
        settings: What holds for every image.
        image_settings: What differs from image to image.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        A row an image, in their order.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    chosen = named_attack("attack", method)
    _, result = _send(net, images, labels, chosen, settings, image_settings, timeout)
    warn(_of_attack(result), depth=2)
    return result


def epsilon_curve(
    net: ModelContext,
    images: Images,
    labels: Labels | None,
    search: EpsilonSearch,
    settings: AttackSettings,
    image_settings: ImageSettings,
    timeout: float | None,
) -> EpsilonCurve:
    """Attacks images at several epsilons, and issues doubts as warnings of the caller's caller.

    Args:
        net: The model, with its connection.
        images: One image or several, see `striate.images`.
        labels: Their classes, as for `attack`.
        search: The radii, rising, in pixel units of [0, 1], and how images are attacked at each.
        settings: What holds for every image.
        image_settings: What differs from image to image.
        timeout: Seconds for all of it, None for the connection's default.

    Returns:
        The accuracy at every epsilon, and every image's minimal epsilon.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
        StriateError: The server refused or failed.
    """
    responses, result = _send(net, images, labels, search, settings, image_settings, timeout)
    warn(_of_attack(result), depth=2)
    return EpsilonCurve.read(responses, result, search)


def attack_stream(
    net: ModelContext,
    items: Items,
    method: Attack | EpsilonSearch | str,
    settings: AttackSettings,
    *,
    ordered: bool,
    in_flight: int | None,
    first_id: int,
    timeout: float | None,
) -> Generator[StreamedImage, None, None]:
    """Attacks images one by one; the call begins with the first `next`.

    Args:
        net: The model, with its connection.
        items: Images, or pairs of an image and its label, of any number; read ahead of the server.
        method: How images are attacked, or the name of an attack.
        settings: What holds for every image.
        ordered: Give results in the order of the images, or as they are done.
        in_flight: Images that are read and not yet handed out at most, 1 to 1024, None for as many
            as the server wants.
        first_id: Number of the first image, which seeds its randomness; from 0.
        timeout: Seconds for the whole stream, None for no limit.

    Returns:
        A generator of one result an image; closing it ends the call.

    Raises:
        InvalidArgument: A value is out of its range; the error names the field.
    """
    check_items(items)
    classes = net.info.classes
    common = settings.message(net.info.name, named_attack("attack", method), classes)
    first = attack_pb2.AttackStreamSettings(attack=common)
    size = _READ_AHEAD
    if in_flight is not None:
        size = first.in_flight = whole("in_flight", in_flight, 1, 1024)
    targets: Any = settings.targets
    target = RowValues.read(1, classes, None, targets, ImageSettings()).targets
    encoder = ItemEncoder(classes, seed_value("first_id", first_id), target[0] if target else None)
    stream = AttackStream(net.caller, net.robustness.AttackStream, first, encoder, size)
    return stream.run(items, ordered, timeout)


def _of_attack(result: AttackResult) -> list[str]:
    """The warnings of a result that its provenance has not issued already."""
    return [text for text in result.warnings if text not in result.provenance.warnings]


def _send(
    net: ModelContext,
    images: Images,
    labels: Labels | None,
    method: Attack | EpsilonSearch,
    settings: AttackSettings,
    image_settings: ImageSettings,
    timeout: float | None,
) -> tuple[list[attack_pb2.AttackResponse], AttackResult]:
    """Sends one request, as several messages if need be."""
    classes = net.info.classes
    common = settings.message(net.info.name, method, classes)
    batch = as_batch(images)
    targets: Any = settings.targets
    with naming(batch.names):
        values = RowValues.read(len(batch), classes, labels, targets, image_settings)
    clean = batch.pixels((net.info.channels, *net.info.input_size), SHOWN_ROWS)

    def request(rows: range) -> attack_pb2.AttackRequest:
        message = values.message(rows)
        message.images.CopyFrom(batch.message(rows))
        message.MergeFrom(common)
        if clean is None and rows.start == 0:  # the server resizes them
            message.clean_images = SHOWN_ROWS
        return message

    spans = batch.spans(_reply_bytes(net), whole_groups=settings.deterministic)
    with naming(batch.names):
        responses, provenance = send(net.caller, net.robustness.Attack, spans, request, timeout)
    check_count(sum(len(response.rows) for response in responses), len(batch))
    return responses, AttackResult.read(responses, provenance, method, classes, clean)


def _reply_bytes(net: ModelContext) -> int:
    """Bytes of one adversarial image and its row in a reply; float32 is the larger format."""
    height, width = net.info.input_size
    return net.info.channels * height * width * 4 + _ROW_BYTES
