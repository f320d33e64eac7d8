"""Turn segmented micrographs into measured 3D microstructures, inside napari."""

try:
    from napari_microgen._version import __version__
except ImportError:  # a source tree that was never built
    __version__ = "0+unknown"

__all__ = ["__version__"]
