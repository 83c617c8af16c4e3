#!/bin/sh
# Print the path of the first CPython that runs, can make virtual
# environments, and is of one of the versions given:
#
#     tools/find-python.sh [VERSION...]      for example 3.11 3.12
#     tools/find-python.sh 3.11+             or later, as the site needs
#
# Looks at $PYTHON (and then at nothing else), at every folder of PATH, and
# then at the versions of pyenv. The order of the versions is the order of
# preference; without any, 3.9 and all later ones will do. Where none is
# found, says what was and why it was refused, and fails; if any from one on
# would do, prints what d2lzh_compat/packages.sh should install: venvX.Y or python.

words="$*"
later='3.[1-9][0-9]'
case $words in
"")
    words="3.9 or later"
    set -- 3.11 3.12 3.13 3.14 3.10 3.9 3.15 "$later"
    ;;
3.11+)
    words="3.11 or later"
    set -- 3.11 3.12 3.13 3.14 3.15 "$later"
    ;;
esac
wanted="$*"
refused=""
seen=" "
missing=""

# One line a candidate, in words that Python 2 understands too.
probe='
import platform, sys
def has(name):
    try:
        __import__(name)
        return "yes"
    except ImportError:
        return "no"
print("%s %d.%d %s %d %s %s" % (
    platform.python_implementation(), sys.version_info[0],
    sys.version_info[1], platform.python_version(),
    64 if sys.maxsize > 2**32 else 32,
    "yes" if has("venv") == has("ensurepip") == "yes" else "no",
    getattr(sys, "base_prefix", sys.prefix)))
'

refuse() {
    refused="$refused
    $1: $2"
}

# accept PATH [VERSION]: if the program at PATH is what is looked for, print
# it and leave. Otherwise `reason` says why not; empty: not in this round.
accept() {
    candidate=$1
    # Each is run, for a shim of pyenv may exist and not work.
    answer=$("$candidate" -c "$probe" 2>/dev/null) || answer=""
    read -r kind minor full bits venv prefix <<END
$answer
END
    if [ -z "$kind" ]; then
        reason="does not run"
        return 1
    fi
    version=$minor
    case " $wanted " in
    *" $minor "*) ;;
    *)
        version=$later
        case "$wanted $minor" in
        *" $later 3."[2-9][0-9] | *" $later 3.1"[6-9]) ;;
        *)
            reason="Python $full, not $words"
            return 1
            ;;
        esac
        ;;
    esac
    if [ "$kind" != CPython ]; then
        reason="$kind, not CPython"
    elif [ "$bits" != 64 ]; then
        reason="Python $full for 32 bits"
    elif [ "$venv" != yes ]; then
        reason="Python $full without the modules venv and ensurepip"
        # The system has packages for its own Pythons only.
        if [ "$prefix" = /usr ] && [ "${2:-$version}" = "$version" ]; then
            missing=${missing:-venv$minor}
        fi
    elif [ "${2:-$version}" != "$version" ]; then
        reason=""
    else
        printf '%s\n' "$candidate"
        exit 0
    fi
    return 1
}

# consider PATH VERSION: accept, and note each refusal once.
consider() {
    [ -f "$1" ] && [ -x "$1" ] || return 0
    accept "$@"
    [ -n "$reason" ] || return 0
    case $seen in
    *" $1 "*) ;;
    *)
        seen="$seen$1 "
        refuse "$1" "$reason"
        ;;
    esac
}

on_path() {  # on_path NAME-OR-PATTERN VERSION
    old_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        IFS=$old_ifs
        for program in "${folder:-.}"/$1; do
            consider "$program" "$2"
        done
    done
    IFS=$old_ifs
}

if [ -n "${PYTHON:-}" ]; then
    program=$(command -v -- "$PYTHON") || program=""
    if [ -z "$program" ]; then
        reason="no such program"
    else
        accept "$program"
    fi
    echo "PYTHON=$PYTHON cannot be used: $reason." >&2
    if [ -n "$missing" ]; then
        echo "$missing"
    else
        echo "Set PYTHON to a CPython of version $words, or unset it." >&2
    fi
    exit 1
fi

pyenv_root=${PYENV_ROOT:-}
if [ -z "$pyenv_root" ] && command -v pyenv >/dev/null 2>&1; then
    pyenv_root=$(pyenv root 2>/dev/null)
fi
[ -n "$pyenv_root" ] || pyenv_root=${HOME:-}/.pyenv

for version in "$@"; do
    on_path "python$version" "$version"
    on_path python3 "$version"
    on_path python "$version"
done
for version in "$@"; do
    for program in "$pyenv_root"/versions/$version.*/bin/python; do
        consider "$program" "$version"
    done
done

{
    echo "No suitable Python was found: it must be a 64-bit CPython of" \
        "version $words, with venv."
    [ -z "$refused" ] || echo "Found, and refused:$refused"
} >&2
[ "$words" = "$wanted" ] || echo "${missing:-python}"
exit 1
