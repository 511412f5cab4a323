"""What README and docs say is there, is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def tree_paths(text):
    """Paths of the annotated tree; two spaces are one folder deeper."""
    tree = re.search(r"## What is where\n```\n(.*?)```", text, re.DOTALL).group(1)
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        yield "".join(folders) + name
        folders.append(name if name.endswith("/") else "")


def test_every_path_of_the_tree_exists():
    paths = [*tree_paths(ARCHITECTURE), *tree_paths(README)]
    assert len(paths) > 50
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_tree():
    paths = set(tree_paths(ARCHITECTURE))
    modules = {
        str(path.relative_to(ROOT))
        for folder in ("maefuse_hf", "training")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert modules - paths == set()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_links_and_images_exist(page):
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    here = [target for target in targets if not target.startswith("https://")]
    assert [target for target in here if not (page.parent / target).exists()] == []


def test_the_readme_stays_short_and_links_every_page():
    assert len(README.splitlines()) <= 140
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in README] == []


def test_ci_runs_the_two_commands_of_the_readme():
    section = README.split("## Two commands")[1].split("\n## ")[0]
    commands = re.findall(r"```bash\n(.*?)\n```", section, re.DOTALL)
    assert len(commands) == 2
    assert "maefuse demo" in commands[0] and "pytest" in commands[1]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "readme_command 1" in ci and "readme_command 2" in ci
