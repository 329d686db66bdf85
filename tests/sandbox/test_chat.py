"""Chat Explore."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_akkio.sandbox import Sandbox
from tests.sandbox.api_client import ApiClient
from tests.sandbox.conftest import Clock

ROWS = [
    {
        "Age": str(number),
        "Team": ("red", "blue", "blue")[number % 3],
        "Day": f"2026-03-{number % 30 + 1:02}",
        "Note": "",
    }
    for number in range(90)
]


@pytest.fixture(scope="module")
def dataset_id(client: ApiClient) -> str:
    return client.upload(ROWS, "people", parse=True)


def start(client: ApiClient, content: str | None, **payload: Any) -> str:
    messages = [] if content is None else [{"role": "user", "content": content}]
    response = client.post_v2("chat-explore/new", **{"messages": messages, **payload})
    assert response.status_code == 201, response.text
    return str(response.json()["task_id"])


def status(client: ApiClient, task_id: str) -> dict[str, Any]:
    return dict(client.get_v2(f"chat-explore/status/{task_id}").json())


def chat(client: ApiClient, content: str, **payload: Any) -> dict[str, Any]:
    location = status(client, start(client, content, **payload))["metadata"]["location"]
    return dict(client.get_v2(location.removeprefix("/api/v1/")).json())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("What is this?", "Dataset 'people' has 90 rows and 4 fields: Age, Team, Day, Note."),
        (
            "What is the average age?",
            "Field 'Age' (integer) has 90 values: mean 44.5, minimum 0, maximum 89, sum 4005.",
        ),
        ("Which TEAM is largest?", "The most frequent value is 'blue' (60 rows)."),
        ("From which day on?", "Field 'Day' (date) has 90 values: first 2026-03-01, last 2026-03-30."),
        ("Is there a note?", "Field 'Note' (category) has 0 values."),
    ],
)
def test_chat_contains_answer_about_dataset(client: ApiClient, dataset_id: str, content: str, sentence: str) -> None:
    record = chat(client, content, dataset_id=dataset_id, chatContext="", chatInstructions="Be brief.")
    assert set(record) == {"_owner", "_org", "messages"}
    question, answer = record["messages"]
    assert question == {"role": "user", "content": content, "images": [], "table": None}
    assert (answer["role"], answer["images"]) == ("assistant", [])
    assert "sandbox" in answer["content"]
    assert sentence in answer["content"]


def test_only_whole_names_of_fields_count(client: ApiClient, dataset_id: str) -> None:
    answer = chat(client, "Do teams drink steam?", dataset_id=dataset_id)["messages"][-1]
    assert "Field" not in answer["content"]


def test_answer_about_one_category_has_table(client: ApiClient, dataset_id: str) -> None:
    answer = chat(client, "Teams? I mean team", dataset_id=dataset_id)["messages"][-1]
    assert answer["table"] == [{"Team": "blue", "rows": 60}, {"Team": "red", "rows": 30}]


def test_last_message_of_user_is_answered(client: ApiClient, dataset_id: str) -> None:
    texts = [("user", "Age?"), ("assistant", "Which one?"), ("user", "Team!"), ("assistant", "Well, age.")]
    messages = [{"role": role, "content": content} for role, content in texts]
    record = chat(client, "", dataset_id=dataset_id, messages=messages)
    assert [message["content"] for message in record["messages"][:-1]] == [content for _, content in texts]
    assert "'Team'" in record["messages"][-1]["content"]


def test_project_of_model_is_about_its_dataset(client: ApiClient, dataset_id: str) -> None:
    model_id = client.train(dataset_id=dataset_id, predict_fields=["Team"])["model_id"]
    answer = chat(client, "Age?", project_id=model_id)["messages"][-1]
    assert "mean 44.5" in answer["content"]


@pytest.mark.parametrize("content", [None, " "])
def test_chat_without_text_fails(client: ApiClient, dataset_id: str, content: str | None) -> None:
    response = status(client, start(client, content, dataset_id=dataset_id))
    assert response["status"] == response["metadata"]["type"] == "FAILED"
    assert "no text by the user" in response["metadata"]["error"]


def test_paced_chat_passes_every_status(clock: Clock) -> None:
    with Sandbox(pace=100, dialect="openapi") as sandbox:
        client = ApiClient(sandbox.url)
        task_id = start(client, "How many?", dataset_id="wine")
        seen: list[str] = []
        for seconds in (0, 99, 1):
            clock.now += seconds
            response = status(client, task_id)
            seen.append(response["status"])
        assert seen == ["PENDING", "IN_PROGRESS", "SUCCEEDED"]
        root, _, chat_id = response["metadata"]["location"].rpartition("/")
        assert root == "/chat-explore/chats"
        assert chat_id != task_id
        assert sandbox.chats == 1


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"dataset_id": "nowhere"}, 404),
        ({"project_id": "nowhere"}, 404),
        ({}, 422),
        ({"dataset_id": None, "project_id": None}, 422),
        ({"dataset_id": "wine", "messages": "How many?"}, 422),
        ({"dataset_id": "wine", "messages": [{"role": "system", "content": "x"}]}, 422),
        ({"dataset_id": "wine", "messages": [{"role": "user"}]}, 422),
        ({"dataset_id": "wine", "chatContext": 7}, 422),
    ],
)
def test_invalid_chat_is_rejected(client: ApiClient, payload: dict[str, Any], code: int) -> None:
    messages = [{"role": "user", "content": "How many?"}]
    assert client.post_v2("chat-explore/new", **{"messages": messages, **payload}).status_code == code


def test_unknown_chat_and_wrong_key_are_rejected(client: ApiClient) -> None:
    training = client.submit(dataset_id="wine")
    for path in ("chat-explore/status/gone", f"chat-explore/status/{training}", "chat-explore/chats/gone"):
        assert client.get_v2(path).status_code == 404
        assert ApiClient(client.url, "wrong").get_v2(path).status_code == 401
    assert ApiClient(client.url, "wrong").post_v2("chat-explore/new").status_code == 401


def test_image_format_is_validated(client: ApiClient, dataset_id: str) -> None:
    location = status(client, start(client, "Age?", dataset_id=dataset_id))["metadata"]["location"]
    path = location.removeprefix("/api/v1/")
    assert client.get_v2(path, image_format="plotly_json").status_code == 200
    assert client.get_v2(path, image_format="gif").status_code == 422
