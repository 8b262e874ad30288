# Shared by the scripts beside it: source it, do not run it.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOCAL=${ALCOVE_LOCAL:-$ROOT/.local}       # project-local tools, models and demo data
BUILD=${ALCOVE_BUILD:-$ROOT/build}
JOBS=${ALCOVE_JOBS:-$(nproc)}

# Objects built from one checkout serve another: paths below the root are made relative before they are compared.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=time_macros

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# seconds_since START: whole seconds since `date +%s` was START.
seconds_since() { echo $(($(date +%s) - $1)); }

# configure PRESET [cmake arguments]: configures the preset once; later calls are quick.
configure() {
  local preset=$1
  shift
  (cd "$ROOT" && cmake --preset "$preset" -Wno-dev "$@" >"$LOCAL/configure.log" 2>&1) || {
    tail -n 40 "$LOCAL/configure.log" >&2
    die "configuring failed; the whole log is $LOCAL/configure.log"
  }
}

# python_env NAME REQUIREMENTS: a virtual environment under .local/ holding exactly the pinned packages; prints its python.
python_env() {
  local dir=$LOCAL/venv-$1 requirements=$2 stamp
  stamp=$(sha256sum "$requirements" | cut -d' ' -f1)
  if [ "$(cat "$dir/.stamp" 2>/dev/null)" != "$stamp" ]; then
    say "installing the Python packages of $(basename "$(dirname "$requirements")") into $dir" >&2
    rm -rf "$dir"
    # Said by hand: in a condition the shell would go on after an error.
    python3 -m venv "$dir" >&2 || return 1
    "$dir/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2 || return 1
    echo "$stamp" >"$dir/.stamp"
  fi
  echo "$dir/bin/python"
}

# node_env DIR: installs the pinned npm packages of DIR/package-lock.json into DIR/node_modules.
node_env() {
  local stamp
  stamp=$(sha256sum "$1/package-lock.json" | cut -d' ' -f1)
  if [ "$(cat "$1/node_modules/.stamp" 2>/dev/null)" != "$stamp" ]; then
    say "installing the npm packages of ${1#"$ROOT"/}"
    (cd "$1" && npm ci --no-audit --no-fund --loglevel=error >&2)
    echo "$stamp" >"$1/node_modules/.stamp"
  fi
}

mkdir -p "$LOCAL"
