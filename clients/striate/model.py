"""The handle on one model."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Unpack, overload

from striate._api import (
    attacks,
    attributions,
    classification,
    exemplars,
    layers,
    models,
    visualizations,
)
from striate._requests.attack import AttackSettings, FormatName, ImageSettings
from striate.attacks import PGD, Attack, Drive, EpsilonSearch, LossName, NormName, Silence

if TYPE_CHECKING:
    from pathlib import Path

    from striate._api.attributions import AttributionName, CompositeName
    from striate._api.context import ModelContext
    from striate._api.exemplars import OrderName
    from striate._api.layers import ActivationOrderName, FilterOrderName, ScaleName
    from striate._api.visualizations import Several
    from striate._requests.attack_method import TargetChoiceName
    from striate._requests.attack_stream import Items
    from striate._requests.picture_settings import PictureOptions
    from striate._requests.priority import PriorityName
    from striate._requests.visualize import VisualizeOptions
    from striate.images import Images, One
    from striate.images.labels import Label, Labels
    from striate.objective import Objective
    from striate.objective.expression import FormName
    from striate.results.activations import Activations
    from striate.results.attack import AttackResult, EpsilonCurve, StreamedImage
    from striate.results.attributions import Attributions
    from striate.results.classification import Classifications
    from striate.results.dossier import Dossier
    from striate.results.exemplars import Exemplars
    from striate.results.facets import Facets
    from striate.results.filters import Filters
    from striate.results.layer_pictures import LayerPictures
    from striate.results.tuning import Tuning
    from striate.results.unit_statistics import LayerStatistics, UnitStatistics
    from striate.results.visualization import Visualization, Visualizations

_PGD = PGD()


class Model:
    """One loaded model.

    Every call takes `timeout` in seconds (None: the connection's), raises a StriateError, and on
    Ctrl-C is cancelled on the server too.

    Attributes:
        info: What the model is.
        layers: Its layers in the order of the forward pass.
    """

    def __init__(self, context: ModelContext) -> None:
        self._context = context
        self.info = context.info
        self.layers = context.layers

    def __repr__(self) -> str:
        height, width = self.input_size
        return (
            f"Model({self.name!r}, {self.info.channels}x{height}x{width}, {len(self.layers)} "
            f"layers, {len(self.classes)} classes)"
        )

    @property
    def name(self) -> str:
        """The name by which requests call it."""
        return self.info.name

    @property
    def target(self) -> str:
        """Address of the server that hosts it, as `striate.connect` takes it."""
        return self._context.caller.target

    @property
    def input_size(self) -> tuple[int, int]:
        """Input height and width in pixels."""
        return self.info.input_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.info.classes

    def export(self, path: str | Path, *, timeout: float | None = None) -> Path:
        """Saves the network as a bundle, one file that another server hosts as the same network.

        Args:
            path: Where to, NAME.striate; folders that are missing are made.
            timeout: Seconds, None for the connection's default.

        Returns:
            The path.

        Raises:
            ModelNotExportable: It is built by code of the server's user.
            OSError: The file cannot be written.
        """
        return models.export(self._context.connection, self.name, path, timeout)

    def classify(
        self, images: Images, k: int = 5, *, timeout: float | None = None
    ) -> Classifications:
        """Finds the most probable classes of images.

        Args:
            images: The images, see `striate.images.as_batch`.
            k: Classes of each image, at least 1; more than there are gives all.
            timeout: Seconds, None for the connection's default.

        Returns:
            For every image a list of predictions, most probable first; a single image too gives a
            list of one.

        Raises:
            InvalidArgument: A value is out of its range.
            BadImage: An image cannot be read.
        """
        return classification.classify(self._context, images, k, timeout)

    @overload
    def visualize(
        self,
        objectives: str | Objective,
        *,
        variants: None = None,
        **options: Unpack[VisualizeOptions],
    ) -> Visualization: ...
    @overload
    def visualize(
        self, objectives: str | Objective, *, variants: int, **options: Unpack[VisualizeOptions]
    ) -> Visualizations: ...
    @overload
    def visualize(
        self,
        objectives: Several,
        *,
        variants: int | None = None,
        **options: Unpack[VisualizeOptions],
    ) -> Visualizations: ...
    def visualize(
        self,
        objectives: str | Objective | Several,
        *,
        variants: int | None = None,
        **options: Unpack[VisualizeOptions],
    ) -> Visualization | Visualizations | LayerPictures:
        """Makes the picture that an objective likes best, or those of a list, as one batch.

        Args:
            objectives: "layer:unit", "layer:unit@row,column", "layer:unit@center", "layer" or
                "logits:class"; "neg(...)" or "-..." of a unit for minus its activation, "abs(...)"
                for the magnitude of its activation; a sum of them such as
                "layer:7 - 0.5*layer:8", or what striate.Unit, Direction and Like compose to; or a
                list of up to 64 of these. "layer:*" and "layer:16-31", also in "neg(...)" and
                "abs(...)", give what `visualize_layer` does.
            variants: Pictures of each objective, 1 to 16, which makes the result a list.
            diversity: A layer, or (layer, weight), in which variants are pushed apart.
            start: Images to begin at, one, or one an objective.
            dataset: Data set whose maxima certificates compare with; default: that with the most
                indexed images.
            preview_every: Pictures of every so many steps in `on_progress`; 0 for none.
            include_tensor: Also return exact pixels.
            on_progress: Called with a Progress as steps are done.
            timeout: Seconds, None for the connection's default.
            steps: Gradient steps, 1 to 4096 (256).
            learning_rate: Adam's learning rate, above 0 to 1 (0.1, or 0.02 with start).
            seed: Picks start and transforms.
            size: Height and width of the picture in pixels, 16 to 1024 (the network's).
                What is smaller is shown to the network at its own size.
            transforms: True for random jitter, rotation and scale, False for none, or a sequence of
                views of striate.view.
            parameterization: Where the picture lives, of striate.space (Fourier).
            alpha: Also optimize transparency.
            regularizers: Terms and operators of striate.regularize.
            seeds: Optimize from so many more seeds for the certificate, 0 to 16.
            retries: Try so often again where a picture is dead or below the data set's maximum, 0
                to 8 (2).
            deterministic: The result does not depend on what else the server does.
            priority: "interactive" or "batch", None for interactive.

        Returns:
            A Visualization for one objective without `variants`, else a list of them; LayerPictures
            for a whole layer.

        Raises:
            LayerNotFound: The model has no such layer or unit.
            InvalidArgument: A value is out of its range.
            NotFinite: Values became infinite or not-a-number.
            IndexNotFound: `dataset` has no index of the layer.
        """
        return visualizations.visualize(self._context, objectives, variants, options)

    def visualize_layer(
        self,
        layer: str,
        *,
        units: range | None = None,
        form: FormName = "value",
        sheet: bool = True,
        dataset: str | None = None,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> LayerPictures:
        """Makes the pictures of a layer's units, as they finish.

        The server keeps finished units, also over a restart.

        Args:
            layer: A layer, or "logits".
            units: The units, a range that rises by 1, None for all.
            form: What of every unit is maximized: its "value", minus it ("neg") or its magnitude
                ("abs").
            sheet: End with one picture of all.
            dataset: Data set whose maxima certificates compare with.
            timeout: Seconds for all of it, None for the connection's default.
            settings: How every picture is made, as in `visualize`.

        Returns:
            The pictures: go through them, or ask for their `sheet`. Going through them raises
            LayerNotFound, NotFinite and IndexNotFound.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return visualizations.visualize_layer(
            self._context, layer, units, form, sheet, dataset, timeout, settings
        )

    def facets(
        self,
        unit: str,
        *,
        dataset: str,
        exemplars: int | None = None,
        facets: int | None = None,
        by_layer: str | None = None,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> Facets:
        """Finds the different things that a unit sees: clusters of exemplars, and their pictures.

        Args:
            unit: "layer:unit", or "neg(layer:unit)" or "abs(layer:unit)", whose exemplars and
                pictures are those of minus the unit or of its magnitude.
            dataset: A data set with an index of the layer.
            exemplars: So many of the strongest are clustered, 2 to 100, None for the index's k.
            facets: Clusters, 1 to 8, None for as many as separate best.
            by_layer: Layer whose mean activations are clustered, None for the one before the
                unit's.
            timeout: Seconds, None for the connection's default.
            settings: How every picture is made, as in `visualize`.

        Returns:
            The facets, largest first.

        Raises:
            IndexNotFound: The data set has no index of the layer.
            LayerNotFound: The model has no such layer or unit.
            DatasetNotFound: The server reads no such data set.
            InvalidArgument: A value is out of its range.
        """
        return visualizations.facets(
            self._context, unit, dataset, exemplars, facets, by_layer, timeout, settings
        )

    def dossier(
        self,
        unit: str,
        *,
        dataset: str,
        pictures: int | None = None,
        exemplars: int | None = None,
        images: int | None = None,
        epsilon: float | None = None,
        attack_steps: int | None = None,
        facets: bool = False,
        timeout: float | None = None,
        **settings: Unpack[PictureOptions],
    ) -> Dossier:
        """Compiles what is known of one unit on one page.

        Args:
            unit: "layer:unit", or "neg(layer:unit)" or "abs(layer:unit)", whose exemplars and
                pictures are those of minus the unit or of its magnitude.
            dataset: A data set with an index of the layer.
            pictures: Pictures from different seeds, 1 to 4, None for 1.
            exemplars: Exemplars, 1 to 36, None for 9.
            images: Images of the data set that ablation and PGD are run on, 1 to 512, None for 64.
            epsilon: Radius of PGD in Linf, above 0 to 1, None for 8/255.
            attack_steps: Steps of PGD, 1 to 1000, None for 10.
            facets: Also find the unit's facets.
            timeout: Seconds, None for the connection's default.
            settings: How every picture is made, as in `visualize`.

        Returns:
            The dossier.

        Raises:
            IndexNotFound: The data set has no index of the layer.
            LayerNotFound: The model has no such layer or unit.
            DatasetNotFound: The server reads no such data set.
            InvalidArgument: A value is out of its range.
        """
        return visualizations.dossier(
            self._context,
            unit,
            dataset,
            timeout,
            settings,
            pictures=pictures,
            exemplars=exemplars,
            images=images,
            epsilon=epsilon,
            attack_steps=attack_steps,
            facets=facets,
        )

    def filters(
        self,
        layer: str | None = None,
        scale: ScaleName = "filter",
        zoom: int = 0,
        *,
        order: FilterOrderName = "channel",
        analyze: bool = False,
        spectra: bool = False,
        timeout: float | None = None,
    ) -> Filters:
        """Reads the weights of a convolution, exact and as a picture.

        Args:
            layer: The convolution, None for the first one.
            scale: Each "filter" in its own range, or one "global" range.
            zoom: Pixels a weight, 1 to 32; 0 picks one.
            order: Order of the tiles: by "channel", by "orientation" (Gabor functions first, then
                what none fits) or by "hue" (coloured ones first); the latter two for filters of 1
                or 3 input channels.
            analyze: Also fit Gabor functions and measure colours, for filters of 1 or 3 input
                channels.
            spectra: Also draw amplitude spectra.
            timeout: Seconds, None for the connection's default.

        Returns:
            The filters.

        Raises:
            LayerNotFound: The model has no such layer.
            InvalidArgument: A value is out of its range, or does not suit the layer.
        """
        return layers.filters(
            self._context,
            layer,
            scale,
            zoom,
            order=order,
            analyze=analyze,
            spectra=spectra,
            timeout=timeout,
        )

    def tuning(
        self,
        layer: str | None = None,
        *,
        orientations: int | None = None,
        wavelengths: Iterable[float] | None = None,
        phases: int | None = None,
        contrast: float | None = None,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Tuning:
        """Measures how the units of a layer with rows and columns answer to gratings.

        Args:
            layer: The layer, None for the first convolution.
            orientations: How many orientations, 4 to 72, None for 18.
            wavelengths: Pixels a period, up to 16 of them, each at least 2 and at most the image's
                shorter side, None for 6 that suit the layer.
            phases: How many phases, 1 to 16, None for 8.
            contrast: Michelson's contrast, above 0 to 1, None for 1.
            priority: "interactive" or "batch", None for interactive.
            timeout: Seconds, None for the connection's default.

        Returns:
            The tuning curves.

        Raises:
            LayerNotFound: The model has no such layer.
            InvalidArgument: A value is out of its range.
        """
        return layers.tuning(
            self._context,
            layer,
            orientations=orientations,
            wavelengths=wavelengths,
            phases=phases,
            contrast=contrast,
            priority=priority,
            timeout=timeout,
        )

    def activations(
        self,
        image: One,
        layer: str,
        k: int | None = None,
        *,
        all_units: bool = False,
        order: ActivationOrderName = "peak",
        timeout: float | None = None,
    ) -> Activations:
        """Reads the feature maps of a layer for one image, strongest units first.

        Args:
            image: One image, see `striate.images.as_batch`.
            layer: A layer, or "logits".
            k: Units listed and drawn, 1 to 4096, None for 16.
            all_units: `maps` holds the whole layer, in its own order.
            order: By the largest activation ("peak"), the "mean" or the largest "magnitude" over
                positions.
            timeout: Seconds, None for the connection's default.

        Returns:
            The activations.

        Raises:
            LayerNotFound: The model has no such layer.
            InvalidArgument: A value is out of its range.
            BadImage: The image cannot be read.
        """
        return layers.activations(
            self._context, image, layer, k, all_units=all_units, order=order, timeout=timeout
        )

    def exemplars(
        self,
        unit: str,
        k: int | None = None,
        *,
        dataset: str,
        order: OrderName = "max",
        label: Label | None = None,
        images: bool = True,
        skip_bad: bool = False,
        timeout: float | None = None,
    ) -> Exemplars:
        """Finds the images of a data set on which a unit is most active.

        Args:
            unit: "layer:unit"; of "neg(layer:unit)", or "-layer:unit", "max" gives the images with
                the smallest activation, lowest first, "mean" those with the lowest mean and "min"
                those with the largest activation; of "abs(layer:unit)" "max" gives those with the
                largest |h| at any position, "mean" those with the largest |mean|.
            k: Images, 1 to 100, None for 9, and for all of quantiles.
            dataset: A data set with an index of the layer, see `Service.build_index`.
            order: By the largest ("max"), smallest ("min", lowest first) or "mean" activation over
                positions, by the largest "magnitude", or "quantile" for the images at the index's
                quantiles of the maximum, in rising order.
            label: Only images of this class, index or name, of the data set; with "max" of
                "layer:unit" alone.
            images: False leaves out names, labels and pictures, which makes the answer quick.
            skip_bad: Leave out exemplars whose images cannot be read or decoded any more, and list
                them in `Exemplars.left_out`; else one such image is an error.
            timeout: Seconds, None for the connection's default.

        Returns:
            The exemplars.

        Raises:
            IndexNotFound: The data set has no index of the layer.
            LayerNotFound: The model has no such layer or unit.
            DatasetNotFound: The server reads no such data set.
            InvalidArgument: A value is out of its range.
        """
        return exemplars.exemplars(
            self._context,
            unit,
            k,
            dataset=dataset,
            order=order,
            label=label,
            images=images,
            skip_bad=skip_bad,
            timeout=timeout,
        )

    def statistics(
        self, unit: str, *, dataset: str, timeout: float | None = None
    ) -> UnitStatistics | LayerStatistics:
        """Reads what a unit, or every unit of a layer, does over a data set.

        Args:
            unit: "layer:unit", or "layer" for all its units.
            dataset: A data set with an index of the layer, see `Service.build_index`.
            timeout: Seconds, None for the connection's default.

        Returns:
            The statistics of the unit, or the list of those of the layer's units.

        Raises:
            IndexNotFound: The data set has no index of the layer.
            LayerNotFound: The model has no such layer or unit.
            DatasetNotFound: The server reads no such data set.
        """
        return exemplars.statistics(self._context, unit, dataset, timeout)

    def attribute(
        self,
        images: Images,
        method: AttributionName = "integrated-gradients",
        target: Labels | None = None,
        *,
        unit: str | None = None,
        steps: int | None = None,
        samples: int | None = None,
        noise: float | None = None,
        baseline: float | None = None,
        window: int | None = None,
        stride: int | None = None,
        layer: str | None = None,
        composite: CompositeName | None = None,
        epsilon: float | None = None,
        gamma: float | None = None,
        alpha: float | None = None,
        seed: int = 0,
        opacity: float = 0.6,
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Attributions:
        """Measures how much every pixel has to do with a class, or with a unit.

        Many images go in several messages, with the same result. A setting of another method, but
        for the seed, is refused.

        Args:
            images: The images, see `striate.images.as_batch`.
            method: The attribution method, e.g. "saliency" or "grad-cam".
            target: The class to be explained, index or name, one for all or one an image, or None
                for the network's own prediction.
            unit: "layer:unit", "layer:unit@row,column" or "layer:unit@center" instead of a class.
            steps: Steps of integrated gradients, 1 to 1000, None for 50.
            samples: Copies that SmoothGrad takes, 1 to 1000, None for 25.
            noise: Standard deviation of SmoothGrad's noise, above 0 to 1, None for 0.15.
            baseline: Pixel value in [0, 1] where integrated gradients and DeepLift begin, None for
                0, and that occlusion covers with, None for 0.5.
            window: Side of occlusion's window in pixels, None for an eighth of the image.
            stride: Stride of occlusion in pixels, None for half the window.
            layer: Layer of Grad-CAM, None for the last one with rows and columns.
            composite: Rules of LRP: "epsilon" (None), "gamma" or "alpha-beta" in all layers;
                "epsilon-plus", "epsilon-alpha2-beta1" (z+ or alpha-beta in convolutions, epsilon in
                linear layers), either with "-flat" for the first layer; "epsilon-gamma-box".
            epsilon: Epsilon of LRP's epsilon rule, 1e-12 to 1000, None for 1e-9 where it is the
                rule of all layers and 1e-6 elsewhere.
            gamma: Gamma of LRP's gamma rule, 0 to 1000, None for 0.25.
            alpha: Alpha of "alpha-beta", 1 to 1000, None for 2; beta is alpha - 1.
            seed: Seed of SmoothGrad's noise.
            opacity: Opacity of the heat map over the image, 0 to 1.
            deterministic: Gradients do not depend on what else the server does.
            priority: "interactive" or "batch", None for interactive.
            timeout: Seconds, None for the connection's default.

        Returns:
            The attributions.

        Raises:
            LayerNotFound: The model has no such layer or unit.
            InvalidArgument: A value is out of its range, or a setting is of another method.
            BadImage: An image cannot be read.
            NotExplainable: The method cannot treat a step of this network.
        """
        settings = attributions.AttributionSettings(
            method=method,
            unit=unit,
            steps=steps,
            samples=samples,
            noise=noise,
            baseline=baseline,
            window=window,
            stride=stride,
            layer=layer,
            composite=composite,
            epsilon=epsilon,
            gamma=gamma,
            alpha=alpha,
            seed=seed,
            opacity=opacity,
            deterministic=deterministic,
            priority=priority,
        )
        return attributions.attribute(self._context, images, target, settings, timeout)

    def attack(
        self,
        images: Images,
        labels: Labels | None = None,
        attack: Attack | EpsilonSearch | str = _PGD,
        *,
        targets: Labels | TargetChoiceName | None = None,
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
        """Makes adversarial examples of images, and issues the server's doubts as StriateWarning.

        A batch too large for one message goes in several, with the same result.

        Args:
            images: The images, see `striate.images.as_batch`.
            labels: The true class of each image, index or name, one for all, or None for the
                network's own prediction.
            attack: A striate.FGSM, PGD, APGD, FAB, Square or AutoAttack, or the name of one,
                "pgd", for its default settings.
            targets: Classes that the images should be taken for, or "random" or "least-likely".
            unit: A striate.Silence or Drive, to attack a unit instead of the class.
            epsilons: Radius of each image's ball in place of the attack's.
            step_sizes: Step size of each image in place of the attack's; for PGD alone.
            steps: Gradient steps of each image in place of the attack's; for PGD alone.
            seeds: Seed of each image in place of `seed` and its row.
            seed: Seed of random starts, random targets and noise.
            noise_control: Also try random noise of equal norm.
            format: "float32", or "png" to round to 8 bits inside the ball and measure success on
                those.
            deterministic: The bytes do not depend on what else the server does.
            priority: "interactive" or "batch", None for interactive.
            timeout: Seconds, None for the connection's default.

        Returns:
            The adversarial examples, one row an image.

        Raises:
            InvalidArgument: A value is out of its range.
            BadImage: An image cannot be read.
        """
        return attacks.attack(
            self._context,
            images,
            labels,
            attack,
            AttackSettings(targets, unit, seed, noise_control, format, deterministic, priority),
            ImageSettings(epsilons, step_sizes, steps, seeds),
            timeout,
        )

    def epsilon_curve(
        self,
        images: Images,
        labels: Labels | None = None,
        *,
        epsilons: Sequence[float],
        norm: NormName = "linf",
        steps: int = 10,
        bisections: int = 0,
        fab_steps: int = 0,
        random_start: bool = False,
        loss: LossName | None = None,
        targets: Labels | TargetChoiceName | None = None,
        unit: Silence | Drive | None = None,
        seeds: Iterable[int] | None = None,
        seed: int = 0,
        noise_control: bool = False,
        format: FormatName = "float32",  # noqa: A002 - the word that callers know
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> EpsilonCurve:
        """Measures the accuracy under attack at several epsilons, and every image's minimal one.

        It is one search that goes from epsilon to epsilon.

        Args:
            images: The images, see `striate.images.as_batch`.
            labels: The true class of each image, index or name, one for all, or None for the
                network's own prediction.
            epsilons: Radii in rising order, 1 to 64 of them, in pixel units of [0, 1].
            norm: What they are measured in, "linf", "l2" or "l1".
            steps: Gradient steps for each epsilon, 1 to 10000.
            bisections: So often the gap below each image's minimal epsilon is halved, 0 to 20.
            fab_steps: At last, steps of FAB-T towards each of the 9 most probable wrong classes of
                every image, 0 to 10000; what is nearer is kept. 0 for none. Classes only.
            random_start: Begin at a random point of the first ball.
            loss: What is raised, "cross-entropy", "margin" or "dlr", None for cross-entropy.
            targets: Classes that the images should be taken for, or "random" or "least-likely".
            unit: A striate.Silence or Drive, to attack a unit instead of the class.
            seeds: Seed of each image in place of `seed` and its row.
            seed: Seed of random starts, random targets and noise.
            noise_control: Also try random noise of equal norm.
            format: "float32", or "png" to round to 8 bits inside the ball.
            deterministic: The bytes do not depend on what else the server does.
            priority: "interactive" or "batch", None for interactive.
            timeout: Seconds, None for the connection's default.

        Returns:
            The curve.

        Raises:
            InvalidArgument: A value is out of its range.
            BadImage: An image cannot be read.
        """
        return attacks.epsilon_curve(
            self._context,
            images,
            labels,
            EpsilonSearch(tuple(epsilons), norm, steps, bisections, random_start, loss, fab_steps),
            AttackSettings(targets, unit, seed, noise_control, format, deterministic, priority),
            ImageSettings(seeds=seeds),
            timeout,
        )

    def attack_stream(
        self,
        images: Items,
        attack: Attack | EpsilonSearch | str = _PGD,
        *,
        ordered: bool = True,
        in_flight: int | None = None,
        first_id: int = 0,
        targets: Label | TargetChoiceName | None = None,
        unit: Silence | Drive | None = None,
        seed: int = 0,
        noise_control: bool = False,
        format: FormatName = "float32",  # noqa: A002 - the word that callers know
        deterministic: bool = False,
        priority: PriorityName | None = None,
        timeout: float | None = None,
    ) -> Generator[StreamedImage, None, None]:
        """Makes adversarial examples of as many images as there are, one by one.

        A bad image is handed out with its `error`, and the others go on. What the iterable raises
        is raised behind the images that it gave before. Closing the iterator cancels the work.
        Several streams may run at a time in several threads; other processes, such as a data
        loader's workers, need a connection of their own.

        Args:
            images: An iterable of images, (image, label), (image, label, target) or (image, label,
                target, epsilon), the latter three None where the network's own prediction, any
                wrong class and the attack's own epsilon are meant. It is read in a thread of its
                own, as outcomes are taken.
            attack: A striate.FGSM, PGD, APGD, FAB, Square or AutoAttack, or the name of one,
                "pgd", for its default settings.
            ordered: Hand out in the order of the images, or else as they are found, to be told
                apart by `id`.
            in_flight: Images read but not yet handed out, 1 to 1024, None for as many as the server
                likes, at most 256.
            first_id: Number of the first image, which seeds its randomness like the row of that
                number in `attack`.
            targets: A class, "random" or "least-likely" for images without a target of their own.
            unit: A striate.Silence or Drive, to attack a unit instead of the class.
            seed: Seed of random starts, random targets and noise.
            noise_control: Also try random noise of equal norm.
            format: "float32", or "png" to round to 8 bits inside the ball.
            deterministic: The bytes do not depend on what else the server does.
            priority: "interactive" or "batch", None for batch.
            timeout: Seconds for the whole stream, None for no limit, whatever the connection's
                default.

        Returns:
            An iterator of the outcomes. Iterating raises what ends the whole stream, e.g.
            ModelNotFound or Unavailable.

        Raises:
            InvalidArgument: A value is out of its range.
        """
        return attacks.attack_stream(
            self._context,
            images,
            attack,
            AttackSettings(targets, unit, seed, noise_control, format, deterministic, priority),
            ordered=ordered,
            in_flight=in_flight,
            first_id=first_id,
            timeout=timeout,
        )
