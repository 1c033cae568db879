# Everything a newcomer or CI does, in one word each. `make` alone lists the words. The first use of any of them makes
# .venv and installs what requirements.lock pins; that needs Linux, Python 3.11 or later and nothing else.

.NOTPARALLEL:
.DEFAULT_GOAL := help
SHELL := /bin/sh
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

# The first Python that will do: new enough, and able to make environments. The system's comes first, because
# distributions build theirs with profiles; one that was built without (pyenv's default) takes up to a quarter more time
# for an order (make bench-costs). Or yours: make test PYTHON=...
WILL_DO := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON = $(shell for each in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$each $(WILL_DO); then echo $$each; break; fi; done)

.PHONY: help
help: ## list these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.PHONY: sale
sale: compiled ## the demonstration: a flash sale survives kill -9 of its leader (ARGS="--units 40 --kills 3")
	@$(BIN)/lastunit sale $(ARGS)

# Tests with clusters of real nodes have the machine to themselves, one after another; all others run two at a time.
ALONE := tests/benchmarks tests/chaos tests/cluster

.PHONY: test
test: compiled ## all tests; the slow ones are named at the end (ARGS="-k expiry": these, one at a time)
ifeq ($(ARGS),)
	@$(BIN)/pytest -n 2 --dist worksteal $(ALONE:%=--ignore=%)
	@$(BIN)/pytest $(ALONE)
else
	@$(BIN)/pytest $(ARGS)
endif

PACKAGE := build/package

.PHONY: package
package: $(READY) ## build the source archive, and the wheel of it as pip does for others, and install that
	@rm -rf $(PACKAGE)
	@$(BIN)/python -m hatchling build --target sdist --directory $(PACKAGE) >/dev/null
	@$(BIN)/pip wheel --quiet --no-deps --wheel-dir $(PACKAGE) $(PACKAGE)/*.tar.gz
	@$(BIN)/python -m venv $(PACKAGE)/venv && $(PACKAGE)/venv/bin/pip install --quiet $(PACKAGE)/*.whl
	@cd $(PACKAGE) && venv/bin/lastunit --version && venv/bin/lastunit-node --help >/dev/null && ls *.gz *.whl

PYTHONS ?= python3.12 python3.13

.PHONY: pythons
pythons: ## all tests, as committed, with other Pythons too (PYTHONS="/path/to/python3.13 python3.14")
	@for each in $(PYTHONS); do \
		rm -rf build/python && git clone --quiet . build/python || exit 1; \
		echo "with $$each:"; $(MAKE) --directory build/python test PYTHON="$$each" ARGS= || exit 1; \
	done

.PHONY: bench
bench: compiled ## lastunit beside its peers, a quarter of an hour on an idle machine (ARGS="--quick": lastunit alone, half a minute)
	@PYTHONPATH=tests $(BIN)/python -m benchmarks $(ARGS)

.PHONY: bench-catchup
bench-catchup: compiled ## how long a copy of 100,000 reservations takes to bring a node back
	@PYTHONPATH=tests $(BIN)/python tests/benchmarks/catchup.py $(ARGS)

.PHONY: bench-rejoin
bench-rejoin: compiled ## how long a node that lost its disk takes to come back (ARGS="--reservations 100000")
	@PYTHONPATH=tests $(BIN)/python tests/benchmarks/rejoin.py $(ARGS)

.PHONY: bench-growth
bench-growth: compiled ## what a large state costs: throughput, memory, restarts, stalls (ARGS="--reservations 50000 --skus 10000")
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.growth $(ARGS)

.PHONY: bench-costs
bench-costs: compiled ## where the time of an order goes: microseconds per stage, on the leader and on a follower (ARGS=--pieces)
	@PYTHONPATH=tests $(BIN)/python tests/benchmarks/costs.py $(ARGS)

SEEDS ?= 100
NODES ?= 3

.PHONY: simulate
simulate: $(READY) ## whole clusters in virtual time, one a seed (SEEDS=2000 NODES=5, or SEED=17 TRACE=1)
	@PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m simulation --nodes $(NODES) \
		$(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),--seeds $(SEEDS)) $(ARGS)

.PHONY: mutants
mutants: $(READY) ## plant bugs, one at a time, and see that the simulator finds each
	@PYTHONHASHSEED=0 PYTHONPATH=tests $(BIN)/python -m simulation.mutants $(ARGS)

.PHONY: model
model: ## which disk of a node counts (rule 9), as a model in C++ that is searched for a way to lose an order (ARGS="knows=0")
	@mkdir -p build && c++ -std=c++17 -O2 -DNODES=$(NODES) -o build/model tests/model/admission.cpp
	@build/model $(ARGS)

MINUTES ?= 1

.PHONY: chaos
chaos: compiled ## faults on a real cluster, and a checker that trusts nobody (MINUTES=10 NODES=5 SEED=7)
	@PYTHONPATH=tests $(BIN)/python -m chaos --minutes $(MINUTES) --nodes $(NODES) $(if $(SEED),--seed $(SEED)) $(ARGS)

KILLS ?= 100

.PHONY: failover
failover: compiled ## from kill -9 of the leader to the next order, and etcd's beside it where etcd is installed (KILLS=100)
	@PYTHONPATH=tests $(BIN)/python -m chaos.failover --kills $(KILLS) $(ARGS)

.PHONY: calm
calm: compiled ## no election without a reason: idle for MINUTES, then all cores busy for a fifth of that (MINUTES=10)
	@PYTHONPATH=tests $(BIN)/python -m chaos.calm --minutes $(MINUTES) --nodes $(NODES) $(ARGS)

.PHONY: check
check: format-check lint types protos-check package test ## all that CI checks

.PHONY: format
format: $(READY) ## put the code into its form
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: format-check
format-check: $(READY)
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: $(READY) ## judge the code by the rules in pyproject.toml
	@$(BIN)/ruff check .

.PHONY: types
types: $(READY) ## check all types, strictly: libraries' stubs differ between versions of Python
	@for each in 3.11 3.14; do echo "types, Python $$each:"; $(BIN)/mypy --python-version $$each || exit 1; done

.PHONY: protos
protos: $(READY) ## generate the code of the API after a change of a .proto file
	@$(BIN)/python protos/generate.py

.PHONY: protos-check
protos-check: $(READY)
	@$(BIN)/python protos/generate.py --lint
	@$(BIN)/python protos/generate.py --check
	@echo "protos: lint clean, generated code in step"

.PHONY: up
up: compiled ## start the cluster of cluster.yml in the background
	@$(BIN)/lastunit up $(ARGS)

.PHONY: down
down: $(READY) ## stop it
	@$(BIN)/lastunit down $(ARGS)

.PHONY: lock
lock: $(READY) ## pin anew what pyproject.toml allows
	@test -x build/lock/bin/uv || { $(BIN)/python -m venv build/lock && build/lock/bin/pip install --quiet uv; }
	@build/lock/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --upgrade --extra dev \
		--generate-hashes --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

.PHONY: compiled
compiled: $(READY) ## compile the hot path beside its sources, where a C compiler is; done by itself (hatch_build.py)
	@$(BIN)/python hatch_build.py

.PHONY: interpreted
interpreted: $(READY) ## remove what was compiled, until the next word that runs nodes
	@$(BIN)/python hatch_build.py --remove

.PHONY: venv
venv: $(READY) ## only make the environment

$(READY): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) $(WILL_DO) || { \
		echo "lastunit needs Python 3.11 or later with its venv module (on Debian: apt install python3-venv);" >&2; \
		echo "if it is not on PATH, name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "installing what requirements.lock pins (once)"
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: clean
clean: ## remove what make has made; the data of a cluster stays
	@rm -rf $(VENV) build dist .mypy_cache client/.mypy_cache node/.mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find protos node client tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@find node client -name '*.so' -o -name compiled.json | xargs rm -f
