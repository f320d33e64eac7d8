"""Figures of docs/superres.md: slices at one scale, uncertainty, and Fourier profiles."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap

from napari_microgen.generation.ensemble import ensemble_steps
from napari_microgen.metrics._steps import finish
from napari_microgen.phases import to_indices

SHOWN = 160
"""Side of the slices that are shown, in fine voxels."""

SEEDS = 8
ABSENT = -11
"""Log magnitude below which a phase is not there."""

LINES = {"coarse volume": ":", "image": "-.", "truth": "-", "result": "--"}


def draw(folder, name, model, data, truth, sample, profiles) -> None:
    """Draw every figure of one model.

    `truth` is cropped as the result is, and None if it is not known; `profiles` are Fourier
    profiles by side, shape ``(phases, frequencies)``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw_slices(folder / f"superres_{name}.png", model, data, truth, sample)
    draw_uncertainty(folder / f"superres_{name}_uncertainty.png", model, sample)
    draw_profiles(folder / f"superres_{name}_spectrum.png", profiles)


def draw_slices(path, model, data, truth, sample) -> None:
    """Image, coarse volume, result and truth, each normal to every axis that has an own image."""
    images = data[:-1]
    axes = [0] if len(images) == 1 else [0, 1, 2]
    titles = ["image", "coarse volume", "result", *([] if truth is None else ["truth"])]
    figure, places = plt.subplots(
        len(axes), len(titles), figsize=(3 * len(titles), 3.2 * len(axes)), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    indices = to_indices(sample.data, model.origin.phases)
    for row, axis in zip(places, axes, strict=True):
        image = images[axis].data if len(images) == 3 else images[0].data
        section = image if image.ndim == 2 else image[0]
        parts = [
            section, middle(stretched(model), axis), middle(indices, axis),
            *([] if truth is None else [middle(truth, axis)]),
        ]  # fmt: skip
        looks = [look(model.origin.phases)] * len(titles)
        looks[1] = look(model.low.phases)
        for place, part, title, how in zip(row, parts, titles, looks, strict=True):
            place.imshow(part[:SHOWN, :SHOWN], interpolation="nearest", **how)
            place.set_title(title if len(axes) == 1 else f"{title}, normal to {'zyx'[axis]}")
            place.set_axis_off()
    save(figure, path)


def draw_uncertainty(path, model, sample) -> None:
    """Two seeds, the entropy of more, and where the result disagrees with the coarse volume."""
    shape = sample.data.shape
    other = model.generate(shape, seed=int(sample.provenance["seed"]) + 1)
    ensemble = finish(ensemble_steps(model, shape, SEEDS))
    found = model.disagreement(sample)
    figure, places = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
    how = look(model.origin.phases)
    for place, each, title in zip(
        places, (sample, other), ("a seed", "another seed"), strict=False
    ):
        place.imshow(middle(to_indices(each.data, model.origin.phases), 0)[:SHOWN, :SHOWN], **how)
        place.set_title(title)
    shown = places[2].imshow(middle(ensemble.entropy, 0)[:SHOWN, :SHOWN], vmin=0, vmax=1)
    places[2].set_title(f"entropy of {SEEDS} seeds")
    figure.colorbar(shown, ax=places[2], shrink=0.8)
    cells = int(SHOWN / model.factor)
    marks = middle(found.where, 0)[:cells, :cells]
    first = [round(p / s) for p, s in zip(found.place, found.voxel_size, strict=True)]
    compared = tuple(slice(f, f + n) for f, n in zip(first, found.where.shape, strict=True))
    low = middle(model.low.data[compared], 0)[:cells, :cells]
    places[3].imshow(low, interpolation="nearest", **look(model.low.phases))
    over = np.zeros((*marks.shape, 4))
    over[marks] = (1, 0.24, 0.5, 1)
    places[3].imshow(over, interpolation="nearest")
    places[3].set_title(f"{100 * found.share:.1f} % disagree")
    for place in places:
        place.set_axis_off()
    save(figure, path)


def draw_profiles(path, profiles) -> None:
    """Mean log magnitude over rings of frequency, averaged over the phases that all have."""
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    shared = np.all([np.max(p, axis=1) > ABSENT for p in profiles.values()], axis=0)
    for name, profile in profiles.items():
        mean = np.mean(profile[shared], axis=0)
        frequency = np.linspace(0, 0.5, len(mean))
        axes.plot(frequency[1:], mean[1:], LINES[name], label=name)
    axes.set(xlabel="frequency in cycles per fine voxel", ylabel="log10 magnitude / pixels")
    axes.legend(frameon=False)
    save(figure, path)


def stretched(model):
    """The coarse volume on the voxels of the result."""
    shape, low = model.fitting_shape(), model.low
    nearest = [((np.arange(n) + model.crop + 0.5) / float(model.factor)).astype(int) for n in shape]
    return low.data[np.ix_(*nearest)]


def middle(volume, axis):
    return np.take(volume, volume.shape[axis] // 2, axis=axis)


def look(phases):
    colours = ListedColormap([p.color for p in phases])
    norm = BoundaryNorm(np.arange(len(phases) + 1) - 0.5, len(phases))
    return {"cmap": colours, "norm": norm}


def save(figure, path) -> None:
    figure.savefig(path, dpi=90)
    plt.close(figure)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
