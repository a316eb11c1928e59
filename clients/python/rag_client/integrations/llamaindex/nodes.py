"""LlamaIndex's nodes as documents, and hits as nodes again.

A node is stored as one document of one chunk, with its node id as doc_id. LlamaIndex's own format keeps the
whole node, but for its text, in the metadata under "_node_content"; its metadata stands beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode, MetadataMode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from rag_client.models import Chunk, Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag_client.queries import Hit

WHOLE_NODE = "_node_content"


def as_document(node: BaseNode, *, with_embedding: bool) -> Document:
    """Return a node as it is stored, with its embedding where the collection takes the caller's.

    Keys without a value are left out of what filters see, so that IS_EMPTY finds them; the node keeps them.
    """
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    metadata = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
    return Document(
        doc_id=node.node_id,
        text=text,
        metadata={key: value for key, value in metadata.items() if value not in (None, [])},
        chunks=(Chunk(text, vector=node.get_embedding() if with_embedding else None),),
    )


def of_hit(hit: Hit) -> BaseNode:
    """Return what was found: the node that was stored, or a new one for a chunk of any other document."""
    if WHOLE_NODE in hit.metadata:
        return metadata_dict_to_node(dict(hit.metadata), text=hit.chunk.text)
    chunk = hit.chunk
    known = {"title": hit.title, "headings": list(chunk.headings)}
    facts = {name: value for name, value in known.items() if value}
    return TextNode(
        id_=f"{hit.doc_id}#{chunk.ordinal}",
        text=chunk.text,
        metadata={**facts, **hit.metadata},
        start_char_idx=chunk.start,
        end_char_idx=chunk.end,
        relationships=_made_of(hit.doc_id),
    )


def of_document(document: Document) -> BaseNode:
    """Return a document that was read: the node that was stored, or a new one for any other document."""
    if WHOLE_NODE in document.metadata:
        return metadata_dict_to_node(dict(document.metadata), text=document.text)
    metadata: Mapping[str, Any] = document.metadata
    return TextNode(
        id_=document.doc_id,
        text=document.text,
        metadata=dict(metadata),
        relationships=_made_of(document.doc_id),
    )


def _made_of(doc_id: str) -> dict[NodeRelationship, Any]:
    return {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=doc_id)}
