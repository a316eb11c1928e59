"""Whatever is sent, the answer is one of the contract's, names every bad field, and the server lives on."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from ragapi.v1 import errors_pb2
from ragapi.v1 import ingestion_service_pb2 as ingestion
from ragapi.v1 import retrieval_service_pb2 as retrieval
from tests.e2e.bare_client import RPCS, Answer, send
from tests.e2e.broken_requests import Fault, apart, faults_of
from tests.e2e.contract_answers import CODES, check, check_problem
from tests.e2e.examples import examples
from tests.e2e.random_messages import messages
from tests.e2e.valid_requests import GOOD, ITEMS, QUERIES, VALID

pytestmark = pytest.mark.asyncio(loop_scope="module")


def check_refused(answer: Answer, faults: list[Fault]) -> None:
    """Every fault is named, with the reason that the rules give it."""
    sent = " & ".join(map(str, faults))
    assert answer.code is not grpc.StatusCode.OK, sent
    check(answer, sent)
    for fault in faults:
        # Metadata and vectors may say more exactly where.
        named = any(each == fault.path or each.startswith(fault.path + ".") for each in answer.fields)
        assert named, f"{sent}: {fault.path} is not named in {answer}"
    if any(not fault.limit for fault in faults):
        assert answer.reason == "INVALID_FIELD", f"{sent}: {answer}"
    elif sorted(answer.fields) == sorted(fault.path for fault in faults):
        assert answer.reason == "LIMIT_EXCEEDED", f"{sent}: {answer}"
    else:  # a value beyond a limit can contradict another field as well
        assert answer.reason in ("LIMIT_EXCEEDED", "INVALID_FIELD"), f"{sent}: {answer}"


def broken(request: Message, faults: list[Fault], data: st.DataObject) -> Any:
    copy = type(request)()
    copy.CopyFrom(request)
    for fault in faults:
        fault.apply(copy, data.draw(fault.values, label=str(fault)))
    return copy


def draw_faults(faults: list[Fault], data: st.DataObject) -> list[Fault]:
    """Draw several faults that do not hide each other."""
    chosen: list[Fault] = []
    for fault in data.draw(st.lists(st.sampled_from(faults), min_size=2, max_size=4)):
        if all(apart(fault, other) for other in chosen):
            chosen.append(fault)
    return chosen


async def test_the_contract_names_a_code_for_every_reason() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()}  # noqa: SIM118 # no dict
    assert set(CODES) == names - {"UNSPECIFIED"}


WITH_FIELDS = [name for name, requests in VALID.items() if any(map(faults_of, requests))]


@pytest.mark.parametrize("method", VALID)
async def test_the_valid_requests_are_valid(served: grpc.aio.Channel, method: str) -> None:
    for request in VALID[method]:
        answer = await send(served, RPCS[method], request)
        check(answer, request)
        assert answer.reason not in ("INVALID_FIELD", "LIMIT_EXCEEDED"), answer


@pytest.mark.parametrize("method", WITH_FIELDS)
@examples(2)
@given(data=st.data())
async def test_each_field_broken_in_each_way_is_named(
    served: grpc.aio.Channel, method: str, data: st.DataObject
) -> None:
    for request in VALID[method]:
        for fault in faults_of(request):
            sent = broken(request, [fault], data)
            if method == "StreamIngestDocuments":
                check_stream(await send(served, RPCS[method], sent), fault, sent)
            else:
                check_refused(await send(served, RPCS[method], sent), [fault])


def check_stream(answer: Answer, fault: Fault, sent: Any) -> None:
    """A stream goes on: what is wrong with a message is said of each of its items."""
    assert answer.code is grpc.StatusCode.OK, f"{fault}: {answer}"
    (response,) = answer.responses
    assert len(response.results) == len(sent.items)
    for result in response.results:
        check_refused(check_problem(result.problem, fault), [fault])


@pytest.mark.parametrize("method", [each for each in WITH_FIELDS if each != "StreamIngestDocuments"])
@examples(8)
@given(data=st.data())
async def test_several_broken_fields_are_all_named(
    served: grpc.aio.Channel, method: str, data: st.DataObject
) -> None:
    request = data.draw(st.sampled_from([each for each in VALID[method] if faults_of(each)]))
    faults = draw_faults(faults_of(request), data)
    check_refused(await send(served, RPCS[method], broken(request, faults, data)), faults)


@pytest.mark.parametrize("method", ["BatchIngestDocuments", "StreamIngestDocuments"])
@examples(2)
@given(data=st.data())
async def test_a_bad_item_fails_alone(served: grpc.aio.Channel, method: str, data: st.DataObject) -> None:
    rpc = RPCS[method]
    for item in ITEMS:
        for fault in faults_of(item):
            bad = broken(item, [fault], data)
            answer = await send(served, rpc, rpc.request(items=[GOOD, bad, GOOD]))
            assert answer.code is grpc.StatusCode.OK, f"{fault}: {answer}"
            first, second, third = answer.responses[0].results
            assert not first.HasField("problem")
            assert not third.HasField("problem")
            assert second.status == ingestion.INGEST_STATUS_FAILED
            check_refused(check_problem(second.problem, fault), [fault])


@examples(2)
@given(data=st.data())
async def test_a_bad_query_fails_alone(served: grpc.aio.Channel, data: st.DataObject) -> None:
    good = retrieval.QueryRequest(query="hello")
    for query in QUERIES:
        for fault in faults_of(query):
            bad = broken(query, [fault], data)
            request = retrieval.BatchQueryRequest(queries=[good, bad, good])
            answer = await send(served, RPCS["BatchQuery"], request)
            first, second, third = answer.responses[0].results
            assert first.response.results[0].doc_id
            assert third.response == first.response
            check_refused(check_problem(second.problem, fault), [fault])


@pytest.mark.parametrize("method", RPCS)
@examples(15)
@given(data=st.data())
async def test_any_message_gets_an_answer_of_the_contract(
    served: grpc.aio.Channel, method: str, data: st.DataObject
) -> None:
    rpc = RPCS[method]
    request = data.draw(messages(rpc.request))
    answer = await send(served, rpc, request)
    check(answer, request)
    for response in answer.responses:
        for result in getattr(response, "results", ()):
            problem = getattr(result, "problem", None)
            if problem is not None and result.HasField("problem"):
                check_problem(problem, request)


async def test_every_rpc_was_broken() -> None:
    assert set(VALID) == set(RPCS)
    without = set(RPCS) - set(WITH_FIELDS)
    assert without == {"Ping", "GetServerInfo"}  # they have no fields
