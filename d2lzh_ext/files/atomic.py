"""Write files so that others see all of them or nothing."""
from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A file beside `target`, empty at first, that becomes it at the end.

    If the block raises, `target` stays as it was and nothing is left
    behind. A killed process can leave the file beside it, never half of
    `target`.

    Raises:
        OSError: The file cannot be made, or not be put in its place.
    """
    # Not by tempfile: it ignores the umask, so that others on the machine
    # could not read the finished file.
    path = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    path.touch(exist_ok=False)
    try:
        yield path
        with path.open("rb+") as finished:
            os.fsync(finished.fileno())
        os.replace(path, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def remove_leftovers(target: Path) -> None:
    """Delete what killed processes left beside `target`, and only that.

    Another file's leftover (``target.b.<hex>.part``) may be in the making.
    """
    own = re.compile(re.escape(target.name) + r"\.[0-9a-f]{32}\.part")
    for path in target.parent.iterdir():
        if own.fullmatch(path.name):
            with contextlib.suppress(OSError):  # it does no harm
                path.unlink()
