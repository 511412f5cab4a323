"""What the README says is there, is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def tree_paths():
    """Paths of the annotated tree; two spaces are one folder deeper."""
    tree = re.search(r"## What is where\n```\n(.*?)```", README, re.DOTALL).group(1)
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        folders = folders[: (len(line) - len(line.lstrip())) // 2]
        yield "".join(folders) + name
        folders.append(name if name.endswith("/") else "")


def test_every_path_of_the_tree_exists():
    paths = list(tree_paths())
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_module_is_in_the_tree():
    paths = set(tree_paths())
    modules = {
        str(path.relative_to(ROOT))
        for folder in ("maefuse_hf", "training")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert modules - paths == set()


def test_links_and_images_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_ci_runs_the_two_commands_of_the_readme():
    section = README.split("## Two commands")[1].split("\n## ")[0]
    commands = re.findall(r"```bash\n(.*?)\n```", section, re.DOTALL)
    assert len(commands) == 2
    assert "maefuse demo" in commands[0] and "pytest" in commands[1]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "readme_command 1" in ci and "readme_command 2" in ci
