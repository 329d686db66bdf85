"""What Airflow's form of a connection of the type ``akkio`` asks for, told once for all of its versions.

Airflow 3 reads it from the provider's info, without loading the hook; Airflow 2 asks the hook.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

HIDDEN = ("login",)
LABELS = {"password": "API key", "host": "BaseUrl"}
PLACEHOLDERS = {
    "password": "from Akkio's Team Settings",
    "host": "https://api.akkio.com",
    "port": "443",
    "schema": "https",
}


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A field of the form that is kept in the connection's extra.

    :param name: its key there.
    :param label: what the form calls it.
    :param default: what counts if nothing is filled in.
    :param description: what it is for.
    :param kind: what it holds, as JSON schema has it; the form of Airflow 2 takes a text for each.
    """

    name: str
    label: str
    default: str
    description: str
    kind: str

    @property
    def help(self) -> str:
        """The description with the default, for which the form of Airflow 3 has no other place."""
        return f"{self.description} Default: {self.default}."


EXTRA_FIELDS = (
    ExtraField(
        "timeout",
        "Timeout",
        "30",
        "Seconds that one request may take, its whole answer included.",
        "number",
    ),
    ExtraField(
        "requests_per_second",
        "Requests per second",
        "5",
        "Most requests that one process sends; Akkio allows five to the whole account, on all machines together.",
        "number",
    ),
    ExtraField(
        "verify",
        "Verify",
        "true",
        "How to check who answers: true, by the usual certificates; a path, by those there; false, not at all.",
        "string",
    ),
)


def provider_form() -> dict[str, Any]:
    """Return the form as the provider's info holds it."""
    return {
        "conn-fields": {
            field.name: {
                "label": field.label,
                "description": field.help,
                "schema": {"type": [field.kind, "null"]},
            }
            for field in EXTRA_FIELDS
        },
        "ui-field-behaviour": {
            "hidden-fields": list(HIDDEN),
            "relabeling": dict(LABELS),
            "placeholders": _placeholders(),
        },
    }


def hook_behaviour() -> dict[str, Any]:
    """Return how the form names its fields, as Airflow 2 asks the hook for it."""
    return {"hidden_fields": list(HIDDEN), "relabeling": dict(LABELS), "placeholders": _placeholders()}


def hook_widgets() -> dict[str, Any]:
    """Return the fields of the extra as Airflow 2 asks the hook for them: widgets of its web page's libraries."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import StringField

    return {
        field.name: StringField(
            lazy_gettext(field.label), widget=BS3TextFieldWidget(), description=lazy_gettext(field.help)
        )
        for field in EXTRA_FIELDS
    }


def _placeholders() -> dict[str, str]:
    return PLACEHOLDERS | {field.name: field.default for field in EXTRA_FIELDS}
