"""Draw docs/images/sample_*.png and print the tables of docs/samples.md.

Run it from the repository's root: python docs/make_sample_figures.py [SAMPLE]...
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch

from napari_microgen.metrics.chords import mean_chords
from napari_microgen.metrics.surfaces import ssa
from napari_microgen.metrics.transport import transport
from napari_microgen.sample_data import SAMPLES, sample_image

IMAGES = Path(__file__).parent / "images"
CROP = 256
"""Voxels of a section that are shown along each axis, so that single ones can be seen."""


def draw(name):
    """Draw every part of a sample in one row."""
    material = SAMPLES[name]
    images = [sample_image(name, part.name) for part in material.parts]
    figure, axes = plt.subplots(
        1, len(images), figsize=(4.2 * len(images), 4.8), layout="constrained", dpi=80
    )
    for axis, image, part in zip(axes, images, material.parts, strict=True):
        axis.set_axis_off()
        axis.set_title(part.name, fontsize=11)
        colors = [phase.color for phase in image.phases]
        look = (
            {"cmap": "gray", "vmin": 0, "vmax": 1}
            if image.kind == "grey"
            else {"cmap": ListedColormap(colors), "vmin": -0.5, "vmax": len(colors) - 0.5}
        )
        if image.ndim == 3:
            axis.imshow(cube(image.data, colors))
        else:
            axis.imshow(image.data[:CROP, :CROP], interpolation="nearest", **look)
            draw_scale_bar(axis, material)
            axis.text(0, CROP + 12, f"{part.axes[0]} down, {part.axes[1]} right", fontsize=9)
    handles = [Patch(color=phase.color, label=phase.name) for phase in material.phases]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    path = IMAGES / f"sample_{name}.png"
    figure.savefig(path)
    plt.close(figure)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def cube(volume, colors):
    """Show the faces of a volume at its first z, last y and last x, as on a solid cube.

    Returns the picture, shape ``(height, width, 3)``, white around the cube.
    """
    side = len(volume)
    right, up = np.array([np.cos(0.5), np.sin(0.5)]) * side, np.array([0, side])
    left = right * (-1, 1)
    faces = [  # the image, the place of its first voxel, its ways down and across, its shade
        (volume[0], left + right + up, -right, -left, 0.0),
        (volume[:, -1], left + up, -up, -left, 0.12),
        (volume[..., -1], right + up, -up, -right, 0.25),
    ]
    x, y = np.meshgrid(np.arange(-side, side, 0.5), np.arange(2 * side, 0, -0.5))
    palette = np.array([to_rgb(color) for color in colors])
    picture = np.ones((*x.shape, 3))
    for face, start, down, across, shade in faces:
        inverse = np.linalg.inv(np.column_stack([down, across]))
        at = np.tensordot(inverse, np.stack([x - start[0], y - start[1]]), 1)
        inside = ((at >= 0) & (at <= 1)).all(axis=0)
        rows, columns = (at[:, inside] * side).astype(int).clip(max=side - 1)
        picture[inside] = palette[face[rows, columns]] * (1 - shade)
    return picture


def draw_scale_bar(axis, material):
    """Draw a bar of 50 voxels and its length."""
    length = 50 * material.voxel_size
    unit = {"um": "µm"}.get(material.unit, material.unit)
    axis.plot([CROP - 60, CROP - 10], [CROP + 8] * 2, color="black", lw=3, clip_on=False)
    axis.text(CROP - 35, CROP + 25, f"{length:g} {unit}", ha="center", fontsize=9)
    axis.set(xlim=(0, CROP), ylim=(CROP + 32, 0))


def print_table(name):
    """Print the truth of every part of a sample that holds labels, lengths in voxels."""
    print("| part | phase | fraction | surface | mean chord | D_rel |\n|---|---|---|---|---|---|")
    for part in SAMPLES[name].parts:
        image = sample_image(name, part.name)
        if image.kind != "labels":
            continue
        count = image.n_phases
        surfaces, lengths = ssa(image.data, count), mean_chords(image.data, count)
        for i, phase in enumerate(image.phases):
            chords = ", ".join(f"{a} {n:.1f}" for a, n in zip(part.axes, lengths[i], strict=True))
            spread = "–"
            if image.ndim == 3:
                values = (transport(image.data, i, axis).d_rel for axis in range(3))
                spread = ", ".join(f"{a} {v:.3f}" for a, v in zip("zyx", values, strict=True))
            print(
                f"| {part.name} | {phase.name} | {image.fractions[i]:.3f} | {surfaces[i]:.3f} "
                f"| {chords} | {spread} |"
            )


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for chosen in sys.argv[1:] or SAMPLES:
        draw(chosen)
        print_table(chosen)
