#!/usr/bin/env bash
# Writes into the file $2 what the server requires, as CycloneDX, by the tool in the environment $1 (requirements/release.txt).
set -euo pipefail
cd "$(dirname "$0")/.."
environment=$1 out=$2
mkdir -p "$(dirname "$out")"
"$environment/bin/cyclonedx-py" requirements --pyproject pyproject.toml --output-reproducible --output-file "$out" requirements/server.txt
