"""The templates of the web pages, and the page of one model that stands alone."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from airflow_provider_akkio.api.summary import ModelSummary

_LARGE = 1e9
_ABSENT = "\N{EN DASH}"


@cache
def environment() -> Environment:
    """Return the templates' environment, which escapes whatever is put into a page."""
    made = Environment(
        loader=PackageLoader("airflow_provider_akkio.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {"decimal": _decimal, "share": _share, "count": _count, "percent": _percent, "width": _width}
    return made


def render(template: str, **values: Any) -> str:
    """Return a page.

    :param template: its file in ``templates``.
    :param values: what it shows.
    """
    return environment().get_template(template).render(values)


@cache
def static_text(name: str) -> str:
    """Return a file that a page loads: its style sheet or its script.

    :param name: its file in ``static``.
    """
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def standalone_page(model: ModelSummary) -> str:
    """Return the page of a model as one file, which loads nothing.

    :param model: which model.
    """
    style, script = static_text("akkio.css"), static_text("akkio.js")
    policy = f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; base-uri 'none'"
    own = {"style": Markup(style), "script": Markup(script)}  # noqa: S704 - files of this package, without an end tag
    return render("standalone.html", model=model, trend=None, policy=policy, **own)


def _allowed(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _decimal(value: float | None) -> str:
    if value is None:
        return _ABSENT
    return f"{value:,.0f}" if 1000 <= abs(value) < _LARGE else f"{value:.3g}"


def _share(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3f}"


def _count(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.1%}"


def _width(value: float | None) -> str:
    """Return how much of a bar a share fills, in percent."""
    return f"{100 * min(1.0, max(0.0, value or 0.0)):.3g}"
