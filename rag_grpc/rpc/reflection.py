"""Lets grpcurl and its like ask what the server has: reflection, v1 and v1alpha.

grpcio-reflection knows v1alpha alone. v1 has the same messages on the wire, so
its servicer answers under both names. Tools that describe all they are told of
also ask for v1's own descriptor, which is therefore derived from v1alpha's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

SERVICES = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_V1_FILE = "grpc/reflection/v1/reflection.proto"


class _Files:
    """The default pool and, beside it, v1's descriptor in a pool of its own, where no import can clash."""

    def __init__(self) -> None:
        alpha = FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
        text = text_format.MessageToString(alpha).replace(".v1alpha", ".v1").replace(alpha.name, _V1_FILE)
        self._v1 = descriptor_pool.DescriptorPool()
        self._v1.Add(text_format.Parse(text, FileDescriptorProto()))
        self._default = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._default, name)

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802 # the pool's name for it
        """Find a file as a pool does. Raises KeyError."""
        return (self._v1 if name == _V1_FILE else self._default).FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 # as above
        """Find the file that holds a symbol, methods among them. Raises KeyError."""
        pool = self._v1 if symbol.startswith("grpc.reflection.v1.") else self._default
        try:
            return pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # Python's pool knows no methods. Other servers' do, so that ghz and grpcurl ask for them.
            service, _, method = symbol.rpartition(".")
            return pool.FindServiceByName(service).methods_by_name[method].containing_service.file


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Register reflection over `services`, under both of its names."""
    servicer = ReflectionServicer((*services, *SERVICES), pool=_Files())
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in SERVICES:
        handler = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
        server.add_generic_rpc_handlers((handler,))
