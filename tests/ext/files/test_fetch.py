"""Finding, verifying and downloading a data set, faults included.

A data set of a few bytes stands in for Fashion-MNIST; nothing here leaves
this machine.
"""
import errno
import gzip
import hashlib
import http.server
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from interpreter import ROOT

from d2lzh_ext.data import mnist
from d2lzh_ext.files import fetch
from d2lzh_ext.files.fetch import FASHION_MNIST, MNIST, DataSet, IdxFile, load
from d2lzh_ext.files.idx import DataError, read_idx

EMBEDDED = ROOT / "data" / "fashion-mnist"


def content(shape, seed):
    items = np.random.RandomState(seed).randint(0, 256, shape, np.uint8)
    return (struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            + items.tobytes())


SHAPES = {"train-images.gz": (40, 4, 4), "train-labels.gz": (40,),
          "t10k-images.gz": (20, 4, 4), "t10k-labels.gz": (20,)}
CONTENT = {name: content(shape, seed)
           for seed, (name, shape) in enumerate(SHAPES.items())}
FILES = [IdxFile(name, hashlib.sha256(CONTENT[name]).hexdigest(), shape)
         for name, shape in SHAPES.items()]
IMAGES = FILES[0]
PLAIN = CONTENT[IMAGES.name]
GOOD = gzip.compress(PLAIN)


def tiny(*sources):
    return DataSet("tiny", (FILES[0], FILES[1]), (FILES[2], FILES[3]),
                   sources)


TINY = tiny("http://one.invalid/", "http://two.invalid/a/")


def load_images(root=TINY.mxnet_root, dataset=TINY):
    """The images of the data set, which are right if there are any."""
    array = load(dataset, dataset.train[0], root)
    assert array.shape == IMAGES.shape and array.tobytes() == PLAIN[16:]


class Places:
    """The folders that are searched, all of them empty."""

    order = "own", "clone", "cache", "mxnet", "debian"

    def __init__(self, tmp_path, monkeypatch):
        self.own = tmp_path / "own"
        self.clone = tmp_path / "clone" / "tiny"
        self.cache = tmp_path / "cache" / "tiny"
        self.mxnet = tmp_path / "home/.mxnet/datasets/tiny"
        self.debian = tmp_path / "debian" / "tiny"
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("D2LZH_DATA", str(self.cache.parent))
        monkeypatch.setattr(fetch, "_CLONE", self.clone.parent)
        monkeypatch.setattr(fetch, "_DEBIAN", self.debian.parent)


def put(folder, name=IMAGES.name, data=GOOD):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def leftovers(folder):
    return [p.name for p in folder.iterdir()] if folder.exists() else []


@pytest.fixture
def places(tmp_path, monkeypatch):
    return Places(tmp_path, monkeypatch)


@pytest.fixture
def transfer(monkeypatch):
    """Replace the download by a function; record the URLs asked for."""
    def replace(function):
        urls = []

        def fake(url, path):
            urls.append(url)
            function(url, path)
        monkeypatch.setattr(fetch, "_transfer", fake)
        return urls
    return replace


@pytest.fixture(autouse=True)
def no_download(transfer):
    transfer(lambda url, path: pytest.fail(f"asked for {url}"))


def serve_good(url, path):
    path.write_bytes(GOOD)


# --- the embedded copy ----------------------------------------------------

def test_checksum_file_agrees_with_the_code():
    lines = (EMBEDDED / "SHA256SUMS").read_text().splitlines()
    assert {tuple(line.split("  ")) for line in lines} == {
        (f.sha256, f.name[:-len(".gz")])
        for f in (*FASHION_MNIST.train, *FASHION_MNIST.test)}


# --- the search -----------------------------------------------------------

def assert_counts_in_this_order(paths, dataset, root):
    """Each of these wrong files is reported, then taken away."""
    for path in paths:
        put(path.parent, path.name, b"")
    for path in paths:
        with pytest.raises(DataError, match=re.escape(f"{path}: ")):
            load_images(root, dataset)
        path.unlink()


def test_search_order(places):
    assert_counts_in_this_order(
        [getattr(places, name) / IMAGES.name for name in places.order],
        TINY, places.own)


def test_default_root_takes_its_turn_in_the_search(places):
    """MXNet's own folder is the default: the clone comes before it."""
    put(places.mxnet, data=b"broken")
    put(places.clone)
    for root in (TINY.mxnet_root, os.path.expanduser(TINY.mxnet_root)):
        load_images(root)


def test_other_gzip_bytes_and_plain_content_are_as_good(places):
    for data in (gzip.compress(PLAIN, 1, mtime=5), PLAIN):
        assert data != GOOD
        put(places.cache, data=data)
        load_images()


# A data set with names like those of MNIST, and the other names of a file.
RENAMED = DataSet("tiny", (IdxFile(
    "train-images-idx3-ubyte.gz", IMAGES.sha256, IMAGES.shape), FILES[1]),
    TINY.test, TINY.sources)
NAMES = ["train-images-idx3-ubyte.gz", "train-images-idx3-ubyte",
         "train-images.idx3-ubyte.gz", "train-images.idx3-ubyte"]


@pytest.mark.parametrize("place", Places.order)
@pytest.mark.parametrize("name", NAMES[1:])
def test_other_names_are_as_good(places, place, name):
    path = put(getattr(places, place), name,
               GOOD if name.endswith(".gz") else PLAIN)
    load_images(places.own, RENAMED)
    path.write_bytes(b"broken")
    with pytest.raises(DataError, match=re.escape(f"{path}: ")):
        load_images(places.own, RENAMED)


def test_of_several_names_the_first_counts(places):
    assert_counts_in_this_order(
        [places.cache / name for name in NAMES], RENAMED, RENAMED.mxnet_root)


def test_an_earlier_folder_counts_more_than_a_better_name(places):
    assert_counts_in_this_order(
        [places.own / NAMES[-1], places.cache / NAMES[0]], RENAMED,
        places.own)


def test_a_folder_by_the_name_of_a_file(places):
    """As in an archive of MNIST on Kaggle, which has both."""
    (places.own / "train-images-idx3-ubyte").mkdir(parents=True)
    put(places.own, "train-images.idx3-ubyte", PLAIN)
    load_images(places.own, RENAMED)


@pytest.mark.parametrize(("platform", "caches", "folder"), [
    ("linux", "", "/home/me/.cache/d2lzh_ext"),
    ("darwin", "", "/home/me/Library/Caches/d2lzh_ext"),
    ("linux", "/elsewhere", "/elsewhere/d2lzh_ext")])
def test_cache_without_the_variable_is_the_systems(monkeypatch, platform,
                                                   caches, folder):
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in (("HOME", "/home/me"), ("XDG_CACHE_HOME", caches),
                        ("D2LZH_DATA", "")):
        monkeypatch.setenv(name, value)
    assert fetch.cache_folder() == Path(folder)


# --- wrong files ----------------------------------------------------------

@pytest.mark.parametrize("tenth", range(10))
def test_cut_file_is_refused(places, tenth):
    path = put(places.cache, data=GOOD[:len(GOOD) * tenth // 10])
    with pytest.raises(DataError, match="Delete the file and try again"
                       ) as caught:
        load_images()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("plain", [False, True])
def test_any_flipped_byte_is_refused(places, plain):
    """Plain content has no CRC: there the digest alone can tell."""
    good = PLAIN if plain else GOOD
    for where in range(0, len(good), 3):
        data = bytearray(good)
        data[where] ^= 0x10
        put(places.cache, data=data)
        try:
            load_images()
        except DataError:
            continue
        # A name or a time in gzip's header is not content.
        assert not plain and where < 10


@pytest.mark.parametrize("other", FILES[1:], ids=lambda file: file.name)
def test_swapped_file_is_recognised(places, other):
    path = put(places.cache, data=gzip.compress(CONTENT[other.name]))
    with pytest.raises(DataError) as caught:
        load_images()
    assert str(caught.value) == (f"{path}: this is really {other.name}. "
                                 "Delete the file and try again.")


@pytest.mark.parametrize(("file", "shape", "what"), [
    (IMAGES, IMAGES.shape, "not that of tiny"),
    (IMAGES, (3, 4, 4), r"shape is \(3, 4, 4\), expected \(40"),
    (FILES[1], (40, 4, 4),
     r"the magic number is 2051 \(images\), expected 2049 \(labels\)"),
    (IMAGES, (40,),
     r"the magic number is 2049 \(labels\), expected 2051 \(images\)"),
    (IMAGES, (40, 16),
     r"the magic number is 2050, expected 2051 \(images\)")])
def test_foreign_content_is_refused(places, file, shape, what):
    put(places.own, file.name, gzip.compress(content(shape, 99)))
    with pytest.raises(DataError, match=what):
        load(TINY, file, places.own)


def test_in_the_clone_git_is_the_cure(places):
    put(places.clone, data=b"broken")
    with pytest.raises(DataError, match="git checkout -- data/tiny"):
        load_images()


# --- downloads ------------------------------------------------------------

def test_download_is_kept_in_the_cache(places, transfer):
    urls = transfer(serve_good)
    for _ in range(2):  # the second time the file is there
        load_images()
    assert urls == ["http://one.invalid/train-images.gz"]
    assert leftovers(places.cache) == [IMAGES.name]


def test_download_goes_to_the_callers_folder(places, transfer):
    transfer(serve_good)
    load_images(places.own)
    assert leftovers(places.own) == [IMAGES.name]
    assert not places.cache.exists()


@pytest.mark.parametrize("failures", [1, 2])
def test_next_source_is_asked_and_the_first_again(places, transfer, failures):
    def fail_first(url, path):
        if len(urls) == 1:
            path.write_bytes(b"<html>sorry</html>")
        elif len(urls) <= failures:
            raise ConnectionError("reset by peer")
        else:
            path.write_bytes(GOOD)
    urls = transfer(fail_first)
    load_images()
    assert [url[7:10] for url in urls] == ["one", "two", "one"][:failures + 1]


@pytest.mark.parametrize("data", [
    b"", GOOD[:-20], gzip.compress(CONTENT["t10k-images.gz"]), b"<html>"])
def test_wrong_download_is_not_kept(places, transfer, data):
    transfer(lambda url, path: path.write_bytes(data))
    with pytest.raises(DataError, match="nowhere to be had"):
        load_images()
    assert leftovers(places.cache) == []


def test_failure_lists_everything(places, transfer):
    def fail(url, path):
        if "one" in url:
            raise OSError("no route\nto " + "host " * 100)
        path.write_bytes(gzip.compress(CONTENT["train-labels.gz"]))
    transfer(fail)
    places.clone.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        load_images(places.own)
    lines = str(caught.value).splitlines()
    assert lines[2:7] == [f"  {getattr(places, name)}"
                          for name in places.order]
    assert lines[8].startswith("  http://one.invalid/train-images.gz: "
                               "OSError: no route to host")
    assert lines[9] == ("  http://two.invalid/a/train-images.gz: DataError: "
                        "this is really train-labels.gz")
    assert lines[10].startswith("To place the files by hand")
    assert all(name in lines[10] for name in (
        *SHAPES, str(places.own), "packed or unpacked"))
    assert len(lines) == 11
    assert max(map(len, lines[8:10])) < 300


def failing(error):
    """What begins a file, and fails."""
    def fail(url, path):
        path.write_bytes(GOOD[:50])
        raise error
    return fail


def system_error(code):
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit])
def test_interrupted_download_leaves_nothing(places, transfer, problem):
    transfer(failing(problem))
    with pytest.raises(problem):
        load_images()
    assert leftovers(places.cache) == []


def test_full_disk_is_one_clear_error(places, transfer):
    urls = transfer(failing(system_error(errno.ENOSPC)))
    with pytest.raises(DataError, match="cannot be written: No space"):
        load_images()
    assert len(urls) == 1  # another source would not help
    assert leftovers(places.cache) == []


@pytest.mark.parametrize(("owner", "function", "code"), [
    (os, "fsync", errno.EIO), (os, "replace", errno.EIO),
    (Path, "touch", errno.EROFS)])
def test_read_only_folder_is_one_clear_error(places, transfer, monkeypatch,
                                             owner, function, code):
    """Also a disk that fails when a file is finished."""
    def fail(*args, **kwargs):
        raise system_error(code)
    transfer(serve_good)
    monkeypatch.setattr(owner, function, fail)
    with pytest.raises(DataError, match=(
            f"cannot be written: {os.strerror(code)}.*D2LZH_DATA")):
        load_images()
    assert leftovers(places.cache) == []


def test_root_that_is_a_file_is_one_clear_error(places):
    places.own.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written: File exists"):
        load_images(places.own)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_finished_file_honours_the_umask(places, transfer, mask):
    transfer(serve_good)
    before = os.umask(mask)
    try:
        load_images()
    finally:
        os.umask(before)
    mode = (places.cache / IMAGES.name).stat().st_mode & 0o777
    assert mode == 0o666 & ~mask


def test_downloads_at_once_do_not_clash(places, transfer):
    """Four downloads, none of which ends before all have begun."""
    barrier = threading.Barrier(4, timeout=100)
    results = []

    def together(url, path):
        path.write_bytes(GOOD[:50])
        barrier.wait()
        path.write_bytes(GOOD)
    urls = transfer(together)
    threads = [threading.Thread(target=lambda: results.append(load_images()))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(urls) == 4
    assert leftovers(places.cache) == [IMAGES.name]
    assert read_idx(places.cache / IMAGES.name).shape == IMAGES.shape


# --- the real transfer, over the loopback ---------------------------------

class Handler(http.server.BaseHTTPRequestHandler):
    """/good/ is right, /cut3/ ends after three tenths, the rest is 404."""

    def do_GET(self):
        folder = self.path.split("/")[-2]
        self.server.asked.append(folder)
        if not re.fullmatch(r"good|cut\d", folder):
            self.send_error(404)
            return
        tenths = 10 if folder == "good" else int(folder[-1])
        self.send_response(200)
        self.send_header("Content-Length", str(len(GOOD)))
        self.end_headers()
        self.wfile.write(GOOD[:len(GOOD) * tenths // 10])

    def log_message(self, *args):
        pass


@pytest.fixture
def real(monkeypatch, tmp_path):
    """The folders that are searched; the transfer is the real one."""
    monkeypatch.undo()
    monkeypatch.setenv("NO_PROXY", "*")
    return Places(tmp_path, monkeypatch)


@pytest.fixture
def server(real):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked = []
        it.at = f"http://127.0.0.1:{it.server_port}"
        thread = threading.Thread(target=it.serve_forever, args=(0.01,))
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def test_real_transfer(server, real, capfd):
    with pytest.raises(DataError) as caught:
        load_images(dataset=tiny(f"{server.at}/lost/", f"{server.at}/cut1/"))
    assert re.search("/lost/.*: HTTPError: 404", str(caught.value))
    assert re.search("/cut1/.*IncompleteRead|/cut1/.*cut short",
                     str(caught.value))
    assert server.asked == ["lost", "cut1", "lost", "cut1"]
    assert leftovers(real.cache) == []

    load_images(dataset=tiny(f"{server.at}/cut9/", f"{server.at}/good/"))
    assert (real.cache / IMAGES.name).read_bytes() == GOOD
    error = capfd.readouterr().err  # bars, each wiped away, nothing else
    assert re.search(rf"train-images\.gz: .* 0\.00/{len(GOOD)} ", error)
    assert re.search(r"\r +\r$", error) and "\n" not in error


@pytest.mark.parametrize("tenths", range(10))
def test_a_download_cut_at_every_tenth(server, real, tenths):
    with pytest.raises(DataError, match="is nowhere to be had"):
        load_images(dataset=tiny(f"{server.at}/cut{tenths}/"))
    assert server.asked == [f"cut{tenths}"] * 2
    assert leftovers(real.cache) == []


def test_a_proxy_is_asked(server, real, monkeypatch):
    """It knows a host that nobody else does."""
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", server.at)
    load_images(dataset=tiny("http://one.invalid/good/"))
    assert server.asked == ["good"]


def test_two_processes_fetch_at_once(server, real):
    """Both get the file, and there is one in the end."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
import test_fetch as t
t.load_images(dataset=t.tiny("{server.at}/good/"))
"""
    processes = [subprocess.Popen([sys.executable, "-c", code])
                 for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert leftovers(real.cache) == [IMAGES.name]


def test_nobody_listens(real):
    with pytest.raises(DataError, match=r"NewConnectionError: .*refused"):
        load_images(dataset=tiny("http://127.0.0.1:9/"))


# --- MNIST ----------------------------------------------------------------

def test_mnist_has_the_names_and_the_shapes_of_fashion_mnist():
    """Its folder and its content are its own."""
    for ours, theirs in zip((*MNIST.train, *MNIST.test),
                            (*FASHION_MNIST.train, *FASHION_MNIST.test)):
        assert (ours.name, ours.shape) == (theirs.name, theirs.shape)
        assert ours.sha256 != theirs.sha256
        assert re.fullmatch("[0-9a-f]{64}", ours.sha256)
    assert MNIST.name == "mnist"
    assert all(source.endswith("/") for source in MNIST.sources)


def test_file_of_another_data_set_is_recognised(places):
    """The files of MNIST and Fashion-MNIST have the same names."""
    file = MNIST.test[1]
    put(places.own, file.name, (EMBEDDED / file.name).read_bytes())
    with pytest.raises(DataError, match=r"this is really t10k-labels-idx1-"
                       r"ubyte\.gz of fashion-mnist\. Delete"):
        load(MNIST, file, places.own)


def test_no_mnist_to_be_had_is_one_clear_error(places, transfer):
    urls = transfer(failing(OSError("no route to host")))
    with pytest.raises(DataError) as caught:
        mnist(train=True)
    assert len(urls) == 2 * len(MNIST.sources)
    lines = str(caught.value).splitlines()
    assert lines[0] == ("train-images-idx3-ubyte.gz of mnist is nowhere to "
                        "be had.")
    assert lines[-1].endswith(f"into {places.cache.parent / 'mnist'}.")
