"""Files are replaced, and nothing else is."""
import os
from pathlib import Path

import pytest

from d2lzh_ext.files.atomic import remove_leftovers, written_aside


def write(target, text="new"):
    with written_aside(target) as part:
        part.write_text(text)


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "other").touch()
    write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode == (
        tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_a_file_keeps_its_permissions(tmp_path, mode):
    (tmp_path / "a").touch(mode)
    (tmp_path / "a").chmod(mode)
    write(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("leads_to", ["there", "not-yet"])
def test_a_link_stays_a_link(tmp_path, leads_to):
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "there").write_text("old")
    link = tmp_path / "link"
    link.symlink_to(real / leads_to)
    (real / f"{leads_to}.{'0a' * 16}.part").write_text("half")
    write(link)
    assert link.is_symlink()
    assert (real / leads_to).read_text() == "new"
    remove_leftovers(link)
    assert {path.name for path in real.iterdir()} == {"there", leads_to}


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "link"])
def test_what_is_no_file_is_left_alone(tmp_path, kind):
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "device":
        target = Path(os.devnull)
    else:
        target.symlink_to(os.devnull)
    before = target.stat()
    refused = pytest.raises(OSError, match="Not a regular file")
    with refused, written_aside(target):
        raise AssertionError("the block has begun")
    assert os.path.samestat(before, target.stat())
