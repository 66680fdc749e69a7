#!/usr/bin/env bash
# Makes the folder $1 a virtual environment of the interpreter $2 that holds exactly the pinned, hashed packages of the files $3...
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 python=$2
shift 2

# One that works and was made here is kept and only brought up to date.
here=$(pwd -P)
made_in=$(cat "$folder/.made-in" 2>/dev/null || true)
if [ "$made_in" != "$here" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
  rm -rf "$folder"
  .uv/bin/uv venv --quiet --no-project --python "$("$python" -c 'import sys; print(sys.executable)')" "$folder"
  echo "$here" >"$folder/.made-in"
fi
.uv/bin/uv pip sync --python "$folder" --require-hashes "$@"
