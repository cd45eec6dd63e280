"""The documentation as its readers meet it: in Chromium, from a server that has nothing else."""

from __future__ import annotations

import re
from urllib.parse import unquote, urldefrag

import pytest
from playwright.sync_api import expect
from visiting import PAGES, WITH_CODE, written

COPY = ".md-code__button[data-md-type=copy], clipboard-copy"
PROMPT = re.compile(r"^(>>>|\.\.\.|\$|In \[\d+\]:|\d+) ", re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_nothing_keeps_people_from_reading_a_page_by_day_or_night(reader, visits, name):
    assert visits[reader.site + name]["serious"] == []


def test_every_link_leads_somewhere(reader, visits):
    def leads_somewhere(link: str) -> bool:
        page, anchor = urldefrag(link)
        if page not in visits:
            return not anchor and reader.context.request.get(page).ok
        return unquote(anchor) in {"", *visits[page]["anchors"]}

    links = {link for found in visits.values() for link in found["links"]}
    internal = {link for link in links if link.startswith(reader.site)}
    assert [link for link in sorted(internal) if not leads_somewhere(link)] == []


def test_every_image_is_there_to_see(visits):
    assert [image for found in visits.values() for image in found["unseen"]] == []


def test_every_page_loads_all_of_its_parts_from_few_other_hosts(reader, visits):
    assert reader.failures == []


@pytest.mark.parametrize("name", WITH_CODE)
def test_what_a_button_copies_is_the_code_alone(reader, name):
    page = reader.opens(name)
    blocks = page.locator("pre, .CodeMirror").filter(has=page.locator(COPY))
    for block in (blocks.first, blocks.last):
        copied = reader.copies(block.locator(COPY))
        assert copied in written(name)
        assert copied == block.locator("code, .highlight-ipynb pre").inner_text().rstrip()
        assert not PROMPT.search(copied)


@pytest.mark.parametrize(
    ("words", "section"),
    [
        ("API key not found", "API key not found (11009)"),
        ("11009", "API key not found (11009)"),
        ("Invalid request", "Invalid request (11102)"),
    ],
)
def test_search_finds_what_an_error_says_among_its_first_results(reader, words, section):
    page = reader.opens("")
    page.locator(".md-search__input").press_sequentially(words)
    first = page.locator(".md-search-result__item:nth-child(-n+2) > a")
    first.filter(has_text=section).click()
    heading = page.get_by_role("heading", name=section)
    expect(heading).to_be_in_viewport()
    assert page.url.startswith(f"{reader.site}troubleshooting/")
