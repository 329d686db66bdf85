"""Rows and datasets arrive once, whatever is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.api.datasets import MAX_RETRIES, SETTLING_PAUSES, Dataset, FieldType
from airflow_provider_akkio.api.http import Request, Response, TransportError
from airflow_provider_akkio.exceptions import (
    AkkioNotFoundError,
    AkkioRequestRejectedError,
    AkkioResponseError,
    AkkioUnauthorizedError,
    AkkioUnavailableError,
    AkkioUnprocessableError,
    AkkioUploadIncompleteError,
)
from tests.api.driving import LOST, NOT_FOUND, UNREACHABLE, Talk, answer

DONE = answer({"status": "success"})
ROWS = [{"a": 1}, {"a": 2}]


def has(rows: Any) -> Response:
    return answer({"status": "success", "name": "n", "rows": rows, "fields": [{"name": "a", "type": "number"}]})


def listed(*ids: str, kind: str = "datasets") -> Response:
    return answer({"status": "success", kind: [{"id": one, "name": "n"} for one in ids]})


def append(*replies: Response | TransportError) -> tuple[bool, Talk]:
    talk = Talk(replies)
    return talk.hold(lambda akkio: akkio.datasets.append("D1", ROWS, already=10)), talk


def methods(talk: Talk) -> list[str]:
    return [str(request.method) for request in talk.requests]


class TestAppend:
    def test_rows_go_in_one_request_of_the_older_kind(self) -> None:
        was_in_doubt, talk = append(DONE)
        assert not was_in_doubt
        [request] = talk.requests
        assert (request.url, request.json) == ("https://api.akkio.com/v1/datasets", {"id": "D1", "rows": ROWS})

    @pytest.mark.parametrize("lost", [LOST, answer({}, 500), Response(200, b"<html>"), answer({}, 200)])
    def test_rows_that_arrived_without_an_answer_are_not_sent_again(self, lost: Response | TransportError) -> None:
        was_in_doubt, talk = append(lost, has(12))
        assert was_in_doubt
        assert methods(talk) == ["POST", "GET"]

    def test_rows_that_did_not_arrive_are_sent_again_once_that_is_settled(self) -> None:
        was_in_doubt, talk = append(LOST, *[has(10)] * (1 + len(SETTLING_PAUSES)), DONE)
        assert was_in_doubt
        assert methods(talk) == ["POST", *["GET"] * (1 + len(SETTLING_PAUSES)), "POST"]
        assert talk.pauses[-len(SETTLING_PAUSES) :] == list(SETTLING_PAUSES)

    def test_rows_that_arrive_late_are_not_sent_again(self) -> None:
        _, talk = append(LOST, has(10), has(12))
        assert methods(talk) == ["POST", "GET", "GET"]

    def test_it_is_looked_for_again_before_each_time_that_rows_are_sent(self) -> None:
        not_there = [has(10)] * (1 + len(SETTLING_PAUSES))
        _, talk = append(LOST, *not_there, answer({}, 429, retry_after="60"), has(12))
        assert methods(talk).count("POST") == 2
        assert methods(talk)[-1] == "GET"

    def test_the_last_time_that_rows_are_sent_is_looked_after_too(self) -> None:
        not_there = [has(10)] * (1 + len(SETTLING_PAUSES))
        was_in_doubt, talk = append(*([LOST, *not_there] * MAX_RETRIES), LOST, has(12))
        assert was_in_doubt
        assert methods(talk).count("POST") == 1 + MAX_RETRIES

    def test_another_number_of_rows_ends_it(self) -> None:
        with pytest.raises(AkkioUploadIncompleteError, match=r"has 13 rows, neither the 10 from before nor 12"):
            append(LOST, has(13))

    def test_a_count_that_cannot_be_had_ends_it_undecided(self) -> None:
        talk = Talk([LOST, UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="could not be found out") as caught:
            talk.hold(lambda akkio: akkio.datasets.append("D1", ROWS, already=10))
        assert caught.value.outcome_is_unknown
        assert methods(talk).count("POST") == 1

    @pytest.mark.parametrize("refused", [UNREACHABLE, answer({}, 429)])
    def test_what_akkio_has_not_acted_on_is_sent_again_at_once(self, refused: Response | TransportError) -> None:
        was_in_doubt, talk = append(refused, DONE)
        assert not was_in_doubt
        assert methods(talk) == ["POST", "POST"]

    def test_a_server_that_asks_for_a_pause_may_have_acted(self) -> None:
        _, talk = append(answer({}, 503, retry_after="2"), has(12))
        assert methods(talk) == ["POST", "GET"]
        assert talk.pauses == [2]

    def test_it_gives_up_in_the_end(self) -> None:
        talk = Talk([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError):
            talk.hold(lambda akkio: akkio.datasets.append("D1", ROWS, already=10))
        assert len(talk.requests) == 1 + MAX_RETRIES

    def test_a_refusal_is_final(self) -> None:
        with pytest.raises(AkkioUnprocessableError, match="rows: bad"):
            append(answer({"status": "rows: bad"}, 422))


class TestCreate:
    def create(self, *replies: Response | TransportError) -> tuple[tuple[str, bool], Talk]:
        talk = Talk(replies)
        return talk.hold(lambda akkio: akkio.datasets.create("n")), talk

    def test_it_is_made_once(self) -> None:
        dataset_id, talk = self.create(listed("old"), answer({"status": "success", "dataset_id": "new"}))
        assert dataset_id == ("new", False)
        assert methods(talk) == ["GET", "POST"]

    def test_the_list_tells_of_one_whose_answer_was_lost(self) -> None:
        dataset_id, talk = self.create(listed("old"), LOST, listed("old", "new"), has(0))
        assert dataset_id == ("new", True)
        assert methods(talk).count("POST") == 1

    def test_one_that_was_not_made_is_asked_for_again(self) -> None:
        same = [listed("old")] * (1 + len(SETTLING_PAUSES))
        made = answer({"status": "success", "dataset_id": "new"})
        dataset_id, talk = self.create(listed("old"), LOST, *same, made)
        assert dataset_id == ("new", True)
        assert methods(talk).count("POST") == 2

    def test_one_that_has_rows_is_somebody_elses(self) -> None:
        with pytest.raises(AkkioUploadIncompleteError, match="rows of somebody else's"):
            self.create(listed("old"), LOST, listed("old", "new"), has(300))

    def test_two_new_ones_cannot_be_told_apart(self) -> None:
        with pytest.raises(AkkioUploadIncompleteError, match="2 new ones of that name"):
            self.create(listed(), LOST, listed("a", "b"))

    @pytest.mark.parametrize("made", [{}, {"dataset_id": ""}, {"dataset_id": 7}, {"dataset_id": "a\nb"}])
    def test_an_answer_without_a_usable_id_leaves_it_in_doubt(self, made: dict[str, Any]) -> None:
        lost = answer({"status": "success", **made})
        dataset_id, talk = self.create(listed("old"), lost, listed("old", "new"), has(0))
        assert dataset_id == ("new", True)
        assert methods(talk).count("POST") == 1

    @pytest.mark.parametrize("refused", [UNREACHABLE, answer({}, 429)])
    def test_what_akkio_has_not_acted_on_is_sent_again_at_once(self, refused: Response | TransportError) -> None:
        dataset_id, talk = self.create(listed("old"), refused, answer({"status": "success", "dataset_id": "new"}))
        assert dataset_id == ("new", False)
        assert methods(talk) == ["GET", "POST", "POST"]

    def test_a_list_that_cannot_be_had_ends_it_undecided(self) -> None:
        talk = Talk([listed("old"), LOST, UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="could not be found out") as caught:
            talk.hold(lambda akkio: akkio.datasets.create("n"))
        assert caught.value.outcome_is_unknown
        assert methods(talk).count("POST") == 1

    def test_nothing_is_made_where_it_is_not_known_what_there_is(self) -> None:
        talk = Talk([UNREACHABLE])
        with pytest.raises(AkkioUnavailableError, match="List of datasets"):
            talk.hold(lambda akkio: akkio.datasets.create("n"))
        assert set(methods(talk)) == {"GET"}


class TestDelete:
    @pytest.mark.parametrize(
        ("replies", "was_there"),
        [
            ([DONE], True),
            ([NOT_FOUND], False),
            ([answer({"status": "dataset does not exist"}), listed("other")], False),
            ([LOST, NOT_FOUND], False),
        ],
    )
    def test_gone_already_is_success(self, replies: list[Response | TransportError], was_there: bool) -> None:
        assert Talk(replies).hold(lambda akkio: akkio.datasets.delete("D1")) is was_there

    def test_what_akkio_keeps_is_an_error(self) -> None:
        talk = Talk([answer({"status": "in use"}), listed("D1")])
        with pytest.raises(AkkioRequestRejectedError, match="in use"):
            talk.hold(lambda akkio: akkio.datasets.delete("D1"))

    def test_a_word_that_ends_like_key_is_no_word_about_the_key(self) -> None:
        talk = Talk([answer({"status": "Column Turkey: not a number"})])
        with pytest.raises(AkkioRequestRejectedError) as caught:
            talk.hold(lambda akkio: akkio.datasets.append("D1", ROWS, already=0))
        assert not isinstance(caught.value, AkkioUnauthorizedError)

    def test_a_wrong_key_does_not_look_like_success(self) -> None:
        talk = Talk([answer({"status": "invalid api key"})])
        with pytest.raises(AkkioUnauthorizedError, match="password of connection 'akkio_default'"):
            talk.hold(lambda akkio: akkio.datasets.delete("D1"))


class TestFieldTypes:
    def set_types(self, *replies: Response | TransportError) -> Talk:
        talk = Talk(replies)
        types = {"a": FieldType.NUMBER, "b": "string"}
        talk.hold(lambda akkio: akkio.datasets.set_types("D1", types))
        return talk

    def test_they_go_in_one_request(self) -> None:
        [request] = self.set_types(DONE).requests
        fields = [{"name": "a", "type": "number"}, {"name": "b", "type": "string"}]
        assert (request.method, request.json) == ("POST", {"id": "D1", "fields": fields})

    def test_they_are_set_again_whatever_became_of_the_first_request(self) -> None:
        assert methods(self.set_types(LOST, answer({}, 500), DONE)) == ["POST"] * 3

    def test_a_type_that_akkio_does_not_take_is_an_error(self) -> None:
        with pytest.raises(AkkioUnprocessableError, match=r"field types of dataset 'D1'.*no field 'b'"):
            self.set_types(answer({"status": "no field 'b'"}, 422))


class TestGet:
    def test_it_says_how_many_rows_and_which_fields(self) -> None:
        talk = Talk([has(887)])
        found = talk.hold(lambda akkio: akkio.datasets.get("a/b?c"))
        assert (found.rows, [(field.name, field.type) for field in found.fields]) == (887, [("a", "number")])
        assert talk.requests[0].url == "https://api.akkio.com/v1/datasets?id=a%2Fb%3Fc"

    @pytest.mark.parametrize("rows", [None, -1, True, "12"])
    def test_without_a_number_of_rows_it_is_no_answer(self, rows: Any) -> None:
        with pytest.raises(AkkioResponseError):
            Dataset.from_json("D1", {"rows": rows})

    def test_one_that_is_gone_is_not_found(self) -> None:
        with pytest.raises(AkkioNotFoundError):
            Talk([NOT_FOUND]).hold(lambda akkio: akkio.datasets.get("D1"))


def test_no_request_of_a_conversation_has_the_key() -> None:
    talks = [Talk([DONE]), Talk([has(1)])]
    talks[0].hold(lambda akkio: akkio.datasets.append("D1", ROWS, already=0))
    talks[1].hold(lambda akkio: akkio.datasets.get("D1"))
    requests: list[Request] = [request for talk in talks for request in talk.requests]
    assert "an-api-key" not in repr(requests)
