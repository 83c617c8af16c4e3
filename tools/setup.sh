#!/bin/sh
# Make or repair the virtual environment .venv:
#
#     tools/setup.sh         what `make run` needs
#     tools/setup.sh test    what `make test` needs, too
#
# Does nothing where .venv is up to date. $PYTHON chooses the interpreter.
set -eu

cd "$(dirname "$0")/.."
requirements=requirements.txt
[ "${1:-}" != test ] || requirements=requirements-test.txt
venv=.venv

# Settings of the caller that would make pip install somewhere else.
unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

check_platform() {
    system=$(uname -s)
    machine=$(uname -m)
    case "$system $machine" in
    "Linux x86_64" | "Linux aarch64" | "Darwin x86_64") ;;
    *)
        fail "MXNet 1.9.1 has no wheel for $system on $machine: only for" \
            "Linux (x86-64, aarch64) and for macOS on Intel." \
            "README.md names other ways: WSL 2, Colab, Binder."
        ;;
    esac
    if [ "$system" = Linux ] && ldd --version 2>&1 | grep -qi musl; then
        fail "MXNet 1.9.1 has no wheel for musl (Alpine Linux, for example)." \
            "Use a distribution with glibc; README.md names other ways."
    fi
}

check_libgomp() {  # check_libgomp PYTHON
    [ "$(uname -s)" = Linux ] || return 0
    "$1" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null ||
        fail "MXNet needs the OpenMP library libgomp.so.1." \
            "    Debian, Ubuntu:  apt-get install libgomp1" \
            "    Fedora:          dnf install libgomp" \
            "Install it, then run make again."
}

# install WHAT PIP-ARGUMENT...
install() {
    echo "$1"
    shift
    log=$venv/pip.log
    # --no-deps: the pins are complete, and MXNet's metadata refuses the
    # NumPy of Python 3.13, with which d2lzh_ext makes it work.
    if "$venv/bin/python" -m pip install --quiet --no-deps "$@" \
        >"$log" 2>&1; then
        return 0
    fi
    tail -n 15 "$log" >&2
    if grep -qi -e NewConnection -e NameResolution -e ConnectTimeout \
        -e 'timed out' -e unreachable -e ProxyError -e SSLError "$log"; then
        fail "" "The packages could not be downloaded: is there a network?" \
            "Run make again once there is; downloads so far are kept."
    fi
    fail "" "The installation failed; what pip said is above and in $log."
}

check_platform

# What an environment is made from; .venv records it, and is made anew
# where the clone has moved or another interpreter is asked for.
if [ -n "${PYTHON:-}" ] || [ ! -f $venv/.made ]; then
    python=$(sh tools/find-python.sh)
else
    python=$(sed -n 2p $venv/.made)
fi
made=$(printf '%s\n%s' "$(pwd -P)" "$python")

# .installing is there while pip runs: what it left behind when it was
# interrupted is not to be trusted.
if [ "$(cat $venv/.made 2>/dev/null)" != "$made" ] ||
    [ -f $venv/.installing ] ||
    ! $venv/bin/python -c '' 2>/dev/null; then
    # The recorded interpreter may be gone.
    "$python" -c '' 2>/dev/null || python=$(sh tools/find-python.sh)
    made=$(printf '%s\n%s' "$(pwd -P)" "$python")
    check_libgomp "$python"
    version=$("$python" -c 'import platform as p; print(p.python_version())')
    echo "Making $venv with Python $version ($python)"
    rm -rf $venv
    "$python" -m venv $venv ||
        fail "Python's venv module failed; see above."
    printf '%s\n' "$made" >$venv/.made
fi

# Packages: again only where what they come from has changed.
stamp=$venv/.installed-$requirements
if ! cat $requirements pyproject.toml | cmp -s - "$stamp"; then
    check_libgomp $venv/bin/python
    touch $venv/.installing
    count=$(grep -c '^[a-z]' $requirements)
    install "Installing up to $count packages from $requirements: \
one to five minutes" -r $requirements
    # With the setuptools just installed: no download, no network.
    install "Installing d2lzh_ext from this folder" \
        --no-build-isolation -e .
    rm $venv/.installing
    cat $requirements pyproject.toml >"$stamp"
fi
