"""Colours, fonts and the little CSS of the page. Everything comes from Gradio itself, nothing from another host."""

import gradio as gr
from gradio.themes.utils import fonts

SYSTEM_FONTS = [fonts.Font(name) for name in ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")]
MONOSPACE_FONTS = [fonts.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "monospace")]

THEME = gr.themes.Soft(
    primary_hue="orange",
    secondary_hue="orange",
    neutral_hue="slate",
    font=SYSTEM_FONTS,
    font_mono=MONOSPACE_FONTS,
).set(
    checkbox_background_color="white",
    checkbox_border_color="*neutral_400",
)

CSS = """
.gradio-container { width: 100%; max-width: 1280px !important; margin: 0 auto !important; }
#title h1 { margin-bottom: 0; }
#title p { margin-top: 0.25rem; font-size: 1.05rem; }
table.metrics { width: 100%; border-collapse: collapse; border: 0 !important; }
table.metrics th, table.metrics td { padding: 0.4rem 0.6rem; }
table.metrics *:is(table, th, td, tr) { border: 0; }
table.metrics tr { border-bottom: 1px solid var(--border-color-primary) !important; }
table.metrics td, table.metrics thead th:not(:first-child) { text-align: right; font-variant-numeric: tabular-nums; }
table.metrics th { text-align: left; font-weight: normal; }
table.metrics tbody th { font-weight: bold; }
table.metrics small { display: block; font-weight: normal; color: var(--body-text-color-subdued); }
table.metrics td.best { font-weight: bold; color: var(--primary-600); }
.dark table.metrics td.best { color: var(--primary-400); }
@media (max-width: 640px) {
  table.metrics th, table.metrics td { padding: 0.35rem 0.25rem; }
}
"""
