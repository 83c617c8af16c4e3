#!/bin/sh
# A line of the matrix in Debian testing, which has newer Pythons:
#
#     tools/debian.sh VERSION with|without ARGUMENT-OF-PYTEST...
#
# with or without gcc, whose libraries MXNet needs: where they are missing,
# `make setup-test` has to bring them. Run by `make matrix`, as root. The
# system is made once, in .nox/debian; each line has a copy and a clone of
# the last commit. Its record comes back; exit status 3: not possible here.
set -eu

cd "$(dirname "$0")/.."
version=$1
gcc=$2
base=$(pwd -P)/.nox/debian
root=$base-$version-$gcc

impossible() {
    echo "$1" >&2
    exit 3
}

install() {  # install ROOT PACKAGE...
    folder=$1
    shift
    DEBIAN_FRONTEND=noninteractive chroot "$folder" \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

[ "$(id -u)" = 0 ] || impossible "Making a system of its own needs root."
command -v apt-get >/dev/null || impossible "There is no apt-get here."
unshare --mount true 2>/dev/null || impossible "Mounting is not allowed."

if [ -z "${D2LZH_UNSHARED:-}" ]; then  # our mounts end with us
    D2LZH_UNSHARED=1 exec unshare --mount sh tools/debian.sh "$@"
fi
shift 2

if [ ! -d "$base" ]; then
    command -v debootstrap >/dev/null ||
        { apt-get update -qq && apt-get install -y -qq debootstrap; }
    # From where this machine has its own packages.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Label: Debian' | sort -u | head -n 1)
    [ -n "$mirror" ] || impossible "apt has no address of Debian's packages."
    rm -rf "$base.part"
    mkdir -p "$base.part"
    debootstrap --variant=minbase testing "$base.part" "$mirror" >/dev/null
    # A mirror may be a copy of some weeks ago.
    echo 'Acquire::Check-Valid-Until "false";' \
        >"$base.part/etc/apt/apt.conf.d/99-of-any-date"
    chroot "$base.part" apt-get update -qq
    install "$base.part" make git ca-certificates \
        python3.14 python3.14-venv python3.15 python3.15-venv
    mv "$base.part" "$base"
fi

rm -rf "$root"
cp -a "$base" "$root"
[ "$gcc" = without ] || install "$root" gcc
# The way to the network is this machine's.
for file in /etc/resolv.conf /etc/pip.conf \
    /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e $file ] || cp -L $file "$root$file"
done
git clone --quiet . "$root/course"
cp data/results/matrix.json "$root/course/data/results/"
mount --bind "$root" "$root"  # so that tests there can mount, too
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

run() {
    chroot "$root" env -C /course PYTHON="python$version" "$@"
}

run make setup-test
own=.venv/bin/python
run $own -m pip install --quiet --upgrade numpy ipython
status=0  # a failure is recorded, too
run $own tools/matrix.py "$version" "$gcc-gcc" $own -m pytest "$@" || status=$?
cp "$root/course/data/results/matrix.json" data/results/
exit $status
