"""The page of a model that stands alone, and the command that makes it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from airflow_provider_akkio.report.__main__ import main

from airflow_provider_akkio.api.summary import ModelSummary
from airflow_provider_akkio.web.templating import standalone_page

STRANGE = ["<script>alert(1)</script>", "\"printable\" & 'printable'", "🦜 emoji", "\u05e9\u05dc\u05d5\u05dd"]


def test_it_shows_the_model_its_classes_its_fields_and_its_story(leads: dict[str, Any]) -> None:
    text = _text(standalone_page(ModelSummary.of(leads)))
    assert "Model id M1 Copy" in text
    assert "Of 400 rows that were kept for the test, 360 (90.0%) were predicted right." in text
    assert "Most often missed: 1, of whose 53 rows 27 were taken for another class." in text
    assert "0 347 86.8% 0.925 0.963 0.944 334 13 27" in text
    assert "Webinars Attended 60.0%" in text
    assert "Positive Lead is 1 in 13.2% of all rows: in 39.0% where it is most frequent, and in 0.7% where it" in text
    assert "Webinars Attended = 6 rather than 0, and with Job Title = Executive rather than Assistant." in text


def test_it_shows_the_measures_of_a_number(progression: dict[str, Any]) -> None:
    text = _text(standalone_page(ModelSummary.of(progression)))
    assert "Predicting progression ModelMetric Value count 88 rmse 61.656 mae 50.779 r2 0.398" in text
    assert "What goes with each outcome" not in text


@pytest.mark.parametrize("name", STRANGE)
def test_whatever_akkio_calls_a_thing_is_text_and_no_markup(leads: dict[str, Any], name: str) -> None:
    for one in leads["stats"][0]:
        one |= {"field_name": name, "class_name": name}
    leads["field_importance"] = {name: 1.0}
    [outcome] = leads["data_story"][0]["outcomes"]
    outcome |= {"outcome": name, "causes": [{"field": name, "top_value": name, "bottom_value": name}]}
    page = standalone_page(ModelSummary.of(leads | {"model_id": name}))
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    shown = page.count(escaped.replace("'", "&#39;"))
    assert shown >= 10
    assert page.count("<script") == 1
    if escaped != name:
        assert name not in page


def test_its_policy_allows_its_own_style_and_script_and_nothing_else(leads: dict[str, Any]) -> None:
    page = standalone_page(ModelSummary.of(leads))
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    hashes = [
        f"&#39;sha256-{b64encode(hashlib.sha256(part.encode()).digest()).decode()}&#39;"
        for part in re.findall("<(?:style|script)>(.*?)</", page, re.DOTALL)
    ]
    style, script = hashes
    assert policy[1] == f"default-src &#39;none&#39;; style-src {style}; script-src {script}; base-uri &#39;none&#39;"
    assert "style=" not in page
    assert not re.search(r"\son\w+=", page)
    assert "http" not in page.replace('http-equiv="', "")


def test_two_hundred_classes_and_five_hundred_fields_make_a_page_of_less_than_200_kb(leads: dict[str, Any]) -> None:
    leads["stats"][0] = [{**leads["stats"][0][0], "class_name": f"a class {number}"} for number in range(200)]
    leads["field_importance"] = {f"a field with a name {number}": number / 124750 for number in range(500)}
    told = leads["data_story"][0]
    told["outcomes"] = [{**told["outcomes"][0], "outcome": f"a class {number}"} for number in range(200)]
    page = standalone_page(ModelSummary.of(leads))
    assert all(f"<bdi>a class {number}</bdi>" in page for number in range(200))
    assert all(f"<bdi>a field with a name {number}</bdi>" in page for number in range(500))
    assert len(page.encode()) < 200 * 1024


def test_the_command_writes_the_page_of_a_result(leads: dict[str, Any], tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"status": "success", **leads}))
    command = [sys.executable, "-m", "airflow_provider_akkio.report", str(result)]
    page = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert page.stdout.decode() == standalone_page(ModelSummary.of(leads)) + "\n"
    assert b"akkio" not in page.stderr  # where Airflow 3.1 tells of Alembic's plugins


def test_it_writes_text_where_that_is_asked_for(
    leads: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps(leads))
    main([str(result), "--text"])
    assert "│ model M1: f1 of 'Positive Lead' 0.893" in capfd.readouterr().out


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", '{"model_id": 7}'])
def test_it_tells_what_a_file_lacks(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = tmp_path / "result.json"
    result.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main([str(result)])
    assert ended.value.code == 2
    assert f"{result} holds no result of a training" in capsys.readouterr().err


def _text(page: str) -> str:
    body = page.partition("<body>")[2].partition("<script>")[0]
    return " ".join(re.sub("<[^>]*>", " ", body).split()).replace(" ,", ",").replace(" .", ".")
