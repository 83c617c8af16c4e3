#!/bin/sh
# Print the line that installs what is missing on this system:
#
#     sh packages.sh WHAT...
#
# WHAT is libgomp.so.1, libquadmath.so.0, venvX.Y (the modules by which
# Python X.Y makes virtual environments), python (one that the course runs
# on, with venv), make or chromium (a browser, for the tests of the site).
# Where no line is known, prints none and fails.

# The first of these is the system's own.
manager=""
for name in apt-get dnf zypper pacman apk; do
    if command -v $name >/dev/null 2>&1; then
        manager=$name
        break
    fi
done
sudo=""
if [ "$(id -u)" != 0 ] && command -v sudo >/dev/null 2>&1; then
    sudo="sudo "
fi
system=$(cat /etc/os-release 2>/dev/null)

# A Python of 3.9 or later: python3, unless that one is older.
apt_python() {
    minor=$(apt-cache policy python3 2>/dev/null |
        sed -n 's/^ *Candidate: 3\.\([0-9]*\).*/\1/p')
    if [ -z "$minor" ]; then
        # A fresh container has no lists, but its release tells.
        case $system in
        *CODENAME=xenial* | *CODENAME=bionic* | *CODENAME=focal* | \
            *CODENAME=stretch* | *CODENAME=buster*) minor=8 ;;
        *) minor=9 ;;
        esac
    fi
    if [ "$minor" -ge 9 ]; then
        echo python3 python3-venv
        return
    fi
    other=$(apt-cache pkgnames python3. 2>/dev/null |
        sed -n 's/^python3\.\([0-9]*\)-venv$/\1/p' | sort -n |
        while read -r minor; do
            [ "$minor" -lt 9 ] || echo "python3.$minor"
        done | head -n 1)
    case $system in
    *CODENAME=focal*) other=${other:-python3.9} ;;
    esac
    [ -z "$other" ] || echo "$other $other-venv"
}

package() {  # package WHAT
    case "$manager $1" in
    *" make") echo make ;;
    # Ubuntu's package of this name fetches a snap.
    "apt-get chromium")
        case $system in
        *"ID=ubuntu"*) echo chromium-browser ;;
        *) echo chromium ;;
        esac
        ;;
    *" chromium") echo chromium ;;
    "apt-get libgomp.so.1" | "zypper libgomp.so.1") echo libgomp1 ;;
    "apt-get libquadmath.so.0" | "zypper libquadmath.so.0")
        echo libquadmath0
        ;;
    "apt-get venv"*) echo "python${1#venv}-venv" ;;
    "apt-get python") apt_python ;;
    "dnf libgomp.so.1") echo libgomp ;;
    "dnf libquadmath.so.0") echo libquadmath ;;
    # Only Debian's Python comes without venv.
    "dnf venv"* | "dnf python") echo python3.12 ;;
    "zypper venv"* | "zypper python")
        case $system in
        *VERSION_ID=\"15*) echo python311 ;;
        *) echo python313 ;;
        esac
        ;;
    "pacman libgomp.so.1" | "pacman libquadmath.so.0") echo gcc-libs ;;
    "pacman venv"* | "pacman python") echo python ;;
    esac
}

if [ "$manager" = apk ]; then
    echo "MXNet cannot run on musl (Alpine Linux): it needs glibc." >&2
    exit 1
fi

packages=""
for what in "$@"; do
    names=$(package "$what")
    if [ -z "$names" ]; then
        echo "No package is known here for $what." >&2
        exit 1
    fi
    for name in $names; do
        case " $packages " in
        *" $name "*) ;;
        *) packages="$packages $name" ;;
        esac
    done
done

case $manager in
# Without an update a fresh container has no lists.
apt-get) echo "${sudo}apt-get update &&" \
    "${sudo}apt-get install -y$packages" ;;
dnf) echo "${sudo}dnf install -y$packages" ;;
zypper) echo "${sudo}zypper --non-interactive install$packages" ;;
# Arch knows no other way than to bring the rest up to date, too.
pacman) echo "${sudo}pacman -Syu --noconfirm$packages" ;;
*) exit 1 ;;
esac
