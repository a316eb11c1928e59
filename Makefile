# Every way into the project is a word here; `make help` lists them. CI calls the
# same words, so what fails there is repeated here by typing its name.
#
# .venv is made where it is missing and renewed when a pyproject.toml changes.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
TEST_READY := $(VENV)/.ready-test
DEV_READY := $(VENV)/.ready-dev
BENCH_READY := $(VENV)/.ready-bench
PROTO_VENV := .venv-proto
PROTO_READY := $(PROTO_VENV)/.ready
# Programs that are not Python's (grpcurl, ghz, ...), see `make tools`.
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/.tools/bin:$(PATH)

# Quiet and the same everywhere: no upgrade notices, no questions.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_ROOT_USER_ACTION := ignore
# Containers often ask for no byte code. Tests start some two hundred programs of ours, and each would compile
# every module anew, which is a third of what a start costs.
export PYTHONDONTWRITEBYTECODE :=

# How often the process tests kill the server. CI does it 50 times, `make soak` 500: each takes three seconds.
RAG_KILLS ?= 10
# The share of their rounds that the longest tests play, see tests/rounds.py. CI plays all.
RAG_ROUNDS ?= 0.2
# Test files at a time: most wait for the disk or for a child more than they compute.
WORKERS ?= 3
# In the order of folders. xdist's own, files with many tests first, keeps the longest for the end: those with
# one test of a minute, beside which the other workers idle.
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# More arguments for a target's program, as in `make test ARGS="-k chunking -x"`.
ARGS ?=
PEERS_ARGS ?= --install --json .benchmarks/peers.json --plots .benchmarks/plots

.PHONY: help
help: ## list these words
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use it

.PHONY: setup
setup: $(DEV_READY) ## make .venv with everything; says what the machine lacks

.PHONY: demo
demo: $(READY) ## see it work: real documents in, questions answered, a restart
	@$(PY) tools/demo.py $(ARGS)

.PHONY: serve
serve: $(READY) ## run the server on 127.0.0.1:50051, data in ./rag-data
	@$(VENV)/bin/rag-grpc serve $(ARGS)

##@ Check it

.PHONY: test
test: $(TEST_READY) ## run the tests; RAG_ROUNDS=1 plays all rounds on both stores, as CI does
	@RAG_KILLS=$(RAG_KILLS) RAG_ROUNDS=$(RAG_ROUNDS) $(PY) -m pytest $(SHARED) -m "not soak" $(ARGS)

# Whether a test needs a quiet machine or is wrong is told apart by trying it once more, alone; its first
# failure stays in the output.
.PHONY: test-steady
test-steady: $(TEST_READY) ## the same; what fails beside others is tried once more, alone
	@$(MAKE) --no-print-directory test || $(MAKE) --no-print-directory test WORKERS=0 ARGS=--last-failed

.PHONY: test-fast
test-fast: $(TEST_READY) ## run the tests that take less than a few seconds each
	@$(PY) -m pytest $(SHARED) -m "not soak and not slow" $(ARGS)

# In an environment of its own, which takes as long to make as .venv does.
.PHONY: test-second
test-second: ## run unit and contract tests with the system's Python too, where it is another
	@python=$$(tools/second_python.sh) || exit 1; \
	test -z "$$python" || PYTHON="$$python" $(MAKE) test-steady VENV=.venv-second \
	    ARGS="tests/unit tests/contracts clients/python/tests $(ARGS)"

.PHONY: soak
soak: $(TEST_READY) ## run the long forms: 500 kills, half an hour of mixed load (hours)
	@RAG_SOAK=1 RAG_KILLS=500 $(PY) -m pytest -m soak $(ARGS)
	@$(PY) -m benchmarks.mixed_load

.PHONY: lint
lint: $(DEV_READY) ## check style, formatting, import layers and the protos
	@ruff check .
	@ruff format --check .
	@lint-imports --no-logo
	@buf lint

.PHONY: types
types: $(DEV_READY) ## check types, strictly; in tests, functions may go without
	@mypy
	@mypy --explicit-package-bases tools benchmarks
	@mypy --explicit-package-bases --allow-untyped-defs --allow-incomplete-defs --allow-untyped-calls tests

##@ Change the contract

.PHONY: proto
proto: $(PROTO_READY) ## write the stubs anew from proto/
	@$(PROTO_VENV)/bin/python tools/generate_stubs.py

.PHONY: proto-check
proto-check: $(PROTO_READY) ## fail where the committed stubs differ from proto/
	@$(PROTO_VENV)/bin/python tools/generate_stubs.py --check

.PHONY: proto-breaking
proto-breaking: $(TEST_READY) ## fail where callers of the last release would break (AGAINST=a git ref)
	@tools/check_breaking.sh $(AGAINST)

##@ Measure it

.PHONY: bench
bench: $(TEST_READY) ## measure what the project promises, as ratios to hnswlib alone
	@$(PY) -m benchmarks $(ARGS)
	@$(PY) -m benchmarks.texts

.PHONY: bench-full
bench-full: $(TEST_READY) bench-peers ## measure everything, the peers too (long)
	@$(PY) -m benchmarks --full $(ARGS)
	@$(PY) -m benchmarks.modes
	@$(PY) -m benchmarks.filters
	@$(PY) -m benchmarks.searching_while_ingesting
	@$(PY) -m benchmarks.many_collections
	@$(PY) -m benchmarks.idle
	@$(PY) -m benchmarks.growth --json .benchmarks/growth.json --plots .benchmarks/plots

# The peers have an environment of their own, with some gigabytes of packages; see docs/performance.md.
.PHONY: bench-peers
bench-peers: $(BENCH_READY) ## measure this server beside Chroma, Milvus, Weaviate and LanceDB
	@$(PY) -m benchmarks.peers $(PEERS_ARGS)

.PHONY: eval-retrieval
eval-retrieval: $(TEST_READY) ## measure how well it finds, on the collections in ../shared/data
	@$(PY) -m benchmarks.retrieval_quality $(ARGS)

.PHONY: eval-answers
eval-answers: $(TEST_READY) ## measure answers and their judges, on the collections in ../shared/data
	@$(PY) -m benchmarks.answer_quality $(ARGS)

##@ Ship it

.PHONY: image
image: ## build the container image rag-grpc with Docker
	@docker build --tag rag-grpc $(ARGS) .

.PHONY: image-check
image-check: ## build and start the image without Docker (root on Debian)
	@tools/image_check.sh

.PHONY: tools
tools: ## install grpcurl, ghz, grpc-health-probe and promtool for the tests
	@tools/install_tools.sh

.PHONY: ci
ci: ## do what CI does: everything above that can fail a change
	@bash .ci/run

# Files that the words above need.

# --no-cache-dir: pip would keep hnswlib as built for this processor, and hand that
# wheel to another one, where it dies of an illegal instruction.
$(READY): pyproject.toml clients/python/pyproject.toml tools/build-constraints.txt
	@python=$$(tools/check_prerequisites.sh) || exit 1; \
	echo "Making $(VENV); hnswlib is compiled, which takes about a minute ..."; \
	test -x $(PY) || "$$python" -m venv $(VENV) || exit 1; \
	$(PY) -m pip install -q --upgrade 'pip>=25.3' || exit 1; \
	$(PY) -m pip install -q --no-cache-dir --build-constraint tools/build-constraints.txt \
	    -e 'clients/python[cli]' -e . || exit 1
	@touch $@

# Apart, so that whoever only looks at the demo does not wait for models' runtimes and frameworks.
# --no-compile: of their thousands of modules the tests import some hundred, which are compiled then.
$(TEST_READY): $(READY)
	@echo "Adding what the tests need ..."; \
	$(PY) -m pip install -q --no-cache-dir --no-compile --build-constraint tools/build-constraints.txt \
	    -e 'clients/python[cli,readers,langchain,llamaindex]' -e '.[fastembed,openai]' --group test || exit 1
	@touch $@

$(DEV_READY): $(TEST_READY)
	@$(PY) -m pip install -q --no-cache-dir --group dev || exit 1
	@touch $@

$(BENCH_READY): $(TEST_READY)
	@$(PY) -m pip install -q -e '.[bench]' || exit 1
	@touch $@

$(PROTO_READY): pyproject.toml
	@python=$$(tools/check_prerequisites.sh) || exit 1; \
	echo "Making $(PROTO_VENV) for the pinned protobuf compiler ..."; \
	test -x $(PROTO_VENV)/bin/python || "$$python" -m venv $(PROTO_VENV) || exit 1; \
	$(PROTO_VENV)/bin/python -m pip install -q --upgrade 'pip>=25.3' || exit 1; \
	$(PROTO_VENV)/bin/python -m pip install -q --group proto || exit 1
	@touch $@
