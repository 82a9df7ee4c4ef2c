//! A pipeline as the configuration gives it: what a person would type behind `gst-launch-1.0`, without the sink.

use std::fmt;
use std::str::FromStr;

/// What is put behind a pipeline. The queue lets go of the oldest frame when a third one comes that nobody has taken, so that a camera never
/// waits for the boat; frames go to descriptor 0, see [`super::process`].
const BEHIND: &str = "! queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 \
     ! videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd=0";

/// The begin of a pipeline of GStreamer, up to raw pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pipeline {
    /// As a shell would split it; at least one.
    words: Vec<String>,
}

/// Why a text is no pipeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Quotes that do not end, or a backslash at the end.
    #[error("a quotation mark or a backslash is not closed")]
    Quotes,
    /// A character that no command line can hold.
    #[error("it holds the control character {0:?}")]
    Control(char),
    /// The program's name, as it stands in recipes.
    #[error("leave out '{0}': what follows it is the pipeline")]
    Program(String),
    /// An option of `gst-launch-1.0`.
    #[error("'{0}' is an option of gst-launch-1.0 and no part of a pipeline")]
    Option(String),
    /// It ends where frames should come out.
    #[error(
        "it ends in the sink '{0}': leave it out, frames go from the element before it to the boat"
    )]
    Sink(String),
    /// A `!` with nothing before or behind it.
    #[error("a '!' stands at its {0}, with no element there")]
    Link(&'static str),
}

impl Pipeline {
    /// The arguments of `gst-launch-1.0`.
    pub(super) fn arguments(&self) -> Vec<&str> {
        let words = self.words.iter().map(String::as_str);
        // Without its handler of faults: it would wait for a debugger where a plug-in crashes.
        ["-q", "--no-fault"]
            .into_iter()
            .chain(words)
            .chain(BEHIND.split_whitespace())
            .collect()
    }
}

impl FromStr for Pipeline {
    type Err = PipelineError;

    fn from_str(text: &str) -> Result<Self, PipelineError> {
        let spaced = |c: char| c.is_whitespace() && c.is_ascii();
        if let Some(control) = text.chars().find(|c| c.is_control() && !spaced(*c)) {
            return Err(PipelineError::Control(control));
        }
        let mut words = shlex::split(text).ok_or(PipelineError::Quotes)?;
        // What is left of a line that goes on behind a backslash.
        words.retain(|word| !word.is_empty());
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return Err(PipelineError::Empty);
        };
        if first
            .rsplit('/')
            .next()
            .is_some_and(|p| p.starts_with("gst-launch"))
        {
            return Err(PipelineError::Program(first.clone()));
        }
        if let Some(option) = words.iter().find(|w| w.starts_with('-')) {
            return Err(PipelineError::Option(option.clone()));
        }
        for (word, end) in [(first, "begin"), (last, "end")] {
            if word == "!" {
                return Err(PipelineError::Link(end));
            }
        }
        // Behind the last link stands the element from which frames come. One before it may be a sink: of a branch that records.
        let element = words.rsplit(|w| w == "!").next().and_then(<[_]>::first);
        if let Some(sink) = element.filter(|e| e.ends_with("sink")) {
            return Err(PipelineError::Sink(sink.clone()));
        }
        Ok(Self { words })
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_split_as_a_shell_would() {
        let text = "nvarguscamerasrc sensor-id=0 !\n 'video/x-raw(memory:NVMM),width=1920' \\\n ! nvvidconv name=\"the bow\"";
        let pipeline: Pipeline = text.parse().unwrap();
        let arguments = pipeline.arguments();
        assert_eq!(
            arguments[..9],
            [
                "-q",
                "--no-fault",
                "nvarguscamerasrc",
                "sensor-id=0",
                "!",
                "video/x-raw(memory:NVMM),width=1920",
                "!",
                "nvvidconv",
                "name=the bow"
            ]
        );
        assert_eq!(arguments[9..11], ["!", "queue"]);
        assert_eq!(arguments[arguments.len() - 2..], ["fdsink", "fd=0"]);
    }

    #[test]
    fn what_is_no_pipeline_says_why() {
        let why = |text: &str| text.parse::<Pipeline>().unwrap_err().to_string();
        for (text, word) in [
            (" \n", "empty"),
            ("src name='a", "not closed"),
            ("src \0", "'\\0'"),
            ("src \u{1b}[0m", "'\\u{1b}'"),
            ("gst-launch-1.0 src", "leave out 'gst-launch-1.0'"),
            ("/usr/bin/gst-launch-1.0 -e src", "leave out"),
            ("-e src ! conv", "'-e' is an option"),
            ("src ! conv !", "at its end"),
            ("! src", "at its begin"),
            ("src ! nvoverlaysink sync=false", "the sink 'nvoverlaysink'"),
            ("src ! fdsink", "the sink 'fdsink'"),
            ("autovideosink", "the sink"),
        ] {
            let said = why(text);
            assert!(said.contains(word), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_branch_that_records_may_have_its_sink() {
        let text = "src ! tee name=t ! queue ! enc ! filesink location=a.h265 t. ! queue ! conv";
        assert!(text.parse::<Pipeline>().is_ok());
    }
}
