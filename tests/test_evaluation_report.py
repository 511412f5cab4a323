import base64
import io
from html.parser import HTMLParser

import pytest
from PIL import Image

from maefuse_hf.evaluation.report import LONGEST_SIDE, Example, image_uri, report
from maefuse_hf.evaluation.runner import Row
from maefuse_hf.evaluation.summary import RANKING, summarise
from maefuse_hf.visualization.zoom import CHOICE_OF_PATCH

VOID = {"meta", "img"}


class Page(HTMLParser):
    """What a browser would see: balanced elements, texts by element, all attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.attributes, self.tags = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def of(self, tag):
        return [text for own, text in self.texts if own == tag]

    def values(self, tag, name):
        return [value for own, key, value in self.attributes if (own, key) == (tag, name)]


NAMES = {"ours <b>": 3.0, "average": 2.0, "visible alone": 9.0}
ROWS = [
    Row(dataset, str(pair), system, {"EN": value + pair, "MSE": value / 10})
    for dataset in ("TNO", "MSRS")
    for pair in range(2)
    for system, value in NAMES.items()
]
ABOUT = {"size": "own & only", "definitions": {"MI": "standard"}}


@pytest.fixture(scope="module")
def text():
    images = {"infrared": Image.new("L", (8, 6), 9), "ours <b>": Image.new("RGB", (8, 6), "red")}
    example = Example("TNO", "p<1>", "best", "ours <b>", images)
    return report(ROWS, summarise(ROWS), ABOUT, ['TNO/7: "bad" <file>'], [example])


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_nothing_is_loaded_from_elsewhere(text, page):
    assert not any(word in text for word in ("http:", "https:", "file:", "@import", "<link", "<script"))
    assert {tag for tag, name, _ in page.attributes if name in ("src", "href", "srcset")} == {"img"}
    assert all(source.startswith("data:image/") for source in page.values("img", "src"))
    assert "url(" not in text


def test_phones_and_dark_rooms_are_thought_of(text, page):
    assert "width=device-width, initial-scale=1" in page.values("meta", "content")
    assert "prefers-color-scheme: dark" in text and "color-scheme: light dark" in text
    assert "utf-8" in page.values("meta", "charset")


def test_the_tables_hold_means_intervals_and_the_marked_best(text, page):
    assert [title for title in page.of("h2") if "pairs)" in title] == ["TNO (2 pairs)", "MSRS (2 pairs)"]
    assert page.tags.count("table") == 2
    assert page.of("th") == ["system", "EN", "MSE", *NAMES] * 2
    assert page.of("td")[:6] == ["3.500", "0.30000", "2.500", "0.20000", "9.500", "0.90000"]
    assert page.of("small")[0] == "[3.000, 4.000]"
    # per table one cell for EN and one for MSE
    assert page.values("td", "class") == ["best"] * 4
    assert '<td class="best">3.500' in text and '<td class="best">0.20000' in text


def test_problems_facts_and_names_are_told_as_they_are(page):
    assert page.of("li") == ['TNO/7: "bad" <file>']
    assert "Problems (1)" in page.of("h2")
    assert page.of("dt") == ["size", "definitions"] and page.of("dd") == ["own & only", "all standard"]
    assert "b" not in page.tags


def test_examples_stand_side_by_side_with_what_chose_them(text, page):
    assert page.of("h3") == ["TNO, best: p<1>"]
    assert page.of("figcaption") == ["infrared", "ours <b>"]
    assert RANKING in text and CHOICE_OF_PATCH in text
    alternatives = page.values("img", "alt")
    assert alternatives == ["infrared of p<1>", "ours <b> of p<1>", "EN by system", "MSE by system"]


def test_without_problems_and_examples_there_is_no_word_of_them():
    page = Page(report(ROWS, summarise(ROWS), ABOUT, [], []))
    assert not [title for title in page.of("h2") if "Problems" in title or "Best" in title]
    assert "li" not in page.tags


def test_images_are_within_the_page_at_screen_size():
    def opened(image):
        kind, content = image_uri(image).split(",")
        assert kind == "data:image/jpeg;base64"
        return Image.open(io.BytesIO(base64.b64decode(content)))

    assert opened(Image.new("RGB", (20, 10), "red")).getpixel((5, 5))[0] > 250
    assert opened(Image.new("L", (2000, 3000))).size == (LONGEST_SIDE, LONGEST_SIDE * 3 // 2)
