#!/usr/bin/env bash
# Generates the Python stubs into the folder $1 (default: clients) and the descriptor image for buf into $2 (default: none).
# The old grpcio-tools in .protos-venv is on purpose: its stubs load on every protobuf runtime from 6.31 on.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-clients} image=${2:-}
include=$(.protos-venv/bin/python -c 'import site; print(site.getsitepackages()[0])')
export PATH="$PWD/.protos-venv/bin:$PATH"
files=$(cd protos && echo striate/v1/*.proto)
protoc() { .protos-venv/bin/python -m grpc_tools.protoc -I protos -I "$include" "$@"; }
# shellcheck disable=SC2086
protoc --python_out="$out" --grpc_python_out="$out" --mypy_out="$out" --mypy_grpc_out="$out" $files
if [ -n "$image" ]; then
  # shellcheck disable=SC2086
  protoc --include_imports --include_source_info --descriptor_set_out="$image" $files
fi
