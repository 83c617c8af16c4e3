"""The site in a browser: what a reader of build/site gets.

In .venv-site, by `nox --session site`, or after `make site`:

    sh tools/setup.sh site-test
    .venv-site/bin/python -m pytest -c tests/site/pytest.ini tests/site
"""
from __future__ import annotations

import functools
import http.server
import os
import posixpath
import re
import shutil
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
# Another folder can be tried, so that a test can be seen to fail.
SITE = Path(os.environ.get("SITE", ROOT / "build" / "site"))
AXE = ROOT / ".venv-site" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
PAGES = sorted(path.relative_to(SITE).as_posix()
               for path in SITE.rglob("*.html")
               if "_static" not in path.parts)
CHAPTERS = [page for page in PAGES if re.fullmatch(
    r"(zh/)?(solutions/)?\d\d-.*\.html", page)]
# Contrast is a matter of the style, so of each kind of page one a language.
SAMPLE = [page for page in PAGES if re.fullmatch(
    r"(zh/)?(index|teacher|search|api|05-lenet|02-.*|solutions/01-.*|"
    r"solutions/index|docs/platforms)\.html", page)]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """The site, served on this machine."""
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, (
        "chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "sh tools/setup.sh site-test installs a browser"
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"])
        yield made
        made.close()


class Watched:
    """A page of the browser, and all that goes wrong in it."""

    def __init__(self, page: Page, start: str) -> None:
        self.page, self.start = page, start
        self.faults: list[str] = []
        page.on("console", lambda message: message.type in (
            "error", "warning") and self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("requestfailed", lambda request: self.faults.append(
            f"failed: {request.url}"))
        page.on("request", lambda request: request.url.startswith(
            (start, "data:", "blob:")) or self.faults.append(
                f"asks elsewhere: {request.url}"))
        page.on("response", lambda response: response.status >= 400
                and self.faults.append(f"{response.status} {response.url}"))

    def open(self, page: str) -> Page:
        self.page.goto(self.start + page)
        return self.page


@pytest.fixture(scope="session")
def _context(browser: Browser) -> Iterator[Any]:
    made = browser.new_context(viewport=DESK)
    yield made
    made.close()


@pytest.fixture
def watched(_context: Any, address: str) -> Iterator[Watched]:
    page = _context.new_page()
    yield Watched(page, address)
    page.close()


def test_there_are_pages_in_both_languages() -> None:
    assert {"index.html", "zh/index.html", "05-lenet.html", "api.html",
            "zh/05-lenet.html", "zh/solutions/05-lenet.html",
            "search.html", "zh/search.html"} <= set(PAGES)
    assert len(CHAPTERS) >= 34 + 10


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole(watched: Watched, name: str) -> None:
    """No fault, nothing from elsewhere, formulas, figures, phone width."""
    page = watched.open(name)
    page.evaluate("() => window.MathJax ? MathJax.startup.promise : null")
    found = page.evaluate("""() => ({
        language: document.documentElement.lang,
        formulas: document.querySelectorAll('.math').length,
        typeset: document.querySelectorAll('.math mjx-container').length,
        wrong: document.querySelectorAll('[data-mml-node=merror], '
            + '.math [fill=red], .math [data-mjx-error]').length,
        undescribed: [...document.querySelectorAll('main img')].filter(
            image => !image.hasAttribute('alt')
                || image.closest('.cell_output') && image.alt.length < 12
        ).map(image => image.src),
        broken: [...document.images].filter(
            image => image.complete && !image.naturalWidth
        ).map(image => image.src),
        english: [...document.querySelectorAll('.cell_output img')].filter(
            image => !/[\\u4e00-\\u9fff]/.test(image.alt)
        ).map(image => image.alt),
        hidden: /google\\.colab/.test(
            document.querySelector('main').innerText),
    })""")
    assert found["language"].lower() == (
        "zh-cn" if name.startswith("zh/") else "en")
    assert found["formulas"] == found["typeset"] and not found["wrong"]
    assert not found["undescribed"] and not found["broken"]
    assert not (name.startswith("zh/") and found["english"])
    assert not found["hidden"]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    # What is wider than the screen must be inside of what scrolls.
    wide = page.evaluate("""() => {
        const scrolls = each => each && each.tagName != 'ARTICLE' && (
            /auto|scroll/.test(getComputedStyle(each).overflowX)
            || scrolls(each.parentElement));
        const wide = document.documentElement.scrollWidth;
        return [...(wide > innerWidth ? [wide] : []),
            ...[...document.querySelectorAll('article *')].filter(
                each => each.getBoundingClientRect().right > innerWidth + 1
                    && each.checkVisibility() && !scrolls(each)
            ).slice(0, 5).map(each => each.outerHTML.slice(0, 120))]
    }""")
    assert not wide
    assert not watched.faults


def test_formulas_are_there_to_be_typeset() -> None:
    text = (SITE / "02-padding-and-stride.html").read_text("utf-8")
    assert 'class="math notranslate' in text


@pytest.mark.parametrize("name", [
    "05-lenet.html", "solutions/01-convolution.html", "index.html",
    "teacher.html", "search.html"])
def test_the_switch_leads_there_and_back(
        watched: Watched, address: str, name: str) -> None:
    page = watched.open(name)
    page.click(".course-language")
    assert page.url == f"{address}zh/{name}"
    page.click(".course-language")
    assert page.url == address + name
    assert not watched.faults


def test_what_is_not_translated_leads_to_the_front_page(
        watched: Watched, address: str) -> None:
    english = [page for page in CHAPTERS if not page.startswith("zh/")
               and f"zh/{page}" not in PAGES] + ["docs/glossary.html"]
    for name in english:
        up = "../" * name.count("/")
        assert f"{up}zh/index.html" in read(SITE / name).targets
    page = watched.open(english[-1])
    page.click(".course-language")
    assert page.url == f"{address}zh/index.html"
    for name in english:
        if "/" in name:
            continue
        links = page.locator(f"nav a[href='../{name}']")
        assert links.count() and "英文" in links.first.inner_text()


@pytest.mark.parametrize("start, words, leads_to", [
    ("", "receptive field", "02-padding-and-stride.html"),
    ("zh/", "卷积", "zh/01-convolution.html"),
    ("zh/", "感受野", "zh/02-padding-and-stride.html"),
    ("zh/", "LeNet", "zh/05-lenet.html")])
def test_search_finds(watched: Watched, address: str, start: str,
                      words: str, leads_to: str) -> None:
    page = watched.open(f"{start}search.html?q={words}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_selector("#search-results li p.context")
    links = page.eval_on_selector_all(
        "#search-results li a", "links => links.map(link => link.href)")
    found = {link.partition("?")[0].partition("#")[0] for link in links}
    assert address + leads_to in found
    excerpts = page.inner_text("#search-results")
    assert words.lower() in excerpts.lower()
    assert not watched.faults


def test_search_finds_no_nonsense(watched: Watched) -> None:
    page = watched.open("zh/search.html?q=龘龘龘")
    page.wait_for_selector(".search-summary")
    page.wait_for_timeout(500)
    assert not page.locator("#search-results li").count()


@pytest.mark.parametrize("name", SAMPLE)
def test_text_can_be_read(browser: Browser, address: str, name: str) -> None:
    """Contrast as WCAG AA asks for: text, links, code, light and dark."""
    page = browser.new_page(
        viewport=DESK,  # type: ignore[arg-type]
        reduced_motion="reduce")
    page.goto(address + name)
    # A cell that is opened fades in, and its text is pale until then.
    page.add_style_tag(content="* { transition: none !important; "
                       "animation: none !important; }")
    page.evaluate("document.querySelectorAll('details').forEach("
                  "each => each.open = true)")
    page.add_script_tag(path=AXE)
    for mode in ("light", "dark"):
        page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
        page.wait_for_function(
            f"document.documentElement.dataset.theme == '{mode}'")
        found = page.evaluate("""() => axe.run(document, {
            runOnly: ['color-contrast', 'link-in-text-block', 'image-alt',
                      'link-name', 'document-title', 'html-has-lang']})""")
        assert found["passes"]
        assert [(fault["id"], node["html"][:150],
                 node["any"][0]["message"][:150])
                for fault in found["violations"]
                for node in fault["nodes"]] == [], mode
    page.close()


@pytest.mark.parametrize("name", [
    name for name in CHAPTERS if "05-lenet" in name])
def test_a_notebook_has_its_buttons(watched: Watched, name: str) -> None:
    page = watched.open(name)
    links = page.eval_on_selector_all("a", "all => all.map(a => a.href)")
    where = "chapters/" + name.replace(".html", ".ipynb")
    for host in ("colab.research.google.com", "mybinder.org"):
        assert any(host in link and link.endswith(where) for link in links)
    assert page.locator("button.copybtn").count() > 10
    assert page.locator("details.hide").count() > 0
    assert not page.locator("details.hide[open]").count()
    assert page.locator(".prev-next-area a, a.left-prev").count() >= 1
    other = (name.replace("solutions/", "") if "solutions" in name else
             name.replace("05-", "solutions/05-"))
    assert any(link.partition("#")[0].endswith("/" + other)
               for link in page.eval_on_selector_all(
                   ".bd-article a", "all => all.map(a => a.href)"))


@pytest.mark.parametrize("name", [
    name for name in CHAPTERS if "solutions" not in name])
def test_each_exercise_leads_to_its_solution(name: str) -> None:
    text = (SITE / name).read_text(encoding="utf-8")
    number = int(name.rpartition("/")[2][:2])
    exercises = re.split(r">(?:Exercises|练习)<a", text)[1]
    items = len(re.findall("<li>", exercises.partition("</ol>")[0]))
    assert items >= 5
    assert re.findall(r'html#(solution-.*?)"', text) == [
        f"solution-{number}-{item + 1}" for item in range(items)]


def test_pages_work_as_files(browser: Browser) -> None:
    page = browser.new_page()
    watched = Watched(page, SITE.as_uri() + "/")
    for name in ("index.html", "zh/05-lenet.html", "solutions/index.html"):
        watched.open(name)
        assert page.evaluate("document.styleSheets.length") > 2
        assert page.evaluate("getComputedStyle(document.body).fontFamily")
    page.goto(SITE.as_uri() + "/zh/search.html?q=感受野")
    page.wait_for_selector("#search-results li a")
    page.close()
    assert not [fault for fault in watched.faults if "elsewhere" in fault]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_epub(language: str) -> None:
    """Pages that any reader can parse; formulas without a script."""
    formulas = 0
    with ZipFile(SITE / f"course-{language}.epub") as book:
        names = book.namelist()
        assert names[0] == "mimetype"
        for name in names:
            if not name.endswith((".xhtml", ".opf", ".ncx")):
                continue
            tree = ElementTree.fromstring(book.read(name))
            for each in tree.iter():
                formulas += each.tag.endswith("}math")
                assert not each.tag.endswith("}script")
                link = each.get("href") or each.get("src") or ""
                path = unquote(link.partition("#")[0])
                assert not link.startswith("english:"), name
                if path and not urlsplit(link).scheme:
                    assert posixpath.normpath(posixpath.join(
                        posixpath.dirname(name), path)) in names, (name, link)
    assert formulas > 5


class Links(HTMLParser):
    """Where a page leads, what it names, and what it says of itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.said: dict[str, str] = {}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str,
                        attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.names |= {values.get("id", ""), values.get("name", "")}
        if tag == "meta":
            key = values.get("property") or values.get("name", "")
            self.said[key] = values.get("content", "")
        elif tag == "link" and "hreflang" in values:
            self.said[values["hreflang"]] = values["href"]
        elif tag == "link" and values.get("rel") == "canonical":
            self.said["canonical"] = values["href"]
        else:
            self.targets += [values[key] for key in ("href", "src")
                             if key in values]


@functools.cache
def read(path: Path) -> Links:
    return Links(path)


def test_links_lead_somewhere() -> None:
    missing = []
    for name in PAGES:
        here = SITE / name
        for link in read(here).targets:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            path = unquote(parts.path)
            target = (here.parent / path).resolve() if path else here
            anchor = unquote(parts.fragment)
            if target.is_dir():
                target = target / "index.html"
            if not target.is_file() or parts.scheme or (
                    anchor and target.suffix == ".html"
                    and anchor not in read(target).names):
                missing.append(f"{name}: {link}")
    assert missing == []


def test_pages_say_what_they_are() -> None:
    start = read(SITE / "index.html").said["canonical"].removesuffix(
        "index.html")
    for name in PAGES:
        said = read(SITE / name).said
        assert said["canonical"] == start + name
        image = said["og:image"].removeprefix(start)
        assert (SITE / image).is_file()
        alone = name.removeprefix("zh/")
        both = {alone, f"zh/{alone}"} <= set(PAGES)
        if both:
            assert said["en"] == said["x-default"] == start + alone, name
            assert said["zh-CN"] == f"{start}zh/{alone}"
        else:
            assert "zh-CN" not in said
        if name in CHAPTERS:
            assert len(said["description"]) > 10
