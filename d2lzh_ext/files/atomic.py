"""Write files so that others see all of them or nothing."""
from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """A file beside `target`, empty at first, that becomes it at the end.

    If the block raises, `target` stays as it was and nothing is left
    behind. A killed process can leave the file beside it, never half of
    `target`. What is there keeps its permissions, and a link leads to the
    new content.

    Raises:
        OSError: The file cannot be made, or not be put in its place, which
            a folder or a device has. For those, before the block begins.
    """
    target = target.resolve()
    if target.exists() and not target.is_file():
        # Root could replace /dev/null by a file, for the whole system.
        raise OSError(errno.EINVAL, "Not a regular file", str(target))
    # Not by tempfile: it ignores the umask, so that others on the machine
    # could not read the finished file.
    path = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    path.touch(exist_ok=False)
    try:
        if target.exists():
            shutil.copymode(target, path)
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
    target = target.resolve()
    own = re.compile(re.escape(target.name) + r"\.[0-9a-f]{32}\.part")
    for path in target.parent.iterdir():
        if own.fullmatch(path.name):
            with contextlib.suppress(OSError):  # it does no harm
                path.unlink()
