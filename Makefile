# Everything runs in its own environment, .venv, pinned by constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv/.peers
MUTANTS := .venv/.mutants

.PHONY: install demo test test-other-processor test-x64 test-all bench mutants lint types layers clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Libraries we compare with. Torch is never a dependency: this asks for the CPU build by its exact version.
$(PEERS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 do-mpc dask distributed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps immrax==0.3.8
	touch $@

# What makes mutants of the source, without its own way of running them (a database, a server) and its needs.
$(MUTANTS): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt \
	  cosmic-ray parso attrs stevedore
	touch $@

# Nothing but the environment.
install: $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py demo

# Whole files go to one process, so that what a file prepares and compiles is made once. One thread each for
# LAPACK, unless the environment asks for more: with two processes on two cores its threads would only wait
# for each other. OPENBLAS_CORETYPE, JAX_ENABLE_X64 and the like reach the tests from the environment.
PROCESSES ?= 2
OPENBLAS_NUM_THREADS ?= 1
OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS OMP_NUM_THREADS
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -q
FAST := -m "not slow and not peer"

# The examples in docstrings are tests, too.
test: $(READY)
	$(PYTEST) $(FAST)
	$(PYTEST) -p tests.conftest --doctest-modules src

# What calls LAPACK, as it is on a processor of another kind; the files left out call none (seen by counting the
# calls). `test` has checked the types.
PURE := $(addprefix certify/domains/test_,attack rules arithmetic) \
  $(addprefix certify/stability/test_,false_proofs plain_steps own_cells penalty) \
  $(addprefix audit/test_,attacks perturbations robustness theory) \
  $(addprefix theory/test_,mean_field_gaussian phase_simulation)
NUMERICAL := tests/dynamics tests/theory tests/certify tests/control/predictive tests/audit \
  $(addsuffix .py,$(addprefix --ignore=tests/,$(PURE)))
OTHER_PROCESSOR ?= Prescott

test-other-processor: $(READY)
	OPENBLAS_CORETYPE=$(OTHER_PROCESSOR) $(PYTEST) --jaxtyping-packages= $(FAST) $(NUMERICAL)

# In a process whose user has switched 64 bits on.
test-x64: $(READY)
	JAX_ENABLE_X64=1 $(PYTEST) $(FAST)

test-all: $(PEERS)
	$(PYTEST) --timeout=1800

bench: $(PEERS)
	$(BIN)/python -m benchmarks.cells
	$(BIN)/python -m benchmarks.identification
	$(BIN)/python -m benchmarks.control
	$(BIN)/python -m benchmarks.certificates
	$(BIN)/python -m benchmarks.attack
	$(BIN)/python -m benchmarks.intervals
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.groups
	$(BIN)/python -m benchmarks.regulariser
	$(BIN)/python -m benchmarks.dynamics
	$(BIN)/python -m benchmarks.fixed_points
	$(BIN)/python -m benchmarks.coverage --jobs 2
	$(BIN)/python -m benchmarks.mutations --count 20000
	$(BIN)/python -m benchmarks.kills
	$(BIN)/python -m benchmarks.own_cells
	$(BIN)/python -m benchmarks.verification

# Hours; it can be stopped and goes on where it was.
mutants: $(MUTANTS)
	$(BIN)/python -m benchmarks.mutants
	$(BIN)/python -m benchmarks.tables

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python .ci/check_sizes.py
	$(BIN)/python -m benchmarks.tables --check

types: $(READY)
	$(BIN)/pyright

layers: $(READY)
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo runs .cache/tests .pytest_cache .ruff_cache .hypothesis .import_linter_cache
