"""What fools a model: the part of its handle that asks the RobustnessService."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from striate._api.stream import Packer, Stream, check_items
from striate._requests.attack import SEEDS, FormatName, PriorityName, Rows, Settings
from striate._requests.attack_methods import ChoiceName, Drive, Silence
from striate._rpc.batching import check_count, send
from striate._rpc.checks import whole
from striate._rpc.warnings import warn
from striate.attacks import PGD, Attack, EpsilonSearch, LossName, NormName
from striate.images import as_batch
from striate.labels import Label, Labels
from striate.results.attack import AttackResult
from striate.results.attack_stream import StreamedImage
from striate.results.epsilon_curve import EpsilonCurve
from striate.v1 import attack_pb2

if TYPE_CHECKING:
    from striate._api.stream import Items
    from striate._rpc.caller import Caller
    from striate.images import Images
    from striate.results.models import ModelInfo
    from striate.v1 import robustness_pb2_grpc

_PGD = PGD()
_READ_AHEAD = 256  # images of a stream that names no number; more than the server's own default
_ROW_BYTES = 64  # of a row in a reply beside its image


class Fooling:
    """The attacks on one model."""

    _caller: Caller
    _robustness: robustness_pb2_grpc.RobustnessServiceStub
    info: ModelInfo

    def attack(
        self,
        images: Images,
        labels: Labels | None = None,
        attack: Attack | EpsilonSearch = _PGD,
        *,
        targets: Labels | ChoiceName | None = None,
        unit: Silence | Drive | None = None,
        epsilons: Iterable[float] | None = None,
        step_sizes: Iterable[float] | None = None,
        steps: Iterable[int] | None = None,
        seeds: Iterable[int] | None = None,
        seed: int = 0,
        noise_control: bool = False,
        format: FormatName = "float32",  # noqa: A002 - the word that callers know
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> AttackResult:
        """Adversarial examples for the images. A batch too large for one message goes in parts,
        with the same result.

        images: see `striate.images.as_batch`; labels: the true class of each image, index or name,
        one for all, or None for the network's own prediction; attack: a striate.FGSM, PGD, APGD,
        FAB, Square or AutoAttack; targets: classes that the images should be taken for, or "random"
        or "least-likely"; unit: a striate.Silence or Drive, to attack a unit instead of the class;
        epsilons, step_sizes, steps, seeds: one an image, in place of the attack's own and of the
        seed's, the middle two for PGD alone; seed: of random starts, random targets and noise;
        noise_control: also try random noise of equal norm; format: "png" rounds to 8 bits inside
        the ball and measures success on those; deterministic: the bytes do not depend on what else
        the server does; priority: None for interactive. Issues the server's doubts as
        StriateWarning. Raises InvalidArgument, BadImage.
        """
        settings = Settings(targets, unit, seed, noise_control, format, deterministic, priority)
        own = {"epsilons": epsilons, "step_sizes": step_sizes, "steps": steps, "seeds": seeds}
        _, result = self._attack(images, labels, attack, settings, own, timeout)
        warn(result.warnings, depth=1)
        return result

    def epsilon_curve(
        self,
        images: Images,
        labels: Labels | None = None,
        *,
        epsilons: Sequence[float],
        norm: NormName = "linf",
        steps: int = 10,
        bisections: int = 0,
        random_start: bool = False,
        loss: LossName | None = None,
        targets: Labels | ChoiceName | None = None,
        unit: Silence | Drive | None = None,
        seeds: Iterable[int] | None = None,
        seed: int = 0,
        noise_control: bool = False,
        format: FormatName = "float32",  # noqa: A002 - the word that callers know
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> EpsilonCurve:
        """The accuracy under attack at several radii and every image's minimal epsilon, by one
        search that goes from radius to radius.

        epsilons, norm, steps, bisections, random_start, loss: see striate.EpsilonSearch; all else
        as in `attack`. Raises InvalidArgument, BadImage.
        """
        search = EpsilonSearch(tuple(epsilons), norm, steps, bisections, random_start, loss)
        settings = Settings(targets, unit, seed, noise_control, format, deterministic, priority)
        parts, result = self._attack(images, labels, search, settings, {"seeds": seeds}, timeout)
        warn(result.warnings, depth=1)
        return EpsilonCurve.read(parts, result, search)

    def attack_stream(
        self,
        images: Items,
        attack: Attack | EpsilonSearch = _PGD,
        *,
        ordered: bool = True,
        in_flight: int | None = None,
        first_id: int = 0,
        targets: Label | ChoiceName | None = None,
        unit: Silence | Drive | None = None,
        seed: int = 0,
        noise_control: bool = False,
        format: FormatName = "float32",  # noqa: A002 - the word that callers know
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Generator[StreamedImage, None, None]:
        """Adversarial examples for as many images as there are, one by one as the server finds
        them.

        images: an iterable of images, (image, label), (image, label, target) or (image, label,
        target, epsilon), the latter three None where the network's own prediction, any wrong class
        and the attack's own epsilon are meant; it is read in a thread of its own, as answers are
        taken. ordered: hand out in the order of the images, or else as they are found, to be told
        apart by `id`; in_flight: images read but not yet handed out, 1 to 1024, None for as many as
        the server likes, at most 256; first_id: number of the first image, which seeds its
        randomness like the row of that number in `attack`; targets: a class, "random" or
        "least-likely" for images without a target of their own; timeout: seconds for the whole
        stream, None for no limit, whatever the connection's default; priority: None for batch; all
        else as in `attack`.

        A bad image is handed out with its `error`, and the others go on. What the iterable raises
        is raised behind the images that it gave before. Closing the iterator cancels the work.
        Several may run at a time in several threads; other processes, such as those of a data
        loader's workers, need a connection of their own. Raises InvalidArgument at once, and while
        iterating what ends the whole stream, e.g. ModelNotFound or Unavailable.
        """
        settings = Settings(targets, unit, seed, noise_control, format, deterministic, priority)
        check_items(images)
        first = attack_pb2.AttackStreamSettings(
            attack=settings.message(self.info.name, attack, self.info.classes)
        )
        size = _READ_AHEAD
        if in_flight is not None:
            size = first.in_flight = whole("in_flight", in_flight, 1, 1024)
        target = Rows.read(1, self.info.classes, labels=None, targets=targets).targets
        packer = Packer(
            self.info.classes, whole("first_id", first_id, 0, SEEDS), target[0] if target else None
        )
        return Stream(self._caller, self._robustness.AttackStream, first, packer, size).run(
            images, ordered, timeout
        )

    def _attack(
        self,
        images: Images,
        labels: Labels | None,
        attack: Attack | EpsilonSearch,
        settings: Settings,
        own: dict[str, Any],
        timeout: float | None,
    ) -> tuple[list[attack_pb2.AttackResponse], AttackResult]:
        """Sends one request, in parts if need be; `own`: the images' own settings."""
        common = settings.message(self.info.name, attack, self.info.classes)
        batch = as_batch(images)
        targets: Any = settings.targets
        lists = Rows.read(len(batch), self.info.classes, labels=labels, targets=targets, **own)

        def request(rows: range) -> attack_pb2.AttackRequest:
            part = lists.part(rows)
            part.images.CopyFrom(batch.part(rows))
            part.MergeFrom(common)
            return part

        spans = batch.spans(self._adversarial_bytes(), whole_groups=settings.deterministic)
        parts, provenance = send(self._caller, self._robustness.Attack, spans, request, timeout)
        check_count(sum(len(part.rows) for part in parts), len(batch))
        return parts, AttackResult.read(parts, provenance, attack, self.info.classes)

    def _adversarial_bytes(self) -> int:
        """Bytes that one adversarial image and its row take in a reply; float32 is the larger
        format.
        """
        height, width = self.info.input_size
        return self.info.channels * height * width * 4 + _ROW_BYTES
