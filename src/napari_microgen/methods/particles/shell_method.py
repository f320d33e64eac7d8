"""Shells as a method: from a volume of particles to random particles (paper 004, 2.1 and 2.3)."""

from __future__ import annotations

import time
from dataclasses import replace
from math import pi
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

from napari_microgen.errors import InputError
from napari_microgen.methods.base import Config, Input, Method, Origin, Progress
from napari_microgen.methods.particles.segmentation import (
    Segmentation,
    drop_border,
    fill_pores,
    segment_particles,
)
from napari_microgen.methods.particles.shell import ShellLaw, fit_shell, is_possible, measure_shells
from napari_microgen.methods.particles.shell_config import ShellConfig
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.metrics.ks import sample_distance
from napari_microgen.training.checkpoint import load_checkpoint, save_checkpoint
from napari_microgen.training.device import memory_in_use
from napari_microgen.units import count_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_microgen.phases import PhaseImage

FEWEST = 3
FEW = 10
SMALL_RADIUS = 4.0
"""Voxels; of smaller particles the harmonics of order 9 describe the voxels."""

STAR_SHARE = 0.9
REPORT_SECONDS = 0.25
JUDGED = 1000
LOOKED_AT = 500
"""Particles that are looked at before the start, spread over all."""

LEAST_CONTRAST = 0.66
"""Noise has 2 / pi = 0.64."""

LEAST_BULGE = -0.02


class Shells(Method):
    """A CT volume of particles to random star-shaped particles (paper 004)."""

    name = "shell"
    title = "Particle shells"
    paper = "Spherical harmonics with random coefficients (paper 004, sections 2.1 and 2.3)"
    config_class = ShellConfig
    model_class = ShellModel
    budget = ("preset", "minutes", "steps")
    intermediates_title = "Show segmentation"
    inputs = (
        Input(
            "volume", "Particles", "A 3D Labels layer with a number per particle, or a grey CT "
            "volume of bright particles, which is segmented.", ("numbered", "grey"), (3,),
        ),
    )  # fmt: skip

    def check(self, data: Sequence[PhaseImage], config: Config) -> list[str]:
        """Check images and settings; see `Method.check`."""
        settings = _own(config)
        self.check_inputs(data)
        numbered = particles_of(data[0], settings)
        sizes = np.bincount(numbered.ravel())[1:]
        count = int(np.count_nonzero(sizes))
        warnings = _grey_warnings(data[0], settings) if data[0].kind == "grey" else []
        if count < FEWEST:
            found = count_text(count, "whole particle")
            few = (
                f"'{data[0].name}' has {found} away from its border, which tells nothing of how "
                "particles differ; use a volume with at least ten."
            )
            raise InputError(warnings[0] if warnings else few)
        if count < FEW:
            warnings.append(
                f"'{data[0].name}' has only {count} whole particles; ten are the least from which "
                "generated sizes and shapes can be believed."
            )
        radius = float(np.median((3 * sizes[sizes > 0] / (4 * pi)) ** (1 / 3)))
        if radius < SMALL_RADIUS:
            warnings.append(
                f"Half the particles of '{data[0].name}' have a radius below {radius:.1f} voxels; "
                "their generated surfaces will show the voxels more than the particles."
            )
        return warnings + _shape_warnings(data[0], settings, numbered)

    def intermediates(
        self, data: Sequence[PhaseImage], config: Config
    ) -> list[tuple[int, str, NDArray[Any]]]:
        """Return every step of the segmentation; of numbered particles, the whole ones."""
        settings = _own(config)
        self.check_inputs(data)
        if data[0].kind == "numbered":
            return [(0, "whole particles", particles_of(data[0], settings))]
        found = segmentation_of(data[0], settings)
        low, high = data[0].value_range
        smoothed = found.smoothed * np.float32(high - low) + np.float32(low)
        threshold = found.threshold * (high - low) + low
        return [
            (0, "smoothed", smoothed),
            (0, f"above {threshold:.4g}", found.bright),
            (0, "pores filled", found.filled),
            (0, "watershed", found.basins),
            (0, "connected pieces", found.pieces),
            (0, "merged", found.merged),
            (0, "whole particles", found.particles),
        ]

    def memory_needed(self, data: Sequence[PhaseImage], config: Config) -> int:
        """Estimate the memory of the segmentation, or of the labels."""
        voxels = int(np.prod(data[0].shape))
        return int(300e6 + voxels * (48 if data[0].kind == "grey" else 16))

    def train(
        self,
        data: Sequence[PhaseImage],
        config: Config,
        *,
        checkpoint: Path | None = None,
        resume: bool = False,
    ) -> Iterator[Progress]:
        """Fit; see `Method.train`. A step is a particle."""
        settings = _own(config)
        self.check(data, settings)
        return _ShellFit(data[0], settings, self.signature(data, settings), checkpoint).run(resume)


def particles_of(image: PhaseImage, config: ShellConfig) -> NDArray[np.int32]:
    """Return the whole particles of an image, numbered from 1, their closed pores filled.

    Raises
    ------
    InputError
        If there is none.
    """
    if image.kind == "grey":
        return segmentation_of(image, config).particles
    _check_numbered(image)
    particles = drop_border(image.data)
    if not particles.any():
        raise InputError(
            f"Every particle of '{image.name}' meets the border of the volume, where its shape is "
            "cut off; use a larger volume with whole particles."
        )
    return fill_pores(particles)


def _check_numbered(image: PhaseImage) -> None:
    """Raise `InputError` if separate particles all have one number, as after a threshold."""
    numbers = image.data[image.data > 0]
    if numbers.size == 0 or numbers.min() != numbers.max():
        return
    pieces = int(ndimage.label(image.data > 0)[1])
    if pieces > 1:
        raise InputError(
            f"The {pieces} separate pieces of '{image.name}' all have the number {numbers[0]}; "
            "give every particle its own, or give the volume as grey values, which are segmented."
        )


def pores_of(image: PhaseImage, config: ShellConfig, particles: NDArray[np.int32]) -> int:
    """Return how many voxels of the particles were closed pores."""
    solid = image.data > 0 if image.kind == "numbered" else segmentation_of(image, config).bright
    return int(np.count_nonzero((particles > 0) & ~solid))


def segmentation_of(image: PhaseImage, config: ShellConfig) -> Segmentation:
    """Segment a grey volume; the last result is kept with the image."""
    options: dict[str, Any] = {
        "blur": config.blur, "apart": config.apart, "smallest": config.smallest,
        "least_sphericity": config.least_sphericity,
    }  # fmt: skip
    kept = image._cache.get("segmentation")
    if kept is None or kept[0] != options:
        kept = (options, segment_particles(image.data, **options))
        image._cache["segmentation"] = kept
    segmentation: Segmentation = kept[1]
    return segmentation


def _grey_warnings(image: PhaseImage, config: ShellConfig) -> list[str]:
    """Tell of grey values in which there may be no bright particles."""
    found = segmentation_of(image, config)
    if found.contrast < LEAST_CONTRAST:
        return [
            f"The grey values of '{image.name}' fall apart into bright and dark no more than noise "
            "does; look with 'Show segmentation' whether there are particles."
        ]
    if found.bulge < LEAST_BULGE:
        return [
            f"What is dark in '{image.name}' bulges as particles do, and what is bright lies "
            "between; if the particles are dark, invert the image, as bright ones are segmented."
        ]
    return []


def _shape_warnings(
    image: PhaseImage, config: ShellConfig, numbered: NDArray[np.int32]
) -> list[str]:
    """Tell of pores, and of particles that no shell describes; refuse if these are nearly all."""
    warnings = []
    pores = pores_of(image, config, numbered)
    if pores:
        warnings.append(
            f"Closed pores inside the particles of '{image.name}' were filled, "
            f"{count_text(pores, 'voxel')} in all, as a shell is an outer surface."
        )
    star_shaped = _star_shaped(image, config, numbered)
    _check_star_shaped(image, star_shaped)
    odd = int(np.count_nonzero(~star_shaped))
    if odd:
        warnings.append(
            f"Not star-shaped about their middle, and to be left out: {odd} of the "
            f"{count_text(len(star_shaped), 'particle')} looked at in '{image.name}'."
        )
    return warnings


def _boxes(numbered: NDArray[np.int32]) -> list[tuple[int, Any]]:
    """Return number and box of every particle."""
    return [(n, box) for n, box in enumerate(ndimage.find_objects(numbered), 1) if box]


def _fit(
    image: PhaseImage, config: ShellConfig, inside: NDArray[np.bool_], number: int
) -> tuple[NDArray[np.float64], float]:
    """Return the coefficients of a particle in voxels, and the share of it that they hold."""
    length = image.voxel_size[-1]
    random = np.random.default_rng((config.seed, number))
    return fit_shell(inside, [s / length for s in image.voxel_size], random, config.order)


def _star_shaped(
    image: PhaseImage, config: ShellConfig, numbered: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Return which particles are star-shaped, of some of them; kept with the image."""
    key = {**config.to_dict(), "minutes": 0, "steps": 0, "preset": ""}
    kept = image._cache.get("star-shaped")
    if kept is None or kept[0] != key:
        boxes = _boxes(numbered)
        some = boxes[:: -(-len(boxes) // LOOKED_AT)]
        rows = [_fit(image, config, numbered[box] == number, number)[0] for number, box in some]
        kept = (key, is_possible(np.array(rows)))
        image._cache["star-shaped"] = kept
    star_shaped: NDArray[np.bool_] = kept[1]
    return star_shaped


def _check_star_shaped(image: PhaseImage, star_shaped: NDArray[np.bool_]) -> None:
    """Raise `InputError` if hardly any particle can be described."""
    if np.count_nonzero(star_shaped) < FEWEST:
        raise InputError(
            f"The particles of '{image.name}' are not star-shaped about their centres; segment "
            "them into compact particles."
        )


class _ShellFit:
    """The particles of one volume, one after the other, and the law of their coefficients."""

    def __init__(
        self, image: PhaseImage, config: ShellConfig, signature: str, checkpoint: Path | None
    ) -> None:
        self.image, self.config = image, config
        self.signature, self.checkpoint = signature, checkpoint
        self.rows: list[NDArray[np.float64]] = []
        self.shares: list[float] = []
        self.before, self.started = 0.0, time.perf_counter()
        self._reported = self.started

    def run(self, resume: bool) -> Iterator[Progress]:
        numbered = particles_of(self.image, self.config)
        if resume:
            self._restore()
        boxes = _boxes(numbered)
        try:
            for number, box in boxes[len(self.rows) :]:
                if len(self.rows) >= FEWEST and self._used(len(boxes)) >= 1:
                    break
                inside = numbered[box] == number
                row, share = _fit(self.image, self.config, inside, number)
                self.rows.append(row)
                self.shares.append(share)
                if time.perf_counter() - self._reported > REPORT_SECONDS:
                    yield self._progress(len(self.rows) / len(boxes))
        finally:
            self._save()
        yield self._finished()

    def _finished(self) -> Progress:
        rows = np.array(self.rows)
        possible = is_possible(rows)
        _check_star_shaped(self.image, possible)
        rows = rows[possible]
        law = ShellLaw.fit(rows, self.config.centred)
        random = np.random.default_rng((self.config.seed, 0))
        rate = law.rejection_rate(random)
        generated = measure_shells(np.array([law.sample(random) for _ in range(JUDGED)]), 3)
        real = measure_shells(rows, 3)
        fidelity = {
            "volume": sample_distance(real.volumes, generated.volumes).over_noise,
            "sphericity": sample_distance(real.sphericities, generated.sphericities).over_noise,
        }
        fidelity["mean"] = float(np.mean(list(fidelity.values())))
        origin = replace(
            Origin.of_training("shell", self.config, [self.image], "cpu"),
            kind="numbered", phases=(), value_range=(0.0, 1.0), steps=len(self.rows),
            seconds=self._seconds(), fidelity=fidelity,
        )  # fmt: skip
        model = ShellModel(origin, law, rows, self.image.voxel_size[-1], rate)
        message = self._message(law, rate, int(np.count_nonzero(~possible)))
        return replace(self._progress(1.0), fidelity=fidelity, model=model, message=message)

    def _message(self, law: ShellLaw, rate: float, dropped: int) -> str:
        chosen = ", ".join(f"{n} {c[0].family}" for n, c in enumerate(law.choices))
        share = float(np.mean(self.shares))
        text = (
            f"Laws chosen by order: {chosen}; {100 * rate:.1f} % of the shells drawn are "
            f"impossible and drawn again; star shapes hold {100 * share:.0f} % of the volume."
        )
        if share < STAR_SHARE:
            text += " The particles are poorly described as star-shaped."
        if dropped:
            text += f" Left out: {count_text(dropped, 'particle')}, not star-shaped."
        return text

    def _progress(self, fraction: float) -> Progress:
        self._reported = time.perf_counter()
        seconds = self._seconds()
        return Progress(
            len(self.rows), min(fraction, 1.0), seconds, len(self.rows) / max(seconds, 1e-9),
            device="CPU", memory_bytes=memory_in_use(torch.device("cpu")),
        )  # fmt: skip

    def _seconds(self) -> float:
        return self.before + time.perf_counter() - self.started

    def _used(self, total: int) -> float:
        steps = self.config.steps or total
        return max(len(self.rows) / steps, self._seconds() / (60 * self.config.minutes))

    # ------------------------------------------------------------------ checkpoint

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        state = {"signature": self.signature, "seconds": self._seconds(), "shares": self.shares}
        save_checkpoint(self.checkpoint, {**state, "rows": torch.from_numpy(np.array(self.rows))})

    def _restore(self) -> None:
        stored = load_checkpoint(self.checkpoint, self.signature)
        self.before, self.shares = stored["seconds"], list(stored["shares"])
        self.rows = list(stored["rows"].numpy())


def _own(config: Config) -> ShellConfig:
    if not isinstance(config, ShellConfig):
        raise InputError("Particle shells need their own settings (ShellConfig).")
    return config
