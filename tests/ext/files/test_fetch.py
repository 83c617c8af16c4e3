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
import shutil
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


NAMES = ("train-images.gz", "train-labels.gz", "t10k-images.gz",
         "t10k-labels.gz")
SHAPES = ((40, 4, 4), (40,), (20, 4, 4), (20,))
CONTENT = {name: content(shape, seed)
           for seed, (name, shape) in enumerate(zip(NAMES, SHAPES))}
FILES = [IdxFile(name, hashlib.sha256(CONTENT[name]).hexdigest(), shape)
         for name, shape in zip(NAMES, SHAPES)]
IMAGES = FILES[0]
TINY = DataSet("tiny", (FILES[0], FILES[1]), (FILES[2], FILES[3]),
               ("http://one.invalid/", "http://two.invalid/a/"))
GOOD = gzip.compress(CONTENT[IMAGES.name])


class Places:
    """The folders that are searched, all of them empty."""

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
def no_network(monkeypatch):
    def refuse(url, path):
        pytest.fail(f"asked for {url}")
    monkeypatch.setattr(fetch, "_transfer", refuse)


def serve_good(url, path):
    path.write_bytes(GOOD)


# --- the embedded copy ----------------------------------------------------

def test_embedded_copy_is_the_published_one():
    for file in (*FASHION_MNIST.train, *FASHION_MNIST.test):
        assert load(FASHION_MNIST, file, FASHION_MNIST.mxnet_root
                    ).shape == file.shape


def test_checksum_file_agrees_with_the_code():
    lines = (EMBEDDED / "SHA256SUMS").read_text().splitlines()
    assert {tuple(line.split("  ")) for line in lines} == {
        (f.sha256, f.name[:-len(".gz")])
        for f in (*FASHION_MNIST.train, *FASHION_MNIST.test)}


def test_default_root_is_that_of_d2lzh():
    import inspect

    from first_edition import original
    function = original().load_data_fashion_mnist
    default = inspect.signature(function).parameters["root"].default
    assert FASHION_MNIST.mxnet_root == default


# --- the search -----------------------------------------------------------

def test_search_order(places):
    order = ["own", "clone", "cache", "mxnet", "debian"]
    for name in order:
        put(getattr(places, name), data=b"")
    for name in order:  # each wrong file is reported, then taken away
        wrong = getattr(places, name) / IMAGES.name
        with pytest.raises(DataError, match=re.escape(f"{wrong}: ")):
            load(TINY, IMAGES, places.own)
        shutil.rmtree(wrong.parent)


def test_default_root_takes_its_turn_in_the_search(places):
    """MXNet's own folder is the default: the clone comes before it."""
    put(places.mxnet, data=b"broken")
    put(places.clone)
    for root in (TINY.mxnet_root, os.path.expanduser(TINY.mxnet_root)):
        assert load(TINY, IMAGES, root).shape == IMAGES.shape


def test_other_gzip_bytes_and_plain_content_are_as_good(places):
    for data in (gzip.compress(CONTENT[IMAGES.name], 1, mtime=5),
                 CONTENT[IMAGES.name]):
        assert data != GOOD
        put(places.cache, data=data)
        assert load(TINY, IMAGES, TINY.mxnet_root).shape == IMAGES.shape


NAMES_OF_OTHERS = ["train-images-idx3-ubyte", "train-images.idx3-ubyte.gz",
                   "train-images.idx3-ubyte"]


@pytest.fixture
def renamed():
    """The tiny data set, with names like those of MNIST."""
    file = IdxFile("train-images-idx3-ubyte.gz", IMAGES.sha256, IMAGES.shape)
    return DataSet("tiny", (file, FILES[1]), TINY.test, TINY.sources), file


@pytest.mark.parametrize("place", ["own", "clone", "cache", "mxnet",
                                   "debian"])
@pytest.mark.parametrize("name", NAMES_OF_OTHERS)
def test_other_names_are_as_good(places, renamed, place, name):
    dataset, file = renamed
    data = GOOD if name.endswith(".gz") else CONTENT[IMAGES.name]
    path = put(getattr(places, place), name, data)
    assert load(dataset, file, places.own).tobytes() == data_of(GOOD)
    path.write_bytes(b"broken")
    with pytest.raises(DataError, match=re.escape(f"{path}: ")):
        load(dataset, file, places.own)


def data_of(packed):
    return gzip.decompress(packed)[16:]


def test_of_several_names_the_first_counts(places, renamed):
    dataset, file = renamed
    names = [file.name, *NAMES_OF_OTHERS]
    for name in names:
        put(places.cache, name, b"")
    for name in names:
        path = places.cache / name
        with pytest.raises(DataError, match=re.escape(f"{path}: ")):
            load(dataset, file, dataset.mxnet_root)
        path.unlink()


def test_an_earlier_folder_counts_more_than_a_better_name(places, renamed):
    dataset, file = renamed
    wrong = put(places.own, NAMES_OF_OTHERS[-1], b"")
    put(places.cache, file.name)
    with pytest.raises(DataError, match=re.escape(f"{wrong}: ")):
        load(dataset, file, places.own)


def test_a_folder_by_the_name_of_a_file(places, renamed):
    """As in an archive of MNIST on Kaggle, which has both."""
    dataset, file = renamed
    (places.own / "train-images-idx3-ubyte").mkdir(parents=True)
    put(places.own, "train-images.idx3-ubyte", CONTENT[IMAGES.name])
    assert load(dataset, file, places.own).shape == IMAGES.shape


def test_cache_without_the_variable_is_the_systems(monkeypatch):
    import pooch
    monkeypatch.setenv("D2LZH_DATA", "")
    assert fetch.cache_folder() == Path(pooch.os_cache("d2lzh_ext"))


# --- wrong files ----------------------------------------------------------

@pytest.mark.parametrize("tenth", range(10))
def test_cut_file_is_refused(places, tenth):
    put(places.cache, data=GOOD[:len(GOOD) * tenth // 10])
    with pytest.raises(DataError, match="Delete the file and try again"):
        load(TINY, IMAGES, TINY.mxnet_root)


@pytest.mark.parametrize("tenth", range(10))
def test_embedded_images_cut_are_refused(places, tenth):
    file = FASHION_MNIST.test[0]
    data = (EMBEDDED / file.name).read_bytes()
    path = put(places.own, file.name, data[:len(data) * tenth // 10])
    with pytest.raises(DataError, match=re.escape(str(path))):
        load(FASHION_MNIST, file, places.own)


@pytest.mark.parametrize("plain", [False, True])
def test_any_flipped_byte_is_refused(places, plain):
    """Plain content has no CRC: there the digest alone can tell."""
    good = CONTENT[IMAGES.name] if plain else GOOD
    for where in range(0, len(good), 3):
        data = bytearray(good)
        data[where] ^= 0x10
        put(places.cache, data=data)
        try:
            array = load(TINY, IMAGES, TINY.mxnet_root)
        except DataError:
            continue
        # A name or a time in gzip's header is not content.
        assert not plain and where < 10
        assert array.tobytes() == CONTENT[IMAGES.name][16:]


@pytest.mark.parametrize("other", NAMES[1:])
def test_swapped_file_is_recognised(places, other):
    path = put(places.cache, data=gzip.compress(CONTENT[other]))
    with pytest.raises(DataError) as caught:
        load(TINY, IMAGES, TINY.mxnet_root)
    assert str(caught.value) == (f"{path}: this is really {other}. "
                                 "Delete the file and try again.")


def test_foreign_content_is_refused(places):
    for shape, what in ((IMAGES.shape, "not that of tiny"),
                        ((3, 4, 4), r"shape is \(3, 4, 4\), expected \(40")):
        put(places.cache, data=gzip.compress(content(shape, 99)))
        with pytest.raises(DataError, match=what):
            load(TINY, IMAGES, TINY.mxnet_root)


def test_in_the_clone_git_is_the_cure(places):
    put(places.clone, data=b"broken")
    with pytest.raises(DataError, match="git checkout -- data/tiny"):
        load(TINY, IMAGES, TINY.mxnet_root)


# --- downloads ------------------------------------------------------------

def test_download_is_kept_in_the_cache(places, transfer):
    urls = transfer(serve_good)
    for _ in range(2):  # the second time the file is there
        assert load(TINY, IMAGES, TINY.mxnet_root).shape == IMAGES.shape
    assert urls == ["http://one.invalid/train-images.gz"]
    assert leftovers(places.cache) == [IMAGES.name]


def test_download_goes_to_the_callers_folder(places, transfer):
    transfer(serve_good)
    load(TINY, IMAGES, places.own)
    assert leftovers(places.own) == [IMAGES.name]
    assert not places.cache.exists()


def test_next_source_is_asked(places, transfer):
    def second(url, path):
        path.write_bytes(GOOD if "two" in url else b"<html>sorry</html>")
    urls = transfer(second)
    load(TINY, IMAGES, TINY.mxnet_root)
    assert [url[7:10] for url in urls] == ["one", "two"]


def test_sources_are_asked_again(places, transfer):
    def third(url, path):
        if len(urls) < 3:
            raise ConnectionError("reset by peer")
        path.write_bytes(GOOD)
    urls = transfer(third)
    load(TINY, IMAGES, TINY.mxnet_root)
    assert [url[7:10] for url in urls] == ["one", "two", "one"]


@pytest.mark.parametrize("data", [
    b"", GOOD[:-20], gzip.compress(CONTENT["t10k-images.gz"]), b"<html>"])
def test_wrong_download_is_not_kept(places, transfer, data):
    transfer(lambda url, path: path.write_bytes(data))
    with pytest.raises(DataError, match="nowhere to be had"):
        load(TINY, IMAGES, TINY.mxnet_root)
    assert leftovers(places.cache) == []


def test_failure_lists_everything(places, transfer):
    def fail(url, path):
        if "one" in url:
            raise OSError("no route\nto " + "host " * 100)
        path.write_bytes(gzip.compress(CONTENT["train-labels.gz"]))
    transfer(fail)
    places.clone.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        load(TINY, IMAGES, places.own)
    lines = str(caught.value).splitlines()
    assert lines[2:7] == [f"  {place}" for place in (
        places.own, places.clone, places.cache, places.mxnet, places.debian)]
    assert lines[8].startswith("  http://one.invalid/train-images.gz: "
                               "OSError: no route to host")
    assert lines[9] == ("  http://two.invalid/a/train-images.gz: DataError: "
                        "this is really train-labels.gz")
    assert lines[10].startswith("To place the files by hand")
    assert all(name in lines[10] for name in (*NAMES, str(places.own)))
    assert "packed or unpacked" in lines[10]
    assert len(lines) == 11
    assert max(map(len, lines[8:10])) < 300


@pytest.mark.parametrize("problem", [KeyboardInterrupt, SystemExit])
def test_interrupted_download_leaves_nothing(places, transfer, problem):
    def interrupt(url, path):
        path.write_bytes(GOOD[:50])
        raise problem
    transfer(interrupt)
    with pytest.raises(problem):
        load(TINY, IMAGES, TINY.mxnet_root)
    assert leftovers(places.cache) == []


def test_full_disk_is_one_clear_error(places, transfer):
    def full(url, path):
        path.write_bytes(GOOD[:50])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    urls = transfer(full)
    with pytest.raises(DataError, match="cannot be written: No space"):
        load(TINY, IMAGES, TINY.mxnet_root)
    assert len(urls) == 1  # another source would not help
    assert leftovers(places.cache) == []


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failing_finish_leaves_nothing(places, transfer, monkeypatch,
                                       function):
    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    transfer(serve_good)
    monkeypatch.setattr(fetch.os, function, fail)
    with pytest.raises(DataError, match="cannot be written: Input/output"):
        load(TINY, IMAGES, TINY.mxnet_root)
    assert leftovers(places.cache) == []


def test_read_only_folder_is_one_clear_error(places, monkeypatch):
    def read_only(self, *args, **kwargs):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(Path, "touch", read_only)
    with pytest.raises(DataError, match=r"written: Read-only.*D2LZH_DATA"):
        load(TINY, IMAGES, TINY.mxnet_root)


def test_root_that_is_a_file_is_one_clear_error(places):
    places.own.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written: File exists"):
        load(TINY, IMAGES, places.own)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_finished_file_honours_the_umask(places, transfer, mask):
    transfer(serve_good)
    before = os.umask(mask)
    try:
        load(TINY, IMAGES, TINY.mxnet_root)
    finally:
        os.umask(before)
    mode = (places.cache / IMAGES.name).stat().st_mode & 0o777
    assert mode == 0o666 & ~mask


def test_downloads_at_once_do_not_clash(places, transfer):
    """Four downloads, none of which ends before all have begun."""
    barrier = threading.Barrier(4, timeout=20)
    results = []

    def together(url, path):
        path.write_bytes(GOOD[:50])
        barrier.wait()
        path.write_bytes(GOOD)
    urls = transfer(together)
    threads = [threading.Thread(target=lambda: results.append(
        load(TINY, IMAGES, TINY.mxnet_root))) for _ in range(4)]
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
        folder = self.path.split("/")[1]
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
def server(monkeypatch):
    monkeypatch.undo()  # the transfer is the real one here
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as it:
        it.asked = []
        thread = threading.Thread(target=it.serve_forever, args=(0.01,))
        thread.start()
        yield it
        it.shutdown()
        thread.join()


def test_real_transfer(server, tmp_path, monkeypatch, capfd):
    places = Places(tmp_path, monkeypatch)
    monkeypatch.setenv("NO_PROXY", "*")
    base = f"http://127.0.0.1:{server.server_port}"

    def tiny(*folders):
        return DataSet("tiny", TINY.train, TINY.test,
                       tuple(f"{base}/{folder}/" for folder in folders))
    with pytest.raises(DataError) as caught:
        load(tiny("lost", "cut1"), IMAGES, TINY.mxnet_root)
    assert re.search("/lost/.*: HTTPError: 404", str(caught.value))
    assert re.search("/cut1/.*IncompleteRead|/cut1/.*cut short",
                     str(caught.value))
    assert server.asked == ["lost", "cut1", "lost", "cut1"]
    assert leftovers(places.cache) == []

    load(tiny("cut9", "good"), IMAGES, TINY.mxnet_root)
    assert (places.cache / IMAGES.name).read_bytes() == GOOD
    error = capfd.readouterr().err  # bars, each wiped away, nothing else
    assert re.search(rf"train-images\.gz: .* 0\.00/{len(GOOD)} ", error)
    assert re.search(r"\r +\r$", error) and "\n" not in error


@pytest.mark.parametrize("tenths", range(10))
def test_a_download_cut_at_every_tenth(server, tmp_path, monkeypatch,
                                       tenths):
    places = Places(tmp_path, monkeypatch)
    monkeypatch.setenv("NO_PROXY", "*")
    source = f"http://127.0.0.1:{server.server_port}/cut{tenths}/"
    with pytest.raises(DataError, match="is nowhere to be had"):
        load(DataSet("tiny", TINY.train, TINY.test, (source,)), IMAGES,
             TINY.mxnet_root)
    assert server.asked == [f"cut{tenths}"] * 2
    assert leftovers(places.cache) == []


def test_two_processes_fetch_at_once(server, tmp_path):
    """Both get the file, and there is one in the end."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_fetch as t
tiny = t.DataSet("tiny", t.TINY.train, t.TINY.test,
                 ("http://127.0.0.1:{server.server_port}/good/",))
print(t.load(tiny, t.IMAGES, t.TINY.mxnet_root).shape)
"""
    environment = {**os.environ, "NO_PROXY": "*", "HOME": str(tmp_path),
                   "D2LZH_DATA": str(tmp_path / "cache")}
    processes = [subprocess.Popen([sys.executable, "-c", code], text=True,
                                  env=environment, stdout=subprocess.PIPE)
                 for _ in range(2)]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert printed == [f"{IMAGES.shape}\n"] * 2
    assert leftovers(tmp_path / "cache" / "tiny") == [IMAGES.name]


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.undo()
    Places(tmp_path, monkeypatch)
    monkeypatch.setenv("NO_PROXY", "*")
    nobody = DataSet("tiny", TINY.train, TINY.test, ("http://127.0.0.1:9/",))
    with pytest.raises(DataError, match=r"NewConnectionError: .*refused"):
        load(nobody, IMAGES, TINY.mxnet_root)


# --- MNIST ----------------------------------------------------------------

def test_mnist_has_the_names_and_the_shapes_of_fashion_mnist():
    """Its folder and its content are its own."""
    pairs = list(zip((*MNIST.train, *MNIST.test),
                     (*FASHION_MNIST.train, *FASHION_MNIST.test)))
    assert all(ours.name == theirs.name and ours.shape == theirs.shape
               and ours.sha256 != theirs.sha256 for ours, theirs in pairs)
    assert all(re.fullmatch("[0-9a-f]{64}", ours.sha256)
               for ours, _ in pairs)
    assert MNIST.name == "mnist"
    assert all(source.endswith("/") for source in MNIST.sources)


def test_file_of_another_data_set_is_recognised(places):
    """The files of MNIST and Fashion-MNIST have the same names."""
    file = MNIST.test[1]
    put(places.own, file.name, (EMBEDDED / file.name).read_bytes())
    with pytest.raises(DataError, match=r"this is really t10k-labels-idx1-"
                       r"ubyte\.gz of fashion-mnist\. Delete"):
        load(MNIST, file, places.own)


@pytest.mark.parametrize(("file", "shape", "what"), [
    (FILES[1], (40, 4, 4),
     r"the magic number is 2051 \(images\), expected 2049 \(labels\)"),
    (IMAGES, (40,),
     r"the magic number is 2049 \(labels\), expected 2051 \(images\)"),
    (IMAGES, (40, 16),
     r"the magic number is 2050, expected 2051 \(images\)")])
def test_wrong_magic_number_is_named(places, file, shape, what):
    """Images in the place of labels, whatever images they are."""
    put(places.own, file.name, gzip.compress(content(shape, 99)))
    with pytest.raises(DataError, match=what):
        load(TINY, file, places.own)


def test_no_mnist_to_be_had_is_one_clear_error(places, transfer):
    def fail(url, path):
        raise OSError("no route to host")
    urls = transfer(fail)
    with pytest.raises(DataError) as caught:
        mnist(train=True)
    assert len(urls) == 2 * len(MNIST.sources)
    lines = str(caught.value).splitlines()
    assert lines[0] == ("train-images-idx3-ubyte.gz of mnist is nowhere to "
                        "be had.")
    assert lines[-1].endswith(
        f"into {Path(os.environ['D2LZH_DATA']) / 'mnist'}.")
