# Striate: every command does its own set-up, into folders that git ignores.
# PYTHON chooses the interpreter (3.11 to 3.14); ARGS is handed on to the program of demo, test, bench and serve.

PYTHON ?= python3
ARGS ?=
UV := .uv/bin/uv
BENCH_TXT := requirements/dev.txt requirements/bench.txt
EXTRAS_TXT := requirements/dev.txt requirements/extras.txt

# An activated environment, or settings made for another project, must not reach this one; where packages come from, how they are
# fetched and where they are cached stays the user's choice.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONSAFEPATH VIRTUAL_ENV CONDA_PREFIX MYPYPATH BASH_ENV
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_REQUIRE_VIRTUALENV PIP_PYTHON PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_BINARY
uv_kept := UV_DEFAULT_INDEX UV_INDEX% UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_KEYRING% UV_CREDENTIALS% UV_INSECURE_HOST UV_NATIVE_TLS \
  UV_SYSTEM_CERTS UV_HTTP% UV_OFFLINE UV_CACHE_DIR UV_NO_CACHE UV_LINK_MODE UV_CONCURRENT% UV_NO_PROGRESS
unexport $(filter-out $(uv_kept),$(filter UV_%,$(.VARIABLES)))
export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo pictures test test-extras check bench serve protos clean distclean FORCE
.DEFAULT_GOAL := help

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

setup: .venv/.ready ## build .venv: server, client and test tools

demo: .venv/.ready ## run the whole main job on the embedded networks; writes out/demo/index.html
	.venv/bin/python -m tools.demo --out out/demo $(ARGS)

pictures: .venv/.ready ## draw the pictures of README and docs anew (GoogLeNet's from what `python -m bench worth` left in out/bench)
	.venv/bin/python -m tools.docs_pictures

test: export OMP_NUM_THREADS := 1
test: .venv/.ready ## run the tests, a process a core; STRIATE_DATA names the folder of real data, if there is one
	.venv/bin/python -m pytest -n auto --dist worksteal $(ARGS)

test-extras: export OMP_NUM_THREADS := 1
test-extras: .venv-extras/.ready ## run the tests of what the extras bring, in an environment of their own
	.venv-extras/bin/python -m pytest -n auto --dist worksteal tests/extras $(ARGS)

check: .venv/.ready .protos-venv/.ready .deploy-venv/.ready ## ruff, mypy, buf, stubs, import arrows, schemas, deploy/
	tools/check.sh

bench: .venv-bench/.ready ## measure beside the peers
	.venv-bench/bin/python -m bench $(ARGS)

serve: .venv/.ready ## serve the embedded networks, and the microscope at http://127.0.0.1:8080
	exec .venv/bin/python -m tools.serve $(ARGS)

protos: .protos-venv/.ready ## write the Python stubs anew
	tools/protos.sh

clean: ## remove what the commands wrote, but no environment
	rm -rf out dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find interp service clients bench tools tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean ## remove the environments, too
	rm -rf .venv .venv-bench .venv-extras .protos-venv .deploy-venv .release-venv .uv

# A stamp holds the folder it was made in, for an environment does not survive being moved or copied.
stamps := .uv/.ready .venv/.ready .venv-bench/.ready .venv-extras/.ready .protos-venv/.ready .deploy-venv/.ready
moved := $(foreach stamp,$(stamps),$(shell [ ! -e $(stamp) ] || [ "$$(cat $(stamp))" = "$$(pwd -P)" ] || echo $(stamp)))
$(moved): FORCE

.uv/.ready: requirements/uv.txt tools/bootstrap.sh
	tools/bootstrap.sh '$(PYTHON)' .uv requirements/uv.txt
	@pwd -P > $@

.venv/.ready: .uv/.ready requirements/dev.txt pyproject.toml clients/pyproject.toml clients/web/pyproject.toml
	tools/environment.sh .venv '$(PYTHON)' requirements/dev.txt
	$(UV) pip install --quiet --python .venv --no-deps --editable . --editable clients --editable clients/web
	@pwd -P > $@

.venv-bench/.ready: .uv/.ready $(BENCH_TXT) pyproject.toml clients/pyproject.toml
	tools/environment.sh .venv-bench '$(PYTHON)' $(BENCH_TXT)
	$(UV) pip install --quiet --python .venv-bench --no-deps --editable . --editable clients
	@pwd -P > $@

.venv-extras/.ready: .uv/.ready $(EXTRAS_TXT) pyproject.toml clients/pyproject.toml
	tools/environment.sh .venv-extras '$(PYTHON)' $(EXTRAS_TXT)
	$(UV) pip install --quiet --python .venv-extras --no-deps --editable . --editable clients
	@pwd -P > $@

.deploy-venv/.ready: .uv/.ready requirements/deploy.txt
	tools/environment.sh .deploy-venv '$(PYTHON)' requirements/deploy.txt
	@pwd -P > $@

.protos-venv/.ready: .uv/.ready requirements/protos.txt
	tools/environment.sh .protos-venv '$(PYTHON)' requirements/protos.txt
	@pwd -P > $@
