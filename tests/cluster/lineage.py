"""ML Metadata, where Kubeflow keeps the lineage: the few messages of its API that lead from an artifact to the data.

Its Python client comes with TensorFlow's build system and runs on no current Python, so that these are written out.
https://github.com/google/ml-metadata/blob/master/ml_metadata/proto/metadata_store_service.proto
"""

from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto

SERVICE = "metadata-grpc-service", 8080
INPUTS, OUTPUTS = (2, 3, 5), (1, 4, 6)  # types of an event
# Message -> field -> number and type; a list is repeated.
MESSAGES: Mapping[str, Mapping[str, tuple[int, Any]]] = {
    "Value": {"string_value": (3, "string")},
    "Property": {"key": (1, "string"), "value": (2, "Value")},  # an entry of a map
    "Artifact": {"id": (1, "int64"), "uri": (3, "string"), "custom_properties": (5, ["Property"])},
    "Event": {"artifact_id": (1, "int64"), "execution_id": (2, "int64"), "type": (4, "int32")},
    "Artifacts": {"artifacts": (1, ["Artifact"])},
    "Events": {"events": (1, ["Event"])},
    "Uris": {"uris": (2, ["string"])},
    "ArtifactIds": {"artifact_ids": (1, ["int64"])},
    "ExecutionIds": {"execution_ids": (1, ["int64"])},
}


def known_lineage(address: str, uri: str) -> dict[str, str]:
    """Return the kind of an artifact and of all that it was made of, by the digest in their metadata.

    Args:
        address: ``host:port`` of the gRPC service.
        uri: Of the artifact.
    """
    with grpc.insecure_channel(address) as channel:
        found = {each.id: each for each in _ask(channel, "GetArtifactsByURI", "Artifacts", "Uris", [uri])}
        seen, fresh = set(), set(found)
        while fresh:
            seen |= fresh
            makers = [each.execution_id for each in _events(channel, "Artifact", fresh) if each.type in OUTPUTS]
            taken = {each.artifact_id for each in _events(channel, "Execution", makers) if each.type in INPUTS}
            fresh = taken - seen
        artifacts = list(_ask(channel, "GetArtifactsByID", "Artifacts", "ArtifactIds", seen))
    told = [{each.key: each.value.string_value for each in artifact.custom_properties} for artifact in artifacts]
    return {each["digest"]: each["kind"] for each in told if "digest" in each}


def _events(channel: grpc.Channel, of: str, ids: Any) -> Iterator[Any]:
    return _ask(channel, f"GetEventsBy{of}IDs", "Events", f"{of}Ids", ids) if ids else iter(())


def _ask(channel: grpc.Channel, method: str, answer: str, question: str, values: Any) -> Iterator[Any]:
    """Ask with the one field of a message, give what is in the one field of another."""
    given, gotten = CLASSES[question], CLASSES[answer]
    call = channel.unary_unary(
        f"/ml_metadata.MetadataStoreService/{method}",
        request_serializer=given.SerializeToString,
        response_deserializer=gotten.FromString,
    )
    (taken,), (field,) = MESSAGES[question], MESSAGES[answer]
    return iter(getattr(call(given(**{taken: list(values)}), timeout=60), field))


def _classes() -> dict[str, Any]:
    types = {"string": {"type": "TYPE_STRING"}, "int64": {"type": "TYPE_INT64"}, "int32": {"type": "TYPE_INT32"}}
    types |= {name: {"type": "TYPE_MESSAGE", "typeName": f".lineage.{name}"} for name in MESSAGES}
    described = [
        {
            "name": name,
            "field": [
                {"name": field, "number": number, **types[kind[0] if isinstance(kind, list) else kind],
                 "label": "LABEL_REPEATED" if isinstance(kind, list) else "LABEL_OPTIONAL"}
                for field, (number, kind) in fields.items()
            ],
        }
        for name, fields in MESSAGES.items()
    ]  # fmt: skip
    file = json_format.ParseDict(
        {"name": "lineage", "package": "lineage", "messageType": described}, FileDescriptorProto()
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"lineage.{name}")) for name in MESSAGES}


CLASSES = _classes()
