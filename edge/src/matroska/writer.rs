//! Writes a stream of one video track.

use super::element::{SCALE, UNKNOWN_SIZE, id, put, put_id, put_number};
use crate::encoded_frame::{Codec, StreamFormat};
use std::io::{self, Write};

/// The name of `codec` in Matroska.
fn codec_id(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::H264 => b"V_MPEG4/ISO/AVC",
        Codec::H265 => b"V_MPEGH/ISO/HEVC",
    }
}

/// A stream being written. It can be read at any time, up to the last frame.
pub(crate) struct Writer<W> {
    stream: W,
    /// The time of the current cluster, in milliseconds.
    cluster: Option<i64>,
    /// What is written next; its memory is reused.
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn new(mut stream: W, format: &StreamFormat) -> io::Result<Self> {
        let mut head = vec![];
        let mut ebml = vec![];
        put_number(&mut ebml, id::EBML_VERSION, 1);
        put_number(&mut ebml, id::EBML_READ_VERSION, 1);
        put_number(&mut ebml, id::EBML_MAX_ID_LENGTH, 4);
        put_number(&mut ebml, id::EBML_MAX_SIZE_LENGTH, 8);
        put(&mut ebml, id::DOC_TYPE, b"matroska");
        put_number(&mut ebml, id::DOC_TYPE_VERSION, 4);
        put_number(&mut ebml, id::DOC_TYPE_READ_VERSION, 2);
        put(&mut head, id::EBML, &ebml);
        put_id(&mut head, id::SEGMENT);
        head.extend_from_slice(&UNKNOWN_SIZE.to_be_bytes());
        let mut info = vec![];
        put_number(&mut info, id::TIMESTAMP_SCALE, SCALE);
        put(&mut info, id::MUXING_APP, b"Flukewatch");
        put(&mut info, id::WRITING_APP, b"Flukewatch");
        put(&mut head, id::INFO, &info);
        let mut video = vec![];
        put_number(&mut video, id::PIXEL_WIDTH, format.width.into());
        put_number(&mut video, id::PIXEL_HEIGHT, format.height.into());
        let mut entry = vec![];
        put_number(&mut entry, id::TRACK_NUMBER, 1);
        put_number(&mut entry, id::TRACK_UID, 1);
        put_number(&mut entry, id::TRACK_TYPE, 1);
        put_number(&mut entry, id::FLAG_LACING, 0);
        put(&mut entry, id::CODEC_ID, codec_id(format.codec));
        put(&mut entry, id::CODEC_PRIVATE, &format.configuration);
        put(&mut entry, id::VIDEO, &video);
        let mut tracks = vec![];
        put(&mut tracks, id::TRACK_ENTRY, &entry);
        put(&mut head, id::TRACKS, &tracks);
        stream.write_all(&head)?;
        Ok(Self {
            stream,
            cluster: None,
            buffer: vec![],
        })
    }

    /// Appends a frame that is shown at `millis` of the stream, which is not negative. A key frame needs
    /// no other one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn frame(&mut self, millis: i64, is_key: bool, frame: &[u8]) -> io::Result<()> {
        self.buffer.clear();
        // A frame's time is relative to its cluster's, in 16 bits.
        let relative = |cluster: i64| i16::try_from(millis - cluster).ok();
        let current = self.cluster.filter(|_| !is_key).and_then(relative);
        let after = current.unwrap_or_else(|| {
            self.cluster = Some(millis);
            put_id(&mut self.buffer, id::CLUSTER);
            self.buffer.extend_from_slice(&UNKNOWN_SIZE.to_be_bytes());
            put_number(&mut self.buffer, id::TIMESTAMP, millis.unsigned_abs());
            0
        });
        put_id(&mut self.buffer, id::SIMPLE_BLOCK);
        let size = 4 + frame.len() as u64;
        self.buffer
            .extend_from_slice(&(1 << 56 | size).to_be_bytes());
        // Track 1.
        self.buffer.push(0x81);
        self.buffer.extend_from_slice(&after.to_be_bytes());
        self.buffer.push(if is_key { 0x80 } else { 0 });
        self.stream.write_all(&self.buffer)?;
        self.stream.write_all(frame)
    }

    /// The stream below.
    pub(crate) fn stream(&self) -> &W {
        &self.stream
    }

    /// The stream below, at its end.
    pub(crate) fn into_stream(self) -> W {
        self.stream
    }
}
