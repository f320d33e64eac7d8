"""Reader contribution: a model file dropped on napari opens as a freshly generated volume."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.types import LayerDataTuple

    from napari_microgen.methods.base import Model, Sample

SHAPE = (128, 128, 128)


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], list[LayerDataTuple]] | None:
    """Return a reader for model files of ours, None for what other programs wrote."""
    from napari_microgen.io.model_file import SUFFIX, is_foreign

    paths = [path] if isinstance(path, str) else path
    if any(Path(p).suffix != SUFFIX or is_foreign(p) for p in paths):
        return None
    return read_models


def read_models(path: str | list[str]) -> list[LayerDataTuple]:
    """Generate a volume of `SHAPE` from every model file, with its confidence map.

    Raises
    ------
    InputError
        If a file is damaged, or there is not enough memory.
    """
    from napari_microgen.io.layers import sample_layers
    from napari_microgen.methods import load_model
    from napari_microgen.resources import check_memory

    layers = []
    for each in [path] if isinstance(path, str) else path:
        model = load_model(each)
        check_memory(model.bytes_needed(SHAPE), f"A volume from '{each}'", "close other programs")
        layers += sample_layers(_generated(model, Path(each).name), Path(each).stem)
    return layers


def _generated(model: Model, name: str) -> Sample:
    """Generate a volume; the viewer, which waits for it, shows how far it is."""
    from napari.utils import progress

    with progress(total=100, desc=f"Generating from {name}") as bar:
        steps = model.generate_steps(SHAPE)
        while True:
            try:
                bar.update(round(100 * next(steps)) - bar.n)
            except StopIteration as end:
                sample: Sample = end.value
                return sample
