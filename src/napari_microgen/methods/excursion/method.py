"""Excursion sets as a method: what it asks for, what it checks, and how it is calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Progress
from napari_microgen.methods.excursion.anisotropy import RANGE
from napari_microgen.methods.excursion.config import ExcursionConfig
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.methods.excursion.preparation import (
    LONGEST,
    coarsening,
    find_stretch,
    is_stack,
    prepare,
)
from napari_microgen.methods.excursion.training import MEASURED_SIDE, CalibrationRun
from napari_microgen.methods.rare_phases import rare_phase_warnings
from napari_microgen.training.orientations import check_alike

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_microgen.methods.excursion.estimator import CoverageTarget
    from napari_microgen.methods.excursion.preparation import Preparation
    from napari_microgen.phases import PhaseImage
ANISOTROPIC = 0.1
"""Difference of S2 between axes, over the variance, and of a stretch from that of the images."""

MEND_ANISOTROPY = (
    " in sections normal to z; give an image normal to the direction that differs, and this one "
    "as a section"
)
SMALLEST_SECTION = 16


class ExcursionSets(Method):
    """One image to a parametric model: phases cut out of random fields (paper 002)."""

    name = "excursion"
    title = "Excursion sets"
    paper = "Generative adversarial framework to calibrate excursion set models (paper 002)"
    config_class = ExcursionConfig
    model_class = ExcursionModel
    budget = ("preset", "minutes", "steps", "preview_seconds", "threads")
    inputs = (
        Input(
            "image", "Image", "One image of two or three phases, or a 3D volume; if the material "
            "is longer or shorter along one direction, an image normal to it.",
        ),
        Input(
            "section_y", "Section normal to y", "For materials that are stretched along z: an "
            "image seen along y, with z down its rows.", optional=True,
        ),
        Input(
            "section_x", "Section normal to x", "For materials that are stretched along z: an "
            "image seen along x, with z down its rows.", optional=True,
        ),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        self._check(data)
        prepared = prepare(data)
        return [
            *rare_phase_warnings(data[0], "cannot be calibrated well"),
            *length_warnings(data[0], prepared.seen, MEND_ANISOTROPY),
            *_stretch_warnings(prepared, settings),
        ]

    def notes(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Return what was read off the images; see `Method.notes`."""
        settings = _own(config)
        self._check(data)
        stretch = find_stretch(data)
        if stretch is None or settings.stretch:
            return []
        if stretch == 1:
            return ["Chords are as long along z as across: volumes are not stretched."]
        return [f"Chords are {stretch:.2f} times as long along z as across: so are volumes."]

    def _check(self, data: Sequence[PhaseImage]) -> None:
        self.check_inputs(data)
        image, *sections = data
        if image.n_phases > 3:
            raise InputError(
                f"'{image.name}' has {image.n_phases} phases, and the coverage functions of "
                "excursion sets are known for two and three; merge phases, or use SliceGAN."
            )
        check_alike(data)
        for section in sections:
            if min(section.shape[-2:]) < SMALLEST_SECTION:
                raise InputError(
                    f"'{section.name}' is only {' x '.join(map(str, section.shape))}; chords along "
                    f"z need at least {SMALLEST_SECTION} pixels, so bring a larger section."
                )

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory of the transforms of the image and of the measured volume."""
        _own(config)
        pixels = max(int(np.prod(image.shape)) for image in data)
        return int(400e6 + 80 * pixels + 250 * MEASURED_SIDE**3)

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Calibrate; see `Method.train`.

        A checkpoint holds the fits that are complete, and where an algorithm of the paper stands.
        """
        settings = _own(config)
        self._check(data)
        signature = self.signature(data, settings)
        return CalibrationRun(prepare(data), settings, signature, checkpoint).run(resume)


# ---------------------------------------------------------------------- what the user is told


def length_warnings(image: PhaseImage, target: CoverageTarget, mend: str = "") -> list[str]:
    """Warn of images that are small or coarse for their features, or not isotropic.

    Parameters
    ----------
    image : PhaseImage
    target : CoverageTarget
        Its coverage functions.
    mend : str
        What to do about an image that is not isotropic.
    """
    warnings = []
    length = target.correlation_length
    side = min(image.shape[-2:] if is_stack(image) else image.shape)
    if side < 4 * length:
        warnings.append(
            f"'{image.name}' is {side} voxels wide, less than four times its correlation length "
            f"of {length} voxels; the result may depend on this very section."
        )
    if target.anisotropy > ANISOTROPIC:
        warnings.append(
            f"'{image.name}' looks different along its axes (S2 differs by "
            f"{100 * target.anisotropy:.0f} % of the variance), but the model is isotropic{mend}."
        )
    height, width = image.voxel_size[-2:]
    if not 0.99 < height / width < 1.01:
        warnings.append(
            f"'{image.name}' has pixels of {height:g} x {width:g} {image.unit}, but the generated "
            "voxels are cubes; resample it first, or correct the layer scale."
        )
    factor = coarsening(target)
    if factor > 1:
        warnings.append(
            f"The correlation length is {length} voxels, more than {LONGEST}; only every "
            f"{factor}th voxel is used, and generated voxels are {factor} times as large."
        )
    return warnings


def _stretch_warnings(prepared: Preparation, config: ExcursionConfig) -> list[str]:
    found, wanted = prepared.stretch, config.stretch
    if found and not wanted and not 1.01 * RANGE[0] < found < 0.99 * RANGE[1]:
        return [
            f"Chords along z differ from those across by a factor beyond {RANGE[0]:g} to "
            f"{RANGE[1]:g}; the images are too small to tell, or are not sections of one material: "
            "bring larger ones, or set stretch."
        ]
    if not (found and wanted) or abs(wanted / found - 1) <= ANISOTROPIC:
        return []
    return [
        f"The images are {found:.2f} times as long along z, but volumes will be {wanted:g} times "
        "as long; set stretch to 0 to follow the images."
    ]


def _own(config: Config) -> ExcursionConfig:
    if not isinstance(config, ExcursionConfig):
        raise InputError("Excursion sets need their own settings (ExcursionConfig).")
    return config
