"""Faces with keypoints: Kaggle's, drawn ones, and their batches."""
from d2lzh_ext.faces.drawn import synthetic_faces
from d2lzh_ext.faces.kaggle import (
    COLUMNS,
    NAMES,
    SIDE,
    SWAP,
    Floats,
    PathLike,
    default_path,
    load,
    load2d,
    scale,
    to_pixels,
)
from d2lzh_ext.faces.loader import (
    Loader,
    flip,
    normalised_errors,
    rmse,
    show_faces,
    show_heat_maps,
)

__all__ = [
    "COLUMNS", "NAMES", "SIDE", "SWAP", "Floats", "Loader", "PathLike",
    "default_path", "flip", "load", "load2d", "normalised_errors", "rmse",
    "scale", "show_faces", "show_heat_maps", "synthetic_faces",
    "to_pixels",
]
