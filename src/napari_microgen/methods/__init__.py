"""The published systems, each a method with a Config, a training and a model.

A method is registered here by name and imported only when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_microgen.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_microgen.methods.base import Method, Model

METHODS: dict[str, str] = {
    "fieldgan": "napari_microgen.methods.fieldgan:FieldGAN",
    "slicegan": "napari_microgen.methods.slicegan:SliceGAN",
    "superres": "napari_microgen.methods.superres:SuperRes",
    "dcgan": "napari_microgen.methods.dcgan:DCGAN",
    "excursion": "napari_microgen.methods.excursion:ExcursionSets",
    "shell": "napari_microgen.methods.particles.shell_method:Shells",
    "grains": "napari_microgen.methods.particles.grain_method:Grains",
}
"""Registered methods: name and where the class is; the first is the one that is offered first."""


def get_method(name: str) -> Method:
    """Return the method registered as `name`.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name not in METHODS:
        raise InputError(f"There is no method '{name}'; known are {', '.join(METHODS)}.")
    module, _, attribute = METHODS[name].partition(":")
    method: Method = getattr(import_module(module), attribute)()
    return method


def load_model(path: str | Path) -> Model:
    """Load a model file of any method; nothing in the file is executed.

    Raises
    ------
    InputError
        If the file is missing, damaged, no model of ours, or of an unknown method or version.
    """
    from napari_microgen.io.model_file import read_model
    from napari_microgen.methods.base import Origin

    header, tensors = read_model(path)
    try:
        origin = Origin.from_dict(header)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{path}' is no usable model file: its header lacks or garbles {error}."
        ) from None
    return get_method(origin.method).model_class.from_tensors(origin, tensors)
