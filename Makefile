.PHONY: check format lint types test

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
	python -m pytest
