"""The connection form and its *Test* button in Airflow's UI, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from airflow_provider_akkio import get_provider_info
from airflow_provider_akkio.api.config import ClientConfig
from dev.stack import SANDBOX_KEY, Stack

OpenPage = Callable[..., Page]
Screenshot = Callable[[Page, str], None]
Fill = Callable[[Locator], None]

FORM = get_provider_info()["connection-types"][0]
LABELS = FORM["ui-field-behaviour"]["relabeling"]
PLACEHOLDERS = FORM["ui-field-behaviour"]["placeholders"]
EXTRA_FIELDS = FORM["conn-fields"]


def new_connection(page: Page, connection_id: str) -> Locator:
    """Open the form of a new connection of the type Akkio."""
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(connection_id)
    form.get_by_role("combobox", name="Connection Type").click()
    page.get_by_role("option", name="Akkio", exact=True).click()
    expect(form.get_by_label(LABELS["password"])).to_be_visible()
    return form


def fill_base_url(form: Locator, stack: Stack, key: str = SANDBOX_KEY) -> None:
    url = urlsplit(stack.akkio)
    form.get_by_label(LABELS["host"]).fill(f"http://{url.hostname}")
    form.get_by_label("Port").fill(str(url.port))
    form.get_by_label(LABELS["password"]).fill(key)


def open_extra_fields(form: Locator) -> None:
    """Show the extra fields, which replace the standard fields."""
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    expect(form.get_by_text(EXTRA_FIELDS["timeout"]["label"], exact=True)).to_be_visible()


def extra_field(form: Locator, name: str) -> Locator:
    """Return an extra field by its name, because Airflow does not connect a text field with its label."""
    return form.locator(f"[name=element_{name}]")


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def button(page: Page, connection_id: str, name: str) -> Locator:
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=connection_id, exact=True))
    return row.get_by_role("button", name=name)


def click_test(page: Page, connection_id: str) -> str:
    """Click *Test* and return the text of the notification."""
    button(page, connection_id, "Test Connection").click()
    # The notification disappears after some seconds, so it is found and read in one step.
    found = page.wait_for_function(
        "() => [...document.querySelectorAll('[role=status]')].map(one => one.innerText)"
        ".find(text => text.includes('Test Connection'))"
    )
    return str(found.json_value())


def stored_connection(stack: Stack, connection_id: str) -> tuple[dict[str, Any], ClientConfig]:
    """Return the extra that Airflow stored, and the configuration with a masked key."""
    fields = json.loads(stack.api.text(f"connections/{connection_id}"))
    extra = json.loads(fields["extra"])
    names = ("host", "port", "schema", "password")
    return extra, ClientConfig.from_connection(connection_id, extra=extra, **{name: fields[name] for name in names})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_form_has_labels_placeholders_and_help_texts(open_page: OpenPage, screenshot: Screenshot, theme: str) -> None:
    page = open_page("ada", "connections", dark=theme == "dark", height=960)
    form = new_connection(page, "leads")
    expect(form.get_by_label(LABELS["password"])).to_have_attribute("type", "password")
    labels = {"password": LABELS["password"], "host": LABELS["host"], "port": "Port", "schema": "Schema"}
    for name, label in labels.items():
        expect(form.get_by_label(label)).to_have_attribute("placeholder", PLACEHOLDERS[name])
    expect(form.get_by_label("Login")).to_have_count(0)
    screenshot(page, f"connection-form-{theme}")

    open_extra_fields(form)
    for field in EXTRA_FIELDS.values():
        expect(form.get_by_text(field["label"], exact=True)).to_be_visible()
        expect(form.get_by_text(field["description"])).to_be_visible()
    screenshot(page, f"connection-limits-{theme}")


def leave_closed(form: Locator) -> None:
    pass


def fill_values(form: Locator) -> None:
    open_extra_fields(form)
    extra_field(form, "timeout").fill("12")
    extra_field(form, "requests_per_second").fill("2.5")
    extra_field(form, "verify").fill("false")


def fill_and_empty(form: Locator) -> None:
    fill_values(form)
    for name in EXTRA_FIELDS:
        extra_field(form, name).fill("")


def fill_spaces(form: Locator) -> None:
    open_extra_fields(form)
    extra_field(form, "verify").fill("  ")


NOTHING = {"timeout": None, "requests_per_second": None, "verify": None}
VALUES = {"timeout": 12, "requests_per_second": 2.5, "verify": "false"}
DEFAULTS = (30.0, 5.0, True)


@pytest.mark.parametrize(
    ("fill", "extra", "configured"),
    [
        (leave_closed, NOTHING, DEFAULTS),
        (open_extra_fields, NOTHING, DEFAULTS),
        (fill_values, VALUES, (12.0, 2.5, False)),
        (fill_and_empty, NOTHING, DEFAULTS),
        (fill_spaces, NOTHING | {"verify": "  "}, DEFAULTS),
    ],
)
def test_saved_connection_works(
    stack: Stack, open_page: OpenPage, fill: Fill, extra: dict[str, Any], configured: tuple[float, float, bool]
) -> None:
    connection_id = f"form_{fill.__name__}"
    page = open_page("ada", "connections")
    form = new_connection(page, connection_id)
    fill_base_url(form, stack)
    fill(form)
    save(form)
    works, message = stack.api.test_connection(connection_id)
    assert works
    notification = click_test(page, connection_id)
    assert "Test Connection Successful" in notification
    assert message in notification
    stored_extra, config = stored_connection(stack, connection_id)
    assert stored_extra == extra
    assert (config.timeout, config.requests_per_second, config.verify) == configured
    assert config.base_url.origin == stack.akkio


def test_wrong_key_fails_the_test_button(stack: Stack, open_page: OpenPage) -> None:
    page = open_page("ada", "connections")
    form = new_connection(page, "wrong_key")
    fill_base_url(form, stack, "not-the-key")
    save(form)
    notification = click_test(page, "wrong_key")
    assert "Test Connection Failed" in notification
    assert "API key" in notification
    assert "not-the-key" not in page.content()


def test_edit_of_extra_field_does_not_change_the_key(stack: Stack, open_page: OpenPage) -> None:
    page = open_page("ada", "connections")
    form = new_connection(page, "changed")
    fill_base_url(form, stack)
    fill_values(form)
    save(form)
    button(page, "changed", "Edit Connection").click()
    expect(form.get_by_label(LABELS["password"])).to_have_value("***")
    open_extra_fields(form)
    expect(extra_field(form, "timeout")).to_have_value("12")
    extra_field(form, "timeout").fill("")
    extra_field(form, "verify").fill("true")
    save(form)
    extra, config = stored_connection(stack, "changed")
    assert extra == {"timeout": None, "requests_per_second": 2.5, "verify": "true"}
    assert (config.timeout, config.requests_per_second, config.verify) == (30.0, 2.5, True)
    assert "Test Connection Successful" in click_test(page, "changed")
