# `make demo` and `make test` do their own set-up. They need python3 with pip (any version), make and git.
# uv finds or fetches Python 3.12; if uv is missing, it is installed from the Python package index.

SHELL := /bin/bash
UV := $(or $(shell command -v uv),.uv/bin/uv)
BIN := $(CURDIR)/.venv/bin
# For commands without training: the environment of `make demo` if it exists, else one without torch.
LIGHT := $(if $(wildcard .venv/.installed),.venv,.venv-label)

.PHONY: demo docs new label pack import-model compare doctor plan fetch references test fuzz lint lock scale \
    benchmark-accuracy rulegraph clean

demo: .venv/.installed
	mkdir -p demo
	$(BIN)/snakemake --profile profiles/local --directory demo --configfile config/config.yaml
	@echo "The report: $(CURDIR)/demo/results/report.html"

# The pages as a website, strict about links, with the report of the demo: build/docs.
docs: .venv/.installed demo/results/report.html
	rm -rf build/docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs/web . build/docs
	@echo "The pages: $(CURDIR)/build/docs/index.html"

demo/results/report.html:
	$(MAKE) --no-print-directory demo

# A configuration from files:  make new NAME=kidney REFERENCE=/data/atlas.h5ad QUERY="/data/a.h5ad /data/b.h5ad"
# LABEL= and BATCH= name columns, FORCE=1 overwrites config/NAME.yaml.
new: .venv/.installed
	@PYTHONPATH=scripts $(BIN)/python -W ignore -m cellferry.commands.new --name "$(NAME)" --reference "$(REFERENCE)" \
	    --query "$(QUERY)" --label "$(LABEL)" --batch "$(BATCH)" --force "$(FORCE)"

# Labels by a packed reference without fitting, without torch:  make label REFERENCE=NAME-VERSION.cellferry.zip QUERY=y.h5ad
# REFERENCE may be NAME@VERSION, see make references. Configuration and results are in labels/NAME; NAME is by default
# the query's name.
QUERY_NAME := $(or $(NAME),$(firstword $(subst ., ,$(notdir $(firstword $(QUERY))))))
label: $(LIGHT)/.installed
	@PYTHONPATH=scripts $(LIGHT)/bin/python -W ignore -m cellferry.commands.new --name "$(QUERY_NAME)" --force 1 \
	    --reference "$(REFERENCE)" --query "$(QUERY)" --batch "$(BATCH)" --folder "labels/$(QUERY_NAME)" --as-it-is
	$(LIGHT)/bin/snakemake --profile profiles/local --directory "labels/$(QUERY_NAME)" \
	    --configfile "labels/$(QUERY_NAME)/$(QUERY_NAME).yaml"
	@echo "The labels: $(CURDIR)/labels/$(QUERY_NAME)/results/predictions"
	@echo "The report: $(CURDIR)/labels/$(QUERY_NAME)/results/report.html"

# A trained reference as one file:  make pack RESULTS=results NAME=blood VERSION=1 LICENSE=CC-BY-4.0
# ORGANISM= ASSAY= TISSUE= DESCRIPTION= DOI= CITATION= describe the reference; OUTPUT= is a folder.
RESULTS := results
pack: .venv/.installed
	@PYTHONPATH=scripts $(BIN)/python -W ignore -m cellferry.commands.pack --results "$(RESULTS)" --name "$(NAME)" \
	    --version "$(VERSION)" --license "$(LICENSE)" --output "$(or $(OUTPUT),.)" --organism "$(ORGANISM)" \
	    --assay "$(ASSAY)" --tissue "$(TISSUE)" --description "$(DESCRIPTION)" --doi "$(DOI)" \
	    --citation "$(CITATION)"

# A pre-trained model as one file:  make import-model MODEL=folder NAME=blood VERSION=1 LICENSE=CC-BY-4.0
# The folder's content is detected; LATENTS= LABEL= BATCH= KEY= choose among several, for CytoVI also SCALING= and
# BACKBONE= (markers with commas). TRUST=1 opens a model that runs code. Other variables as for `make pack`.
import-model: .venv/.installed
	@PYTHONPATH=scripts $(BIN)/python -W ignore -m cellferry.commands.import_model --model "$(MODEL)" \
	    --latents "$(LATENTS)" --label "$(LABEL)" --batch "$(BATCH)" --key "$(KEY)" --trust "$(TRUST)" \
	    --scaling "$(SCALING)" --backbone "$(BACKBONE)" --name "$(NAME)" --version "$(VERSION)" \
	    --license "$(LICENSE)" --output "$(or $(OUTPUT),.)" --organism "$(ORGANISM)" --assay "$(ASSAY)" \
	    --tissue "$(TISSUE)" --description "$(DESCRIPTION)" --doi "$(DOI)" --citation "$(CITATION)"

# Problems of this machine or cluster that would stop a run:  make doctor PROFILE=profiles/slurm DIRECTORY=. GPU=1
# GPU=1 sends a small job to the GPU partition, and waits WAIT seconds for it. Needs only python3.
DIRECTORY := .
WAIT := 300
doctor:
	@python=.venv/bin/python; test -x $$python || python=python3; \
	PYTHONPATH=scripts $$python -m cellferry.commands.doctor --profile "$(PROFILE)" \
	    --directory "$(DIRECTORY)" --wait $(WAIT) $(if $(filter-out 0,$(GPU)),--gpu)

# Memory, disk and time of a run:  make plan CONFIG=config/config.yaml PROFILE=profiles/slurm
CONFIG := config/config.yaml
PROFILE := profiles/slurm
plan: .venv/.installed
	@$(BIN)/snakemake plan --forcerun plan --profile $(PROFILE) --executor local --cores 1 --quiet all \
	    --directory "$(DIRECTORY)" --configfile $(CONFIG)
	@$(BIN)/snakemake --dry-run --profile $(PROFILE) --directory "$(DIRECTORY)" --configfile $(CONFIG) \
	    2>/dev/null | grep "^Changed: " || true

# Changes between two runs' labels of a query, with causes:  make compare A=old/results B=new/results
# QUERY= names one of several queries, OUTPUT=changes.tsv writes all pairs of labels.
compare: $(LIGHT)/.installed
	@PYTHONPATH=scripts $(LIGHT)/bin/python -W ignore -m cellferry.commands.compare --a "$(A)" --b "$(B)" \
	    --query "$(QUERY)" --output "$(OUTPUT)"

# Download a reference of a registry into the cache:  make fetch REFERENCE=lung@1.0 CONFIG=config/config.yaml
# The configuration may name registries, a cache and a mirror (docs/references.md).
fetch: $(LIGHT)/.installed
	@PYTHONPATH=scripts $(LIGHT)/bin/python -m cellferry.commands.references --fetch "$(REFERENCE)" \
	    --config $(CONFIG) --directory "$(DIRECTORY)"

# References in the registries, and which are on this machine:  make references CONFIG=config/config.yaml
references: $(LIGHT)/.installed
	@PYTHONPATH=scripts $(LIGHT)/bin/python -m cellferry.commands.references --config $(CONFIG) --directory "$(DIRECTORY)"

test: .venv/.installed
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --numprocesses 4 --no-loadscope-reorder --durations 30 --durations-min 5

# Damaged files from ever new seeds: each must be refused by name or read correctly. Prints the number of each
# finding, which reproduces it.
MINUTES := 60
fuzz: .venv/.installed
	$(BIN)/python -W ignore tests/fuzz/run.py --minutes $(MINUTES)

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python tests/check_text.py
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	PYTHONPATH=scripts $(BIN)/lint-imports --no-cache --no-logo

# Lock the versions of all packages; direct dependencies are in pyproject.toml.
lock: $(UV)
	$(UV) pip compile --quiet --upgrade --no-header --no-annotate --group dev pyproject.toml \
	    --output-file requirements.txt
	$(UV) pip compile --quiet --no-header --no-annotate --group label --constraint requirements.txt \
	    --no-emit-package nvidia-nccl-cu13 --output-file requirements-label.txt

# Memory and time by number of simulated cells: benchmarks/scale.md. Takes half an hour and 15 GB of disk.
CELLS := 50000 200000 1000000
scale: .venv/.installed
	$(BIN)/python benchmarks/scale.py --cells $(CELLS)

# Accuracy on real queries beside other tools: benchmarks/accuracy.md. A run takes minutes; each seed has fifteen, the
# first ten more. Finished runs in WORK are not repeated.
# QUICK=1: few cells and epochs, as a test; its tables stay in WORK. RUNS="..." chooses runs.
DATA ?= $(CELLFERRY_TEST_DATA)
WORK ?= accuracy_work
SEEDS ?= 0 1 2
RUNS ?=
benchmark-accuracy: .venv/.installed | $(UV)
	$(BIN)/python benchmarks/accuracy.py --data "$(DATA)" --work "$(WORK)" --seeds $(SEEDS) \
	    $(if $(RUNS),--runs $(RUNS)) $(if $(filter-out 0,$(QUICK)),--quick)

# Rules and their dependencies, without redundant edges: docs/rulegraph.svg. Needs graphviz.
rulegraph: .venv/.installed
	@command -v dot tred >/dev/null || { echo "error: dot and tred are missing; install graphviz" >&2; exit 1; }
	@set -o pipefail; folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	    $(BIN)/snakemake --rulegraph --cores 1 --directory "$$folder" --configfile config/config.yaml \
	    | sed 's/color = "[^"]*"/color = "#4477aa"/' | tred \
	    | dot -Granksep=0.2 -Nheight=0.3 -Nmargin=0.08,0.03 -Tsvg > "$$folder/rulegraph.svg" && \
	    cp "$$folder/rulegraph.svg" docs/rulegraph.svg

# Compile byte code once, not at the start of every job.
.venv/.installed: requirements.txt .python-version | $(UV)
	test -x .venv/bin/python || $(UV) venv --quiet
	$(UV) pip sync --quiet --compile-bytecode requirements.txt
	touch $@

# The same without torch.
.venv-label/.installed: requirements-label.txt .python-version | $(UV)
	test -x .venv-label/bin/python || $(UV) venv --quiet .venv-label
	$(UV) pip sync --quiet --compile-bytecode --python .venv-label/bin/python requirements-label.txt
	touch $@

.uv/bin/uv:
	python3 -m pip install --quiet --target .uv uv

clean:
	rm -rf .venv .venv-label .uv demo build
