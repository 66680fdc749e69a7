#!/usr/bin/env bash
# Installs uv, pinned and hash-checked, into the folder $2 with the pip that the interpreter $1 has or can make; $3 is the pin.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 target=$2 pin=$3

fail() {
  echo "$1" >&2
  exit 1
}

command -v "$python" >/dev/null || fail "There is no '$python'. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' ||
  fail "Striate needs Python 3.11 to 3.14, and '$python' is $("$python" --version). Name another: make PYTHON=/path/to/python3"

rm -rf "$target"
if "$python" -m pip --version >/dev/null 2>&1; then
  pip=("$python" -m pip)
elif "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
  "$python" -m venv "$target/pip"
  pip=("$target/pip/bin/python" -m pip)
else
  fail "'$python' has neither pip nor venv. On Debian and Ubuntu: apt install python3-venv"
fi
# --target never touches the interpreter's own packages, so a distribution's "externally managed" mark does not forbid it.
"${pip[@]}" install --quiet --disable-pip-version-check --no-warn-script-location --root-user-action ignore \
  --no-deps --only-binary :all: --require-hashes --target "$target" --requirement "$pin"
