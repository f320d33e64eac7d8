"""What the Compare widget runs and says, without Qt: steps and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError
from napari_microgen.metrics.fidelity import DESCRIPTORS
from napari_microgen.metrics.report import Report, compare_steps
from napari_microgen.metrics.sides import SideReport, measure_steps, memory_needed
from napari_microgen.phases import PhaseImage
from napari_microgen.resources import check_memory
from napari_microgen.training.device import measuring_device
from napari_microgen.widgets.text import words

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Layer

    from napari_microgen.metrics.fidelity import Fidelity
    from napari_microgen.phases import Zero

    Result = Report | SideReport
    Step = tuple[float, str]

TOLD_APART, FAR_APART = 1.5, 3.0
"""Errors over noise from which two images can be told apart, or are nothing alike."""

PATTERN = 2.0
"""Ripple or isotropy, over the real image's, from which it is worth a sentence."""


@dataclass(frozen=True)
class ComparisonPlan:
    """What to measure.

    Attributes
    ----------
    real : Layer
    generated : Layer or None
        Left out, the real image is measured alone.
    zero : {"phase", "unlabelled"}
        What the label 0 means in both.
    families : tuple of str
        Families of metrics.
    sections : tuple of int or None
        Axes that a real section is normal to; None for all three.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute diffusion and correlations.
    """

    real: Layer
    generated: Layer | None
    zero: Zero
    families: tuple[str, ...]
    sections: tuple[int, ...] | None = None
    device: str = "auto"

    @property
    def title(self) -> str:
        """What napari says is running."""
        if self.generated is None:
            return f"Measuring {self.real.name}"
        return f"Comparing {self.generated.name} with {self.real.name}"

    @property
    def bytes_needed(self) -> int:
        """Memory that measuring takes, with a copy of the layers."""
        layers = [layer for layer in (self.real, self.generated) if layer is not None]
        shapes = [layer.data.shape[: layer.ndim] for layer in layers]
        copies = sum(math.prod(s) for s in shapes)
        return 2 * int(copies) + max(memory_needed(s, self.families) for s in shapes)

    def check(self) -> None:
        """Raise `InputError` if measuring does not fit into memory."""
        mend = "leave out diffusion or crop" if "transport" in self.families else "crop"
        check_memory(self.bytes_needed, self.title, f"{mend} the images")


def comparison_steps(plan: ComparisonPlan) -> Generator[Step, None, Result]:
    """Measure or compare; yields the share done and what was done.

    Raises
    ------
    InputError
        If the layers cannot be read or compared, or memory is short.
    """
    plan.check()
    device = measuring_device(plan.device, plan.bytes_needed)
    real, generated = read_pair(plan)
    yield 0.0, "reading the layers"
    if generated is None:
        return (yield from measure_steps(real, plan.families, device=device))
    sections = plan.sections if real.ndim == 2 and generated.ndim == 3 else None
    steps = compare_steps(real, generated, plan.families, sections=sections, device=device)
    return (yield from steps)


def read_pair(plan: ComparisonPlan) -> tuple[PhaseImage, PhaseImage | None]:
    """Copy the layers into images.

    Raises
    ------
    InputError
        If a layer cannot be used, or both are the same.
    """
    real = PhaseImage.from_layer(plan.real, zero=plan.zero)
    if plan.generated is None:
        return real, None
    if plan.real is plan.generated:
        raise InputError(f"'{real.name}' was chosen twice; choose two different layers.")
    return real, PhaseImage.from_layer(plan.generated, zero=plan.zero)


def real_side(result: Result) -> SideReport:
    """Return what was measured on the whole real image."""
    return result.real if isinstance(result, Report) else result


# ---------------------------------------------------------------------- sentences


def verdict(result: Result) -> str:
    """Return in plain words what a result says."""
    if isinstance(result, SideReport):
        return _representative(result)
    if result.fidelity is None:
        return "The images are too small to say whether they can be told apart."
    volume = result.generated.ndim == 3
    which = "In sections, the generated volume" if volume else "The generated image"
    # The worst of them: their mean would hide one that is far off.
    name, ratio = _worst(result.fidelity)
    size = f"{ratio:.2f} times the difference between parts of the real image"
    size = f"at most {size}" if ratio <= TOLD_APART else f"{size}, in {words(name)}"
    text = f"{which} {_told(ratio)} the real image: {size}."
    return " ".join([text, *_patterns(result.fidelity)])


def _told(ratio: float) -> str:
    if ratio <= TOLD_APART:
        return "cannot be told from"
    return "can be told from" if ratio <= FAR_APART else "clearly differs from"


def _worst(fidelity: Fidelity) -> tuple[str, float]:
    """Return the descriptor that differs most, and its error over noise."""
    ratios = {name: float(getattr(fidelity, name)) for name in DESCRIPTORS}
    name = max(ratios, key=lambda n: ratios[n])
    return name, ratios[name]


def _patterns(fidelity: Fidelity) -> list[str]:
    """Return what the mean does not tell: lattices and directions."""
    said = []
    if fidelity.ripple > PATTERN:
        said.append(f"A regular pattern runs through it (ripple {fidelity.ripple:.1f}).")
    if fidelity.isotropy > PATTERN:
        ratio = f"isotropy {fidelity.isotropy:.1f}"
        said.append(f"Some axis is unlike that of the real image ({ratio}).")
    return said


def _representative(side: SideReport) -> str:
    noise = side.representativity
    if noise.too_small:
        return f"'{side.name}' holds too few features to say how well it represents its material."
    errors = {
        p.name: noise.standard_errors[k] / noise.volume_fractions[k]
        for k, p in enumerate(side.phases)
        if noise.volume_fractions[k] > 0
    }
    worst = max(errors, key=lambda name: errors[name])
    return (
        f"'{side.name}' gives every volume fraction to {100 * errors[worst]:.1f} % or better "
        f"(one standard error; '{worst}' is the worst)."
    )


def fidelity_text(fidelity: Fidelity) -> str:
    """Return every error over noise in one line."""
    values = [(words(n), v) for n, v in fidelity.to_dict().items() if n != "mean"]
    return "Error over noise: " + " · ".join(f"{name} {value:.2f}" for name, value in values)


def what_sections_hide(result: Result) -> list[str]:
    """Return what to add to the warnings where the real image is a section."""
    if isinstance(result, SideReport) or result.real.ndim == 3 or result.generated.ndim == 2:
        return []
    if any("no real volume" in w for w in result.warnings):  # said already, of diffusion
        return []
    return [
        "The real image is a section: how phases connect in the volume, and so how they conduct, "
        "is not checked."
    ]
