# Every target first sees to .venv (tools/setup.sh: a moment when it is up to
# date). Settings: PYTHON=/path/to/python   the interpreter to make .venv from
#                  CHAPTER=05               which chapter; a name, or `all`

python := .venv/bin/python

# The caller's Python and Jupyter settings stay out of .venv.
unexport PYTHONHOME PYTHONPATH JUPYTER_PATH MPLBACKEND
export JUPYTER_PREFER_ENV_PATH := 1

# `make pins UPGRADE=1` asks for the newest versions; without it only what
# pyproject.toml makes necessary changes.
compile = $(python) -m uv pip compile --quiet --universal \
	--python-version 3.9 --no-annotate --custom-compile-command "make pins" \
	$(if $(UPGRADE),--upgrade) --extra notebooks --group build pyproject.toml
# The site has an environment of its own, without the course.
compile-site = $(python) -m uv pip compile --quiet --universal \
	--python-version 3.11 --no-annotate --custom-compile-command "make pins" \
	$(if $(UPGRADE),--upgrade) --group pyproject.toml:site

.DEFAULT_GOAL := help
.PHONY: help run test lab outputs export navigation docs torch bench matrix \
	projects experiment seeds book speed measured reading site site-open \
	pins clean setup setup-test setup-site

help:  ## this list
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z-]*\):.*##/    \1:/p' Makefile | \
		awk -F: '{ printf "%-16s%s\n", $$1, substr($$0, length($$1) + 2) }'

run: setup  ## train LeNet here and now; CHAPTER=06 runs another chapter
	@$(python) tools/run_chapter.py $(or $(CHAPTER),05)

# FAST=1: without slow tests, with chapters 1 to 5 only. No bars from what nox
# starts; tests/pytest_course.py says it for pytest.
test: export D2LZH_PROGRESS := 0
test: setup-test  ## what CI runs: style, types, tests, every chapter; FAST=1
	$(python) -m ruff check .
	$(python) -m mypy
	$(python) -m mypy --allow-untyped-calls tools noxfile.py \
		site/conf.py site/extensions
	$(python) -m pytest -n auto --nbval --nbval-current-env \
		--nbval-sanitize-with tests/nbval.cfg $(if $(FAST),-m "not slow") \
		tests $(if $(FAST),chapters/0[1-5]-*.ipynb,chapters)
	$(if $(FAST),,$(python) -m nox)

lab: setup  ## open the chapters in JupyterLab
	@$(python) -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) \
		chapters

outputs: setup  ## run chapters and store their outputs; CHAPTER=05 only one
	@$(python) tools/run_chapter.py --store $(or $(CHAPTER),all)

export: setup-test  ## write d2lzh_ext/chapters from the notebooks
	$(python) tools/export.py

navigation: setup  ## links, badges, the tables of both READMEs
	@$(python) tools/navigation.py

docs: setup-test  ## the table of names in docs/first-edition.md
	$(python) tools/docs.py

torch: setup  ## add PyTorch: tests compare with it, `make bench` needs it
	$(python) -m pip install --quiet torch==2.13.0

bench: torch  ## time against d2lzh and PyTorch, over an hour; NETWORK=vgg one
	$(python) benchmarks/bench.py \
		$(or $(WHAT),$(if $(NETWORK),training,all)) $(NETWORK)

matrix: setup-test  ## every Python, old and new NumPy, processors: hours
	$(python) -m nox --session matrix beside debian processor

projects: setup-test  ## old MXNet projects on the newest Python and NumPy
	$(python) -m nox --session projects

experiment: setup-test  ## what chapters compare; NAME=vgg-kernels one
	$(python) benchmarks/experiments.py run $(NAME)

seeds: setup-test  ## train each network from five seeds; NETWORK=vgg one
	$(python) benchmarks/experiments.py seeds $(NETWORK)

book: setup-test  ## a chapter's book setting, resumed if cut; CHAPTER=11
	@$(python) benchmarks/experiments.py book $(or $(CHAPTER),05)

speed: setup-test  ## time every network; NETWORK=vgg one; nothing else may run
	$(python) benchmarks/bench.py speed $(NETWORK)

measured: setup-test  ## outputs of all chapters, with their time and memory
	$(python) benchmarks/bench.py chapters

reading: setup  ## how the chapters read, counted; CHAPTER=05 names places
	@$(python) tools/reading.py $(CHAPTER)

site: setup-site  ## the course as pages and EPUBs, two languages: build/site
	@.venv-site/bin/python tools/website.py

site-open: site  ## the same, shown to a browser of this machine
	@.venv-site/bin/python tools/website.py serve

pins: setup  ## requirements*.txt from pyproject.toml; UPGRADE=1 for newest
	$(python) -m pip install --quiet uv
	$(compile) --output-file requirements.txt
	$(compile) --extra test --constraint requirements.txt \
		--output-file requirements-test.txt
	$(compile-site) --output-file requirements-site.txt

clean:  ## remove .venv and all that the other targets made
	rm -rf .venv .venv-site .nox output build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .grimp_cache \
		.import_linter_cache
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune \
		-exec rm -rf {} +

setup:  ## make or repair .venv, for running the chapters
	@sh tools/setup.sh

setup-test:  ## the same, with the tools of `make test`
	@sh tools/setup.sh test

setup-site:  ## make or repair .venv-site, for building the site
	@sh tools/setup.sh site
