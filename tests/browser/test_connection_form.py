"""The form of a connection and its *Test* button in Airflow's own page, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from airflow_provider_akkio.api.config import ClientConfig
from dev.stack import SANDBOX_KEY, Stack

Opens = Callable[..., Page]
Takes = Callable[[Page, str], None]
Fills = Callable[[Locator], None]

HELP = {
    "Timeout": "Seconds that one request may take, its whole answer included. Default: 30.",
    "Requests per second": "Most requests that one process sends; Akkio allows five to the whole account",
    "Verify": "How to check who answers: true, by the usual certificates",
}


def new_connection(page: Page, connection_id: str) -> Locator:
    """Return the form of a new connection, in which its id is filled in, and the type Akkio is chosen."""
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(connection_id)
    form.get_by_role("combobox", name="Connection Type").click()
    page.get_by_role("option", name="Akkio", exact=True).click()
    expect(form.get_by_label("API key")).to_be_visible()
    return form


def fill_site(form: Locator, stack: Stack, key: str = SANDBOX_KEY) -> None:
    site = urlsplit(stack.akkio)
    form.get_by_label("BaseUrl").fill(f"http://{site.hostname}")
    form.get_by_label("Port").fill(str(site.port))
    form.get_by_label("API key").fill(key)


def open_limits(form: Locator) -> None:
    """Show the fields of the extra, in the place of the others."""
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    expect(form.get_by_label("Timeout")).to_be_visible()


def field(form: Locator, name: str) -> Locator:
    """Return a field of the extra; Airflow ties the label to none that takes a text."""
    return form.locator(f"[name=element_{name}]")


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def button(page: Page, connection_id: str, name: str) -> Locator:
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=connection_id, exact=True))
    return row.get_by_role("button", name=name)


def answer_to_test(page: Page, connection_id: str) -> Locator:
    """Click the *Test* button of a connection, and return what the page says to it."""
    button(page, connection_id, "Test Connection").click()
    answer = page.get_by_role("status").filter(has_text="Test Connection")
    answer.wait_for()
    return answer


def stored(stack: Stack, connection_id: str) -> tuple[dict[str, Any], ClientConfig]:
    """Return the extra that Airflow has stored, and how the connection is read, but for the key, which it tells not."""
    fields = json.loads(stack.api.text(f"connections/{connection_id}"))
    extra = json.loads(fields["extra"])
    names = ("host", "port", "schema", "password")
    return extra, ClientConfig.from_connection(connection_id, extra=extra, **{name: fields[name] for name in names})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_form_asks_for_the_key_the_site_and_the_limits_by_name(
    open_page: Opens, picture: Takes, scheme: str
) -> None:
    page = open_page("ada", "connections", dark=scheme == "dark", height=960)
    form = new_connection(page, "leads")
    expect(form.get_by_label("API key")).to_have_attribute("type", "password")
    expect(form.get_by_label("API key")).to_have_attribute("placeholder", "from Akkio's Team Settings")
    expect(form.get_by_label("BaseUrl")).to_have_attribute("placeholder", "https://api.akkio.com")
    expect(form.get_by_label("Port")).to_have_attribute("placeholder", "443")
    expect(form.get_by_label("Schema")).to_have_attribute("placeholder", "https")
    expect(form.get_by_label("Login")).to_have_count(0)
    picture(page, f"connection-form-{scheme}")

    open_limits(form)
    for label, text in HELP.items():
        expect(form.get_by_text(label, exact=True)).to_be_visible()
        expect(form.get_by_text(text)).to_be_visible()
    picture(page, f"connection-limits-{scheme}")


def leave(form: Locator) -> None:
    pass


def look(form: Locator) -> None:
    open_limits(form)


def fill(form: Locator) -> None:
    open_limits(form)
    field(form, "timeout").fill("12")
    field(form, "requests_per_second").fill("2.5")
    field(form, "verify").fill("false")


def empty(form: Locator) -> None:
    fill(form)
    for name in ("timeout", "requests_per_second", "verify"):
        field(form, name).fill("")


def fill_with_blanks(form: Locator) -> None:
    open_limits(form)
    field(form, "verify").fill("  ")


NOTHING = {"timeout": None, "requests_per_second": None, "verify": None}
FILLED = {"timeout": 12, "requests_per_second": 2.5, "verify": "false"}
DEFAULTS = (30.0, 5.0, True)


@pytest.mark.parametrize(
    ("handle", "extra", "read"),
    [
        (leave, NOTHING, DEFAULTS),
        (look, NOTHING, DEFAULTS),
        (fill, FILLED, (12.0, 2.5, False)),
        (empty, NOTHING, DEFAULTS),
        (fill_with_blanks, NOTHING | {"verify": "  "}, DEFAULTS),
    ],
)
def test_a_connection_that_was_filled_in_works(
    stack: Stack,
    open_page: Opens,
    handle: Fills,
    extra: dict[str, Any],
    read: tuple[float, float, bool],
) -> None:
    connection_id = f"form_{handle.__name__}"
    page = open_page("ada", "connections")
    form = new_connection(page, connection_id)
    fill_site(form, stack)
    handle(form)
    save(form)
    said = answer_to_test(page, connection_id)
    expect(said).to_contain_text("Test Connection Successful")
    expect(said).to_contain_text("Akkio answers, and takes the API key.")
    assert stack.api.test_connection(connection_id) == (True, "Akkio answers, and takes the API key.")
    kept, account = stored(stack, connection_id)
    assert kept == extra
    assert (account.timeout, account.requests_per_second, account.verify) == read
    assert account.site.origin == stack.akkio


def test_the_button_tells_a_wrong_key(stack: Stack, open_page: Opens) -> None:
    page = open_page("ada", "connections")
    form = new_connection(page, "wrong_key")
    fill_site(form, stack, "not-the-key")
    save(form)
    said = answer_to_test(page, "wrong_key")
    expect(said).to_contain_text("Test Connection Failed")
    expect(said).to_contain_text("Wrong API key. Testing the connection: Akkio does not know the API key")
    assert "not-the-key" not in page.content()


def test_to_change_a_limit_leaves_the_key_as_it_was(stack: Stack, open_page: Opens) -> None:
    page = open_page("ada", "connections")
    form = new_connection(page, "changed")
    fill_site(form, stack)
    fill(form)
    save(form)
    button(page, "changed", "Edit Connection").click()
    expect(form.get_by_label("API key")).to_have_value("***")
    open_limits(form)
    expect(field(form, "timeout")).to_have_value("12")
    field(form, "timeout").fill("")
    field(form, "verify").fill("true")
    save(form)
    extra, account = stored(stack, "changed")
    assert extra == {"timeout": None, "requests_per_second": 2.5, "verify": "true"}
    assert (account.timeout, account.requests_per_second, account.verify) == (30.0, 2.5, True)
    expect(answer_to_test(page, "changed")).to_contain_text("Test Connection Successful")


def test_only_airflows_button_needs_a_port(stack: Stack, open_page: Opens) -> None:
    page = open_page("ada", "connections")
    form = new_connection(page, "without_port")
    form.get_by_label("BaseUrl").fill(stack.akkio)
    form.get_by_label("API key").fill(SANDBOX_KEY)
    save(form)
    expect(answer_to_test(page, "without_port")).to_contain_text("Bad Request")
    assert stack.api.test_connection("without_port") == (True, "Akkio answers, and takes the API key.")
