"""The proto as a later version may have it: each message has a field more, each enum a value more."""

from __future__ import annotations

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.rpc import status_pb2

from gateway._gen.disgateway.v1 import checkpoint_pb2 as pb

ADDED_NUMBER, ADDED_VALUE = 900, 77


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        message.field.add(
            name="added",
            json_name="added",
            number=ADDED_NUMBER,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
        )
    for enum in file.enum_type:
        enum.value.add(name=f"{enum.value[0].name.removesuffix('UNSPECIFIED')}ADDED", number=ADDED_VALUE)
    return file


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for imported in (any_pb2, duration_pb2, status_pb2):
        pool.AddSerializedFile(imported.DESCRIPTOR.serialized_pb)
    pool.Add(_file())
    return pool


_POOL = _pool()


def kind(name: str) -> Any:
    """The class of a message of the later version, by its name."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"disgateway.v1.{name}"))


def message(name: str, **fields: Any) -> Any:
    """A message of the later version, by its name."""
    return kind(name)(**fields)
