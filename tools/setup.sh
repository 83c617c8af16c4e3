#!/bin/sh
# Make or repair the virtual environment .venv, or .venv-site:
#
#     tools/setup.sh              what `make run` needs
#     tools/setup.sh test         what `make test` needs, too
#     tools/setup.sh site         what `make site` needs, without MXNet
#     tools/setup.sh site-test    and a browser to try the site in
#
# Does nothing where that is up to date. $PYTHON chooses the interpreter.
# What the system lacks is found out first, all of it: root on a system with
# apt-get gets it installed, anyone else is given the line that does it.
set -eu

cd "$(dirname "$0")/.."
what=${1:-}
venv=.venv
pythons=""  # all that tools/find-python.sh knows
case $what in
site*)
    requirements=requirements-site.txt
    made_of="$requirements site/package.json"
    venv=.venv-site
    pythons=3.11+
    ;;
*)
    requirements=requirements${what:+-$what}.txt
    made_of="$requirements pyproject.toml"
    ;;
esac
system=$(uname -s)
machine=$(uname -m)

# Settings of the caller that would make pip install somewhere else.
unset PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

check_platform() {
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

check_writable() {
    for folder in "$(pwd -P)" "$(pwd -P)/$venv"; do
        [ -e "$folder" ] || continue
        # By a file, for some shells' test -w is always true for root.
        { (: >"$folder/.writable") && rm "$folder/.writable"; } 2>/dev/null ||
            fail "$folder is not writable, and make installs there." \
                "Clone or copy the course to a folder of your own, and run \
make in it."
    done
}

# keeps PYTHON: is there a whole .venv of this interpreter? The clone may
# have moved since, or the system may have replaced the interpreter.
# .installing is there while pip runs: what it left behind when it was
# interrupted is not to be trusted.
keeps() {
    [ "$(cat $venv/.made 2>/dev/null)" = "$(made "$1")" ] &&
        [ ! -f $venv/.installing ] &&
        $venv/bin/python -c 'import pip' 2>/dev/null
}

made() {  # what .venv records: where it is, and what it was made from
    printf '%s\n%s' "$(pwd -P)" "$1"
}

# lacking PYTHON: what else is needed and the system lacks: the libraries of
# MXNet, or a browser.
lacking() {
    case "$what $system $machine" in
    site-test*)
        for name in chromium chromium-browser google-chrome; do
            ! command -v $name >/dev/null 2>&1 || return 0
        done
        echo chromium
        return 0
        ;;
    site*) return 0 ;;
    esac
    case "$system $machine" in
    "Linux x86_64") libraries="libgomp.so.1 libquadmath.so.0" ;;
    Linux*) libraries=libgomp.so.1 ;;
    *) return 0 ;;
    esac
    # conda's Python finds its own. There may be no Python yet, or one
    # without ctypes.
    "$1" -c 'import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)' $libraries 2>/dev/null && return
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) || known=""
    for name in $libraries; do
        case $known in
        *"$name "*) ;;
        *) echo "$name" ;;
        esac
    done
}

# Set `python`, `keep` (.venv) and `missing`, in words of packages.sh.
look() {
    missing=""
    keep=yes
    recorded=$(sed -n 2p $venv/.made 2>/dev/null) || recorded=""
    if [ -z "${PYTHON:-}" ] && keeps "$recorded"; then
        python=$recorded
    elif [ -z "${PYTHON:-}" ] && [ -n "$recorded" ] &&
        python=$(PYTHON=$recorded sh tools/find-python.sh $pythons \
            2>/dev/null); then
        keep=""
    elif python=$(sh tools/find-python.sh $pythons); then
        keeps "$python" || keep=""
    else
        missing=$python
        python=""
        [ -n "$missing" ] || exit 1  # $PYTHON is none; that was said
    fi
    missing=$(echo $missing $(lacking "${python:-none}"))
}

# Install what is missing, or say how, and stop.
provide() {
    line=$(sh d2lzh_compat/packages.sh $missing) ||
        fail "Missing: $missing. Install it with the system's packages." \
            "Python also comes by: pyenv install 3.11, or conda with \
environment.yml." \
            "Then run make again; make PYTHON=/path/to/python names one."
    case "$(id -u) $line" in
    "0 apt-get "*)
        # A Python that the reader named is not ours to change.
        if [ -z "${PYTHON:-}" ] || [ -n "$python" ]; then
            echo "Missing: $missing. Running: $line"
            output=$(DEBIAN_FRONTEND=noninteractive sh -c "$line" 2>&1 \
                </dev/null) && return
            printf '%s\n' "$output" | tail -n 15 >&2
            fail "" "That failed; see above. Run this line:" "    $line" \
                "then run make again."
        fi
        as=""
        ;;
    "0 "* | *" sudo "*) as="" ;;
    *) as=" as root" ;;
    esac
    fail "Missing: $missing. Run this line$as:" "    $line" \
        "then run make again."
}

# install WHAT COMMAND...
install() {
    echo "$1"
    shift
    log=$venv/pip.log
    if "$@" >"$log" 2>&1; then
        return 0
    fi
    tail -n 15 "$log" >&2
    if grep -qi -e 'No space left' -e 'quota exceeded' -e ENOSPC "$log"; then
        df -h . "${TMPDIR:-/tmp}" >&2 || true
        fail "" "The disk is full: above, the room for packages and for \
temporary files." "README.md says how much is needed. Make room, and run \
make again."
    fi
    if grep -qi -e NewConnection -e NameResolution -e ConnectTimeout \
        -e 'timed out' -e unreachable -e ProxyError -e SSLError \
        -e ENOTFOUND -e EAI_AGAIN "$log"; then
        fail "" "The packages could not be downloaded: is there a network?" \
            "Run make again once there is; downloads so far are kept."
    fi
    fail "" "The installation failed; what was said is above and in $log."
}

# --no-deps: the pins are complete, and MXNet's metadata refuses the NumPy of
# Python 3.13, with which d2lzh_ext makes it work.
pip() {  # pip WHAT ARGUMENT...
    said=$1
    shift
    install "$said" $venv/bin/python -m pip install --quiet --no-deps "$@"
}

[ $venv != .venv ] || check_platform
check_writable
look
if [ -n "$missing" ]; then
    provide
    look
    [ -z "$missing" ] || fail "Still missing: $missing."
fi

if [ -z "$keep" ]; then
    version=$("$python" -c 'import platform as p; print(p.python_version())')
    echo "Making $venv with Python $version ($python)"
    # First its record: it may be interrupted.
    rm -f $venv/.made
    rm -rf $venv
    "$python" -m venv $venv ||
        fail "Python's venv module failed; see above."
    made "$python" >$venv/.made
fi

# Packages: again only where what they come from has changed.
stamp=$venv/.installed-$requirements
if ! cat $made_of | cmp -s - "$stamp"; then
    touch $venv/.installing
    count=$(grep -c '^[a-z]' $requirements)
    pip "Installing up to $count packages from $requirements: \
one to five minutes" -r $requirements
    if [ $venv = .venv ]; then
        # With the hatchling just installed: no download, no network.
        pip "Installing d2lzh_ext from this folder" \
            --no-build-isolation -e .
    else
        # By the npm among the packages; site/package.json says what for.
        cp site/package.json $venv/package.json
        install "Installing MathJax and axe-core" $venv/bin/npm install \
            --prefix $venv --no-package-lock --ignore-scripts --no-audit \
            --no-fund
    fi
    rm $venv/.installing
    cat $made_of >"$stamp"
fi
