"""What is generated of README.md and README.zh-CN.md: tables and a picture.

What a chapter is about stands in its notebook's metadata, beside the digest
of its outputs: `d2lzh` has `about`, a line in each language, and `title`, the
Chinese one. Measurements come from data/results/. tools/navigation.py calls
`write`.
"""
from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from statistics import median
from typing import Any

import notebooks
import pages

SPACE = "\N{NO-BREAK SPACE}"  # so that a chapter stays in one line
FILES = {"en": "README.md", "zh": "README.zh-CN.md"}
CHAPTERS = {
    "en": "| chapter | book | what it is about | exercises | time | memory |",
    "zh": "| 章 | 书中 | 内容 | 练习 | 时间 | 内存 |"}
SOLUTIONS = {"en": "solutions", "zh": "解答"}
COST = {
    "en": "A chapter runs in {least:.0f} to {most:.0f} seconds and takes "
          "{gib:.1f} GiB of memory at most; all {number} together run in "
          "{minutes:.0f} minutes. That is for the `quick` settings on {cores} "
          "cores of an {processor}, without a GPU ({date}).",
    "zh": "运行一章需要{least:.0f}到{most:.0f}秒，运行全部{number}章需要"
          "{minutes:.0f}分钟，内存最多{gib:.1f} GiB（{date}用`quick`设置在"
          "{processor}的{cores}个CPU核心上测得，未使用GPU）。"}
RESULTS = {
    "en": "| network | parameters | trained at | images × epochs "
          "| test accuracy | timed at | times as fast as `d2lzh` "
          "| as PyTorch |",
    "zh": "| 网络 | 参数个数 | 训练图像大小 | 图像数 × 迭代周期 "
          "| 测试准确率 | 测速图像大小 | 速度是`d2lzh`的几倍 "
          "| 是PyTorch的几倍 |"}
FASTEST = {"en": ("faster", "fastest"), "zh": ("较快", "最快")}
NOTE = {
    "en": "Test accuracy on Fashion-MNIST with the `quick` settings: median "
          "and range of {seeds} seeds; the parameters are those at the image "
          "size of training. Speed: images per second in training at the "
          "book's image sizes, medians of {rounds} rounds on {cores} cores "
          "of an {processor}, {date}. `d2lzh` runs unchanged, but for the "
          "names that NumPy has removed, which are put back while it is "
          "imported; four processes load its data, and MXNet uses half of "
          "the cores. PyTorch {torch} was timed in {ways} ways; the "
          "{fastest} one counts. "
          "[docs/benchmarks.md](docs/benchmarks.md) has the ranges and all "
          "other measurements, each with the command that repeats it.",
    "zh": "Fashion-MNIST上的测试准确率：`quick`设置下{seeds}个随机种子的"
          "中位数和范围；参数个数按训练图像的大小计算。速度："
          "按书中的图像大小训练时每秒处理的图像数之比，{rounds}轮的中位数，"
          "{date}在{processor}的{cores}个CPU核心上测得。`d2lzh`为原版："
          "四个进程读取数据，MXNet只用一半的核心计算；"
          "导入期间为它补上NumPy已删除的名称。"
          "PyTorch {torch}取所测{ways}种方式中{fastest}的一种。"
          "范围和其他测量结果见[docs/benchmarks.md](docs/benchmarks.md)，"
          "每项都附有复现命令。"}


def title(notebook: Any) -> str:
    """The first heading."""
    for cell in notebook.cells:
        found = re.match(r"# (.+)", cell.source)
        if cell.cell_type == "markdown" and found:
            return found[1]
    raise SystemExit("a notebook has no heading")


def number(path: Path) -> int:
    return int(path.stem.split("-")[0])


def heading(path: Path, language: str) -> str:
    """Number and title of a chapter; English as in its first heading."""
    notebook = notebooks.read(path)
    own = notebook.metadata["d2lzh"].get("title", {})
    return f"{number(path)} {own.get(language) or title(notebook)}"


def record(root: Path, name: str) -> Any:
    path = root / "data" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def head(words: str) -> list[str]:
    """The first two lines of a table, of the first."""
    return [words, "|---" * (words.count("|") - 1) + "|"]


def folder(path: Path, language: str) -> str:
    """Where a chapter is in this language, or in English."""
    chinese = notebooks.in_chinese(path, path.parent)
    return "chapters" + "/zh" * (language == "zh" and chinese.exists())


def chapters(root: Path, language: str) -> str:
    """Each chapter in a line: where it is, what it is about and costs."""
    lines = head(CHAPTERS[language])
    measured = record(root, "chapters")["chapters"]
    for path in notebooks.chapters(root / "chapters"):
        own = notebooks.read(path).metadata["d2lzh"]
        cost = measured.get(path.stem)
        where = folder(path, language)
        lines.append(" | ".join([
            f"| [{heading(path, language)}]({where}/{path.name})",
            f"5.{number(path)}" if number(path) <= 12 else "–",
            own["about"][language],
            f"[{SOLUTIONS[language]}]({where}/solutions/{path.name})",
            f"{cost['seconds']:.0f}{SPACE}s" if cost else "–",
            f"{cost['peak_mib']:.0f}{SPACE}MiB" if cost else "–"]) + " |")
    return "\n".join(lines)


def cost(root: Path, language: str) -> str:
    """Time and memory of the chapters, in a sentence."""
    found = record(root, "chapters")
    seconds = [each["seconds"] for each in found["chapters"].values()]
    memory = [each["peak_mib"] for each in found["chapters"].values()]
    return COST[language].format(
        least=min(seconds), most=max(seconds), number=len(seconds),
        minutes=sum(seconds) / 60, gib=max(memory) / 1024,
        **found["provenance"])


def _ratio(contestants: Any, pattern: str) -> str:
    """How many times as fast this project is as the fastest of those."""
    def rates(name: str) -> list[float]:
        return list(contestants[name]["images_per_second"])

    return "{:.2f}".format(min(
        median(ours / theirs for ours, theirs in zip(
            rates("d2lzh_ext"), rates(name)))
        for name in contestants if re.fullmatch(pattern, name)))


def results(root: Path, language: str) -> str:
    """Size, accuracy and speed of every network."""
    from d2lzh_ext import layers, models  # takes a second: MXNet

    lines = head(RESULTS[language])
    trained = record(root, "quick-seeds")["networks"]
    timed = record(root, "training")
    for name, entry in trained.items():
        network = getattr(models, name)
        chapter = re.findall(r"\.ch(\d+)_", network.__module__)[0]
        (path,) = (root / "chapters").glob(f"{chapter}-*.ipynb")
        setting, accuracy = entry["setting"], entry["test_acc"]
        side = setting["resize"] or 28
        size = layers.summary(network(), (1, 1, side, side)).parameters
        speed = timed["networks"].get(name)
        lines.append(" | ".join([
            f"| [`{name}`]({folder(path, language)}/{path.name})",
            f"{size:,}",
            f"{side} × {side}",
            f"{setting['num_train'] or 60_000:,} × {setting['num_epochs']}",
            f"{median(accuracy):.3f} "
            f"[{min(accuracy):.3f}–{max(accuracy):.3f}]",
            f"{speed['side']} × {speed['side']}" if speed else "–",
            *(_ratio(speed["contestants"], contestant) if speed else "–"
              for contestant in ("d2lzh", "torch.*"))]) + " |")
    where, lenet = timed["provenance"], timed["networks"]["lenet"]
    ways = sum(name.startswith("torch") for name in lenet["contestants"])
    lines += ["", NOTE[language].format(
        seeds=len(entry["seeds"]), rounds=len(lenet["peak"]), ways=ways,
        fastest=FASTEST[language][ways > 2],
        torch=where["packages"]["torch"], **where)]
    return "\n".join(lines)


def picture(root: Path) -> bytes:
    """What excites a channel, as chapter 13 has drawn it."""
    notebook = notebooks.read(root / "chapters" / "13-zfnet.ipynb")
    (output,) = (output for cell in notebooks.code_cells(notebook)
                 if cell.source == "show_channels(6)"
                 for output in cell.outputs)
    return base64.b64decode(output.data["image/png"])


def write(root: Path) -> None:
    """Bring a picture and the generated sections of both pages up to date."""
    pages.write(root / "docs" / "images" / "filters.png", picture(root))
    for language, name in FILES.items():
        for section in (cost, chapters, results):
            pages.replace(root / name, section.__name__,
                          section(root, language))
