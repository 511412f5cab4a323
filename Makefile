.PHONY: check format lint types test browser

# what CI runs
check: lint types test

format:
	ruff format .
	ruff check --fix .

lint:
	ruff format --check .
	ruff check .

types:
	mypy

test:
	python -m pytest -n 2

# the Space in a real Chromium, which must be installed
browser:
	python -m pytest -m browser
