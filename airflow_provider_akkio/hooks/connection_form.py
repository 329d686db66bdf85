"""The connection form of the type ``akkio``, defined once for all Airflow versions.

Airflow 3 reads the form from the provider info, without importing the hook. Airflow 2 calls the hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_HIDDEN_FIELDS = ("login",)
_LABELS = {"password": "API key", "host": "Base URL"}
_PLACEHOLDERS = {
    "password": "from Akkio's Team Settings",
    "host": "https://api.akkio.com",
    "port": "443",
    "schema": "https",
}


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A field of the form that is stored in the connection's extra.

    :param name: its key in the extra.
    :param label: its label in the form.
    :param default: the value that applies if the field is empty.
    :param description: its help text.
    :param json_type: its type in JSON schema. The form of Airflow 2 has text fields only.
    """

    name: str
    label: str
    default: str
    description: str
    json_type: str

    @property
    def help_text(self) -> str:
        """The description and the default."""
        return f"{self.description} Default: {self.default}."


EXTRA_FIELDS = (
    ExtraField(
        "timeout",
        "Timeout",
        "30",
        "Seconds that one request may take, including its response. A request with rows may take at least 120 seconds.",
        "number",
    ),
    ExtraField(
        "requests_per_second",
        "Requests per second",
        "5",
        "Maximum requests per second per process. Akkio allows 5 per second per account across all machines.",
        "number",
    ),
    ExtraField(
        "verify",
        "Verify",
        "true",
        "How to verify Akkio's certificate: true, false (not at all), or the path of a CA bundle.",
        "string",
    ),
)


def provider_form() -> dict[str, Any]:
    """Return the form as part of the provider info, for Airflow 3."""
    return {
        "conn-fields": {
            field.name: {
                "label": field.label,
                "description": field.help_text,
                "schema": {"type": [field.json_type, "null"]},
            }
            for field in EXTRA_FIELDS
        },
        "ui-field-behaviour": {
            "hidden-fields": list(_HIDDEN_FIELDS),
            "relabeling": dict(_LABELS),
            "placeholders": _placeholders(),
        },
    }


def hook_behaviour() -> dict[str, Any]:
    """Return labels, placeholders and hidden fields, for Airflow 2."""
    return {"hidden_fields": list(_HIDDEN_FIELDS), "relabeling": dict(_LABELS), "placeholders": _placeholders()}


def hook_widgets() -> dict[str, Any]:
    """Return the form widgets of the extra fields, for Airflow 2."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import StringField

    return {
        field.name: StringField(
            lazy_gettext(field.label), widget=BS3TextFieldWidget(), description=lazy_gettext(field.help_text)
        )
        for field in EXTRA_FIELDS
    }


def _placeholders() -> dict[str, str]:
    return _PLACEHOLDERS | {field.name: field.default for field in EXTRA_FIELDS}
