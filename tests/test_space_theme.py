import re

from theme import CSS, THEME


def test_fonts_are_the_system_s():
    assert THEME._stylesheets == [] and THEME._font_css == []
    assert THEME.font.startswith("'system-ui'") and "sans-serif" in THEME.font


def test_no_other_host_is_named():
    addresses = re.findall(r"https?://[^\s'\")]+", CSS + THEME._get_theme_css())
    assert [address for address in addresses if not address.startswith("http://www.w3.org/")] == []
