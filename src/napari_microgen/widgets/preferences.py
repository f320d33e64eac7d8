"""What the user set under napari's Preferences for this plugin."""

from __future__ import annotations

from typing import Any

from napari.settings import get_plugin_settings


def device() -> str:
    """Return where to train and to measure: "auto", "cpu", "cuda" or "mps"."""
    return str(get_plugin_settings("napari-microgen").training.device)


def training_defaults() -> dict[str, Any]:
    """Return settings of a training that go before those of its presets."""
    chosen = get_plugin_settings("napari-microgen").training
    return {"device": device(), "preview_seconds": float(chosen.preview_seconds)}
