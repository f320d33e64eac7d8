"""Excursion sets: phases cut out of random fields, calibrated from one image in seconds.

Paper 002: a stochastic-geometry model whose parameters are calibrated from 2D image data. Its
formulas are `covariances`, `coverage` and `models`; the estimator from images is `estimator`;
`calibration` fits, `assessment` judges, `fields` draws, and `method` puts all to use.
"""

from napari_microgen.methods.excursion.config import ExcursionConfig
from napari_microgen.methods.excursion.method import ExcursionSets
from napari_microgen.methods.excursion.model import ExcursionModel

__all__ = ["ExcursionConfig", "ExcursionModel", "ExcursionSets"]
