"""What a figure shows, in words, for a reader who cannot see it."""
from __future__ import annotations

import ast
import re
from typing import Any

TEXTS = {
    "en": {"figure": "Figure in the section {section}: {kind}.",
           "labels": "It is labelled: {}."},
    "zh": {"figure": "“{section}”一节的图：{kind}。",
           "labels": "图中文字：{}。"},
}
# What a cell draws, by what it calls; the first that is found.
KINDS = [
    ("show_network", "diagram of a network's layers", "网络各层的示意图"),
    ("confusion_matrix", "confusion matrix", "混淆矩阵"),
    ("show_mistakes", "images that the network gets wrong",
     "网络判错的图像"),
    ("show_kernels", "kernels, drawn as images", "画成图像的卷积核"),
    ("show_feature_maps", "feature maps", "特征图"),
    ("history.plot", "curves of training loss and accuracy",
     "训练损失和准确率的曲线"),
    ("plot_curves", "curves", "曲线"),
    ("plot_bars", "bars", "条形图"),
    (".barh(", "bars", "条形图"),
    (".bar(", "bars", "条形图"),
    (".hist(", "histogram", "直方图"),
    ("show_array", "matrices with their numbers", "标有数值的矩阵"),
    ("image_grid", "images", "图像"),
    ("imshow", "images", "图像"),
    ("draw_image", "images", "图像"),
    (".scatter(", "points", "散点图"),
    ("plot(", "curves", "曲线"),
    ("semilog", "curves", "曲线"),
    ("", "drawing", "示意图"),
]
# Words by which a sentence says that it is about the figure.
ABOUT = re.compile(
    r"\b([Ff]igure(?! \d)|[Pp]anel|[Dd]iagram|[Tt]hin line|"
    r"[Dd]ots? (is|are)|is drawn|are drawn)|图中|上排|下排|示意图|"
    r"(下|上|左|右|每幅|各)图(?!像)|[灰红蓝橙细粗]线")


def plain(text: str) -> str:
    """Markdown without its marks."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$([^$]*)\$", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(r"\*+|`|^#+ .*$", "", text,
                                      flags=re.MULTILINE)).strip()


def shorten(text: str, most: int) -> str:
    """At most so many characters, of whole words where words have spaces."""
    if len(text) <= most:
        return text
    return re.sub(r"\s+[\x21-\x7e]*$", "", text[:most - 1]) + "…"


def _labels(source: str) -> list[str]:
    """Titles and names of axes that a cell's code writes into its figure."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        drawn = [keyword.value for keyword in node.keywords
                 if keyword.arg in ("title", "titles", "xlabel", "ylabel")]
        if name in ("set_title", "set_xlabel", "set_ylabel", "suptitle"):
            drawn += node.args[:1]
        elif name.startswith(("show_", "image_grid", "plot_bars")):
            drawn += node.args[1:2]
        found += [part.value for value in drawn for part in (
            value.elts if isinstance(value, ast.List) else [value])
            if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return list(dict.fromkeys(re.sub(r"\s+", " ", label).strip()
                              for label in found if label.strip()))


def has_figure(cell: Any) -> bool:
    return any("image/png" in out.get("data", {})
               for out in cell.get("outputs", []))


def describe(notebook: Any, index: int, language: str) -> str:
    """What the figure of a cell shows, for a reader who cannot see it.

    What is drawn, the words in it, the section, and if there is one the
    sentence of the text around that speaks of the figure.
    """
    def text(cells: list[Any]) -> str:
        """The first text, unless another figure stands before it."""
        for cell in cells:
            if cell.cell_type == "markdown":
                return "" if cell.id.startswith("navigation") else cell.source
            if has_figure(cell):
                break
        return ""

    def sentences(source: str) -> list[str]:
        source = re.sub(r"\$\$.*?\$\$|```.*?```", "", source, flags=re.DOTALL)
        source = re.sub(r"^\s*\|.*$", "", source, flags=re.MULTILINE)
        return [part.strip(" *:：") for part in re.split(
            r"(?<=[.?!:])\s+(?=[A-Z*(])|(?<=[。？！：])", plain(source))
            if ABOUT.search(part)]

    source = notebook.cells[index].source
    kind = next(words[language == "zh"] for call, *words in KINDS
                if call in source)
    sections = [heading for cell in notebook.cells[:index]
                if cell.cell_type == "markdown"
                for heading in re.findall(r"^#+ (.+)$", cell.source, re.M)]
    said = (sentences(text(notebook.cells[:index][::-1]))[-1:]
            or sentences(text(notebook.cells[index + 1:]))[:1])
    about = TEXTS[language]["figure"].format(
        kind=kind, section=plain(sections[-1]) if sections else "")
    labels = "; ".join(_labels(source)[:8])
    parts = [about, TEXTS[language]["labels"].format(labels) if labels else "",
             *said]
    joined = " ".join(part for part in parts if part)
    return shorten(joined.replace('"', "'"), 400)
