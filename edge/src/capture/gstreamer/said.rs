//! What a pipeline says while it works, of which the last word counts when it fails.

/// So much of a line is kept, in bytes.
const LONGEST_LINE: usize = 400;

/// The lines of a pipeline, of which few are kept.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The line that has not ended yet.
    line: Vec<u8>,
    last: Option<String>,
    /// The first line that says that something is wrong, and how clearly it says so.
    trouble: Option<(u8, String)>,
}

impl Said {
    /// More was said.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                self.end_line();
            } else if self.line.len() < LONGEST_LINE {
                self.line.push(*byte);
            }
        }
    }

    /// It will say no more.
    pub(super) fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.replace(|c: char| c.is_control(), " ");
        let line = line.trim();
        if !line.is_empty() {
            tracing::debug!("gst-launch-1.0: {line}");
            let clearly = clearly(line);
            if clearly > self.trouble.as_ref().map_or(0, |(before, _)| *before) {
                self.trouble = Some((clearly, line.to_owned()));
            }
            self.last = Some(line.to_owned());
        }
        self.line.clear();
    }

    /// What most likely is the reason, where anything was said.
    pub(super) fn reason(&self) -> Option<&str> {
        let trouble = self.trouble.as_ref().map(|(_, line)| line);
        trouble.or(self.last.as_ref()).map(String::as_str)
    }
}

/// How clearly a line says that something is wrong. GStreamer's own errors come first in their group, with where in its source they
/// arose and what that led to behind them; NVIDIA's libraries say "Error" in their own ways.
fn clearly(line: &str) -> u8 {
    if line.starts_with("ERROR") || line.starts_with("WARNING: erroneous pipeline") {
        2
    } else {
        u8::from(line.to_ascii_lowercase().contains("error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> Option<String> {
        let mut said = Said::default();
        // As it may come: in pieces.
        text.as_bytes().chunks(7).for_each(|piece| said.hear(piece));
        said.end_line();
        said.reason().map(str::to_owned)
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
    fn endless_lines_take_no_memory() {
        let long = "x".repeat(100_000);
        assert_eq!(reason(&long).unwrap().len(), LONGEST_LINE);
    }
}
