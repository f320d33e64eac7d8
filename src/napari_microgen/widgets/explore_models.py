"""Which models can be explored, and where they are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_microgen.io.layers import METADATA_KEY
from napari_microgen.methods.excursion.exploration import fresh_model
from napari_microgen.methods.excursion.model import ExcursionModel
from napari_microgen.widgets.jobs import NamedModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_microgen.widgets.jobs import Jobs

FRESH = {2: "A new one of two phases", 3: "A new one of three phases"}


@dataclass(frozen=True, eq=False)
class Source:
    """Something that a model can be taken from.

    Attributes
    ----------
    title : str
        What a list of choices calls it.
    name : str
        What the model itself is called.
    of : NamedModel, Layer or int
        A model of this session, a layer that carries its model, or the number of phases of a
        fresh one.
    """

    title: str
    name: str
    of: Any

    @property
    def fresh(self) -> bool:
        """Whether the model was learned from nothing."""
        return isinstance(self.of, int)

    def model(self) -> ExcursionModel:
        """Return the model.

        Raises
        ------
        InputError
            If a layer does not carry all of it.
        """
        if isinstance(self.of, int):
            return fresh_model(self.of)
        if isinstance(self.of, NamedModel):
            assert isinstance(self.of.model, ExcursionModel)
            return self.of.model
        return ExcursionModel.from_provenance(self.of.metadata[METADATA_KEY])


def sources(jobs: Jobs, viewer: ViewerModel, without: Sequence[Layer] = ()) -> list[Source]:
    """Return what can be explored: models of this session, layers that carry one, fresh ones."""
    found = [Source(m.name, m.name, m) for m in jobs.models if isinstance(m.model, ExcursionModel)]
    found += [
        Source(f"Layer '{layer.name}'", layer.name, layer)
        for layer in viewer.layers
        if layer not in without and carries_model(layer)
    ]
    return found + [Source(title, title.lower(), n) for n, title in FRESH.items()]


def carries_model(layer: Layer) -> bool:
    """Whether a layer holds the parameters of an excursion set."""
    origin = layer.metadata.get(METADATA_KEY)
    if not isinstance(origin, dict) or "parameters" not in origin:
        return False
    return bool(origin.get("model", {}).get("method") == "excursion")


def tried_rows(model: ExcursionModel) -> list[tuple[str, ...]]:
    """Return what was fitted, the chosen model first: its first phase, and its misfits."""
    rows: list[tuple[str, ...]] = []
    tried: list[dict[str, Any]] = list(model.table())
    for fit in tried:
        first = model.origin.phases[fit["roles"][0]].name
        rows.append((
            f"{fit['model']}, {first} first", f"{fit['s2_rmse']:.4f}",
            f"{100 * fit['surface']:.0f} %", f"{fit['chord']:.2f}", f"{fit['euler']:.2f}",
        ))  # fmt: skip
    return rows
