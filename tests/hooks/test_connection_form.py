"""The form of a connection, as Airflow reads it."""

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

from airflow_provider_akkio import connection_form
from airflow_provider_akkio.hooks.akkio import AkkioHook
from dev.versions import Part
from tests.versions import lacks, needs


@pytest.fixture(scope="module")
def form() -> Any:
    """What the form of Airflow 3 is made of."""
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    [akkio] = [one for one in HookMetaService.hook_meta_data() if one.connection_type == "akkio"]
    return akkio


@needs(Part.FORM_OF_PROVIDER)
def test_it_asks_for_the_api_key_and_the_site_by_name(form: Any) -> None:
    fields = form.standard_fields
    assert (fields.password.title, fields.password.placeholder) == ("API key", "from Akkio's Team Settings")
    assert (fields.host.title, fields.host.placeholder) == ("BaseUrl", "https://api.akkio.com")
    assert (fields.port.placeholder, fields.url_schema.placeholder) == ("443", "https")
    assert fields.login.hidden


def test_both_forms_are_of_the_shape_that_airflow_wants_and_agree() -> None:
    form, behaviour = connection_form.provider_form(), AkkioHook.get_ui_field_behaviour()
    schema = Path(airflow.__file__).parent / "customized_form_field_behaviours.schema.json"
    jsonschema.validate(behaviour, json.loads(schema.read_text()))
    assert form["ui-field-behaviour"] == {name.replace("_", "-"): value for name, value in behaviour.items()}
    for field in form["conn-fields"].values():
        jsonschema.Draft202012Validator.check_schema(field["schema"])


@needs(Part.FORM_OF_PROVIDER)
def test_it_asks_for_the_limits_by_name_and_tells_their_defaults(form: Any) -> None:
    shown = {name: (field["schema"]["title"], field["schema"]["type"]) for name, field in form.extra_fields.items()}
    assert shown == {
        "timeout": ("Timeout", ["number", "null"]),
        "requests_per_second": ("Requests per second", ["number", "null"]),
        "verify": ("Verify", ["string", "null"]),
    }
    ends = [field["description"].rpartition(" Default: ")[2] for field in form.extra_fields.values()]
    assert ends == ["30.", "5.", "true."]


@needs(Part.FORM_OF_PROVIDER)
def test_an_older_airflow_is_told_the_same_by_the_hook(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour = AkkioHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["login"]
    assert behaviour["relabeling"] == {"password": form.standard_fields.password.title, "host": "BaseUrl"}
    assert behaviour["placeholders"]["requests_per_second"] == "5"
    for name, made in {
        "wtforms": {"StringField": lambda label, widget, description: (label, widget, description)},
        "flask_babel": {"lazy_gettext": str},
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": lambda: "a text"},
    }.items():
        module = ModuleType(name)
        vars(module).update(made)
        monkeypatch.setitem(sys.modules, name, module)
    widgets = AkkioHook.get_connection_form_widgets()
    assert widgets == {
        name: (field["schema"]["title"], "a text", field["description"]) for name, field in form.extra_fields.items()
    }


@lacks(Part.FORM_OF_PROVIDER)
def test_an_older_airflow_asks_the_hook() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    widgets = {name for name, one in manager.connection_form_widgets.items() if "AkkioHook" in one.hook_class_name}
    asks = find_spec("wtforms") is not None  # an Airflow 3 without its FAB provider has a general form alone
    assert widgets == {f"extra__akkio__{field.name}" for field in connection_form.EXTRA_FIELDS if asks}
    behaviour = manager.field_behaviours.get("akkio")
    assert (behaviour is not None) is asks
    if behaviour is not None:
        assert behaviour["relabeling"] == {"password": "API key", "host": "BaseUrl"}
        assert behaviour["hidden_fields"] == ["login"]


@pytest.mark.parametrize(("timeout", "seconds"), [(None, 30.0), ("", 30.0), (12, 12.0), ("12", 12.0)])
def test_a_field_that_is_untouched_emptied_or_filled_is_understood(
    monkeypatch: pytest.MonkeyPatch, timeout: Any, seconds: float
) -> None:
    extra = {field.name: timeout if field.name == "timeout" else "" for field in connection_form.EXTRA_FIELDS}
    saved = {"conn_type": "akkio", "password": "the-key", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AKKIO_DEFAULT", json.dumps(saved))
    account = AkkioHook().get_client_config()
    assert (account.timeout, account.requests_per_second, account.verify) == (seconds, 5.0, True)
