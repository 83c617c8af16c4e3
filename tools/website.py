"""The course as a site: gathers its pages for Sphinx, builds and serves it.

A language's pages are copied to build/pages/LANGUAGE: the notebooks as
stored, the pages of site/LANGUAGE, and for English docs/ and the reference
of the package, read from its docstrings without importing it. In the copies,
links lead to pages of the site or to the repository, figures have an
alternative text, and the cells that only serve notebooks are tagged
remove-cell. English stands at the root of build/site, Chinese below zh/; what
is not translated is English there, too. Beside the pages lie the same as
books, course-en.epub and course-zh.epub.

Usage: python tools/website.py          build/site
       python tools/website.py serve    on this machine only
"""
from __future__ import annotations

import contextlib
import functools
import html
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import alternative
import navigation
import nbformat
import notebooks
import pages
import pictures
import readme
import reference
from nbformat.v4 import new_markdown_cell

ROOT = notebooks.ROOT
BUILD = ROOT / "build"
LANGUAGES = ("en", "zh")
PORT = 8000
# Of npm; see site/package.json.
MATHJAX = ROOT / ".venv-site" / "node_modules" / "mathjax" / "es5"
DOCS = ("first-edition", "old-scripts", "platforms", "faults", "gpu",
        "benchmarks", "glossary")  # in the order of the contents

WORDS: dict[str, dict[str, str]] = {
    "en": {"chapters": "Chapters", "solutions": "Solutions",
           "start": "Where to start", "more": "Reference",
           "about": "The exercises of each chapter, solved: idea, code and "
                    "result.",
           "exercises": "exercises of chapter {}", "solution": " [Solution]",
           "time": "{:.0f} s", "mark": "",
           "costs": "| chapter | time | memory | exercises | solutions "
                    "| uses |",
           "where": "{cores} cores of an {processor}",
           "api": reference.HEADING},
    "zh": {"chapters": "章节", "solutions": "练习解答", "start": "从哪里开始",
           "more": "参考",
           "about": "各章练习的解答：思路、代码和结果。",
           "exercises": "第{}章的练习", "solution": "[解答]",
           "time": "{:.0f}秒", "mark": "英文",
           "costs": "| 章 | 时间 | 内存 | 练习数 | 解答用时 | 用到 |",
           "where": "{processor}的{cores}个CPU核心",
           "api": "软件包参考"},
}
# A link, or code, in which there are none.
LINK = re.compile(
    r"```.*?```|(?<!!)(\[(?:[^\[\]]|\[[^\[\]]*\])*\])\(([^)\s]+)\)"
    r"|`[^`\n]+`", re.DOTALL)
ENGLISH = "english://"  # a link to the English page; see site/conf.py


def address(root: Path = ROOT) -> str:
    """Where the site is published."""
    owner, name = navigation.repository(root).split("/")
    return f"https://{owner}.github.io/{name}/"


def version(root: Path = ROOT) -> str:
    """That of the package."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    return found[1] if found else ""


def sources(language: str, root: Path = ROOT) -> dict[str, Path]:
    """Each page's name, such as solutions/05-lenet, and its file."""
    book = root / "chapters" / ("zh" if language == "zh" else "")
    found = {path.relative_to(book).with_suffix("").as_posix(): path
             for path in notebooks.with_solutions(book)}
    for path in sorted((root / "site" / language).glob("*.md")):
        found[path.stem] = path
    if language == "en":
        for name in DOCS:
            found[f"docs/{name}"] = root / "docs" / f"{name}.md"
    return found


class Links:
    """Where the links of a page lead on the site."""

    def __init__(self, language: str, root: Path = ROOT) -> None:
        self.language, self.root = language, root
        self.pages = {where: {path: name for name, path in sources(
            where, root).items()} for where in LANGUAGES}
        for where in LANGUAGES:
            self.pages[where][root / readme.FILES[where]] = "index"
            self.pages[where][root / "chapters" / "solutions"] = (
                "solutions/index")
        self.pages["en"][root / "d2lzh_ext"] = "api"

    def target(self, link: str, page: str, source: Path) -> str:
        """The link of a page, as Sphinx or a browser needs it."""
        if re.match(r"[a-z]+:|#", link):
            return link
        path, mark, anchor = link.partition("#")
        for folder in (source.parent, self._english(source).parent):
            found = Path(os.path.normpath(folder / path))
            if found.exists():
                break
        else:
            raise SystemExit(f"{source}: {link} leads nowhere")
        # A section of a README that the front page does not have.
        if found.name in readme.FILES.values() and anchor not in (
                "", "chapters", "章节"):
            return self._repository(found, mark + anchor)
        own = self.pages[self.language].get(found) or self._translated(found)
        if own:
            here = posixpath.relpath(own, posixpath.dirname(page) or ".")
            suffix = (".rst" if own == "api" else ".md" if found.is_dir()
                      else found.suffix)
            return here + suffix + mark + anchor
        if found in self.pages["en"]:
            return ENGLISH + self.pages["en"][found] + mark + anchor
        return self._repository(found, mark + anchor)

    def _repository(self, found: Path, anchor: str) -> str:
        kind = "tree" if found.is_dir() else "blob"
        return (f"https://github.com/{navigation.repository(self.root)}/"
                f"{kind}/main/{found.relative_to(self.root).as_posix()}"
                + anchor)

    def _english(self, source: Path) -> Path:
        """The file that is translated; its links may stand unchanged."""
        zh = self.root / "chapters" / "zh"
        return (self.root / "chapters" / source.relative_to(zh)
                if zh in source.parents else source)

    def _translated(self, found: Path) -> str | None:
        """The page of this language with what an English file holds."""
        name = self.pages["en"].get(found)
        return name if name in self.pages[self.language].values() else None

    def rewrite(self, text: str, page: str, source: Path) -> str:
        """A text with all its links."""
        return LINK.sub(
            lambda found: f"{found[1]}"
            f"({self.target(found[2], page, source)})"
            if found[2] else found[0], text)


def description(text: str) -> str:
    """The first paragraph, as search engines and other sites show it."""
    text = re.sub(r"\A---\n(?s:.*?)\n---$|^#.*$|^<.*$|^\{\{.*$", "", text,
                  flags=re.MULTILINE)
    paragraphs = map(alternative.plain, text.split("\n\n"))
    return alternative.shorten(next(filter(None, paragraphs), ""), 200)


def notebook_page(path: Path, name: str, language: str, links: Links) -> Any:
    """A copy of a notebook for the site.

    Each exercise leads to its solution, which is a section of that page.
    """
    notebook = notebooks.read(path)
    notebook.metadata.pop("d2lzh", None)
    alone = name.rpartition("/")[2]
    number = int(alone[:2])
    titled = False
    for index, cell in enumerate(notebook.cells):
        if cell.id.startswith("navigation") or re.fullmatch(
                r"#\| default_exp \S+", cell.source):
            cell.metadata["tags"] = [*notebooks.tags(cell), "remove-cell"]
        elif cell.cell_type == "markdown":
            if not titled:
                titled = True
                cell.source = re.sub(r"^# ", f"# {number} ", cell.source,
                                     flags=re.MULTILINE, count=1)
            cell.source = links.rewrite(cell.source, name, path)
            if name != alone:
                cell.source = re.sub(
                    r"^## (\d+)\. ", rf"(solution-{number}-\1)=\n\g<0>",
                    cell.source, flags=re.MULTILINE)
            elif re.search(r"^## (Exercises|练习)$", cell.source, re.M):
                cell.source = re.sub(
                    r"^(\d+)\. .*", rf"\g<0>{WORDS[language]['solution']}"
                    rf"(#solution-{number}-\1)", cell.source,
                    flags=re.MULTILINE)
        elif alternative.has_figure(cell):
            cell.metadata["mystnb"] = {"image": {
                "alt": alternative.describe(notebook, index, language)}}
    # From the solutions back; the way there stands in the text.
    if name != alone:
        heading = "练习" if language == "zh" else "exercises"
        word = WORDS[language]["exercises"].format(number)
        notebook.cells.append(new_markdown_cell(
            f"[← {word}](../{alone}.ipynb#{heading})", id="back"))
    return notebook


def title(name: str, language: str, root: Path = ROOT) -> str:
    """A chapter's title with its number, translated or not."""
    return readme.heading(root / "chapters" / f"{name}.ipynb", language)


def href(name: str, language: str, root: Path = ROOT) -> tuple[str, bool]:
    """From a front page to a page; is it in this language?"""
    own = name in sources(language, root)
    return f"{'' if own else '../'}{name}.html", own


def cards(language: str, root: Path = ROOT) -> str:
    """A card for each chapter, in HTML."""
    lines = ['<div class="course-cards">']
    measured = readme.record(root, "chapters")["chapters"]
    for path in notebooks.chapters(root / "chapters"):
        name = path.stem
        about = notebooks.read(path).metadata["d2lzh"]["about"][language]
        where, own = href(name, language, root)
        words = WORDS[language]
        seconds = measured.get(name, {}).get("seconds")
        number, _, words_of = title(name, language, root).partition(" ")
        mark = "" if own else ('<span class="course-mark">'
                               f'{words["mark"]}</span>')
        lines.append(
            f'<a class="course-card" href="{where}"'
            + ("" if own else ' hreflang="en"') + ">"
            f'<img src="_static/pictures/{name}.png" alt="" '
            f'width="{pictures.CARD[0]}" height="{pictures.CARD[1]}"/>'
            f'<span class="course-card-title"><b>{number}</b> '
            f"{html.escape(words_of)}{mark}</span>"
            f'<span class="course-card-about">{html.escape(about)}'
            "</span>"
            + ('<span class="course-card-time">'
               f'{words["time"].format(seconds)}</span>' if seconds else "")
            + "</a>")
    return "\n".join([*lines, "</div>"])


def strip(language: str, root: Path = ROOT) -> str:
    """The row of figures on top of the front page, in HTML."""
    lines = ['<div class="course-strip">']
    for chapter, _, text in pictures.STRIP:
        where, _own = href(chapter, language, root)
        lines.append(f'<a href="{where}"><img alt="" '
                     f'width="{pictures.SQUARE}" height="{pictures.SQUARE}" '
                     f'src="_static/pictures/strip-{chapter}.png"/>'
                     f"<span>{text[language]}</span></a>")
    return "\n".join([*lines, "</div>"])


def results(language: str, root: Path = ROOT) -> str:
    """The READMEs' table, which tools/readme.py makes of the records."""
    page = root / readme.FILES[language]
    text = pages.section(page, "results")
    return Links(language, root).rewrite(text, "index", page)


def _uses(notebook: Any, root: Path) -> list[int]:
    """The chapters whose functions a chapter imports."""
    modules = {name: defined
               for where, name, defined, _ in reference.public(root)
               if where == "d2lzh_ext.models"}
    found = set()
    for cell in notebooks.code_cells(notebook):
        for names in re.findall(
                r"^from d2lzh_ext\.models\S* import (\([^)]*\)|.*)",
                cell.source, re.MULTILINE):
            found |= {int(modules[name].partition(".chapters.ch")[2][:2])
                      for name in re.findall(r"\w+", names)
                      if name in modules}
    return sorted(found)


def costs(language: str, root: Path = ROOT) -> str:
    """What a teacher asks of a chapter: time, memory, exercises, needs."""
    own = sources(language, root)
    lines = readme.head(WORDS[language]["costs"])
    measured = readme.record(root, "chapters")["chapters"]
    for path in notebooks.chapters(root / "chapters"):
        name, notebook = path.stem, notebooks.read(path)
        exercises = next(cell.source for cell in notebook.cells
                         if "## Exercises" in cell.source)
        exercises = exercises.partition("## Exercises")[2]
        where = f"{name}.ipynb" if name in own else ENGLISH + name
        uses = [str(number) for number in _uses(notebook, root)
                if number != int(name[:2])]
        seconds = memory = solutions = "–"  # of a new chapter
        if name in measured:
            cost = measured[name]
            seconds = f"{cost['seconds']:.0f}{readme.SPACE}s"
            memory = f"{cost['peak_mib']:,.0f}{readme.SPACE}MiB"
            solutions = f"{cost['solutions']['seconds']:.0f}{readme.SPACE}s"
        lines.append("| " + " | ".join([
            f"[{title(name, language, root)}]({where})", seconds, memory,
            str(len(re.findall(r"^[0-9]+[.] ", exercises, re.M))), solutions,
            ", ".join(uses) or "–"]) + " |")
    return "\n".join(lines)


def where(language: str, root: Path = ROOT) -> str:
    """What the chapters were measured on, in words."""
    found = readme.record(root, "chapters")["provenance"]
    return WORDS[language]["where"].format(**found)


def peak(language: str, root: Path = ROOT) -> str:
    """The most memory that a chapter takes, in words."""
    found = readme.record(root, "chapters")["chapters"].values()
    return f"{max(each['peak_mib'] for each in found) / 1024:.1f} GiB"


def repository(language: str, root: Path = ROOT) -> str:
    """Where the repository is, to be cloned."""
    return f"https://github.com/{navigation.repository(root)}"


def contents(language: str, root: Path = ROOT) -> str:
    """The contents of the site, which the side bar shows."""
    own, words = sources(language, root), WORDS[language]
    made = ["solutions/index", *(["api"] if language == "en" else [])]

    def entry(name: str, text: str = "") -> str:
        if name in own or name in made:
            return f"{text} <{name}>" if text else name
        return f"{text} · {words['mark']} <{ENGLISH}{name}>"

    def tree(caption: str, entries: list[str]) -> str:
        return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}",
                          "", *entries, "```", ""])

    chapters = [path.stem for path in notebooks.chapters(root / "chapters")]
    more = [entry("solutions/index"), entry("api", words["api"])]
    if language == "en":
        more += [entry(f"docs/{name}") for name in DOCS]
    return "\n".join([
        tree(words["start"], ["student", "teacher", "engineer"]),
        tree(words["chapters"], [entry(name, title(name, language, root))
                                 for name in chapters]),
        tree(words["more"], more)])


def solutions(language: str, root: Path = ROOT) -> str:
    """The page that lists the solutions."""
    own, words = sources(language, root), WORDS[language]
    entries = []
    for path in notebooks.chapters(root / "chapters" / "solutions"):
        name, text = path.stem, title(path.stem, language, root)
        entries.append(
            f"{text} <{name}>" if f"solutions/{name}" in own else
            f"{text} · {words['mark']} <{ENGLISH}solutions/{name}>")
    return "\n".join([f"# {words['solutions']}", "", words["about"], "",
                      "```{toctree}", *entries, "```", ""])


def gather(language: str, target: Path, root: Path = ROOT
           ) -> dict[str, str]:
    """Write all pages of a language below `target`; return descriptions."""
    described = {"search": "", "solutions/index": WORDS[language]["about"]}
    links = Links(language, root)
    sections: dict[str, Callable[[str, Path], str]] = {
        "strip": strip, "cards": cards, "results": results, "costs": costs,
        "contents": contents, "where": where, "peak": peak,
        "repository": repository}
    shutil.rmtree(target, ignore_errors=True)
    for name, path in sources(language, root).items():
        if path.suffix == ".ipynb":
            notebook = notebook_page(path, name, language, links)
            described[name] = description(next(
                cell.source for cell in notebook.cells
                if cell.source.startswith("# ")
                and cell.cell_type == "markdown"))
            pages.write(target / f"{name}.ipynb", nbformat.writes(notebook))
            continue
        text = links.rewrite(path.read_text(encoding="utf-8"), name, path)
        for section in re.findall(r"\{\{ (\w+) \}\}", text):
            text = text.replace(f"{{{{ {section} }}}}",
                                sections[section](language, root))
        pages.write(target / f"{name}.md", text)
        described[name] = description(text)
    pages.write(target / "solutions" / "index.md", solutions(language, root))
    if language == "en":
        described["api"] = WORDS["en"]["api"]
        pages.write(target / "api.rst", reference.page(root))
        for path in (root / "docs").glob("*.svg"):
            shutil.copy(path, target / "docs")
    return described


def _for_book(path: Path) -> None:
    """Let a gathered page lead to English pages and chapters from an EPUB."""
    text = re.sub(ENGLISH + r"([^)>#\s]+)", rf"{address()}\1.html",
                  path.read_text(encoding="utf-8"))
    text = re.sub(r'href="(?:\.\./(\S+\.html)|(?:\.\./)?(\S+\.epub))"',
                  rf'href="{address()}\1\2"', text)
    pages.write(path, re.sub(r'href="(\d\S+)\.html"', r'href="\1.xhtml"',
                             text))


def _sphinx(builder: str, outputs: dict[str, Path]) -> None:
    """Run Sphinx for both languages at once; a warning is an error."""
    source = BUILD / "pages"
    static = source / "static"
    shutil.rmtree(source, ignore_errors=True)
    pictures.draw(static / "pictures")
    (static / "mathjax").mkdir()
    shutil.copy(MATHJAX / "tex-svg.js", static / "mathjax")
    pages.write(source / "pages.json", json.dumps(
        {language: gather(language, source / language)
         for language in LANGUAGES}))
    options: list[str] = []
    if builder == "epub":
        options = ["-D", "html_math_renderer=mathml"]
        for path in source.rglob("*.*"):
            if path.suffix in (".md", ".ipynb"):
                _for_book(path)
    running = [subprocess.Popen(
        [sys.executable, "-m", "sphinx", "-b", builder, "-W", "--keep-going",
         *options, "-q", "-E", "-c", str(ROOT / "site"),
         "-d", str(BUILD / "doctrees" / f"{builder}-{language}"),
         str(source / language), str(output)],
        env={**os.environ, "SITE_LANG": language})
        for language, output in outputs.items()]
    if any([process.wait() for process in running]):
        raise SystemExit("Sphinx found faults; they are named above.")


def build(target: Path = BUILD / "site") -> None:
    """Build the site aside, and then put it in the place of the old one."""
    new = BUILD / "site.new"
    shutil.rmtree(new, ignore_errors=True)
    _sphinx("html", {"en": new, "zh": BUILD / "site.zh"})
    shutil.rmtree(new / "zh", ignore_errors=True)
    (BUILD / "site.zh").rename(new / "zh")
    books = {language: BUILD / f"epub-{language}" for language in LANGUAGES}
    for book in books.values():
        shutil.rmtree(book, ignore_errors=True)
    _sphinx("epub", books)
    for book in books.values():
        (made,) = book.glob("*.epub")
        made.rename(new / made.name)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def serve() -> None:
    """Show the site to a browser of this machine, and to no other."""
    handler = functools.partial(SimpleHTTPRequestHandler,
                                directory=str(BUILD / "site"))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", PORT), handler)
    except OSError:  # the port is in use
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"http://127.0.0.1:{server.server_port}/ (end with Ctrl-C)",
              flush=True)
        server.serve_forever()


if __name__ == "__main__":
    commands = {(): build, ("serve",): serve}
    command = commands.get(tuple(sys.argv[1:]))
    if command is None:
        raise SystemExit(__doc__)
    command()
