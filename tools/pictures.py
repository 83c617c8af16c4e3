"""Pictures of the site: of cards and strip, for links, and its icon.

All are parts of figures that the chapters have stored.
"""
from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import notebooks

ROOT = notebooks.ROOT
# The picture of a chapter: a cell, which of its figures, and the part of it
# from left, top to right, bottom. Where a cell has gone, the first figure.
Picture = tuple[str, int, tuple[float, float, float, float]]
PICTURES: dict[str, Picture] = {
    "01-convolution": ("01-convolution-c28", 0, (.02, .165, .442, .95)),
    "02-padding-and-stride": ("02-padding-and-stride-c49", 0,
                              (.343, .197, .66, .96)),
    "03-channels": ("03-channels-40", 0, (.024, .11, .497, .48)),
    "04-pooling": ("04-pooling-11", 0, (.014, .09, .4, .487)),
    "05-lenet": ("05-lenet-c62", 0, (.445, .02, .885, .925)),
    "06-alexnet": ("06-alexnet-ten", 0, (0, 0, .6, 1)),
    "07-vgg": ("07-vgg-51", 0, (0, .015, .62, .6)),
    "08-nin": ("08-nin-c43", 0, (.018, .582, .282, .974)),
    "09-googlenet": ("09-googlenet-14", 0, (0, 0, 1, 1)),
    "10-batch-norm": ("10-bn-rates-figure", 0, (0, 0, 1, 1)),
    "11-resnet": ("11-resnet-blocks-figure", 0, (0, 0, 1, 1)),
    "12-densenet": ("12-densenet-09", 0, (0, 0, 1, 1)),
    "13-zfnet": ("13-zfnet-c45", 0, (.012, .363, .99, .667)),
    "14-mnist": ("14-mnist-c29", 0, (0, 0, .625, .335)),
    "15-keypoints": ("15-keypoints-c57", 0, (.6, .235, .99, .94)),
    "16-compare": ("16-compare-c18", 0, (0, 0, 1, 1)),
    "17-scale-out": ("17-scale-out-c18", 0, (0, 0, 1, 1)),
}
CARD, SQUARE = (480, 300), 360  # pixels
# The strip of the front page, and what stands below each.
STRIP: list[tuple[str, Picture, dict[str, str]]] = [
    ("01-convolution", ("01-convolution-c30", 0, (.045, .15, .825, .9)),
     {"en": "Edges, found with kernels of nine weights",
      "zh": "用3×3卷积核检测边缘"}),
    ("03-channels", ("03-channels-40", 0, (.024, .11, .26, .48)),
     {"en": "Colour is three channels", "zh": "彩色图像有三个通道"}),
    ("08-nin", ("08-nin-c43", 0, (.018, .582, .282, .974)),
     {"en": "Where a network sees the boot",
      "zh": "网络认为短靴在哪里"}),
    ("13-zfnet", ("13-zfnet-c45", 0, (.51, .363, .99, .667)),
     {"en": "The nine images that excite a channel most",
      "zh": "最能激活某个通道的九幅图像"}),
    ("15-keypoints", ("15-keypoints-c71", 0, (.672, .118, .988, .945)),
     {"en": "Points of a face, predicted", "zh": "预测人脸关键点"}),
]
# A kernel that LeNet has learnt.
ICON: Picture = ("05-lenet-c60", 0, (.762, .59, .898, .96))
# The pictures of the card that other sites show for a link.
SOCIAL = ("01-convolution", "03-channels", "05-lenet", "04-pooling",
          "09-googlenet", "02-padding-and-stride", "08-nin", "12-densenet",
          "14-mnist", "11-resnet", "13-zfnet", "15-keypoints")


def figure(picture: Picture, chapter: str, root: Path = ROOT) -> Any:
    """Part of a stored figure, as an image of Pillow."""
    from PIL import Image

    notebook = notebooks.read(root / "chapters" / f"{chapter}.ipynb")
    stored = {(cell.id, number): data for cell in notebook.cells
              for number, data in enumerate(
                  out.data["image/png"] for out in cell.get("outputs", [])
                  if "image/png" in out.get("data", {}))}
    cell, number, box = picture
    if (cell, number) not in stored:
        print(f"{chapter}: {cell} has no figure {number}; the first one is "
              "taken (PICTURES and STRIP in tools/pictures.py)")
        if not stored:
            return Image.new("RGB", CARD, "white")
        (cell, number), box = next(iter(stored)), (0, 0, 1, 1)
    data = base64.b64decode(stored[cell, number])
    image = Image.open(io.BytesIO(data)).convert("RGB")
    left, top, right, bottom = (round(share * side) for share, side in zip(
        box, image.size * 2))
    return image.crop((left, top, right, bottom))


def framed(image: Any, size: tuple[int, int], pad: int = 12) -> Any:
    """The image as large as it fits into a white card."""
    from PIL import Image, ImageOps

    inner = (size[0] - 2 * pad, size[1] - 2 * pad)
    card = Image.new("RGB", size, "white")
    fitted = ImageOps.contain(image, inner, Image.Resampling.LANCZOS)
    card.paste(fitted, ((size[0] - fitted.width) // 2,
                        (size[1] - fitted.height) // 2))
    return card


def draw(folder: Path, root: Path = ROOT) -> None:
    """Write the pictures of cards and strip, and the social card."""
    from PIL import Image, ImageOps

    folder.mkdir(parents=True, exist_ok=True)
    cards = {path.stem: framed(figure(
        PICTURES.get(path.stem, ("", 0, (0, 0, 1, 1))), path.stem, root),
        CARD) for path in notebooks.chapters(root / "chapters")}
    for name, card in cards.items():
        card.quantize(128).save(folder / f"{name}.png", optimize=True)
    for chapter, picture, _ in STRIP:
        image = figure(picture, chapter, root)
        image = ImageOps.fit(image, (SQUARE, SQUARE),
                             Image.Resampling.LANCZOS)
        image.quantize(128).save(folder / f"strip-{chapter}.png",
                                 optimize=True)
    image = figure(ICON, ICON[0][:8], root)
    image.resize((64, 64), Image.Resampling.NEAREST).save(
        folder / "icon.png", optimize=True)
    social = Image.new("RGB", (1200, 630), "white")
    for place, name in enumerate(SOCIAL):
        social.paste(cards[name].resize((300, 188)),
                     (place % 4 * 300, 15 + place // 4 * 206))
    social.save(folder / "social.png", optimize=True)
