//! Sends the files that shore has requested, after everything else.

use super::{UploadError, Uploader};
use crate::uplink::link::Uplink;
use flukewatch_common::file_transfer::Command;
use flukewatch_common::{topic, wire};

impl<U: Uplink> Uploader<U> {
    /// Takes a command of shore; an empty one says that nothing is wanted any more.
    pub(super) async fn receive_command(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let command = if bytes.is_empty() {
            None
        } else {
            match wire::decode::<Command>(bytes) {
                Ok(command) if command.boat == self.boat && command.validate().is_ok() => {
                    Some(command)
                }
                Ok(command) => {
                    tracing::warn!(boat = %command.boat, "ignoring invalid command, or one for another boat");
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "ignoring malformed command");
                    return Ok(());
                }
            }
        };
        let outdated = command.as_ref().is_some_and(|c| self.files.is_outdated(c));
        if outdated || !self.keep_requested(command.as_ref()).await? {
            tracing::warn!("ignoring command that is older than another one");
            return Ok(());
        }
        match command {
            Some(command) => self.files.replace(command),
            None => self.files.clear(),
        }
        Ok(())
    }

    /// Keeps the requested files from being deleted. Returns whether the command is not older than another one,
    /// perhaps of before a restart.
    async fn keep_requested(&mut self, command: Option<&Command>) -> Result<bool, UploadError> {
        let files = command.map_or(&[][..], |command| &command.files[..]);
        if !self.files.differ_from(files) {
            return Ok(true);
        }
        let (command, now) = (command.cloned(), self.clock.now());
        let kept = self
            .with_queue(move |queue| queue.keep_requested_files(command.as_ref(), now))
            .await;
        match kept {
            // They can be sent all the same.
            Err(UploadError::Outbox(error)) => {
                tracing::warn!(%error, "cannot keep requested files from being deleted");
                Ok(true)
            }
            kept => kept,
        }
    }

    /// Sends chunks of the requested files, as many as there is room for.
    pub(super) async fn send_files(&mut self) -> Result<(), UploadError> {
        loop {
            let meter = &self.meter;
            let next = self
                .files
                .next(meter.ack_timeout(self.settings.ack_timeout), |f| {
                    meter.file_chunk(f.file, f.over_any_link)
                });
            let Some((index, bytes)) = next else {
                return Ok(());
            };
            let mut in_flight = self.in_flight.values();
            let is_examined = in_flight.any(|m| m.alone && m.accepted.is_none());
            if is_examined || !self.has_room(u64::from(bytes)) {
                return Ok(());
            }
            let mut files = std::mem::take(&mut self.files);
            let (files, chunk) = self
                .with_queue(move |queue| {
                    let chunk = files.chunk(index, bytes, queue);
                    Ok((files, chunk))
                })
                .await?;
            self.files = files;
            let Some(mut chunk) = chunk? else {
                return Ok(());
            };
            let message = std::mem::take(&mut chunk.message);
            let length = message.len() as u64;
            let sent = self.uplink.send_chunk(message);
            if !sent.map_err(|e| self.disconnected(e))? {
                return Ok(());
            }
            self.meter.sent(&topic::of_chunks(&self.boat), length);
            self.files.sent(&chunk);
        }
    }
}
