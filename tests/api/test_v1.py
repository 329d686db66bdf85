"""What the answers of Akkio's older calls mean: success, and otherwise a text in ``status``."""

from __future__ import annotations

import re
from typing import Any

import pytest

from airflow_provider_akkio.api.http import Flow, Response, TransportError
from airflow_provider_akkio.api.requester import MetricName
from airflow_provider_akkio.api.trainings import AkkioApi
from airflow_provider_akkio.api.v1 import NamedResource, V1Api
from airflow_provider_akkio.exceptions import (
    AkkioForbiddenError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
)
from tests.api.driving import LOST, UNREACHABLE, Talk, answer

DONE = answer({"status": "success"})
NONE = answer({"status": "success", "datasets": [], "models": []})
KINDS = ["dataset", "model"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def calls(akkio: AkkioApi, kind: str) -> V1Api:
    return akkio.datasets if kind == "dataset" else akkio.models


def listing(kind: str, talk: Talk) -> list[NamedResource]:
    return talk.hold(lambda akkio: calls(akkio, kind).list())


def deletion(kind: str, talk: Talk) -> bool:
    def start(akkio: AkkioApi) -> Flow[bool]:
        return calls(akkio, kind).delete("X1")

    return talk.hold(start)


def entries(kind: str, *listed: Any) -> Response:
    return answer({"status": "success", f"{kind}s": list(listed)})


class TestStatus:
    @pytest.mark.parametrize(
        "said",
        [
            "Missing or invalid API key",
            "missing api_key",
            "invalid api-key",
            "Invalid apikey.",
            "your API Key is not valid",
            "unknown key",
        ],
    )
    def test_a_text_about_the_key_is_one_about_the_connection(self, kind: str, said: str) -> None:
        talk = Talk([answer({"status": said}), NONE])
        with pytest.raises(AkkioUnauthorizedError) as caught:
            listing(kind, talk)
        assert str(caught.value) == (
            f"List of {kind}s: Akkio does not take the API key in the password of connection 'akkio_default': {said}"
        )
        assert len(talk.requests) == 1

    @pytest.mark.parametrize("said", ["not today", "error", "Success", "", "no column Turkey", "too many monkeys"])
    def test_any_other_text_is_a_refusal_in_its_words(self, kind: str, said: str) -> None:
        talk = Talk([answer({"status": said}), NONE])
        with pytest.raises(AkkioRequestRejectedError, match=re.escape(f"Akkio refused the request: {said}")) as caught:
            listing(kind, talk)
        assert type(caught.value) is AkkioRequestRejectedError
        assert len(talk.requests) == 1

    def test_a_long_text_with_line_breaks_is_one_short_line(self, kind: str) -> None:
        with pytest.raises(AkkioRequestRejectedError) as caught:
            listing(kind, Talk([answer({"status": "no\r\n" * 500})]))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300

    @pytest.mark.parametrize("body", [{}, {"status": None}, {"status": 1}, {"datasets": [], "models": []}])
    def test_an_answer_without_one_is_asked_for_again(self, kind: str, body: dict[str, Any]) -> None:
        talk = Talk([answer(body), NONE])
        assert listing(kind, talk) == []
        assert len(talk.requests) == 2

    @pytest.mark.parametrize(
        ("code", "error"), [(401, AkkioUnauthorizedError), (403, AkkioForbiddenError), (400, AkkioRequestRejectedError)]
    )
    def test_the_text_of_a_refusal_by_code_is_told_too(self, kind: str, code: int, error: type[Exception]) -> None:
        with pytest.raises(error, match=rf"HTTP {code}\): not for you"):
            listing(kind, Talk([answer({"status": "not for you"}, code)]))


class TestList:
    def test_names_what_the_account_has(self, kind: str) -> None:
        talk = Talk([entries(kind, {"id": "A", "name": "one"}, {"id": "B", "name": "one"}, {"id": "C", "name": None})])
        assert listing(kind, talk) == [NamedResource("A", "one"), NamedResource("B", "one"), NamedResource("C", "")]
        assert [one.url for one in talk.requests] == [f"https://api.akkio.com/v1/{kind}s"]

    @pytest.mark.parametrize("entry", [None, "A", {}, {"name": "one"}, {"id": ""}, {"id": 7}, ["A", "one"]])
    def test_with_an_entry_without_an_id_is_no_answer(self, kind: str, entry: Any) -> None:
        with pytest.raises(AkkioResponseError, match="an entry without an 'id'"):
            listing(kind, Talk([entries(kind, {"id": "A", "name": "one"}, entry)]))

    @pytest.mark.parametrize("listed", [None, {}, "A"])
    def test_that_is_none_is_no_answer(self, kind: str, listed: Any) -> None:
        with pytest.raises(AkkioResponseError, match=f"no '{kind}s'"):
            listing(kind, Talk([answer({"status": "success", f"{kind}s": listed})]))

    @pytest.mark.parametrize(
        "failure", [LOST, UNREACHABLE, answer({}, 502), Response(200, b"{", defect="was cut short")]
    )
    def test_is_asked_for_again(self, kind: str, failure: Response | TransportError) -> None:
        talk = Talk([failure, failure, NONE])
        assert listing(kind, talk) == []
        assert len(talk.pauses) == 2

    def test_waits_as_long_as_akkio_asks_and_counts_it(self, kind: str) -> None:
        talk = Talk([answer({}, 429, retry_after="7"), NONE])
        listing(kind, talk)
        assert talk.pauses == [7.0]
        assert talk.numbers.counts == {MetricName.RATE_LIMITED: 1}


class TestDelete:
    def test_sends_the_id(self, kind: str) -> None:
        talk = Talk([DONE])
        assert deletion(kind, talk) is True
        assert [(one.method, one.url, one.json) for one in talk.requests] == [
            ("DELETE", f"https://api.akkio.com/v1/{kind}s", {"id": "X1"})
        ]

    def test_of_what_akkio_does_not_know_is_done(self, kind: str) -> None:
        talk = Talk([answer({"status": f"no {kind}"}, 404)])
        assert deletion(kind, talk) is False
        assert talk.paths == [f"{kind}s"]

    @pytest.mark.parametrize("code", [200, 400, 422])
    def test_of_what_is_refused_and_no_longer_listed_is_done(self, kind: str, code: int) -> None:
        talk = Talk([answer({"status": "unknown"}, code), entries(kind, {"id": "X2", "name": "X1"})])
        assert deletion(kind, talk) is False

    @pytest.mark.parametrize("code", [200, 400, 422])
    def test_of_what_is_refused_and_still_listed_is_an_error(self, kind: str, code: int) -> None:
        talk = Talk([answer({"status": "in use"}, code), entries(kind, {"id": "X1", "name": "mine"})])
        with pytest.raises(
            AkkioRequestRejectedError, match=f"Deleting {kind} 'X1': Akkio refused the request.*: in use"
        ):
            deletion(kind, talk)

    @pytest.mark.parametrize(
        ("refused", "error"),
        [
            (answer({"status": "invalid api_key"}), AkkioUnauthorizedError),
            (answer({}, 401), AkkioUnauthorizedError),
            (answer({}, 403), AkkioForbiddenError),
        ],
    )
    def test_with_a_key_that_akkio_does_not_take_is_an_error_at_once(
        self, kind: str, refused: Response, error: type[Exception]
    ) -> None:
        talk = Talk([refused, NONE])
        with pytest.raises(error):
            deletion(kind, talk)
        assert len(talk.requests) == 1

    def test_that_is_refused_is_no_success_where_the_list_cannot_be_had(self, kind: str) -> None:
        with pytest.raises(AkkioUnavailableError):
            deletion(kind, Talk([answer({"status": "unknown"}), UNREACHABLE]))

    @pytest.mark.parametrize("failure", [LOST, UNREACHABLE, answer({}, 500), answer({}, 429)])
    def test_is_tried_again(self, kind: str, failure: Response | TransportError) -> None:
        talk = Talk([failure, DONE])
        assert deletion(kind, talk) is True
        assert [one.method for one in talk.requests] == ["DELETE", "DELETE"]
