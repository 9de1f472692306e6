# OptimBook. Python 3.10 or newer and make are all that is needed:
#   make book      build the site            make test      run every test
#   make chapters  execute the chapters      make serve     show the site
#   make pdf       the book to print         make zip       the book to read offline
#   make bench     compare with torch        make results   measure the comparison again
#   make clean     remove what was built

PYTHON ?= python3
PORT ?= 8000
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready

export PYTHONPATH := $(CURDIR)

.PHONY: book test chapters serve pdf zip bench results clean

book: $(READY)
	$(RUN) book/_tools/build.py

test: export OMP_NUM_THREADS ?= 1
test: book
	$(RUN) -m pytest -rs --nbval --nbval-current-env -n 2 --dist loadscope tests book

chapters: $(READY)
	$(RUN) book/_tools/glossary.py
	$(RUN) book/_tools/execute.py $(CHAPTERS)

serve: book
	@echo "The book is at  http://localhost:$(PORT)/  (Ctrl-C stops it)"
	@$(RUN) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

pdf: book
	$(RUN) book/_tools/pdf.py

zip: book
	$(RUN) book/_tools/offline.py

bench: $(READY)
	$(RUN) -m benchmarks

# Half an hour to an hour of one core; what was measured with the same settings stays, so that it may be stopped and started again.
# Without the results there, everything is measured anew:  rm -r optimbook/lab/measured
results: $(READY)
	OMP_NUM_THREADS=1 $(RUN) -m benchmarks.results

clean:
	rm -rf _build .pytest_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The environment is made again when its requirements change.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=...")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check --quiet --requirement requirements.txt
	$(RUN) book/_ext/npm.py
	touch $@
