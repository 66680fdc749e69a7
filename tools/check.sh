#!/usr/bin/env bash
# Every check that is no test. Runs them all, and fails if one of them does.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
image=$scratch/striate.binpb
failed=()

check() { # NAME COMMAND...
  local name=$1
  shift
  echo "== $name"
  "$@" || failed+=("$name")
}

stubs() {
  tools/protos.sh "$scratch" "$image" &&
    diff -r --brief --exclude=__pycache__ --exclude=__init__.py "$scratch/striate/v1" clients/striate/v1 ||
    { echo "the committed stubs are not those of protos/: make protos" && return 1; }
}

# Each release commits its descriptor image as protos/striate-vX.Y.Z.binpb; what it promised must still hold.
breaking() {
  local released
  released=$(find protos -maxdepth 1 -name 'striate-v*.binpb' | sort -V | tail -1)
  if [ -n "$released" ]; then
    echo "against $released"
    $bin/buf breaking "$image" --against "$released" --config buf.yaml
  elif [ -n "$(git tag --list 'v*' 2>/dev/null)" ]; then
    echo "a version is tagged, but protos/ holds no image of it" && return 1
  else
    echo "nothing is released yet, so there is nothing to break"
  fi
}

scripts() {
  local script status=0
  for script in tools/*.sh .ci/run; do
    bash -n "$script" || status=1
  done
  return $status
}

check "ruff" $bin/ruff check
check "format" $bin/ruff format --check --quiet
check "types" $bin/mypy
check "stubs" stubs
check "buf lint" $bin/buf lint "$image" --config buf.yaml
check "buf breaking" breaking
check "import arrows" $bin/python -m pytest tests/test_arrows.py
check "compose schema" $bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
check "workflow schema" $bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check "deploy" .deploy-venv/bin/python -m tools.check_deploy
check "shell scripts" scripts
check "dependencies" .uv/bin/uv pip check --quiet --python .venv

if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
echo "all checks passed"
