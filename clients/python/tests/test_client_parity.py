from __future__ import annotations

import inspect
import json
import math

import pytest

from rag_client import AsyncRagClient, RagClient
from rag_client.methods import METHODS, STUBS, TIMEOUTS, service_config
from rag_client.queries import QueryFields
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb


def public(cls: type) -> dict[str, object]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def test_both_clients_have_the_same_methods() -> None:
    assert set(public(RagClient)) == set(public(AsyncRagClient))


@pytest.mark.parametrize("name", ["__init__", *sorted(public(RagClient))])
def test_a_method_takes_the_same_arguments_in_both(name: str) -> None:
    sync = inspect.signature(getattr(RagClient, name)).parameters
    other = inspect.signature(getattr(AsyncRagClient, name)).parameters
    assert list(sync) == list(other)
    for argument, parameter in sync.items():
        assert parameter.kind == other[argument].kind, argument
        assert parameter.default == other[argument].default, argument
        # These are where asyncio takes async iterables too.
        if (name, argument) not in (("ingest_stream", "documents"), ("evaluate_retrieval", "queries")):
            assert parameter.annotation == other[argument].annotation, argument


@pytest.mark.parametrize("name", sorted(public(RagClient)))
def test_what_is_called_is_awaited_and_what_is_iterated_is_iterated_in_both(name: str) -> None:
    if inspect.isgeneratorfunction(getattr(RagClient, name)):
        assert inspect.isasyncgenfunction(getattr(AsyncRagClient, name))
    else:
        assert inspect.iscoroutinefunction(getattr(AsyncRagClient, name))


def test_nothing_but_the_target_is_taken_by_position_at_construction() -> None:
    kinds = [each.kind for each in inspect.signature(RagClient).parameters.values()]
    assert kinds[0] is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds[1:]) == {inspect.Parameter.KEYWORD_ONLY}


def test_every_rpc_of_the_services_has_a_method() -> None:
    contract = {
        method.name
        for module, _ in STUBS
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    named = {name.replace("_", "") for name in public(RagClient)}
    other_names = {
        "BatchIngestDocuments": "ingest_documents",
        "StreamIngestDocuments": "ingest_stream",
        "BatchGetDocuments": "get_documents",
    }
    for name in contract:
        assert other_names.get(name, name).lower().replace("_", "") in named, name


def test_every_rpc_has_a_timeout_and_streams_have_none() -> None:
    assert set(TIMEOUTS) == set(METHODS)
    endless = {name for name, seconds in TIMEOUTS.items() if math.isinf(seconds)}
    assert endless == {"StreamIngestDocuments", "ReembedCollection", "EvaluateRetrieval"}


def test_what_may_be_sent_twice_is_retried_and_nothing_else() -> None:
    config = json.loads(service_config(retries=True))
    (entry,) = config["methodConfig"]
    retried = {each["method"] for each in entry["name"]}
    assert set(METHODS) - retried == {
        "StreamIngestDocuments",
        "ReembedCollection",
        "EvaluateRetrieval",
        "DeleteDocuments",
        "Check",
    }
    assert entry["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert json.loads(service_config(retries=False)) == {}


def test_every_field_of_a_query_can_be_asked_for() -> None:
    fields = set(retrieval_pb.QueryRequest.DESCRIPTOR.fields_by_name)
    assert set(QueryFields.__annotations__) == fields


def test_a_misspelt_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no method Querry; there are .*Query"):
        RagClient(timeouts={"Querry": 1})
