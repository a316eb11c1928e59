"""How a setting names models: what is taken, and what is said of what is not."""

import pytest

from rag_grpc.environment import flag, share, whole
from rag_grpc.model_spec import ModelSpec, models


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("mock", ModelSpec("mock", "mock")),
        ("a=fastembed:/srv/m", ModelSpec("a", "fastembed", "/srv/m")),
        ("a=fastembed:BAAI/bge-small-en-v1.5", ModelSpec("a", "fastembed", "BAAI/bge-small-en-v1.5")),
        ("a/B-1=x:C:\\m", ModelSpec("a/B-1", "x", "C:\\m")),
        ("a=x:m?b=1&c=", ModelSpec("a", "x", "m", {"b": "1", "c": ""})),
        ("a=x:m?p=query:%20&q=1%2C2", ModelSpec("a", "x", "m", {"p": "query: ", "q": "1,2"})),
        ("a=x:m?u=http://h:1/v1", ModelSpec("a", "x", "m", {"u": "http://h:1/v1"})),
    ],
)
def test_what_is_taken(text: str, spec: ModelSpec) -> None:
    assert ModelSpec.parse(text) == spec


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "is no name"),
        ("none", "is no name"),
        ("a b=x:m", "is no name"),
        ("ä", "is no name"),
        ("a=", "names no model"),
        ("a=x", "names no model"),
        ("a=x:", "names no model"),
        ("a=:m", "names no model"),
        ("a=x:m?b", "cannot be read"),
        ("a=x:m?b=1&b=2", "given twice"),
    ],
)
def test_what_is_refused(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ModelSpec.parse(text)


def test_a_list_has_every_name_once() -> None:
    assert models("") == ()
    assert models(" mock , a=x:m ") == ("mock", "a=x:m")
    for text in ("a,", "mock,mock", "a=x:m,a=x:n", "a,?"):
        with pytest.raises(ValueError, match=r"list|twice|no name"):
            models(text)


def test_options_are_read_and_what_is_not_known_is_named() -> None:
    parsers = {"many": whole(1, 9), "part": share, "yes": flag}
    assert ModelSpec.parse("a=x:m?many=3&part=0.25&yes=True").read(parsers) == {
        "many": 3,
        "part": 0.25,
        "yes": True,
    }
    for options, word in (
        ("api_key=hunter2", "there is no option 'api_key'; there is many, part, yes"),
        ("many=0", "option 'many': '0'"),
        ("part=1.5", "option 'part': '1.5' is no number"),
        ("part=.5", "option 'part'"),
        ("yes=1", "neither true nor false"),
    ):
        with pytest.raises(ValueError, match=word) as caught:
            ModelSpec.parse(f"a=x:m?{options}").read(parsers)
        assert "hunter2" not in str(caught.value)
