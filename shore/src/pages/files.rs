//! The files of encounters that boats have sent.

use super::error::PageResult;
use super::format;
use crate::picture_check::is_displayable;
use crate::request::{AppState, RequestError};
use crate::store::{FileRequest, RequestProgress, Store, StoreError};
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::IntoResponse;
use flukewatch_common::file_kind::FileKind;
use flukewatch_common::file_transfer::EncounterFile;
use flukewatch_common::footage::MAX_CROPS;
use flukewatch_http::file_body;
use std::fs::File;
use std::io::{self, Read, Seek};
use uuid::Uuid;

/// The largest crop that is read, in bytes.
const MAX_CROP_BYTES: u64 = 32 << 20;
const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// A file of the sighting of a page that was requested.
pub(super) struct RequestedFile {
    /// The request's id.
    pub(super) id: String,
    /// `Clip` or `Crops`.
    pub(super) name: &'static str,
    /// The class of the badge.
    pub(super) class: &'static str,
    /// The text of the badge.
    pub(super) headline: String,
    /// Why the file is missing; empty where that does not apply.
    pub(super) reason: String,
    /// Received bytes and all, present while it is being received.
    pub(super) bar: Option<(u64, u64)>,
    /// The size of the file, if it is here.
    pub(super) size: Option<String>,
    /// The numbers of the crops in it.
    pub(super) crops: Vec<usize>,
}

impl RequestedFile {
    /// What a page says of `request`. It blocks.
    pub(super) fn of(request: &FileRequest, store: &dyn Store) -> Result<Self, StoreError> {
        let is_complete = request.progress == RequestProgress::Complete;
        let mut crops = vec![];
        if is_complete
            && request.new.file == EncounterFile::Crops
            && let Some((_, file)) = store.received_file(request.new.id)?
        {
            // What a boat has sent may be anything.
            crops = crop_numbers(file).unwrap_or_default();
        }
        let (class, headline) = headline(request);
        Ok(Self {
            id: request.new.id.to_string(),
            name: match request.new.file {
                EncounterFile::Clip => "Clip",
                EncounterFile::Crops => "Crops",
            },
            class,
            headline,
            reason: request.reason.clone().unwrap_or_default(),
            bar: request
                .total
                .filter(|_| request.is_open())
                .map(|total| (request.received, total)),
            size: request.total.filter(|_| is_complete).map(format::size),
            crops,
        })
    }
}

/// Class and text of the badge.
fn headline(request: &FileRequest) -> (&'static str, String) {
    let ended = request.ended_at.map(format::time).unwrap_or_default();
    match request.progress {
        RequestProgress::Open => {
            let requested = format::time(request.requested_at);
            ("offline", format!("requested {requested}"))
        }
        RequestProgress::Complete => ("ok", format!("received {ended}")),
        RequestProgress::Unavailable => ("critical", format!("not available, {ended}")),
        RequestProgress::Failed => ("critical", format!("failed {ended}")),
        RequestProgress::Cancelled => ("offline", format!("cancelled {ended}")),
        RequestProgress::Expired => ("warning", format!("expired {ended}")),
    }
}

/// Serves a file that is complete.
pub(super) async fn file(State(state): State<AppState>, Path(id): Path<String>) -> PageResult {
    let id: Uuid = id.parse().map_err(|_| RequestError::NotFound)?;
    let opened = state.with_store(move |s| s.received_file(id)).await?;
    let (request, mut file) = opened.ok_or(RequestError::NotFound)?;
    let looked = tokio::task::spawn_blocking(move || {
        let bytes = file.metadata()?.len();
        let kind = FileKind::read(&mut file)?;
        file.rewind()?;
        let is_avi = starts_with(&mut file, b"RIFF")?;
        io::Result::Ok((file, bytes, kind, is_avi))
    });
    let (file, bytes, kind, is_avi) = looked.await?.map_err(|error| {
        tracing::error!(%error, "cannot read a received file");
        RequestError::NotFound
    })?;
    let (media_type, extension) = match (request.new.file, kind, is_avi) {
        (EncounterFile::Crops, ..) => ("application/x-tar", "tar"),
        (EncounterFile::Clip, FileKind::Video, true) => ("video/x-msvideo", "avi"),
        (EncounterFile::Clip, FileKind::Video, false) => ("video/x-matroska", "mkv"),
        (EncounterFile::Clip, ..) => ("application/octet-stream", "bin"),
    };
    let (sighting, name) = (request.new.sighting, request.new.file.as_str());
    let disposition = format!("attachment; filename=\"{sighting}-{name}.{extension}\"");
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, IMMUTABLE.to_owned()),
    ];
    Ok((headers, file_body(file, bytes)).into_response())
}

/// Serves a crop of a recording that is complete.
pub(super) async fn crop(
    State(state): State<AppState>,
    Path((id, name)): Path<(String, String)>,
) -> PageResult {
    let id: Uuid = id.parse().map_err(|_| RequestError::NotFound)?;
    let number = name
        .strip_prefix("crop-")
        .and_then(|n| n.strip_suffix(".jpg"));
    let number = number.and_then(|number| number.parse().ok());
    let number: usize = number.ok_or(RequestError::NotFound)?;
    let jpeg = state.with_store(move |s| {
        let opened = s.received_file(id)?;
        let is_recording = |r: &FileRequest| r.new.file == EncounterFile::Crops;
        let opened = opened.filter(|(request, _)| is_recording(request));
        Ok(opened.and_then(|(_, file)| read_crop(file, number).ok().flatten()))
    });
    let jpeg = jpeg.await?.ok_or(RequestError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "image/jpeg"),
        (header::CACHE_CONTROL, IMMUTABLE),
    ];
    Ok((headers, jpeg).into_response())
}

/// The numbers of the crops in a recording.
fn crop_numbers(file: File) -> io::Result<Vec<usize>> {
    let mut archive = tar::Archive::new(file);
    let mut numbers = vec![];
    for entry in archive.entries_with_seek()?.raw(true).take(MAX_CROPS + 1) {
        let entry = entry?;
        let bytes = entry.path_bytes();
        numbers.extend((1..=MAX_CROPS).find(|number| *bytes == *crop_name(*number).as_bytes()));
    }
    Ok(numbers)
}

/// A crop of a recording; `None` where it is missing or cannot be displayed.
fn read_crop(file: File, number: usize) -> io::Result<Option<Vec<u8>>> {
    let mut archive = tar::Archive::new(file);
    for entry in archive.entries_with_seek()?.raw(true).take(MAX_CROPS + 1) {
        let entry = entry?;
        if *entry.path_bytes() == *crop_name(number).as_bytes() && entry.size() <= MAX_CROP_BYTES {
            let mut jpeg = vec![];
            entry.take(MAX_CROP_BYTES).read_to_end(&mut jpeg)?;
            return Ok(Some(jpeg).filter(|jpeg| is_displayable(jpeg)));
        }
    }
    Ok(None)
}

fn crop_name(number: usize) -> String {
    format!("crop-{number}.jpg")
}

/// Whether a file starts so; it is at its start afterwards.
fn starts_with(file: &mut File, magic: &[u8; 4]) -> io::Result<bool> {
    let mut start = [0; 4];
    let read = file.read(&mut start)?;
    file.rewind()?;
    Ok(read == magic.len() && start == *magic)
}
