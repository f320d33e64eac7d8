"""Grains as a method: from planar sections to grain architectures (paper 004, 2.2, 2.4, 2.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Plot
from napari_microgen.methods.particles.cutouts import SectionCutouts
from napari_microgen.methods.particles.grain_config import GrainConfig
from napari_microgen.methods.particles.grain_model import GrainModel
from napari_microgen.methods.particles.grain_training import GrainTraining
from napari_microgen.methods.particles.sections import read_section, unit_length
from napari_microgen.metrics.grains import section_descriptors
from napari_microgen.training.loop import Schedule, TrainingLoop
from napari_microgen.units import count_text, length_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.methods.base import Progress
    from napari_microgen.methods.particles.sections import Section
    from napari_microgen.phases import PhaseImage

UNINDEXED = 0.2
"""Share of unindexed pixels above which the user is warned."""

NO_PREFERENCE = 0.1
"""KS distance of the angles from a uniform distribution below which grains point anywhere."""

HUGE = 0.2
"""Share of a section above which a grain may be no grain but the background."""

OTHERS = 0.02
"""Share of indexed pixels outside the particle above which these are no specks."""

COARSE = 5.0
"""Grains narrower than so many pixels are drawn too coarsely to have a shape."""

FEW = 200
BARS = 6
_BAR_MIDDLES = tuple((i + 0.5) * 90 / BARS for i in range(BARS))


class Grains(Method):
    """EBSD sections through particles to 3D grain architectures (paper 004)."""

    name = "grains"
    title = "Particle grains"
    paper = "Stereological GAN of a generalised balanced power diagram (paper 004)"
    config_class = GrainConfig
    model_class = GrainModel
    budget = ("preset", "minutes", "steps", "preview_seconds", "threads")
    points = "centres"
    intermediates_title = "Show filled sections"
    inputs = (
        Input(
            "section", "Section", "A 2D Labels layer with a number per grain of a section through "
            "a particle's centre, 0 for what was not indexed.", ("numbered",), several=True,
        ),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        sections = self.read(data, settings)
        SectionCutouts(sections, unit_length(sections))
        warnings = [w for section in sections for w in _section_warnings(section)]
        count = sum(s.n_grains for s in sections)
        if count < FEW:
            warnings.append(
                f"There are only {count:,} grains to learn from; {FEW} are the least from which "
                "distributions can be told."
            )
        return warnings

    def warning_plot(self, data: Sequence[PhaseImage], config: Config) -> Plot | None:
        """Return the angles of the sections whose grains point anywhere; see `Method`."""
        curves = {
            section.name: (_BAR_MIDDLES, shares.tolist())
            for section in self.read(data, _own(config))
            if (shares := _even_angles(section)) is not None
        }
        if not curves:
            return None
        heading = "Share of grains (%) by angle to the centre (°); dashed: evenly spread"
        return Plot(heading, curves, 100 / BARS)

    def read(self, data: Sequence[PhaseImage], config: GrainConfig) -> list[Section]:
        """Return the sections that the images show, filled and with their centres.

        Raises
        ------
        InputError
            If they cannot be learned from.
        """
        self.check_inputs(data)
        images = [part for image in data for part in _flat(image, config.stack)]
        size = images[0].voxel_size
        for other in images[1:]:
            _check_same_pixels(images[0], other)
        if abs(size[0] / size[1] - 1) > 0.01:
            raise InputError(
                f"'{images[0].name}' has pixels of {size[0]:g} x {size[1]:g} {images[0].unit}; "
                "resample it to square ones."
            )
        centres = config.given_centres
        if centres and len(centres) != len(images):
            raise InputError(
                f"There are {count_text(len(images), 'section')} and "
                f"{count_text(len(centres), 'centre')}; give one centre per section in the order "
                "of the sections, or none for the centroids."
            )
        if not centres:
            return [read_section(image) for image in images]
        return [read_section(i, c) for i, c in zip(images, centres, strict=True)]

    def intermediates(
        self, data: Sequence[PhaseImage], config: Config
    ) -> list[tuple[int, str, NDArray[Any]]]:
        """Return the sections with every pixel of the particle given to a grain."""
        settings = _own(config)
        filled = iter(self.read(data, settings))
        shown: list[tuple[int, str, NDArray[Any]]] = []
        for i, image in enumerate(data):
            parts = [next(filled).numbers for _ in _flat(image, settings.stack)]
            shown.append((i, "filled", parts[0] if image.ndim == 2 else np.stack(parts)))
        return shown

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory of the tessellations of one step and of the sections."""
        settings = _own(config)
        cutouts = settings.generated * 32**2 * 4
        pixels = sum(int(np.prod(i.shape)) for i in data)
        return int(400e6 + cutouts * (250 * 3 + 48 * 6) + settings.batch * 2e6 + 60 * pixels)

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Train; see `Method.train`."""
        settings = _own(config)
        sections = self.read(data, settings)
        schedule = Schedule(
            settings.minutes, settings.steps, settings.fidelity_every, 0, settings.preview_seconds
        )
        loop = TrainingLoop(
            lambda: GrainTraining(data, sections, settings), schedule,
            self.signature(data, settings), checkpoint,
        )  # fmt: skip
        return loop.run(resume)


def _flat(image: PhaseImage, stack: bool) -> list[PhaseImage]:
    """Return the sections of an image."""
    if image.ndim == 2:
        return [image]
    if not stack:
        raise InputError(
            f"'{image.name}' is 3D; grains are learned from 2D sections, so turn on 'stack' if its "
            "slices are sections of different particles, or choose the slice through the centre."
        )
    return [
        replace(image, data=part, voxel_size=image.voxel_size[1:], name=f"{image.name}, {i}")
        for i, part in enumerate(image.data)
    ]


def _section_warnings(section: Section) -> list[str]:
    warnings = []
    if section.unindexed > UNINDEXED:
        warnings.append(
            f"{100 * section.unindexed:.0f} % of the particle in '{section.name}' is not indexed "
            "and goes to the nearest grains."
        )
    if section.left_out > OTHERS:
        warnings.append(
            f"'{section.name}' shows more than one particle; {100 * section.left_out:.0f} % of its "
            "indexed pixels lie in others and are left out. The largest is taken, unless another "
            "one's centre is given."
        )
    number, share = section.largest
    if share > HUGE:
        warnings.append(
            f"One grain of '{section.name}' (label {number}) covers {100 * share:.0f} % of what is "
            "indexed; if it is the background, give it the label 0."
        )
    width = float(np.sqrt(section.area / section.n_grains))
    if width < COARSE:
        warnings.append(
            f"The grains of '{section.name}' are only {width:.1f} pixels wide; a finer map would "
            "show their shapes better."
        )
    shares = _even_angles(section)
    if shares is not None:
        told = ", ".join(f"{share:.0f}" for share in shares)
        warnings.append(
            f"The grains of '{section.name}' do not point to the centre more than elsewhere "
            f"(angles in steps of {90 // BARS} degrees: {told} %; evenly spread: "
            f"{100 / BARS:.0f} % each); it may not pass through the particle's centre, and is "
            "better left out."
        )
    return warnings


def _even_angles(section: Section) -> NDArray[np.float64] | None:
    """Return the histogram of angles in percent if grains do not point to the centre."""
    angles = section_descriptors(section.numbers, section.centre)["angle"]
    if radial_preference(angles) >= NO_PREFERENCE:
        return None
    counts, _ = np.histogram(angles, BARS, (0, 90))
    return np.asarray(100 * counts / max(1, len(angles)))


def radial_preference(angles: NDArray[np.float64]) -> float:
    """Return the KS distance of angles to the radius, in degrees, from an even distribution."""
    if not len(angles):
        return 0.0
    ordered = np.sort(angles) / 90
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.max(steps[1:] - ordered), np.max(ordered - steps[:-1])))


def _own(config: Config) -> GrainConfig:
    if not isinstance(config, GrainConfig):
        raise InputError("Particle grains need their own settings (GrainConfig).")
    return config


def _check_same_pixels(first: PhaseImage, other: PhaseImage) -> None:
    """Raise `InputError` if two sections have pixels of different physical sizes."""
    ratio = 1.0 if first.unit == other.unit else length_ratio(other.unit, first.unit)
    if ratio is None:
        unknown = first if first.unit == "pixel" else other
        raise InputError(
            f"'{unknown.name}' has no pixel size, but other sections have; set its scale and unit."
        )
    if not np.allclose(np.array(other.voxel_size) * ratio, first.voxel_size, rtol=0.01, atol=0):
        raise InputError(
            f"'{first.name}' has pixels of {first.voxel_size[0]:g} {first.unit} and '{other.name}' "
            f"of {other.voxel_size[0]:g} {other.unit}; resample the sections to one pixel size."
        )
