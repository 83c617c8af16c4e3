"""Chinese search by pairs of characters, in the index and in the query.

Sphinx's own needs a dictionary, and cuts a query where the index did not.
"""
import re
from typing import Any

from sphinx.search import languages
from sphinx.search.zh import SearchChinese

CHINESE = "\u3400-\u9fff"


class Pairs(SearchChinese):  # type: ignore[misc]
    # Sphinx 9 names a stemmer of Chinese, which no file defines.
    language_name = "English"
    js_splitter_code = r"""
function splitQuery(query) {
  const words = [];
  const runs = query.match(/[\u3400-\u9fff]+|[\p{L}\p{N}_]+/gu) || [];
  for (const run of runs) {
    if (!/[\u3400-\u9fff]/.test(run) || run.length < 3) words.push(run);
    else for (let i = 0; i + 1 < run.length; i++)
      words.push(run.slice(i, i + 2));
  }
  return words;
}
"""

    def split(self, input: str) -> list[str]:
        words: list[str] = []
        for run in re.findall(f"[{CHINESE}]+|[^\\W{CHINESE}]+", input):
            if re.match(f"[{CHINESE}]", run):
                words += [*run, *map("".join, zip(run, run[1:]))]
            else:
                words.append(run)
                self.latin_terms.add(run)
        return words

    def word_filter(self, word: str) -> bool:
        return len(word) > 1 or word >= "\u3400"


def setup(app: Any) -> dict[str, bool]:
    languages["zh"] = Pairs
    return {"parallel_read_safe": True}
