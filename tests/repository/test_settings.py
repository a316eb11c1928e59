"""docs/settings.md says of every setting what the code says."""

import dataclasses
import re
from pathlib import Path

import pytest

from rag_grpc.environment import SettingsFault, variable
from rag_grpc.settings import Settings, load

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
ROW = re.compile(r"^\| `(RAG_\w+)` \| `([^`]*)` \| (.*) \|$", re.MULTILINE)


def test_every_setting_is_documented_in_order_with_its_default_and_meaning() -> None:
    documented = [match.groups() for match in ROW.finditer(PAGE)]
    assert documented == [
        (variable(field), field.metadata["default"], field.metadata["meaning"])
        for field in dataclasses.fields(Settings)
    ]


def test_no_other_name_is_spoken_of() -> None:
    known = {variable(field) for field in dataclasses.fields(Settings)}
    known |= {variable(field) + "_FILE" for field in dataclasses.fields(Settings) if field.metadata["secret"]}
    spoken = set(re.findall(r"\bRAG_[A-Z_]+\b", PAGE)) - {"RAG_", "RAG_STOER"}
    assert spoken <= known


def test_the_faults_that_it_shows_are_the_faults_that_there_are() -> None:
    shown = PAGE.split("check-config\n", 1)[1].split("```", 1)[0].strip().splitlines()
    command = re.search(r"^\$ (.*) rag-grpc check-config$", PAGE, re.MULTILINE)
    assert command is not None
    with pytest.raises(SettingsFault) as caught:
        load(dict(pair.split("=") for pair in command[1].split()))
    assert caught.value.faults == shown
