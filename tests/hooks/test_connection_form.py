"""The connection form, as Airflow reads it."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider_akkio.api.config import DEFAULT_REQUESTS_PER_SECOND, DEFAULT_TIMEOUT
from airflow_provider_akkio.api.v1 import ROWS_TIMEOUT
from airflow_provider_akkio.hooks import connection_form
from airflow_provider_akkio.hooks.akkio import AkkioHook
from dev.versions import Part
from tests.versions import lacks, needs


@pytest.fixture(scope="module")
def form() -> Any:
    """The form of Airflow 3."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "akkio"]
    return form


@needs(Part.FORM_OF_PROVIDER)
def test_form_labels_the_standard_fields(form: Any) -> None:
    fields = form.standard_fields
    assert (fields.password.title, fields.password.placeholder) == ("API key", "from Akkio's Team Settings")
    assert (fields.host.title, fields.host.placeholder) == ("Base URL", "https://api.akkio.com")
    assert (fields.port.placeholder, fields.url_schema.placeholder) == ("443", "https")
    assert fields.login.hidden


def test_both_forms_are_valid_and_equal() -> None:
    form, behaviour = connection_form.provider_form(), AkkioHook.get_ui_field_behaviour()
    schema = Path(airflow.__file__).parent / "customized_form_field_behaviours.schema.json"
    jsonschema.validate(behaviour, json.loads(schema.read_text()))
    assert form["ui-field-behaviour"] == {name.replace("_", "-"): value for name, value in behaviour.items()}
    for field in form["conn-fields"].values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])


@needs(Part.FORM_OF_PROVIDER)
def test_form_has_the_extra_fields_with_their_defaults(form: Any) -> None:
    shown = {name: (field["schema"]["title"], field["schema"]["type"]) for name, field in form.extra_fields.items()}
    assert shown == {
        "timeout": ("Timeout", ["number", "null"]),
        "requests_per_second": ("Requests per second", ["number", "null"]),
        "verify": ("Verify", ["string", "null"]),
    }
    descriptions = {name: field["description"] for name, field in form.extra_fields.items()}
    ends = [description.rpartition(" Default: ")[2] for description in descriptions.values()]
    assert ends == [f"{DEFAULT_TIMEOUT:g}.", f"{DEFAULT_REQUESTS_PER_SECOND:g}.", "true."]
    assert f"{ROWS_TIMEOUT:g} seconds" in descriptions["timeout"]


@needs(Part.FORM_OF_PROVIDER)
def test_hook_returns_the_same_form(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = AkkioHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["login"]
    assert behaviour["relabeling"] == {"password": form.standard_fields.password.title, "host": "Base URL"}
    assert behaviour["placeholders"]["requests_per_second"] == "5"
    for name, made in {
        "wtforms": {"StringField": lambda label, widget, description: (label, widget, description)},
        "flask_babel": {"lazy_gettext": str},
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": lambda: "widget"},
    }.items():
        module = ModuleType(name)
        vars(module).update(made)
        monkeypatch.setitem(sys.modules, name, module)
    widgets = AkkioHook.get_connection_form_widgets()
    assert widgets == {
        name: (field["schema"]["title"], "widget", field["description"]) for name, field in form.extra_fields.items()
    }


@lacks(Part.FORM_OF_PROVIDER)
def test_older_airflow_reads_the_form_from_the_hook() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    widgets = {name for name, info in manager.connection_form_widgets.items() if "AkkioHook" in info.hook_class_name}
    has_form = find_spec("wtforms") is not None  # Airflow 3 without the FAB provider has only a generic form
    assert widgets == {f"extra__akkio__{field.name}" for field in connection_form.EXTRA_FIELDS if has_form}
    behaviour = manager.field_behaviours.get("akkio")
    assert (behaviour is not None) is has_form
    if behaviour is not None:
        assert behaviour["relabeling"] == {"password": "API key", "host": "Base URL"}
        assert behaviour["hidden_fields"] == ["login"]


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 30.0), ("", 30.0), (12, 12.0), ("12", 12.0)])
def test_extra_field_can_be_missing_empty_or_filled(
    monkeypatch: pytest.MonkeyPatch, timeout: Any, seconds: float
) -> None:
    extra = {field.name: timeout if field.name == "timeout" else "" for field in connection_form.EXTRA_FIELDS}
    saved = {"conn_type": "akkio", "password": "the-key", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", json.dumps(saved))
    config = AkkioHook().get_client_config()
    assert (config.timeout, config.requests_per_second, config.verify) == (seconds, 5.0, True)
