//! A configured pipeline: the arguments of `gst-launch-1.0` without a sink.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Appended to a pipeline. The queue drops its oldest frame for a third one, so that a camera never
/// waits for the boat. Frames go to descriptor 0, see [`super::process`].
const SUFFIX: &str = "! queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 \
     ! videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd=0";

/// A GStreamer pipeline up to raw images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GstPipeline {
    /// Its words, split like a shell does; at least one.
    words: Vec<String>,
}

/// Why the text of a pipeline is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GstPipelineError {
    /// The pipeline has no words.
    #[error("empty pipeline")]
    Empty,
    /// An unclosed quote, or a backslash at the end.
    #[error("unclosed quote or trailing backslash")]
    Quotes,
    /// The text contains a control character.
    #[error("invalid control character {0:?}")]
    Control(char),
    /// The program's name in front.
    #[error("remove '{0}': the pipeline is what follows it")]
    Program(String),
    /// An option of `gst-launch-1.0`.
    #[error("remove '{0}': options of gst-launch-1.0 are not part of a pipeline")]
    Option(String),
    /// A sink at the end.
    #[error("remove the sink '{0}': the boat reads the frames of the element before it")]
    Sink(String),
    /// A `!` at the start or end.
    #[error("missing element at the {0}, beside '!'")]
    Link(&'static str),
}

impl GstPipeline {
    /// The arguments of `gst-launch-1.0`.
    pub(super) fn arguments(&self) -> Vec<String> {
        arguments(self.words.iter().cloned())
    }
}

/// The arguments for the images of the Video4Linux2 device at `path`, in the largest size up to `width` and `height`.
pub(super) fn of_device(path: &Path, (width, height): (u32, u32)) -> Vec<String> {
    let source = [
        "v4l2src".into(),
        format!("device={}", path.display()),
        "!".into(),
        format!("video/x-raw,width=[1,{width}],height=[1,{height}]"),
    ];
    arguments(source)
}

fn arguments(words: impl IntoIterator<Item = String>) -> Vec<String> {
    // Without its fault handler, which waits for a debugger when a plug-in crashes.
    let start = ["-q", "--no-fault"].map(str::to_owned);
    let end = SUFFIX.split_whitespace().map(str::to_owned);
    start.into_iter().chain(words).chain(end).collect()
}

impl FromStr for GstPipeline {
    type Err = GstPipelineError;

    fn from_str(text: &str) -> Result<Self, GstPipelineError> {
        let spaced = |c: char| c.is_whitespace() && c.is_ascii();
        if let Some(control) = text.chars().find(|c| c.is_control() && !spaced(*c)) {
            return Err(GstPipelineError::Control(control));
        }
        let mut words = shlex::split(text).ok_or(GstPipelineError::Quotes)?;
        // Left over from line continuations.
        words.retain(|word| !word.is_empty());
        let (Some(first), Some(last)) = (words.first(), words.last()) else {
            return Err(GstPipelineError::Empty);
        };
        if first
            .rsplit('/')
            .next()
            .is_some_and(|p| p.starts_with("gst-launch"))
        {
            return Err(GstPipelineError::Program(first.clone()));
        }
        if let Some(option) = words.iter().find(|w| w.starts_with('-')) {
            return Err(GstPipelineError::Option(option.clone()));
        }
        for (word, end) in [(first, "start"), (last, "end")] {
            if word == "!" {
                return Err(GstPipelineError::Link(end));
            }
        }
        // The element after the last link provides the frames. One before it may be the sink of a
        // branch that records.
        let element = words.rsplit(|w| w == "!").next().and_then(<[_]>::first);
        if let Some(sink) = element.filter(|e| e.ends_with("sink")) {
            return Err(GstPipelineError::Sink(sink.clone()));
        }
        Ok(Self { words })
    }
}

impl fmt::Display for GstPipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_split_like_a_shell_does() {
        let text = "nvarguscamerasrc sensor-id=0 !\n 'video/x-raw(memory:NVMM),width=1920' \\\n ! nvvidconv name=\"the bow\"";
        let pipeline: GstPipeline = text.parse().unwrap();
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
    fn a_device_sends_at_most_the_size_that_is_asked_for() {
        let arguments = of_device(Path::new("/dev/video2"), (1920, 1080)).join(" ");
        let source = "-q --no-fault v4l2src device=/dev/video2 ! video/x-raw,width=[1,1920],height=[1,1080] ! queue ";
        assert!(arguments.starts_with(source), "{arguments}");
    }

    #[test]
    fn an_invalid_pipeline_is_rejected() {
        use GstPipelineError::{Control, Empty, Link, Option, Program, Quotes, Sink};
        let gst = "gst-launch-1.0";
        for (text, error) in [
            (" \n", Empty),
            ("src name='a", Quotes),
            ("src \0", Control('\0')),
            ("src \u{1b}[0m", Control('\u{1b}')),
            ("gst-launch-1.0 src", Program(gst.into())),
            (
                "/usr/bin/gst-launch-1.0 -e src",
                Program(format!("/usr/bin/{gst}")),
            ),
            ("-e src ! conv", Option("-e".into())),
            ("src ! conv !", Link("end")),
            ("! src", Link("start")),
            (
                "src ! nvoverlaysink sync=false",
                Sink("nvoverlaysink".into()),
            ),
            ("src ! fdsink", Sink("fdsink".into())),
            ("autovideosink", Sink("autovideosink".into())),
        ] {
            assert_eq!(text.parse::<GstPipeline>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_branch_that_records_may_have_a_sink() {
        let text = "src ! tee name=t ! queue ! enc ! filesink location=a.h265 t. ! queue ! conv";
        assert!(text.parse::<GstPipeline>().is_ok());
    }
}
