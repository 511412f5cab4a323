.PHONY: check format lint types test slow browser

# what CI runs
check: lint types test slow

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

# what takes many seconds a test
slow:
	python -m pytest -n 2 -m slow

# the Space in a real Chromium, which must be installed
browser:
	python -m pytest -m browser
