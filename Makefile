# Every target prints what it will do. `make demo` and `make test` need Python 3.11+, make and Git, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORK := .work
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MODELYARD_CACHE ?= $(HOME)/.cache/modelyard
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint docs bench system-tests mutants clean

$(VENV)/made: requirements.lock pyproject.toml
	@echo "== environment: installs requirements.lock into $(VENV): about 0.9 GB to download, 2.5 GB on disk"
	@echo "   (with a CUDA build of torch about 3 GB; for the CPU build elsewhere: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make ...)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -r requirements.lock
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

demo: $(VENV)/made
	@echo "== demo: real reviews and MiniLM (86 MB to download once), a project in $(WORK)/reviews, then modelyard run in it"
	modelyard fetch minilm
	python examples/reviews/make_reviews.py $(WORK)/reviews.csv
	test -d $(WORK)/reviews || (cd $(WORK) && modelyard init reviews --data reviews.csv --text text --label label --slices site --group review --model minilm)
	cd $(WORK)/reviews && modelyard run
	@echo "in your own shell first: source $(BIN)/activate && cd $(WORK)/reviews"

test: $(VENV)/made
	@echo "== test: every test that needs no GPU and no installed program, with branch coverage (bar: 90%)"
	python -m pytest -n 2 --dist loadfile -m "not gpu and not system and not docs" --cov --cov-report=term

lint: $(VENV)/made
	@echo "== lint: ruff (format and rules), mypy strict, import-linter"
	ruff format --check .
	ruff check .
	mypy
	lint-imports

docs: $(VENV)/made
	@echo "== docs: builds the site into site/ and runs every command and code block of README.md and docs/"
	mkdocs build --strict --quiet
	python -m pytest -m docs

system-tests: $(VENV)/made
	@echo "== system tests: installs Chromium where it is missing (apt-get), then runs the tests marked 'system'"
	command -v chromium >/dev/null || (apt-get update -qq && apt-get install -y -qq chromium)
	python -m pytest -m system

bench: $(VENV)/made
	@echo "== bench: the table of all claims in benchmarks/results, missed ones included; each script there makes its own figures again"
	python benchmarks/table.py

mutants: $(VENV)/made
	@echo "== mutants: mutation tests of src/modelyard/evidence, then the survivors; tests/evidence/MUTANTS.md says why each lives"
	mutmut run; mutmut results

clean:
	rm -rf $(VENV) $(WORK) site mutants
