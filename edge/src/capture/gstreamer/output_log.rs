//! What a pipeline prints, of which the most telling line is kept for when it fails.

/// The longest line that is kept, in bytes.
const MAX_LINE: usize = 400;

/// How clearly a line reports an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    /// It contains "error", as NVIDIA's libraries print it.
    Mentioned,
    /// GStreamer's own error format.
    Reported,
}

/// The output of a pipeline, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct OutputLog {
    /// The last line, which has no line break yet.
    line: Vec<u8>,
    last: Option<String>,
    /// The first of the clearest error lines: GStreamer's errors are followed by their source
    /// location and by the errors that they caused.
    error: Option<(Severity, String)>,
}

impl OutputLog {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.end_line();
            } else if self.line.len() < MAX_LINE {
                self.line.push(*byte);
            }
        }
    }

    /// Completes the last line, at the end of the output too.
    pub(super) fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.replace(|c: char| c.is_control(), " ");
        let line = line.trim();
        if !line.is_empty() {
            tracing::debug!(line, "gst-launch-1.0 output");
            let severity = severity(line);
            if severity > self.error.as_ref().map(|(before, _)| *before) {
                self.error = severity.map(|severity| (severity, line.to_owned()));
            }
            self.last = Some(line.to_owned());
        }
        self.line.clear();
    }

    /// The most likely reason of a failure: the first error, or else the last line.
    pub(super) fn reason(&self) -> Option<&str> {
        let error = self.error.as_ref().map(|(_, line)| line);
        error.or(self.last.as_ref()).map(String::as_str)
    }
}

fn severity(line: &str) -> Option<Severity> {
    if line.starts_with("ERROR") || line.starts_with("WARNING: erroneous pipeline") {
        Some(Severity::Reported)
    } else {
        let mentioned = line.to_ascii_lowercase().contains("error");
        mentioned.then_some(Severity::Mentioned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<String> {
        let mut log = OutputLog::default();
        // In pieces, as it arrives.
        text.as_bytes().chunks(7).for_each(|piece| log.push(piece));
        log.end_line();
        log.reason().map(str::to_owned)
    }

    #[test]
    fn the_reason_is_the_first_error_or_else_the_last_line() {
        let gst = "Setting up\nERROR: from element /v4l2src0: Cannot identify device '/dev/video77'.\n\
                   Additional debug info:\nsystem error: No such file\nERROR: pipeline doesn't want to preroll.\n";
        assert_eq!(
            reason(gst).unwrap(),
            "ERROR: from element /v4l2src0: Cannot identify device '/dev/video77'."
        );
        let argus = "GST_ARGUS: Creating output stream\nError generated. execute:740 No cameras available\nGST_ARGUS: done\n";
        assert!(reason(argus).unwrap().ends_with("No cameras available"));
        assert_eq!(reason("one\n\n two \n\n").unwrap(), "two");
        assert_eq!(reason("no end of line").unwrap(), "no end of line");
        assert_eq!(reason("\n \n"), None);
    }

    #[test]
    fn endless_lines_are_truncated() {
        let long = "x".repeat(100_000);
        assert_eq!(reason(&long).unwrap().len(), MAX_LINE);
    }
}
