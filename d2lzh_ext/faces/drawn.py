"""Drawn faces with known keypoints, for a course that needs no download.

A face is drawn in its own coordinates, in pixels at scale 1: u to the right
of the picture, v down, the origin between eyes and mouth. Every pixel looks
up where in the face it lies, so that edges are smooth at any rotation and
size, and the keypoints are exact: they are computed, not measured.
"""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from d2lzh_ext.data import positive_int
from d2lzh_ext.faces.kaggle import NAMES, SIDE, Floats, scale

Parameters = dict[str, Any]  # of n faces, each (n,) or, for two sides, (n, 2)

_MARGIN = 2  # pixels between a keypoint and the edge of the picture
_CHUNK = 16  # faces drawn at a time: what they take stays in the cache

# What varies from face to face, with its bounds, evenly distributed. Lengths
# are in pixels at scale 1; grey is from 0 to 1. Two sides: first the
# person's left, on the right of the picture.
_RANGES = {
    # where the face is, and how it is turned
    "x": (-12, 12), "y": (-12, 12), "size": (0.8, 1.2),
    "angle": (-np.pi / 12, np.pi / 12), "turn": (-3, 3), "nod": (-2, 2),
    # proportions
    "head_width": (23, 28), "head_height": (31, 37),
    "eye_distance": (12, 15), "eye_height": (-12, -9),
    "eye_width": (4.2, 5.8), "eye_slant": (-0.12, 0.12),
    "brow_inner": (5.5, 7.5), "brow_outer": (18, 21),
    "brow_height": (-20, -17), "brow_slant": (-2, 2), "brow_arch": (0, 2.5),
    "brow_thick": (0.9, 1.7), "nose_height": (3, 7), "nose_width": (3, 5),
    "mouth_height": (15.5, 18.5), "mouth_width": (8.5, 12),
    "upper_lip": (1, 2), "lower_lip": (1.3, 2.6),
    # expression; raised brows and lids on each side by themselves
    "smile": (-2, 4), "gaze_u": (-2, 2), "gaze_v": (-0.7, 0.7),
    # tones and light
    "skin": (0.4, 0.85), "hair": (0.03, 0.5), "lips": (0.55, 0.85),
    "iris": (0.05, 0.35), "cloth": (0.05, 0.9), "ground": (0.1, 0.9),
    "ground_slope": (0, 0.25), "ground_wave": (0, 0.08),
    "light_angle": (-np.pi, np.pi), "light": (0, 0.3),
    "contrast": (0.7, 1), "brightness": (-0.08, 0.08), "noise": (0, 0.03),
    # hair: the line on the forehead, its parting, its length
    "hairline": (-26, -22), "parting": (-6, 6), "hair_length": (-10, 34),
}
_SIDES = {"raise": (-0.5, 0.5), "lid": (-0.3, 0.3)}
# What only some faces have: how many of them, and how much of it.
_SOMETIMES = {
    "open": (0.4, 1, 7), "surprise": (0.3, 1, 4), "beard": (0.2, 0.1, 0.35),
    "glasses": (0.15, 0.5, 0.9), "teeth": (0.5, 0.6, 0.95),
}


def _draw_parameters(n: int, random: np.random.RandomState) -> Parameters:
    """Everything about `n` faces but their noise."""
    p = {name: random.uniform(*bounds, size=n)
         for name, bounds in _RANGES.items()}
    p.update({name: random.uniform(*bounds, size=(n, 2))
              for name, bounds in _SIDES.items()})
    for name, (share, low, high) in _SOMETIMES.items():
        here = random.rand(n) < share
        p[name] = here * random.uniform(low, high, size=n)
    # Surprise raises both brows and opens both eyes.
    p["raise"] += p["surprise"][:, np.newaxis]
    lids = random.uniform(1.4, 2.6, size=(n, 1)) + p["lid"]
    p["lid"] = np.maximum(lids + 0.2 * p["surprise"][:, np.newaxis], 0.5)
    p["wave_phase"] = random.uniform(-np.pi, np.pi, size=n)
    p["wave_length"] = random.uniform(4, 15, size=n)
    # A face whose keypoints would leave the picture moves back into it.
    points = _keypoints(p).reshape(n, -1, 2)
    for i, axis in enumerate("xy"):
        p[axis] += (np.maximum(_MARGIN - points[..., i].min(axis=1), 0)
                    + np.minimum(SIDE - 1 - _MARGIN
                                 - points[..., i].max(axis=1), 0))
    return p


def _points(p: Parameters) -> npt.NDArray[np.float64]:
    """The 15 keypoints in the coordinates of the face: (n, 15, 2)."""
    points = {}
    for side, (name, sign) in enumerate((("left", 1), ("right", -1))):
        eye, width = p["eye_distance"], p["eye_width"]
        slope = p["eye_slant"] * width
        for part, along in (("center", 0), ("inner_corner", -1),
                            ("outer_corner", 1)):
            points[f"{name}_eye_{part}"] = (
                p["turn"] + sign * (eye + along * width),
                p["nod"] + p["eye_height"] + along * slope)
        raised = p["brow_height"] - p["raise"][:, side] + p["nod"]
        for part, along in (("inner", -1), ("outer", 1)):
            points[f"{name}_eyebrow_{part}_end"] = (
                p["turn"] + sign * p[f"brow_{part}"],
                raised + along * p["brow_slant"])
        points[f"mouth_{name}_corner"] = (
            p["turn"] + sign * p["mouth_width"],
            p["nod"] + p["mouth_height"] - p["smile"])
    points["nose_tip"] = (1.8 * p["turn"], 1.8 * p["nod"] + p["nose_height"])
    half = p["open"] / 2
    for part, down in (("top", -half - p["upper_lip"]),
                       ("bottom", half + p["lower_lip"])):
        points[f"mouth_center_{part}_lip"] = (
            p["turn"], p["nod"] + p["mouth_height"] + half + down)
    return np.stack([np.stack(points[name], axis=1) for name in NAMES],
                    axis=1)


def _keypoints(p: Parameters) -> npt.NDArray[np.float64]:
    """The keypoints in pixels of the picture: (n, 30)."""
    u, v = np.moveaxis(_points(p), 2, 0)
    cos, sin = (p["size"] * f(p["angle"]) for f in (np.cos, np.sin))
    cos, sin = cos[:, np.newaxis], sin[:, np.newaxis]
    middle = (SIDE - 1) / 2
    x = middle + p["x"][:, np.newaxis] + cos * u - sin * v
    y = middle + p["y"][:, np.newaxis] + sin * u + cos * v
    xy: npt.NDArray[np.float64] = np.stack([x, y], axis=2)
    return xy.reshape(len(x), -1)


def _paint(p: Parameters) -> Floats:
    """Pictures (n, 96, 96) without noise; not yet cut to 0 to 1."""
    # Every parameter, (n, 1, 1), meets every pixel, (n, 96, 96).
    q: Any = {name: np.asarray(value, np.float32)[:, np.newaxis, np.newaxis]
              for name, value in p.items()}
    axis = np.arange(SIDE, dtype=np.float32) - np.float32((SIDE - 1) / 2)
    x, y = axis[np.newaxis, np.newaxis, :], axis[np.newaxis, :, np.newaxis]
    size = q["size"]
    cos, sin = np.cos(q["angle"]) / size, np.sin(q["angle"]) / size
    u = cos * (x - q["x"]) + sin * (y - q["y"])
    v = cos * (y - q["y"]) - sin * (x - q["x"])

    def within(distance: Any, soft: float = 1) -> Any:
        """How much of a pixel is inside, by its distance from the edge."""
        return np.clip(0.5 - distance * (size / soft), 0, 1)

    def ellipse(u: Any, v: Any, a: Any, b: Any) -> Any:
        """Distance to an ellipse, about; negative inside."""
        return (np.sqrt(u * u / (a * a) + v * v / (b * b)) - 1
                ) * np.minimum(a, b)

    # Behind the face: a slope of grey and a wave, clothes, long hair.
    light_x, light_y = np.cos(q["light_angle"]), np.sin(q["light_angle"])
    picture = (q["ground"] + q["ground_slope"] * (light_x * x + light_y * y)
               / 48 + q["ground_wave"]
               * np.sin((light_y * x - light_x * y) / q["wave_length"]
                        + q["wave_phase"]))

    def paint(tone: Any, cover: Any) -> None:
        nonlocal picture
        picture += cover * (tone - picture)

    width, height = q["head_width"], q["head_height"]
    length = q["hair_length"]
    both = np.abs(u)
    paint(q["hair"], within(np.maximum(
        ellipse(u, v + 4, width + 5, height + 3), v - length)))
    shade = q["skin"] * (1 + q["light"] * (light_x * u + light_y * v) / 30)
    paint(q["cloth"], within(ellipse(u, v - 58, 42, 24)))
    paint(0.75 * shade, within(np.maximum(both - 0.45 * width, 10 - v)
                               + np.maximum(v - 38, 0)))
    paint(0.9 * shade, within(ellipse(both - width, v + 4, 3, 6)))
    head = ellipse(u, v, width, height)
    inside = within(head)
    paint(shade, inside)
    bearded = q["beard"] * inside * within(9 - v + 0.01 * u * u, soft=6)
    picture *= 1 - bearded
    line = q["hairline"] + 0.02 * np.square(u - q["parting"])
    paint(q["hair"], within(np.maximum(head - 1, v - line),
                           soft=2))

    # From here on all parts of the face follow it as it turns and nods.
    turned, nodded = u - q["turn"], v - q["nod"]
    both, left = np.abs(turned), turned > 0

    def side(name: str) -> Any:
        return np.where(left, q[name][..., 0], q[name][..., 1])

    # Eyes: an almond between the corners, an iris that looks somewhere.
    eye_u = (both - q["eye_distance"]) / q["eye_width"]
    eye_v = nodded - q["eye_height"] - q["eye_slant"] * (
        both - q["eye_distance"])
    bow = 1 - eye_u * eye_u
    lid = side("lid") * bow
    almond = within(np.abs(eye_v) - lid)
    paint(0.6 * shade, 0.6 * within(ellipse(
        eye_u * q["eye_width"], eye_v, q["eye_width"] + 2.5, 4), soft=4))
    paint(0.55 + 0.45 * shade, almond)
    gaze = np.where(left, 1, -1) * q["gaze_u"]
    from_iris = np.hypot(eye_u * q["eye_width"] - gaze, eye_v - q["gaze_v"])
    paint(q["iris"], almond * within(from_iris - 2.3))
    paint(0, almond * within(from_iris - 1))
    paint(0.25 * shade, within(np.maximum(
        np.abs(eye_v + lid) - 0.45, np.abs(eye_u) * q["eye_width"]
        - q["eye_width"])))

    # Brows: an arch from the inner to the outer end.
    along = (2 * both - q["brow_inner"] - q["brow_outer"]) / (
        q["brow_outer"] - q["brow_inner"])
    brow_v = nodded - q["brow_height"] + side("raise") - (
        q["brow_slant"] * along - q["brow_arch"] * (1 - along * along))
    paint(0.6 * np.minimum(q["hair"], shade), within(np.maximum(
        np.abs(brow_v) - q["brow_thick"] * (1.2 - 0.4 * along),
        (np.abs(along) - 1) * 6)))

    # Nose: a shadow on the side away from the light, nostrils, a bright tip.
    nose_u = u - 1.8 * q["turn"]
    nose_v = v - 1.8 * q["nod"] - q["nose_height"]
    ridge = nose_u * np.where(light_x > 0, 1, -1) + 1.5 + (
        nose_v + 14) * 0.12
    paint(0.7 * shade, 0.7 * within(np.maximum(
        np.abs(ridge) - 0.6, np.abs(nose_v + 7) - 8), soft=2))
    paint(0.75 * shade, within(np.abs(
        ellipse(nose_u, nose_v, q["nose_width"], 3)) - 0.4
        + np.maximum(-nose_v, 0), soft=2))
    paint(0.3 * shade, within(ellipse(
        np.abs(nose_u) - 0.5 * q["nose_width"], nose_v - 2, 1.3, 0.9)))
    paint(1.2 * shade, 0.8 * within(ellipse(nose_u, nose_v, 1.8, 1.8),
                                    soft=3))

    # Mouth: two lips, a dark line or an opening between them, teeth.
    mouth_u = turned / q["mouth_width"]
    bow = 1 - mouth_u * mouth_u
    mouth_v = (nodded - q["mouth_height"] + q["smile"] * (1 - bow)
               - q["open"] / 2 * bow)
    half = q["open"] / 2 * bow
    paint(q["lips"] * shade, within(np.maximum(
        -mouth_v - half - q["upper_lip"] * bow,
        mouth_v - half - q["lower_lip"] * bow)))
    ends = (np.abs(mouth_u) - 1) * q["mouth_width"]
    paint(0.15 * shade, within(np.maximum(
        np.abs(mouth_v) - np.maximum(half, 0.4), ends)))
    paint(q["teeth"], np.minimum(q["teeth"], q["open"]).clip(0, 1)
          * within(np.maximum(np.abs(mouth_v + 0.5 * half) - 0.45 * half,
                              ends)))

    # Glasses, in front of everything.
    rims = np.abs(np.hypot(both - q["eye_distance"],
                           nodded - q["eye_height"]) - 7.5) - 0.6
    bridge = np.maximum(np.abs(nodded - q["eye_height"]) - 0.5,
                        both - q["eye_distance"] + 7.5)
    paint(0.05, q["glasses"] * within(np.minimum(rims, bridge)))
    return np.asarray(0.5 + q["contrast"] * (picture - 0.5)
                      + q["brightness"], np.float32)


def synthetic_faces(n: int, seed: int) -> tuple[Floats, Floats]:
    """Draw `n` faces, each one different, whose keypoints are exact.

    They vary in position (12 pixels each way), size (20 %), rotation (15
    degrees each way), in the turn of the head, in proportions, expression
    and gaze, in hair, beard and glasses, in tones, light and noise.

    Args:
        n: how many.
        seed: the same n and seed give the same faces, whatever other random
            numbers are drawn. From 0 to 2**32 - 1.

    Returns:
        Images (n, 1, 96, 96), from 0 to 1 in steps of 1/255; keypoints
        (n, 30), from -1 to 1. Both float32, and as `keypoints.load2d`
        returns them.

    Raises:
        TypeError: `n` is not an int.
        ValueError: `n` is less than 1.
    """
    n = positive_int("n", n)
    random = np.random.RandomState(seed)
    p = _draw_parameters(n, random)
    images = np.empty((n, 1, SIDE, SIDE), np.float32)
    for start in range(0, n, _CHUNK):
        rows = slice(start, start + _CHUNK)
        picture = _paint({name: value[rows] for name, value in p.items()})
        noise = random.standard_normal(picture.shape).astype(np.float32)
        picture += noise * p["noise"][rows, np.newaxis, np.newaxis].astype(
            np.float32)
        # As if it had been a file of bytes.
        np.rint(np.clip(picture, 0, 1) * 255, out=picture)
        np.divide(picture, np.float32(255), out=images[rows, 0])
    return images, scale(_keypoints(p))
