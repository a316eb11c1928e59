"""What another embedder changes of a stored document: the texts to embed, and the two hashes.

Chunks stay as they are: whoever wants them cut to what the new embedder reads sends the
documents again. So the hashes must say the truth: a document that comes again is UNCHANGED
only where it would get the very chunks and vectors that are stored. `embedding_key` says
which forms there are; which one a document came in is not stored, but can be found out:

- its old key is that of chunks without vectors: the caller made the chunks, and will again;
- splitting its text for the new embedder gives the chunks that are there: the new key is
  that of a text;
- its chunks stand under no headings: they are what the caller's own chunks would be;
- else nothing that can be sent gives these chunks, and the key is one that nothing has.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag_grpc.core.errors import RagError
from rag_grpc.core.hashing import canonical_metadata, content_hash, embedding_key
from rag_grpc.core.models import ChunkDraft, Collection, DocumentDraft
from rag_grpc.core.preparation import Workshop, make_chunks, texts_to_embed
from rag_grpc.core.shadow import ShadowContent, StoredContent, Target


class Renewal:
    """Prepares the contents of one collection for another embedder. Callable from any thread."""

    def __init__(self, collection: Collection, target: Target, workshop: Workshop) -> None:
        """`collection` is as it is before."""
        self._before = collection
        self._after = replace(
            collection,
            embedder=target.embedder,
            embedder_fingerprint=target.fingerprint,
            dimension=target.dimension,
        )
        self._workshop = workshop

    def texts(self, content: StoredContent) -> list[str]:
        """Say what stands for each chunk in the new embedding.

        Raises NotConfigured where chunks are bounded by tokens that the embedder cannot count.
        """
        return texts_to_embed(_text_draft(content), content.chunks, self._after, self._workshop)

    def renewed(self, content: StoredContent, vectors: NDArray[np.float32] | None) -> ShadowContent:
        """Put the new hashes beside the new vectors; None where those were made before."""
        key = self._key(content)
        metadata = canonical_metadata(self._workshop.codec.unpack(content.packed_metadata))
        hashed = content_hash(
            key, text=content.text, title=content.title, media_type=content.media_type, metadata=metadata
        )
        return ShadowContent(content.key, content.revision, key, hashed, vectors)

    def _key(self, content: StoredContent) -> bytes:
        chunks = tuple(ChunkDraft(each.text, each.start, each.end) for each in content.chunks)
        own = _text_draft(content)._replace(chunks=chunks)
        if self._hash(own, self._before) == content.embedding_key:
            return self._hash(own, self._after)
        if self._would_be_split_so(content):
            return self._hash(_text_draft(content), self._after)
        if not any(each.headings for each in content.chunks):
            return self._hash(own, self._after)
        nothing = b"\0".join(
            (b"reembedded", self._after.embedder_fingerprint.encode(), content.embedding_key)
        )
        return hashlib.sha256(nothing).digest()

    def _would_be_split_so(self, content: StoredContent) -> bool:
        if not content.text.strip():
            return False
        try:
            return make_chunks(_text_draft(content), self._after, self._workshop) == content.chunks
        except RagError:
            # More chunks than are allowed by now, for example: it would not be taken again as it is.
            return False

    def _hash(self, draft: DocumentDraft, collection: Collection) -> bytes:
        return embedding_key(
            draft,
            fingerprint=collection.embedder_fingerprint,
            splitter=self._workshop.splitter.version,
            chunking=collection.chunking,
        )


def _text_draft(content: StoredContent) -> DocumentDraft:
    return DocumentDraft(content.doc_id, content.text, content.media_type, content.title)
