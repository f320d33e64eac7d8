"""The table of the laws of shells: every family that was fitted, and the one that was chosen."""

from __future__ import annotations

from math import exp, pi, sqrt
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_microgen.methods.particles.distributions import FAMILIES
from napari_microgen.methods.particles.shell_model import ShellModel
from napari_microgen.widgets.number_table import NumberTable
from napari_microgen.widgets.result_rows import Cell

if TYPE_CHECKING:
    from napari_microgen.methods.base import Model
    from napari_microgen.methods.particles.distributions import Fitted

HEADING = (
    "Akaike's criterion of the laws that were fitted, by order of the harmonics; the law with the "
    "least is chosen."
)
HINT = "2 x free parameters - 2 x logarithm of the likelihood"


class LawTable(QWidget):
    """Shows the laws of a shell model; of other models and without one it hides itself."""

    def __init__(self) -> None:
        super().__init__()
        self._model: Model | None = None
        heading = QLabel(HEADING)
        heading.setWordWrap(True)
        self.table = NumberTable()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(heading)
        layout.addWidget(self.table)
        self.hide()

    def show_model(self, model: Model | None) -> None:
        """Show the laws of a model, if it has any."""
        if model is self._model:
            return
        self._model = model
        if isinstance(model, ShellModel):
            self.table.show_rows(("Order", "Chosen", *FAMILIES, "Parameters"), law_rows(model))
        self.setVisible(isinstance(model, ShellModel))


def law_rows(model: ShellModel) -> list[tuple[Cell, ...]]:
    """Return a row per order: the chosen law, the criterion of every family, the parameters."""
    rows = []
    for order, choices in enumerate(model.law.choices):
        fitted = {each.family: each for each in choices}
        criteria = [_criterion(fitted.get(name)) for name in FAMILIES]
        law = choices[0].family
        told = parameter_text(choices[0], order, model.length, model.origin.unit)
        rows.append((Cell(str(order), order), Cell(law, law, told), *criteria, Cell(told, told)))
    return rows


def _criterion(fitted: Fitted | None) -> Cell:
    if fitted is None:
        return Cell("–", float("inf"), "It holds values above 0 alone.")
    return Cell(f"{fitted.aic:.0f}", fitted.aic, f"{fitted.aic:.2f}: {HINT}")


def parameter_text(fitted: Fitted, order: int, length: float, unit: str) -> str:
    """Return the parameters of a law as people read them.

    Parameters
    ----------
    fitted : Fitted
    order : int
        Order 0 is told as the mean radius of a particle, ``a_00 / sqrt(4 pi)``.
    length : float
        Unit of the values that it was fitted to, in `unit`.
    unit : str
    """
    size = length / sqrt(4 * pi) if order == 0 else length
    if fitted.family == "log-normal":
        mu, sigma = fitted.parameters
        return f"median radius {exp(mu) * size:.3g} {unit}, sigma {sigma:.2g}"
    *freedom, centre, scale = fitted.parameters
    radius = f"radius {centre * size:.3g} {unit}, " if order == 0 else ""
    degrees = f", nu {freedom[0]:.2g}" if freedom else ""
    return f"{radius}scale {scale * size:.2g} {unit}{degrees}"
