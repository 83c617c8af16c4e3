"""Find the files of a data set, verify them, download what is missing.

A file counts only if the SHA-256 of its uncompressed content is the known
one; copies whose gzip bytes differ are as good. Whatever folder a file comes
from, it is checked on every load: a wrong file is reported, never used.
"""
from __future__ import annotations

import errno
import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from d2lzh_ext.files.atomic import written_aside
from d2lzh_ext.files.idx import Bytes, DataError, read_idx_sha256

_ROUNDS = 2  # how often each source is asked
_MAGIC = 0x0800  # of an IDX file of bytes, plus its number of dimensions
_TIMEOUT = 10  # seconds without a byte after which a source has failed
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS,
         errno.EACCES, errno.EPERM}  # no other source would cure these


@dataclass(frozen=True)
class IdxFile:
    """One file: its name, its content, and the shape in its header."""

    name: str
    sha256: str  # of the uncompressed content
    shape: tuple[int, ...]


@dataclass(frozen=True)
class DataSet:
    """A data set of images and labels in the IDX format.

    `name` is its folder, under each place that is searched, and the URL of
    a file is a source followed by the file's name.
    """

    name: str
    train: tuple[IdxFile, IdxFile]  # images, labels
    test: tuple[IdxFile, IdxFile]
    sources: tuple[str, ...]

    @property
    def mxnet_root(self) -> str:
        """Where MXNet keeps it, the default `root` in `d2lzh`."""
        return os.path.join("~", ".mxnet", "datasets", self.name)


# H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset
# for Benchmarking Machine Learning Algorithms", arXiv:1708.07747, 2017.
FASHION_MNIST = DataSet(
    name="fashion-mnist",
    train=(
        IdxFile("train-images-idx3-ubyte.gz", "c59f468a2f672dc815687fe0f8388"
                "7768d799fd8a3f3276145d20f83aa44d888", (60000, 28, 28)),
        IdxFile("train-labels-idx1-ubyte.gz", "bad3541b69d912435c50bb6ba87be"
                "c294ff4f6a2e1246121d8633921760443d9", (60000,))),
    test=(
        IdxFile("t10k-images-idx3-ubyte.gz", "5b4141f0afbad91edebe8549f8fcff"
                "e087ea10ca49f1dbef5c9a5cd8815ce37b", (10000, 28, 28)),
        IdxFile("t10k-labels-idx1-ubyte.gz", "0402a96d92fd2663957122ceb108a4"
                "94c5af83dab82d92729df917d7dec38c34", (10000,))),
    sources=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/"
        "fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"))

# Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning
# applied to document recognition", Proceedings of the IEEE 86(11), 1998. Not
# embedded.
MNIST = DataSet(
    name="mnist",
    train=(
        IdxFile("train-images-idx3-ubyte.gz", "ba891046e6505d7aadcbbe25680a07"
                "38ad16aec93bde7f9b65e87a2fc25776db", (60000, 28, 28)),
        IdxFile("train-labels-idx1-ubyte.gz", "65a50cbbf4e906d70832878ad85ccd"
                "a5333a97f0f4c3dd2ef09a8a9eef7101c5", (60000,))),
    test=(
        IdxFile("t10k-images-idx3-ubyte.gz", "0fa7898d509279e482958e8ce81c8e7"
                "7db3f2f8254e26661ceb7762c4d494ce7", (10000, 28, 28)),
        IdxFile("t10k-labels-idx1-ubyte.gz", "ff7bcfd416de33731a308c3f266cc35"
                "1222c34898ecbeaf847f06e48f7ec33f2", (10000,))),
    sources=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/"))

_CLONE = Path(__file__).resolve().parents[2] / "data"
_DEBIAN = Path("/usr/share/datasets")


def cache_folder() -> Path:
    """The package's own cache, where the system keeps those of programs."""
    folder = os.environ.get("D2LZH_DATA")
    if not folder:
        caches = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(caches):  # as its specification has it
            caches = ("~/Library/Caches" if sys.platform == "darwin"
                      else "~/.cache")
        folder = os.path.join(caches, "d2lzh_ext")
    return Path(folder).expanduser()


def _folders(dataset: DataSet, root: str | os.PathLike[str]
             ) -> tuple[list[Path], Path]:
    """The folders to search, in order, and the one for a download."""
    cache = cache_folder() / dataset.name
    mxnet, own = (Path(each).expanduser()
                  for each in (dataset.mxnet_root, root))
    folders = [cache, mxnet, _DEBIAN / dataset.name]
    if (_CLONE / dataset.name).is_dir():
        folders.insert(0, _CLONE / dataset.name)
    return (folders, cache) if own == mxnet else ([own, *folders], own)


def _magic(shape: tuple[int, ...]) -> str:
    """The first 32 bits of an IDX file of bytes, and what it would hold."""
    holds = {1: " (labels)", 3: " (images)"}.get(len(shape), "")
    return f"{_MAGIC + len(shape)}{holds}"


def _verified(path: Path, file: IdxFile, dataset: DataSet) -> Bytes:
    """Read `path`, which must be `file` to the last uncompressed byte."""
    array, digest = read_idx_sha256(path)
    if digest == file.sha256:
        return array
    known = {f.sha256: f"{f.name} of {other.name}"
             for other in (FASHION_MNIST, MNIST)  # their files share names
             for f in (*other.train, *other.test)}
    known.update((f.sha256, f.name) for f in (*dataset.train, *dataset.test))
    if digest in known:
        raise DataError(f"{path}: this is really {known[digest]}")
    if array.ndim != len(file.shape):
        raise DataError(
            f"{path}: the magic number is {_magic(array.shape)}, expected "
            f"{_magic(file.shape)}")
    if array.shape != file.shape:
        raise DataError(f"{path}: the shape is {array.shape}, expected "
                        f"{file.shape}")
    raise DataError(f"{path}: the content is not that of {dataset.name} "
                    f"(SHA-256 {digest[:8]}…, expected {file.sha256[:8]}…)")


def _transfer(url: str, path: Path) -> None:
    """Download `url` to `path` with a progress bar on standard error."""
    import requests
    from tqdm import tqdm
    with requests.get(url, stream=True, timeout=_TIMEOUT) as response:
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0)) or None
        # No bar stays behind, not that of a failed source either.
        with path.open("wb") as file, tqdm(
                desc=url.rsplit("/", 1)[-1], total=size, unit="B",
                unit_scale=True, ncols=79, leave=False) as bar:
            for chunk in response.iter_content(1 << 16):
                bar.update(file.write(chunk))


def _reason(error: Exception, part: Path) -> str:
    """One line on what went wrong with one source."""
    cause: object = error
    while isinstance(cause, Exception):  # requests wraps it in layers
        error = cause
        first = error.args[0] if error.args else None
        cause = getattr(first, "reason", first)
    text = str(error).replace(f"{part}: ", "")
    return textwrap.shorten(f"{type(error).__name__}: {text}", 200)


def _download(dataset: DataSet, file: IdxFile, folder: Path,
              searched: list[Path]) -> Bytes:
    """Download `file` into `folder` from the first source that has it."""
    target = folder / file.name
    reasons = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(target) as part:  # fails before any transfer
            for source in dataset.sources * _ROUNDS:
                url = source + file.name
                try:
                    _transfer(url, part)
                    array = _verified(part, file, dataset)
                except Exception as error:  # sources fail in any way
                    if getattr(error, "errno", None) in _DISK:
                        raise
                    reasons[url] = _reason(error, part)
                    continue
                return array
            names = [f.name for f in (*dataset.train, *dataset.test)]
            raise DataError("\n".join([
                f"{file.name} of {dataset.name} is nowhere to be had.",
                "Folders searched:", *(f"  {place}" for place in searched),
                f"Sources tried, {_ROUNDS} times each:",
                *(f"  {url}: {reason}" for url, reason in reasons.items()),
                f"To place the files by hand, put {', '.join(names)}, packed "
                f"or unpacked, into {folder}."]))
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror or error}. Make "
            "room there, or name another folder by `root` or the environment "
            "variable D2LZH_DATA.") from None


def _names(file: IdxFile) -> Iterator[str]:
    """The names under which people have it; its own comes first."""
    for name in (file.name, file.name.replace("-idx", ".idx")):
        yield name
        yield name.removesuffix(".gz")


def _search(folders: list[Path], file: IdxFile) -> Path | None:
    """The first file by such a name, if there is one."""
    for folder in folders:
        for name in _names(file):
            # Kaggle's archive has folders by these names beside the files.
            if os.path.isfile(folder / name):
                return folder / name
    return None


def _checked(path: Path, file: IdxFile, dataset: DataSet) -> Bytes:
    """`_verified`; its error says what to do as well."""
    try:
        return _verified(path, file, dataset)
    except DataError as error:
        cure = "Delete the file and try again"
        if path.parent.resolve().parent == _CLONE:
            cure += f", or `git checkout -- data/{dataset.name}`"
        raise DataError(f"{error}. {cure}.") from None


def find(dataset: DataSet, file: IdxFile) -> Path | None:
    """The file that `load` takes without a `root`; None: it downloads.

    Raises:
        DataError: the file is not the right one.
    """
    path = _search(_folders(dataset, dataset.mxnet_root)[0], file)
    if path is not None:
        _checked(path, file, dataset)
    return path


def load(dataset: DataSet, file: IdxFile,
         root: str | os.PathLike[str]) -> Bytes:
    """Find `file`, or download it, and return its verified content.

    Folders are searched in this order: `root`, unless it is MXNet's; the
    clone's data/; the package's cache, which the environment variable
    ``D2LZH_DATA`` moves; MXNet's cache; Debian's data sets. A download goes
    to `root`, or to the package's cache where `root` is MXNet's.

    A file may be unpacked, and have a dot in its name, as some archives do:
    train-images-idx3-ubyte.gz, train-images-idx3-ubyte,
    train-images.idx3-ubyte.gz and train-images.idx3-ubyte are looked for in
    each folder, in this order.

    Args:
        dataset: the data set that `file` belongs to.
        file: one of its files.
        root: a folder of the caller's, or ``dataset.mxnet_root`` for none.

    Returns:
        A uint8 array of shape ``file.shape``.

    Raises:
        DataError: the first file by such a name is not the right one, or
            there is none and it cannot be downloaded.
    """
    folders, target = _folders(dataset, root)
    path = _search(folders, file)
    if path is not None:
        return _checked(path, file, dataset)
    return _download(dataset, file, target, folders)
