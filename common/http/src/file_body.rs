//! The body of a response that is read from a file while it is sent.

use axum::body::Body;
use hyper::body::{Bytes, Frame, SizeHint};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// The bytes that are read at a time.
const PIECE: usize = 64 * 1024;
/// Pieces that are read ahead of the client.
const AHEAD: usize = 4;

/// The next `bytes` of `file`. No more than a few pieces of them are in memory, however slow the client is.
pub fn file_body(mut file: File, bytes: u64) -> Body {
    let (send, pieces) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut left = bytes;
        while left > 0 {
            let piece = next_piece(&mut file, left);
            let failed = piece.is_err();
            left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
            // The client may be gone.
            if send.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    Body::new(FileBody {
        pieces,
        left: bytes,
    })
}

fn next_piece(file: &mut File, left: u64) -> io::Result<Bytes> {
    let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
    let mut piece = vec![0; most];
    let read = file.read(&mut piece)?;
    if read == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    piece.truncate(read);
    Ok(piece.into())
}

struct FileBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl hyper::body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let next = self.pieces.poll_recv(context);
        next.map(|piece| {
            piece.map(|piece| {
                let piece = piece?;
                self.left = self.left.saturating_sub(piece.len() as u64);
                Ok(Frame::data(piece))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::io::{Seek, Write};

    fn file(content: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("flukewatch-body-{}", content.len()));
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(true);
        let mut file = options.open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_is_sent_as_it_is() {
        let content: Vec<u8> = (0..3 * PIECE + 5).map(|i| (i % 251) as u8).collect();
        let body = file_body(file(&content), content.len() as u64);
        let sent = body.collect().await.unwrap().to_bytes();
        assert!(*sent == content);
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_announced_is_an_error() {
        let body = file_body(file(b"whale"), 9);
        assert!(body.collect().await.is_err());
    }
}
