"""How Sphinx builds one language of the site; tools/website.py calls it."""
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "extensions"), str(ROOT / "tools")]

import navigation  # noqa: E402
import website  # noqa: E402
from myst_nb.sphinx_ext import add_global_html_resources  # noqa: E402

LANGUAGE = os.environ["SITE_LANG"]
ZH = LANGUAGE == "zh"
PAGES = ROOT / "build" / "pages"
NAMES = json.loads((PAGES / "pages.json").read_text(encoding="utf-8"))
SITE = website.address()
REPOSITORY = "https://github.com/" + navigation.repository(ROOT)

project = ("用Gluon学习卷积神经网络" if ZH
           else "Convolutional networks in Gluon")
version = website.version()
author = "d2lzh-ext"
copyright = "d2lzh-ext, Apache-2.0"
language = "zh_CN" if ZH else "en"
extensions = ["myst_nb", "sphinx_copybutton", "chinese_search", "mathml"]
exclude_patterns = ["**.ipynb_checkpoints"]
templates_path = ["_templates"]

# Notebooks and Markdown.
nb_execution_mode = "off"  # as stored
nb_code_prompt_show = "显示代码" if ZH else "Show the code"
nb_code_prompt_hide = "收起代码" if ZH else "Hide the code"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_url_schemes = ["http", "https", "mailto", "english"]

# The pages.
html_theme = "sphinx_book_theme"
html_title = project
html_baseurl = SITE + ("zh/" if ZH else "")
html_static_path = ["_static", str(PAGES / "static")]
html_css_files = ["course.css"]
html_favicon = str(PAGES / "static" / "pictures" / "icon.png")
html_context = {"default_mode": "auto"}  # light or dark, as the system is
html_search_language = "zh" if ZH else "en"
html_copy_source = True  # the download button needs it
html_show_sourcelink = False
html_use_index = False
toc_object_entries_show_parents = "hide"
html_domain_indices = False
html_math_renderer = "mathjax"  # of an EPUB mathml; see tools/website.py
mathjax_path = "mathjax/tex-svg.js"
mathjax_options = {"defer": "defer"}
# What the menu offers would be fetched from elsewhere.
mathjax3_config = {"options": {"enableMenu": False}}
copybutton_selector = "div.highlight pre"
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "path_to_docs": "chapters/zh" if ZH else "chapters",
    "use_repository_button": True,
    "use_issues_button": True,
    "use_download_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com",
                       "binderhub_url": "https://mybinder.org",
                       "notebook_interface": "jupyterlab"},
    "article_header_end": ["language.html", "article-header-buttons.html"],
    "navbar_persistent": [],  # otherwise there are two search bars
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "toc_title": "本页内容" if ZH else "On this page",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# The EPUB.
epub_show_urls = "no"
epub_exclude_files = ["_static/mathjax/tex-svg.js"]
epub_title = project
epub_basename = f"course-{LANGUAGE}"


def _next(name: str) -> dict[str, str] | None:
    """The English chapter after the last one that is Chinese."""
    chapters = [page for page in sorted(NAMES["en"]) if page[:2].isdigit()]
    if not ZH or name not in chapters[:-1]:
        return None
    after = chapters[chapters.index(name) + 1]
    if after in NAMES["zh"]:
        return None
    return {"link": website.ENGLISH + after,
            "title": website.title(after, "zh")}


def _context(app: Any, pagename: str, templatename: str,
             context: dict[str, Any], doctree: Any) -> None:
    """Tell the templates what the page is, and where the other language is.
    """
    other = "en" if ZH else "zh"
    both = pagename in NAMES[other] and pagename in NAMES[LANGUAGE]
    page = (pagename if both else "index") + ".html"
    up = "../" * pagename.count("/")
    after = _next(pagename)
    if after:
        context["next"] = after
    hint = ("To the English front page" if ZH
            else "本页尚无中文版：转到中文首页")
    context.update(
        course_both=both, course_site=SITE, course_base=html_baseurl,
        course_description=NAMES[LANGUAGE].get(pagename, ""),
        course_alt=("课程中的十二幅图" if ZH
                    else "Twelve figures of the course"),
        course_other=up + ("../" if ZH else "zh/") + page,
        course_name="English" if ZH else "中文", course_language=other,
        course_hint="" if both else hint)


def _english(text: str, start: str) -> str:
    """A page whose links to English pages lead there, and say so."""
    text = re.sub(
        rf'(<a\s[^>]*?)href="{website.ENGLISH}([^"#]*)([^"]*)"([^>]*>)(.*?)'
        r"(?: · 英文)?</a>",
        rf'\1href="{start}\2.html\3" hreflang="en"\4\5'
        '<span class="course-mark">英文</span></a>', text, flags=re.DOTALL)
    return re.sub(  # those in the head
        rf'href="{website.ENGLISH}([^"#]*)', rf'href="{start}\1.html', text)


def _finish(app: Any, exception: Exception | None) -> None:
    out = Path(app.outdir)
    for path in out.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        up = "../" * (len(path.relative_to(out).parts) if ZH else 0)
        new = _english(text, up)
        if ZH:  # a variable, which no Chinese book would dot
            new = re.sub(r"<em>([^<\u2e80-\u9fff]+)</em>",
                         r'<em class="course-latin">\1</em>', new)
        if new != text:
            path.write_text(new, encoding="utf-8")


def _early(app: Any, env: Any) -> None:
    """Copy myst_nb's style before an EPUB is packed: by itself it is late."""
    (Path(app.outdir) / "_static").mkdir(parents=True, exist_ok=True)
    add_global_html_resources(app, None)


def setup(app: Any) -> None:
    app.connect("env-updated", _early)
    app.connect("html-page-context", _context)
    app.connect("build-finished", _finish)
