"""The pages of docs/: every file comes into the navigation, links lead somewhere, and lists stay lists."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("mkdocs")
ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("docs_hooks", ROOT / ".ci" / "docs_hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)
REPOSITORY = "https://github.com/OWNER/maefuse_hf"


def configuration(docs):
    return SimpleNamespace(docs_dir=str(docs), repo_url=REPOSITORY, nav=None)


def test_new_pages_come_into_the_navigation(tmp_path):
    for name in ("training.md", "command-line.md", "zebra.md", "apes.md", "api/model.md", "api/api.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    start, guides, reference = hooks.on_config(configuration(tmp_path)).nav
    assert start == "index.md" and reference == {"Reference": ["api/model.md"]}
    assert guides == {"Guides": ["command-line.md", "training.md", "apes.md", "zebra.md"]}


def test_every_page_that_there_is_stands_in_it():
    _, guides, _ = hooks.on_config(configuration(ROOT / "docs")).nav
    assert sorted(guides["Guides"]) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_links_of_the_readme():
    text = "[a](docs/hub.md) ![b](docs/images/x.jpg) [c](space/README.md) [d](https://x.org/docs/) [e](#limits)"
    space = f"{REPOSITORY}/blob/main/space/README.md"
    assert hooks.from_root(text, configuration(ROOT)) == (
        f"[a](hub.md) ![b](images/x.jpg) [c]({space}) [d](https://x.org/docs/) [e](#limits)"
    )


def test_links_out_of_the_folder():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="evaluation.md"))
    changed = hooks.on_page_markdown("[a](../splits/README.md) [b](hub.md)", page, configuration(ROOT), None)
    assert changed == f"[a]({REPOSITORY}/blob/main/splits/README.md) [b](hub.md)\n"


def test_lists_have_an_empty_line_before_them_and_code_does_not():
    text = "Words:\n- one\n- two\n\n```\nx\n- y\n```\nMore\n1. one\n"
    assert hooks.with_lists(text) == "Words:\n\n- one\n- two\n\n```\nx\n- y\n```\nMore\n\n1. one\n"


def test_marks_of_docstrings():
    html = "a [<code>MaeFuseModel</code>] (<code>`int`, *optional*</code>) <code>2 * 3</code>"
    assert hooks.on_page_content(html, None, None, None) == (
        "a <code>MaeFuseModel</code> (<code>int, optional</code>) <code>2 * 3</code>"
    )
