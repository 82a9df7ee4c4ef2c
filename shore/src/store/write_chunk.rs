//! Writing a chunk of a requested file inside a transaction.

use super::error::StoreError;
use super::file_request::{FileRequest, RequestProgress};
use super::file_request_rows;
use super::message::{IngestResult, RejectReason, Rejection};
use super::received_files::ReceivedFiles;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{Chunk, ChunkContent};
use rusqlite::Transaction;

/// Stores a valid chunk that follows what is there; one that was stored before, or that leaves a gap, changes
/// nothing. What contradicts the request, or what the boat has sent before, ends the request.
pub(super) fn store_chunk(
    tx: &Transaction<'_>,
    files: &ReceivedFiles,
    chunk: &Chunk,
    now: Timestamp,
) -> Result<IngestResult, StoreError> {
    let known = file_request_rows::by_id(tx, chunk.request)?;
    let Some(mut request) = known.filter(|r| r.is_open() && r.new.boat == chunk.boat) else {
        return Ok(IngestResult::UnknownRequest {
            boat: chunk.boat.clone(),
            request: chunk.request,
        });
    };
    let result = match &chunk.content {
        ChunkContent::Unavailable(reason) => {
            request.end(RequestProgress::Unavailable, Some(reason.to_string()), now);
            files.parts().discard(chunk.request);
            None
        }
        ChunkContent::Bytes { .. } => match append(files, &mut request, &chunk.content, now)? {
            Ok(()) => None,
            Err(wrong) => {
                if wrong.is_final {
                    request.end(RequestProgress::Failed, Some(wrong.detail.clone()), now);
                    files.parts().discard(chunk.request);
                }
                Some(IngestResult::Rejected(Rejection {
                    reason: RejectReason::Invalid,
                    detail: format!(
                        "{} of {}: {}",
                        request.new.file.as_str(),
                        request.new.sighting,
                        wrong.detail
                    ),
                }))
            }
        },
    };
    file_request_rows::put(tx, &request)?;
    Ok(result.unwrap_or_else(|| IngestResult::ChunkStored {
        boat: chunk.boat.clone(),
        request: Box::new(request),
    }))
}

/// What is wrong with a chunk.
struct WrongChunk {
    detail: String,
    /// Whether the request ends with it.
    is_final: bool,
}

/// Appends a chunk to what is there.
fn append(
    files: &ReceivedFiles,
    request: &mut FileRequest,
    content: &ChunkContent,
    now: Timestamp,
) -> Result<Result<(), WrongChunk>, StoreError> {
    let ChunkContent::Bytes {
        file,
        total,
        offset,
        bytes,
    } = content
    else {
        return Ok(Ok(()));
    };
    let wrong = |is_final, detail| Ok(Err(WrongChunk { detail, is_final }));
    if *total > request.new.max_bytes {
        let most = request.new.max_bytes;
        return wrong(true, format!("file of {total} bytes; {most} are permitted"));
    }
    if request.content != Some(*file) {
        if *offset > 0 {
            let detail = format!("bytes at {offset} of {file}, which has not begun");
            return wrong(false, detail);
        }
        // The first chunk, or the boat has found another file after a restart.
        (request.content, request.total) = (Some(*file), Some(*total));
        request.received = 0;
    }
    if request.total != Some(*total) {
        let before = request.total.unwrap_or(0);
        return wrong(true, format!("file of {total} bytes, {before} before"));
    }
    if *offset != request.received {
        return Ok(Ok(()));
    }
    if !files
        .parts()
        .append(request.new.id, request.received, bytes)?
    {
        // The boat begins again.
        (request.content, request.total, request.received) = (None, None, 0);
        return Ok(Ok(()));
    }
    request.received += bytes.len() as u64;
    if request.received == *total {
        if !files.complete(request.new.id, *file)? {
            return wrong(true, format!("{total} bytes arrived that are not {file}"));
        }
        request.end(RequestProgress::Complete, None, now);
    }
    Ok(Ok(()))
}
