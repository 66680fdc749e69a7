#!/usr/bin/env bash
# Generates the Python stubs into the folder $1 (default: clients) and, if named, the descriptor image for buf as $2.
# The old grpcio-tools in .protos-venv is on purpose: its stubs load on every protobuf runtime from 6.31 on.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-clients} image=${2:-}
packages=$(.protos-venv/bin/python -c 'import site; print(site.getsitepackages()[0])')
# googleapis-common-protos ships operations.proto under another file name than the one it registers.
include=$(mktemp -d)
trap 'rm -r "$include"' EXIT
mkdir -p "$include/google/longrunning"
cp "$packages/google/longrunning/operations_proto.proto" "$include/google/longrunning/operations.proto"
files=$(cd protos && echo striate/v1/*.proto)
protoc() {
  # shellcheck disable=SC2086
  PATH="$PWD/.protos-venv/bin:$PATH" python -m grpc_tools.protoc -I protos -I "$include" -I "$packages" $files "$@"
}
protoc --python_out="$out" --grpc_python_out="$out" --mypy_out="quiet:$out" --mypy_grpc_out="quiet:$out"
# The details of errors are no part of a method, but whoever translates answers into JSON needs to know them.
[ -z "$image" ] || protoc google/rpc/error_details.proto --include_imports --include_source_info --descriptor_set_out="$image"
