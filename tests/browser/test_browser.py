"""Pages in a browser: accessibility, narrow screens, keyboard, no script, and the ways of people through them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import Opener, check_axe
from tests.server.pages.addresses import ADDRESSES, ROLES, may

NARROW: ViewportSize = {"width": 320, "height": 256}
"""A phone; also a screen of 1280 by 1024 at 400 %, which WCAG 2.2 asks for (1.4.10)."""


def pages_of(role: str) -> list[str]:
    """Return the names of the pages that a role may see."""
    return [name for name, address in ADDRESSES.items() if address.get == "page" and may(role, address.sees)]


@pytest.mark.parametrize(("role", "name"), [(role, name) for role in ROLES for name in pages_of(role)])
def test_a_page_is_accessible_in_both_themes_and_on_a_narrow_screen(
    role: str, name: str, opener: Opener, axe: str, numbers: dict[str, int]
) -> None:
    page = opener(role, color_scheme="light")
    visit(page, name, numbers)
    found = check_axe(page, axe)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in check_axe(page, axe, "color-contrast")]
    page.set_viewport_size(NARROW)
    found += [f"narrow: {one}" for one in check_axe(page, axe, "scrollable-region-focusable", "target-size")]
    assert not found
    assert not too_wide(page)


def test_without_script_every_page_is_there_and_a_decision_is_possible(opener: Opener, numbers: dict[str, int]) -> None:
    page = opener("expert", java_script_enabled=False)
    for name in pages_of("expert"):
        visit(page, name, numbers)
        expect(page.locator("h1")).to_have_count(1)
    job = one_in_manual_check(page)
    decide(page, "resend", "decided without script")
    expect(page.get_by_role("status")).to_contain_text("resend")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Job {job}")


def test_three_clicks_from_the_overview_to_the_line_of_a_log(opener: Opener) -> None:
    page = opener("viewer")
    page.goto("/")
    failures = page.get_by_role("table", name="Failed attempts by code")
    failures.get_by_role("link", name="COMPASS-").first.click()
    page.get_by_role("table", name="Failed attempts").get_by_role("link").first.click()
    page.wait_for_url("**/jobs/**")
    expect(page.locator("figure.log mark").first).to_be_visible()


@pytest.mark.parametrize(("word", "state"), [("fail", "failed"), ("resend", "defined"), ("cancel", "cancelled")])
def test_an_expert_decides_on_a_job(word: str, state: str, opener: Opener) -> None:
    page = opener("expert")
    one_in_manual_check(page)
    decide(page, word, f"the browser test says {word}")
    expect(page.locator("main .chip").first).to_contain_text(state)
    expect(page.get_by_role("table", name="Who did what")).to_contain_text(f"the browser test says {word}")


def test_an_expert_takes_a_job_and_writes_a_note_on_it(opener: Opener) -> None:
    page = opener("expert")
    one_in_manual_check(page)
    if not (take := page.get_by_role("button", name="Take it")).count():
        page.get_by_role("button", name="Give it back").click()
    take.click()
    expect(page.get_by_role("button", name="Give it back")).to_be_visible()
    page.get_by_label("Note for whoever comes next").fill("asked the group by telephone")
    page.get_by_role("button", name="Write it down").click()
    expect(page.get_by_role("table", name="Who did what")).to_contain_text("asked the group by telephone")


def test_an_expert_decides_on_a_group_after_a_preview(opener: Opener) -> None:
    page = opener("expert")
    page.goto("/manual")
    page.locator("section.item form").first.get_by_role("button", name="Fail").click()
    expect(page.locator("main")).to_contain_text("nothing is done yet")
    decide(page, "fail", "the whole group is lost")
    expect(page.get_by_role("status")).to_contain_text("Done: fail")


def test_an_expert_has_a_run_merged_anew(opener: Opener) -> None:
    page = opener("expert")
    page.goto("/manual")
    run = page.locator("section.item").filter(has=page.locator("button[value=remerge]")).first
    name = run.locator("b").first.inner_text()
    run.get_by_label("Reason").fill("the cross-check was wrong")
    run.locator("button[value=remerge]").click()
    expect(page.get_by_role("status")).to_contain_text("remerge")
    expect(page.locator("main")).not_to_contain_text(name)


def test_a_manager_pauses_a_task_and_starts_it_again(opener: Opener, numbers: dict[str, int]) -> None:
    page = opener("manager")
    page.goto(f"/tasks/{numbers['task']}")
    for word, state in (("pause", "paused"), ("resume", "running")):
        decide(page, word, "a browser test")
        expect(page.locator("main .chip").first).to_contain_text(state)


OWN_FORMS: dict[str, list[str | None]] = {"account": [None, "/account/theme"]}
"""Forms about nobody but the reader: a token of one's own, and the theme."""


def test_a_viewer_is_offered_nothing_to_change(opener: Opener, numbers: dict[str, int]) -> None:
    page = opener("viewer")
    for name in pages_of("viewer"):
        visit(page, name, numbers)
        forms = page.locator("form[method=post]")
        assert [form.get_attribute("action") for form in forms.all()] == ["/logout", *OWN_FORMS.get(name, [])], name


def test_the_keyboard_alone_reaches_and_decides_everything(opener: Opener) -> None:
    page = opener("expert")
    one_in_manual_check(page)
    page.keyboard.press("Tab")
    skip = page.locator("a.skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate(_FOCUSED))
        if reached[-1]["name"] == "why":
            break
    assert reached[-1]["name"] == "why", reached
    assert all(each["seen"] for each in reached), reached
    assert not [each for each in reached if each["in_header"]], "the skip link leads behind the navigation"
    page.keyboard.type("decided by the keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Done")


_FOCUSED = """() => {
    const element = document.activeElement, box = element.getBoundingClientRect(), style = getComputedStyle(element);
    return {
        name: element.getAttribute("name"), text: element.textContent.slice(0, 40),
        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && style.outlineStyle !== "none",
        in_header: element.closest("header") !== null,
    };
}"""

_TOO_WIDE = """() => {
    const root = document.scrollingElement;
    if (root.scrollWidth <= root.clientWidth) return [];
    return [...document.querySelectorAll("main *, header *")]
        .filter(element => element.getBoundingClientRect().right > root.clientWidth + 1)
        .filter(element => !element.closest(".scroll, .log"))
        .map(element => `<${element.tagName} class="${element.className}"> ${element.textContent.slice(0, 40)}`)
        .slice(0, 3).concat([`${root.scrollWidth} px`]);
}"""


def too_wide(page: Page) -> list[str]:
    """Return the elements that make a page scroll sideways, outside of tables that scroll by themselves."""
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found


def visit(page: Page, name: str, numbers: dict[str, int]) -> None:
    answer = page.goto(ADDRESSES[name].path.format(**numbers))
    assert answer is not None
    assert answer.status == 200, name


def one_in_manual_check(page: Page) -> int:
    """Go to the first job that waits for a decision, and return its number."""
    page.goto("/jobs?state=manual")
    link = page.get_by_role("table").get_by_role("link").first
    number = int(link.inner_text())
    link.click()
    page.wait_for_url(f"**/jobs/{number}")
    return number


def decide(page: Page, word: str, why: str) -> None:
    form = page.locator("form.decide").filter(has=page.locator(f"button[value={word}]"))
    form.get_by_label("Reason").fill(why)
    form.locator(f"button[value={word}]").click()
