"""How far generated volumes are from a real image, in units of the image's own sampling noise.

Every entry is a ratio: the distance between generated and real descriptors over the mean
distance between disjoint parts of the real image (the floor). A perfect generator scores about
1 with as many voxels as a part holds, and about 0.7 with very many, since then only the part's
own noise is left in the distance. Above 1.5 or so the two can be told apart.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.metrics.chords import chords
from napari_microgen.metrics.correlations import (
    along_axes,
    correlation_length,
    radial,
    two_point_maps,
)
from napari_microgen.metrics.fractions import volume_fractions
from napari_microgen.metrics.surfaces import interface_densities, ssa
from napari_microgen.metrics.tables import plain
from napari_microgen.phases import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

MAX_LAG = 48
"""Largest lag and chord that is compared, in voxels; lags also end at two correlation lengths."""

DESCRIPTORS = ("volume_fraction", "s2", "ssa", "chord")


@dataclass(frozen=True)
class Fidelity:
    """Distances to the real image over its own sampling noise; 1 means no difference is seen.

    Attributes
    ----------
    volume_fraction, s2, ssa, chord : float
        Mean absolute difference of volume fractions, two-point correlations, perimeter densities
        of sections and chord-length distributions, over the same between parts of the real image.
    ripple : float
        Standard deviation of the two-dimensional S2 map of sections beyond twice the correlation
        length, over the same of as many real crops of the same size. A lattice left by
        transposed convolutions shows here and nowhere else.
    isotropy : float
        Largest relative deviation of the interface density along an axis from the mean over the
        axes (from the real image's density along it, if the material is not isotropic), over
        the relative spread of the density between the parts of the real image.
    mean : float
        Geometric mean of `volume_fraction`, `s2`, `ssa` and `chord`.
    details : dict
        The raw numbers behind the ratios, as plain JSON types.
    """

    volume_fraction: float
    s2: float
    ssa: float
    chord: float
    ripple: float
    isotropy: float
    mean: float
    details: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, float]:
        """Return the ratios by name."""
        names = (*DESCRIPTORS, "ripple", "isotropy", "mean")
        return {name: float(getattr(self, name)) for name in names}


class Reference:
    """A real image, ready to score generated volumes against.

    Parameters
    ----------
    sections : mapping from int to PhaseImage
        For every axis (0 = z, 1 = y, 2 = x) that there are real sections normal to: an image of
        labels, 2D or a stack of sections with the stack axis first. The same image under all
        three axes means an isotropic material; its descriptors are computed once.

    Raises
    ------
    InputError
        If there is no image, the images hold grey values or different phases, or one is too
        small to be split into four parts.

    Notes
    -----
    A 2D image is split into its four quadrants, as is a stack of fewer than eight sections; a
    longer stack into four groups of neighbouring sections.
    """

    def __init__(self, sections: Mapping[int, PhaseImage]) -> None:
        if not sections:
            raise InputError("Give at least one real section to compare with.")
        images = list(sections.values())
        values = [[p.value for p in image.phases] for image in images]
        for image in images:
            if image.kind != "labels":
                raise InputError(f"'{image.name}' holds {image.kind} values; give it as labels.")
        if any(v != values[0] for v in values):
            raise InputError(
                "The real sections hold different phases "
                f"({' and '.join(str(v) for v in values)}); give every section the same labels."
            )
        self.n_phases = images[0].n_phases
        distinct = {image.digest: image for image in images}
        self.isotropic = len(sections) == 3 and len(distinct) == 1
        truths = {
            digest: _Truth(image, self.isotropic, self.n_phases)
            for digest, image in distinct.items()
        }
        self._truths = {axis: truths[image.digest] for axis, image in sorted(sections.items())}

    def score(self, volumes: Sequence[NDArray[np.uint8]]) -> Fidelity:
        """Compare generated volumes with the real image.

        Parameters
        ----------
        volumes : sequence of ndarray of uint8
            Phase indices ``0..n-1`` (255 unlabelled), shape ``(z, y, x)``; all of one shape.

        Raises
        ------
        InputError
            If there is no volume, or they are not three-dimensional or of different shapes.

        Notes
        -----
        Sections are taken at steps of half the correlation length, as nearer ones say the same.
        """
        shapes = {v.shape for v in volumes}
        if len(shapes) != 1 or len(next(iter(shapes))) != 3:
            raise InputError("Score one or more three-dimensional volumes of the same shape.")
        ratios: dict[str, list[float]] = {name: [] for name in (*DESCRIPTORS, "ripple")}
        ripples, surfaces = [], []
        for axis, truth in self._truths.items():
            stack = _sections(volumes, axis, truth.step)
            generated = truth.describe(stack)
            distances, floors = truth.compare(generated)
            for name in DESCRIPTORS:
                ratios[name].append(distances[name] / floors[name])
            ripples.append(truth.ripples(stack))
            ratios["ripple"].append(ripples[-1][0] / ripples[-1][1])
            surfaces.append(generated.ssa)
        means = {name: float(np.mean(values)) for name, values in ratios.items()}
        mean = float(np.exp(np.mean([np.log(max(means[n], 1e-12)) for n in DESCRIPTORS])))
        densities = np.mean([interface_densities(v) for v in volumes], axis=0)
        isotropy, deviation, real_densities = self._isotropy(densities)
        whole = [truth.whole for truth in self._truths.values()]
        fractions = np.mean([volume_fractions(v, self.n_phases) for v in volumes], axis=0)
        details = {
            "volume_fraction_real": np.mean([w.volume_fraction for w in whole], axis=0),
            "volume_fraction_generated": fractions,
            "ssa_real": np.mean([w.ssa for w in whole], axis=0),
            "ssa_generated": np.mean(surfaces, axis=0),
            "interface_density_real": real_densities,
            "interface_density_generated": densities,
            "isotropy_deviation": deviation,
            "ripple_generated": [r[0] for r in ripples],
            "ripple_real": [r[1] for r in ripples],
            "correlation_length": [t.correlation_length for t in self._truths.values()],
        }
        plain_details = {name: plain(value) for name, value in details.items()}
        return Fidelity(**means, isotropy=isotropy, mean=mean, details=plain_details)

    def score_image(self, image: PhaseImage, axis: int = 0) -> dict[str, float]:
        """Compare another real image of the material: what a perfect copy of it would score.

        Parameters
        ----------
        image : PhaseImage
            Labels of the same phases; 2D, or a stack of sections with the stack axis first.
        axis : int
            The axis that its sections are normal to.

        Returns
        -------
        dict
            The ratios of `Fidelity` that one image has, and their mean.
        """
        truth = self._truths[axis]
        stack = image.data[None] if image.ndim == 2 else image.data
        distances, floors = truth.compare(truth.describe(stack))
        ratios = {name: distances[name] / floors[name] for name in DESCRIPTORS}
        ripple, real = truth.ripples(stack)
        mean = float(np.exp(np.mean(np.log(np.maximum(list(ratios.values()), 1e-12)))))
        return {**ratios, "ripple": ripple / real, "mean": mean}

    def _isotropy(self, densities: NDArray[np.float64]) -> tuple[float, float, NDArray[np.float64]]:
        """Return deviation over spread, the largest deviation, and the real densities."""
        found: list[list[float]] = [[], [], []]
        spreads = []
        for normal, truth in self._truths.items():
            inside = [axis for axis in range(3) if axis != normal]
            for column, axis in enumerate(inside):
                parts = truth.part_densities if self.isotropic else truth.part_densities[:, column]
                found[axis].append(float(parts.mean()))
                spreads.append(float(parts.std() / max(parts.mean(), 1e-12)))
        real = np.array([np.mean(f) if f else np.nan for f in found])
        target = np.full(3, densities.mean()) if self.isotropic else real
        # Of laminates no interface crosses some axes, and all parts are alike.
        least = max(truth.least for truth in self._truths.values())
        deviation = float(np.nanmax(np.abs(densities - target) / np.maximum(target, least)))
        return deviation / max(float(np.mean(spreads)), least), deviation, real


class _Descriptors(NamedTuple):
    """What sections are compared by; curves run over lags or lengths in their last axis."""

    volume_fraction: NDArray[np.float64]
    s2: NDArray[np.float64]
    ssa: NDArray[np.float64]
    chord: NDArray[np.float64]

    def cut_like(self, other: _Descriptors) -> _Descriptors:
        """Return the same with curves no longer than those of `other`."""
        s2, chord = other.s2.shape[-1], other.chord.shape[-1]
        return self._replace(s2=self.s2[..., :s2], chord=self.chord[..., :chord])

    def distances(self, other: _Descriptors) -> dict[str, float]:
        """Return the mean absolute difference of every descriptor."""
        return {
            name: float(np.nanmean(np.abs(getattr(self, name) - getattr(other, name))))
            for name in DESCRIPTORS
        }


def _describe(
    stack: NDArray[np.uint8], n_phases: int, max_lag: int, max_chord: int, isotropic: bool
) -> _Descriptors:
    """Describe a stack of sections ``(n, y, x)``."""
    side = min(stack.shape[1:]) * 3 // 4
    maps = two_point_maps(stack, n_phases, max_lag=min(max_lag, side), stacked=True, exact=False)
    curves = radial(maps, 2)[1] if isotropic else np.concatenate(along_axes(maps, 2))
    longest = min(max_chord, side)
    survivals = [chords(stack, n_phases, axis).survival()[:, 2 : longest + 1] for axis in (1, 2)]
    return _Descriptors(
        volume_fractions(stack, n_phases),
        curves[:, 1:],
        ssa(stack, n_phases, stacked=True),
        1 - np.stack(survivals),
    )


class _Truth:
    """One real image: its parts, their descriptors, and the distances between them."""

    def __init__(self, image: PhaseImage, isotropic: bool, n_phases: int) -> None:
        self.isotropic, self.n_phases = isotropic, n_phases
        self.stack = image.data[None] if image.ndim == 2 else _distinct(image.data)
        parts = _parts(self.stack, image.name)
        side = min(parts[0].shape[1:])
        maps = two_point_maps(
            self.stack, n_phases, max_lag=min(2 * MAX_LAG, side), stacked=True, exact=False
        )
        self.correlation_length = correlation_length(maps, 2)
        # Beyond twice the correlation length lies noise, which would hide a difference.
        self.max_lag = min(max(8, 2 * self.correlation_length), side // 2, MAX_LAG)
        self.max_chord = min(side // 2, MAX_LAG)
        # Odd, so as not to sample a lattice of an even period always at the same place.
        self.step = int(np.clip(self.correlation_length // 2, 1, 8)) // 2 * 2 + 1
        self.whole = self.describe(self.stack)
        self.parts = [self.describe(p) for p in parts]
        self.part_densities = np.array([interface_densities(p, stacked=True) for p in parts])
        # A floor below one voxel of a part would be an accident (a laminate, say).
        self.least = 1 / parts[0].size
        self._ripples: dict[tuple[int, int, int], float] = {}

    def describe(self, stack: NDArray[np.uint8]) -> _Descriptors:
        """Describe sections by what this image is described by."""
        return _describe(stack, self.n_phases, self.max_lag, self.max_chord, self.isotropic)

    def compare(self, generated: _Descriptors) -> tuple[dict[str, float], dict[str, float]]:
        """Return the distance to the parts and between the parts, by descriptor."""
        parts = [part.cut_like(generated) for part in self.parts]
        to_parts = [generated.distances(p) for p in parts]
        between = [a.distances(b) for a, b in itertools.combinations(parts, 2)]
        floors = {n: max(float(np.mean([d[n] for d in between])), self.least) for n in DESCRIPTORS}
        return {n: float(np.mean([d[n] for d in to_parts])) for n in DESCRIPTORS}, floors

    def ripples(self, stack: NDArray[np.uint8]) -> tuple[float, float]:
        """Return the ripple of generated sections and of as many real crops of the same size."""
        height, width = (
            min(a, b) for a, b in zip(stack.shape[1:], self.stack.shape[1:], strict=True)
        )
        crops = np.stack(_labelled(self._crops(height, width, len(stack))))
        # Sampling noise falls with the area, so no more is taken of one side than of the other.
        groups = np.array_split(stack[:, :height, :width], -(-len(stack) // len(crops)))
        key = (height, width, len(groups[0]))
        if key not in self._ripples:
            self._ripples[key] = max(self._ripple(crops[: len(groups[0])]), 1e-6)
        squares = [self._ripple(group) ** 2 for group in groups]
        return float(np.sqrt(np.mean(squares))), self._ripples[key]

    def _crops(self, height: int, width: int, count: int) -> NDArray[np.uint8]:
        """Return up to `count` disjoint crops, spread evenly over the real image."""
        _, rows, columns = (
            n // m for n, m in zip(self.stack.shape, (1, height, width), strict=True)
        )
        places = list(itertools.product(range(len(self.stack)), range(rows), range(columns)))
        chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).astype(int))
        return np.stack([
            self.stack[s, r * height : (r + 1) * height, c * width : (c + 1) * width]
            for s, r, c in (places[i] for i in chosen)
        ])  # fmt: skip

    def _ripple(self, sections: NDArray[np.uint8]) -> float:
        """Return the standard deviation of S2 beyond two correlation lengths, over phases."""
        lag = min(MAX_LAG, min(sections.shape[1:]) // 2)
        maps = two_point_maps(sections, self.n_phases, max_lag=lag, stacked=True, exact=False)
        grid = np.hypot(*np.ogrid[-lag : lag + 1, -lag : lag + 1])
        far = grid > min(2 * self.correlation_length, lag * 2 // 3)
        return float(np.mean(np.nanstd(maps[:, far], axis=1)))


def _distinct(stack: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Drop sections that are copies of others, turned or mirrored.

    Training stacks are often enlarged by such copies; counted as different parts of the
    material, they would make its sampling noise look like none.
    """
    first: dict[bytes, int] = {}
    for index, section in enumerate(stack):
        turned = (np.rot90(s, k) for s in (section, section.T) for k in range(4))
        digests = (sha256(np.ascontiguousarray(t).data).digest() for t in turned)
        first.setdefault(min(digests), index)
    return stack[sorted(first.values())]


def _parts(stack: NDArray[np.uint8], name: str) -> list[NDArray[np.uint8]]:
    """Split a stack of sections into four disjoint parts."""
    n, height, width = stack.shape
    if n >= 8:
        parts = np.array_split(stack, 4)
    else:
        y, x = height // 2, width // 2
        parts = [stack[:, r, c] for r in (slice(0, y), slice(y, 2 * y))
                 for c in (slice(0, x), slice(x, 2 * x))]  # fmt: skip
    if min(parts[0].shape[1:]) < 8:
        raise InputError(
            f"'{name}' is too small to be compared with (shape {height} x {width}); use a "
            "section of at least 16 x 16 pixels."
        )
    labelled = [p for p in parts if np.mean(p != UNLABELLED) > 0.1]
    if len(labelled) < 2:
        raise InputError(
            f"'{name}' is labelled in less than half of its quarters; crop it to the labelled part."
        )
    return labelled


def _sections(volumes: Sequence[NDArray[np.uint8]], axis: int, step: int) -> NDArray[np.uint8]:
    """Return every `step`-th section normal to `axis` of all volumes as one stack."""
    step = max(1, min(step, volumes[0].shape[axis] // 2))
    start = (volumes[0].shape[axis] - 1) % step // 2
    return np.stack(_labelled([s for v in volumes for s in np.moveaxis(v, axis, 0)[start::step]]))


def _labelled(images: Iterable[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Return those of some images that are labelled in more than a tenth; all if none is."""
    images = list(images)
    return [image for image in images if np.mean(image != UNLABELLED) > 0.1] or images
