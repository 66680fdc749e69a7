#!/usr/bin/env bash
# Builds both wheels of the release $1 (a tag, vX.Y.Z) into the folder $2, after checking that the tree is ready to be that release.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=$1 out=$2
version=${tag#v}

fail() {
  echo "not released: $1" >&2
  exit 1
}

for file in pyproject.toml clients/pyproject.toml; do
  found=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$file")
  [ "v$found" = "$tag" ] || fail "the tag is $tag, and $file has version $found"
done
grep -Eq "^## \[${version//./\\.}\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
  fail "CHANGELOG.md has no dated section: ## [$version] - YYYY-MM-DD"
[ -e "protos/striate-$tag.binpb" ] ||
  fail "the contract's image is missing: tools/protos.sh clients protos/striate-$tag.binpb"
mkdir -p "$out"
[ -z "$(ls -A "$out")" ] || fail "$out is not empty, and all that is in it would be published"
for project in clients .; do
  .uv/bin/uv build --quiet --offline --no-create-gitignore --wheel --out-dir "$out" "$project"
done
ls "$out"
