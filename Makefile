.PHONY: check docs format lint types test slow browser packages

# what CI runs
check: lint types docs test slow

format:
	ruff format .
	ruff check --fix .

# the pages of docs/, into site/; a warning is an error
docs:
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

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

# the Spaces in a real Chromium, which must be installed
browser:
	python -m pytest -m browser

# wheel and source archive, the wheel from what the archive holds; then the wheel alone, outside the repository
packages:
	rm -rf dist && python -m build
	python tests/installed_package.py dist/*.whl
