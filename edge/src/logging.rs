//! The log: filter and format.

use crate::config::{LogFormat, LogSection};
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// Levels of other crates, unless the filter is given in full.
const OTHERS: &str = "rumqttc=error,tract=error,hyper=warn";

/// The command line's options for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogArgs {
    /// A level, or levels by crate in the syntax of `RUST_LOG`, e.g. `warn,flukewatch_edge=debug`.
    pub filter: Option<String>,
    /// The format of lines.
    pub format: Option<LogFormat>,
}

/// The running log, for changing its level.
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
    /// Whether command line or environment set the filter, which the configuration then does not.
    fixed: bool,
}

impl Logs {
    /// Starts the log. `args` override `RUST_LOG`, which overrides `section`.
    ///
    /// # Errors
    /// When a filter is invalid.
    pub fn start(args: &LogArgs, section: &LogSection) -> Result<Self, String> {
        let given = args
            .filter
            .clone()
            .or_else(|| std::env::var("RUST_LOG").ok())
            .filter(|f| !f.is_empty());
        let fixed = given.is_some();
        let filter = filter(given.as_deref().unwrap_or(section.level.as_str()))?;
        let (layer, handle) = reload::Layer::new(filter);
        let format = match args.format.unwrap_or(section.format) {
            LogFormat::Auto if stderr_is_journal() => LogFormat::Journal,
            LogFormat::Auto => LogFormat::Text,
            other => other,
        };
        let _ = tracing_subscriber::registry()
            .with(layer)
            .with(lines(format))
            .try_init();
        Ok(Self {
            filter: handle,
            fixed,
        })
    }

    /// Sets the level of `section`, unless it was overridden. The format does not change.
    pub fn set(&self, section: &LogSection) {
        if self.fixed {
            return;
        }
        if let Ok(filter) = filter(section.level.as_str()) {
            // Fails only after the log has ended.
            let _ = self.filter.reload(filter);
        }
    }
}

/// By level and crate. Spans and fields would need regular expressions, for which the program has no room.
fn filter(text: &str) -> Result<Targets, String> {
    let plain = !text.contains(['=', ',']);
    let full = if plain {
        format!("{text},{OTHERS}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|e| format!("invalid log filter '{text}': {e}"))
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Journal => layer.with_ansi(false).event_format(Journal::new()).boxed(),
        LogFormat::Auto | LogFormat::Text => {
            layer.with_ansi(std::io::stderr().is_terminal()).boxed()
        }
    }
}

/// Whether stderr is connected to systemd's journal.
fn stderr_is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// Formats a line for the journal, which adds the time itself and takes the level from a prefix,
/// e.g. `<6>`.
struct Journal(Format<Full, ()>);

impl Journal {
    fn new() -> Self {
        let format = tracing_subscriber::fmt::format();
        Self(
            format
                .without_time()
                .with_target(false)
                .with_level(false)
                .with_ansi(false),
        )
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_journal_line_starts_with_its_level() {
        let written = Written::default();
        let to = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || to.clone())
            .with_ansi(false)
            .event_format(Journal::new());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!("camera disconnected");
            tracing::warn!(camera = "bow", "camera stalled");
            tracing::info!("started");
            tracing::debug!("sent");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "<3>camera disconnected\n<4>camera stalled camera=\"bow\"\n<6>started\n<7>sent\n"
        );
    }

    #[test]
    fn a_level_or_a_whole_filter_is_parsed() {
        assert!(
            filter("debug")
                .unwrap()
                .to_string()
                .contains("rumqttc=error")
        );
        let whole = filter("warn,flukewatch_edge=trace").unwrap().to_string();
        assert!(!whole.contains("rumqttc"), "{whole}");
        let error = filter("flukewatch=loud").unwrap_err();
        assert!(error.contains("flukewatch=loud"), "{error}");
    }

    #[test]
    fn without_a_journal_lines_are_not_for_it() {
        // Tests have no journal.
        assert!(!stderr_is_journal());
    }
}
