"""Parameters of requests: JSON bodies, and the query of the v1 calls."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

_FORM = "application/x-www-form-urlencoded"


class StrictModel(BaseModel):
    """Parameters whose values are not converted; unknown parameters are ignored."""

    model_config = ConfigDict(strict=True)


_Parameters = TypeVar("_Parameters", bound=BaseModel)


class InvalidBodyError(ValueError):
    """The body of a request is not JSON."""


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    :raises ValueError: if the text is not JSON. NaN, infinities and lone surrogates are not JSON, although Python's
        parser accepts them.
    """
    try:
        value = json.loads(text, parse_constant=_reject_constant)
        # Only an escape sequence can become a lone surrogate.
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the nesting is too deep") from None
    return value


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def parse_text(value: object) -> object:
    """Return the value of a JSON text, and any other value unchanged; raise :class:`ValueError` for other text."""
    if not isinstance(value, str):
        return value
    # str(True) in Python.
    return parse_json(value.lower() if value in ("True", "False") else value)


FromText = BeforeValidator(parse_text)
"""Accepts a value also as JSON text."""


async def read_body(request: Request) -> Any:
    """Return the JSON body of a request; ``None`` if it is empty.

    :raises InvalidBodyError: if the body is not JSON in UTF-8.
    """
    body = await request.body()
    try:
        return parse_json(body.decode()) if body.strip() else None
    except ValueError as error:
        raise InvalidBodyError(f"The body is not valid JSON: {error}.") from error


async def read_parameters(request: Request) -> Any:
    """Return the parameters in the query and in the body, which takes precedence; without parameters, the body.

    The body may be a form, as ``curl --data`` sends it.
    """
    body = await request.body()
    is_form = request.headers.get("content-type", "").startswith(_FORM) and not body.lstrip().startswith((b"{", b"["))
    given = dict(parse_qsl(body.decode(errors="replace"))) if is_form else await read_body(request)
    if given is None or isinstance(given, Mapping):
        return {**request.query_params, **(given or {})}
    return given


def parameters_of(
    model: type[_Parameters], read: Callable[[Request], Awaitable[Any]] = read_parameters
) -> Callable[[Any], _Parameters]:
    """Return a dependency that validates the parameters of a request.

    :param model: type of the parameters.
    :param read: dependency that returns the parameters.
    """

    def validate(given: Annotated[Any, Depends(read)]) -> _Parameters:
        try:
            return model.model_validate(given)
        except ValidationError as error:
            # The invalid value is omitted: it can be long.
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in problems]) from error

    return validate
