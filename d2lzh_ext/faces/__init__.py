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
from d2lzh_ext.faces.loader import Loader, flip, rmse, show_faces

__all__ = [
    "COLUMNS", "NAMES", "SIDE", "SWAP", "Floats", "Loader", "PathLike",
    "default_path", "flip", "load", "load2d", "rmse", "scale", "show_faces",
    "synthetic_faces", "to_pixels",
]
