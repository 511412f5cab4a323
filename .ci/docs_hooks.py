"""What mkdocs.yml cannot say: README.md is the start page, new pages come into the navigation by themselves, and links
to files outside docs/ lead to the repository."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# What a reader needs first; other pages follow in alphabetical order.
FIRST = ("command-line", "cameras", "video", "registration", "evaluation", "metrics", "training", "hub")
API = "api"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation of the pages that there are."""
    docs = Path(config.docs_dir)
    pages = [page.stem for page in docs.glob("*.md")]
    ordered = [name for name in FIRST if name in pages] + sorted(set(pages) - set(FIRST))
    reference = [f"{API}/{page.name}" for page in sorted((docs / API).glob("*.md"))]
    config.nav = ["index.md", {"Guides": [f"{name}.md" for name in ordered]}, {"Reference": reference}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md as the start page."""
    text = (Path(config.docs_dir).parent / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=from_root(text, config)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave docs/ lead to the repository, and lists be lists."""
    markdown = with_lists(markdown)
    if page.file.src_uri == "index.md":
        return markdown
    return re.sub(r"\]\(\.\./([^)]+)\)", lambda link: f"]({in_repository(link[1], config)})", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take off what docstrings in the manner of transformers have for its own site: brackets around names, as in
    [`MaeFuseModel`], and marks within types, as in (`int`, *optional*)."""
    html = re.sub(r"\[(<code>[^<]*</code>)\]", r"\1", html)
    return re.sub(r"<code>(`[^<]*)</code>", lambda kind: f"<code>{re.sub('[`*]', '', kind[1])}</code>", html)


def with_lists(markdown: str) -> str:
    """The same text with an empty line before each list, which MkDocs needs and GitHub does not."""
    lines: list[str] = []
    fenced = False
    for line in markdown.splitlines():
        item = re.match(r"([-*]|\d+\.) ", line)
        before = lines[-1] if lines else ""
        if item and not fenced and before.strip() and not re.match(r"([-*]|\d+\.) |\s", before):
            lines.append("")
        fenced ^= line.lstrip().startswith("```")
        lines.append(line)
    return "\n".join(lines) + "\n"


def from_root(text: str, config: MkDocsConfig) -> str:
    """The README's links as they are from docs/."""

    def moved(link: re.Match[str]) -> str:
        target = link[1]
        if target.startswith(("https://", "#")):
            return link[0]
        inside = target.removeprefix("docs/")
        return f"]({inside if inside != target else in_repository(target, config)})"

    return re.sub(r"\]\(([^)]+)\)", moved, text)


def in_repository(path: str, config: MkDocsConfig) -> str:
    """The address of a file in the repository."""
    return f"{config.repo_url}/blob/main/{path}"
