"""A person at the page: by keyboard, by drag, without JavaScript; undo, drafts, conflicts."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.inbox import events
from data.inbox.connection import open_inbox
from tests.browser.conftest import Served
from tests.unit.data.annotation.builders import RESPONSES, Site, make_site, make_task

expect = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect

Serve = Callable[..., Served]


def two_sets(folder: Path, want: int = 1, **people: str) -> Site:
    return make_site(folder, [make_task(1, want=want), make_task(2, want=want)], **people)


def logged(site: Site, kind: str) -> list[dict[str, Any]]:
    with open_inbox(site.inbox) as con:
        return [json.loads(it.payload) for it in events.read(con, types={kind})]


def tiers_shown(row: dict[str, Any]) -> list[int]:
    """The ranks of a row in the order in which the responses stood."""
    return [row["tiers"][it] for it in row["display_order"]]


def texts_on(page: Any) -> list[str]:
    return page.locator(".card > .text").all_inner_texts()


def texts_in(order: list[str]) -> list[str]:
    return [RESPONSES[int(it.rpartition("_")[2])] for it in order]


def status(page: Any) -> Any:
    return page.get_by_role("status")


def press(page: Any, keys: str) -> None:
    page.wait_for_load_state("load")
    for key in keys.split():
        page.keyboard.press(key)


def lane(page: Any, rank: str) -> Any:
    return page.locator(f'.chips[data-rank="{rank}"]')


def drag(page: Any, letter: str, rank: str) -> None:
    """As a hand does: press, move, see the letter in its lane, let go."""
    chip, target = page.locator(".chip", has_text=letter), lane(page, rank)
    chip.hover()
    page.mouse.down()
    box = target.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=10)
    expect(target).to_contain_text(letter)
    page.mouse.up()


def saved(page: Any) -> Any:
    return page.locator(".notice")


def test_a_set_is_ranked_by_keyboard_alone(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    press(page, "2 j")
    expect(status(page)).to_have_text("Response B")
    press(page, "1")
    expect(status(page)).to_have_text("Response B: rank 1. Not ranked yet: 2.")
    press(page, "j 3 Backspace")
    expect(status(page)).to_have_text("Response C: not ranked. Not ranked yet: 2.")
    press(page, "3 j 9")
    expect(status(page)).to_have_text("There is no rank 9 here; the last is 4.")
    press(page, "Control+Enter")
    expect(status(page)).to_have_text("Not submitted. Response D has no rank.")
    press(page, "3")
    expect(status(page)).to_contain_text("All are ranked")
    press(page, "k k k")
    expect(page.locator(".card.current")).to_have_attribute("data-letter", "A")
    press(page, "Control+Enter")
    expect(saved(page)).to_have_text("Your ranking is saved.")
    (row,) = logged(site, "ranking")
    assert tiers_shown(row) == [2, 1, 3, 3]
    assert row["active_ms"] > 0


def test_keys_are_left_alone_while_typing_or_with_a_modifier(serve: Serve, tmp_path: Path) -> None:
    page = serve(two_sets(tmp_path)).window("ada")
    press(page, "Control+1 Alt+2 Meta+3")
    page.get_by_text("If these cannot be ranked").click()
    page.get_by_role("combobox").focus()
    press(page, "1 j u")
    expect(lane(page, "")).to_have_text("ABCD")
    expect(status(page)).to_have_text("")


def test_help_lists_the_keys_and_flags_open(serve: Serve, tmp_path: Path) -> None:
    page = serve(two_sets(tmp_path)).window("ada")
    press(page, "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press(page, "1 ?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    expect(lane(page, "")).to_have_text("ABCD")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("button", name="Close").click()
    press(page, "j f Space")
    expect(status(page)).to_have_text("Response B: flags 1.")
    flags = page.get_by_role("group", name="Flags of response B")
    expect(flags.get_by_role("checkbox", checked=True)).to_have_count(1)


def test_keys_of_one_character_can_be_switched_off(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("checkbox", name="Use these keys").uncheck()
    page.get_by_role("button", name="Close").click()
    for _ in ("now", "after a reload"):
        press(page, "1 j 2 f ?")
        expect(lane(page, "")).to_have_text("ABCD")
        expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
        page.reload()
    for letter in "ABCD":
        group = page.get_by_role("group", name=f"Rank of response {letter}")
        group.get_by_role("radio", name="2").check()
    press(page, "Control+Enter")
    expect(saved(page)).to_contain_text("Your ranking is saved.")
    page.get_by_role("button", name="Keys").click()
    page.get_by_role("checkbox", name="Use these keys").check()
    page.keyboard.press("Escape")
    press(page, "1")
    expect(lane(page, "1")).to_have_text("A")


def test_a_letter_is_dragged_into_a_lane(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    for letter, rank in zip("ABCD", "2114", strict=True):
        drag(page, letter, rank)
        expect(lane(page, rank)).to_contain_text(letter)
        group = page.get_by_role("group", name=f"Rank of response {letter}")
        expect(group.get_by_role("radio", checked=True)).to_have_attribute("value", rank)
    drag(page, "C", "")
    expect(status(page)).to_have_text("Response C: not ranked. Not ranked yet: 1.")
    drag(page, "C", "1")
    order = texts_on(page)
    page.get_by_role("button", name="Submit ranking").click()
    expect(saved(page)).to_contain_text("closed, so 1, 3, 3 became 1, 2, 2")
    (row,) = logged(site, "ranking")
    assert tiers_shown(row) == [2, 1, 1, 3]
    assert texts_in(row["display_order"]) == order, "cards never move"


def test_without_javascript_it_is_a_plain_form(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada", java_script_enabled=False)
    expect(page.locator(".board")).to_be_hidden()
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    for letter, rank in zip("ABC", "311", strict=True):
        page.locator(f'input[name="tier.{letter}"][value="{rank}"]').check()
    page.get_by_role("button", name="Submit ranking").click()
    expect(page.get_by_role("alert")).to_contain_text("Response D has no rank.")
    expect(page.locator('input[name="tier.A"][value="3"]')).to_be_checked()
    page.locator('input[name="tier.D"][value="2"]').check()
    page.get_by_role("button", name="Save and stay here").click()
    expect(saved(page)).to_contain_text("You can close this page")
    page.get_by_role("button", name="Submit ranking").click()
    expect(saved(page)).to_contain_text("Your ranking is saved.")
    (row,) = logged(site, "ranking")
    assert tiers_shown(row) == [3, 1, 1, 2]


def test_undo_takes_back_one_change_at_a_time(serve: Serve, tmp_path: Path) -> None:
    page = serve(two_sets(tmp_path)).window("ada")
    press(page, "u")
    expect(status(page)).to_have_text("Nothing to undo.")
    press(page, "1 2")
    drag(page, "B", "1")
    expect(lane(page, "1")).to_have_text("B")
    press(page, "u")
    expect(lane(page, "2")).to_have_text("A")
    expect(lane(page, "")).to_have_text("BCD")
    press(page, "u")
    expect(lane(page, "1")).to_have_text("A")
    page.get_by_role("button", name="Undo").click()
    expect(lane(page, "")).to_have_text("ABCD")
    expect(status(page)).to_have_text("Undone. Not ranked yet: 4.")


def test_two_annotators_see_their_own_recorded_orders(serve: Serve, tmp_path: Path) -> None:
    people = {f"ann_{i}": "annotator" for i in range(4)}
    site = make_site(tmp_path, [make_task(1, want=4)], **people)
    served = serve(site)
    shown = {name: texts_on(served.window(name)) for name in people}
    recorded = {
        it["annotator_id"]: texts_in(it["display_order"]) for it in logged(site, "handed_out")
    }
    assert shown == recorded
    assert len({tuple(it) for it in shown.values()}) > 1


def test_the_last_place_of_a_set_is_given_to_one_of_two(serve: Serve, tmp_path: Path) -> None:
    site = make_site(tmp_path, [make_task(1)], ada="annotator", bob="annotator")
    served = serve(site)
    ada, bob = served.window("ada"), served.window("bob")
    expect(ada.get_by_role("heading", name="Rank the responses")).to_be_visible()
    expect(bob.get_by_role("heading", name="Nothing left for you now")).to_be_visible()
    expect(bob.get_by_text("Other people are still ranking")).to_be_visible()
    press(ada, "1 j 2 j 3 j 4 Control+Enter")
    expect(saved(ada)).to_have_text("Your ranking is saved.")
    assert [it["annotator_id"] for it in logged(site, "ranking")] == ["ada"]


def test_a_draft_survives_a_killed_server_and_a_closed_browser(
    serve: Serve, tmp_path: Path
) -> None:
    site = two_sets(tmp_path)
    served = serve(site, is_apart=True)
    page = served.window("ada")
    press(page, "3 j 1")
    page.get_by_role("group", name="Rank of response D").get_by_role("radio", name="2").check()
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    order = texts_on(page)
    served.stop()
    page.context.close()
    served.contexts.clear()
    served.start()
    again = served.window("ada")
    expect(status(again)).to_have_text("Your draft is back. Not ranked yet: 1.")
    assert texts_on(again) == order
    for rank, letters in (("1", "B"), ("2", "D"), ("3", "A"), ("", "C")):
        expect(lane(again, rank)).to_have_text(letters)


def test_a_draft_is_tried_again_when_the_server_was_away(serve: Serve, tmp_path: Path) -> None:
    served = serve(two_sets(tmp_path), is_apart=True)
    page = served.window("ada")
    expect(page.locator(".board")).to_be_visible()
    served.stop()
    press(page, "1")
    expect(page.locator("#draft-state")).to_contain_text("Draft not saved")
    served.start()
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    served.trouble[:] = [it for it in served.trouble if "ERR_CONNECTION_REFUSED" not in it]
    page.reload()
    expect(lane(page, "1")).to_have_text("A")


def test_a_second_window_is_told_instead_of_losing_work(serve: Serve, tmp_path: Path) -> None:
    served = serve(two_sets(tmp_path))
    first = served.window("ada")
    second = first.context.new_page()
    second.goto(served.url)
    press(first, "1")
    expect(first.locator("#draft-state")).to_have_text("Draft saved")
    press(second, "2")
    expect(status(second)).to_contain_text("changed in another window")


def test_whoever_is_signed_out_meanwhile_is_told_to_sign_in(serve: Serve, tmp_path: Path) -> None:
    served = serve(two_sets(tmp_path))
    page = served.window("ada")
    cookies = page.context.cookies()
    page.context.clear_cookies()
    press(page, "1")
    expect(status(page)).to_contain_text("You are no longer signed in here.")
    expect(page.locator("#draft-state")).to_be_empty()
    page.context.add_cookies(cookies)
    page.reload()
    other = page.context.new_page()
    other.goto(f"{served.url}/enter/{served.site.tokens['ada']}")
    other.get_by_role("button", name="Sign in").click()
    press(page, "1")
    expect(status(page)).to_contain_text("You are no longer signed in here.")
    served.forgive()  # The browser notes 401 and 403.


def test_a_draft_that_gets_no_answer_is_tried_again(serve: Serve, tmp_path: Path) -> None:
    page = serve(two_sets(tmp_path)).window("ada")
    page.add_init_script("""
        const wait = AbortSignal.timeout;
        AbortSignal.timeout = (ms) => wait.call(AbortSignal, ms / 10);
    """)
    page.reload()
    unanswered: list[object] = []

    def ignore(route: object) -> None:
        unanswered.append(route)

    page.route("**/draft", ignore, times=1)
    press(page, "1")
    expect(page.locator("#draft-state")).to_contain_text("Draft not saved")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    assert len(unanswered) == 1


def test_a_submission_that_is_sent_again_counts_once(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    press(page, "1 j 2 j 3 j 4")
    with page.expect_request("**/submit") as request:
        press(page, "Control+Enter")
    expect(saved(page)).to_have_text("Your ranking is saved.")
    body = request.value.post_data
    form = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    url = request.value.url
    replay = page.context.request.post(url, data=body, headers=form)
    assert "Your ranking is saved" in replay.text()
    other = page.context.request.post(
        url, data=re.sub(r"tier\.A=1", "tier.A=3", body), headers=form
    )
    assert other.status == 409
    assert len(logged(site, "ranking")) == 1


def test_a_submission_that_was_cut_off_leaves_the_form_alive(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    served = serve(site)
    page = served.window("ada")
    cut_off: list[object] = []
    page.route("**/submit", lambda route: (cut_off.append(route), route.abort("aborted")), times=1)
    press(page, "1 j 2 j 3 j 4 Control+Enter")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    assert len(cut_off) == 1
    # By what is sent: the words "Saving the draft" may be gone before anybody looks.
    with page.expect_response("**/draft"):
        press(page, "3")
    expect(page.locator("#draft-state")).to_have_text("Draft saved")
    page.reload()
    expect(lane(page, "3")).to_have_text("CD")
    page.route("**/submit", lambda route: route.abort("aborted"), times=1)
    press(page, "Control+Enter Control+Enter")
    expect(saved(page)).to_contain_text("Your ranking is saved.")
    (row,) = logged(site, "ranking")
    assert tiers_shown(row) == [1, 2, 3, 3]


def test_the_last_answer_is_changed_as_a_new_revision(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    press(page, "1 j 2 j 3 j 4 Control+Enter")
    page.get_by_role("link", name="Change my last answer").click()
    expect(lane(page, "1")).to_have_text("A")
    press(page, "4 Control+Enter")
    expect(saved(page)).to_contain_text("Your last answer is changed.")
    first, second = logged(site, "ranking")
    assert tiers_shown(first) == [1, 2, 3, 4]
    assert tiers_shown(second) == [3, 1, 2, 3]
    assert (second["revision"], second["supersedes"]) == (2, first["event_id"])


def test_a_skip_asks_for_its_reason(serve: Serve, tmp_path: Path) -> None:
    site = two_sets(tmp_path)
    page = serve(site).window("ada")
    page.get_by_text("If these cannot be ranked").click()
    page.get_by_role("button", name="Skip", exact=True).click()
    expect(status(page)).to_have_text("Not skipped. Choose a reason first.")
    page.get_by_role("combobox").select_option("expertise")
    page.get_by_role("button", name="Skip", exact=True).click()
    expect(saved(page)).to_have_text("Skipped.")
    assert logged(site, "ranking")[0]["skip_reason"] == "expertise"


def test_time_counts_only_while_the_page_is_in_use(serve: Serve, tmp_path: Path) -> None:
    page = serve(two_sets(tmp_path)).window("ada")
    active = page.locator('input[name="active_ms"]')
    page.clock.install()
    page.reload()
    page.keyboard.press("1")
    page.clock.run_for(30_000)
    assert 25_000 <= int(active.input_value()) <= 31_000
    page.clock.run_for(600_000)
    assert int(active.input_value()) <= 61_000, "nobody touched it for ten minutes"
    page.keyboard.press("2")
    page.clock.run_for(10_000)
    assert 65_000 <= int(active.input_value()) <= 72_000
