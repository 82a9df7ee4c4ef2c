//! The log: how much it says and how it looks.

use crate::config::{LogFormat, LogSection};
use std::fmt;
use std::io::IsTerminal;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

/// What other people's crates may say, unless the filter is given in full.
const OTHERS: &str = "rumqttc=error,tract=error,hyper=warn";

/// What the command line says of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOrders {
    /// A level, or a filter as `RUST_LOG` has it.
    pub filter: Option<String>,
    /// How lines look.
    pub format: Option<LogFormat>,
}

/// The log at work.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    /// Whether command line or environment say how much; then the configuration does not.
    fixed: bool,
}

impl Logs {
    /// Starts it: `orders` go before `RUST_LOG`, which goes before `section`.
    ///
    /// # Errors
    /// When a filter cannot be read.
    pub fn start(orders: &LogOrders, section: &LogSection) -> Result<Self, String> {
        let given = orders
            .filter
            .clone()
            .or_else(|| std::env::var(EnvFilter::DEFAULT_ENV).ok())
            .filter(|f| !f.is_empty());
        let fixed = given.is_some();
        let filter = filter(given.as_deref().unwrap_or(section.level.as_str()))?;
        let (layer, handle) = reload::Layer::new(filter);
        let format = match orders.format.unwrap_or(section.format) {
            LogFormat::Auto if journal_reads() => LogFormat::Journal,
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

    /// Says as much as `section` wants from now on, unless somebody else has decided on it. How lines look stays as it is.
    pub fn set(&self, section: &LogSection) {
        if self.fixed {
            return;
        }
        if let Ok(filter) = filter(section.level.as_str()) {
            // Fails only where the log has ended.
            let _ = self.filter.reload(filter);
        }
    }
}

fn filter(text: &str) -> Result<EnvFilter, String> {
    let plain = !text.contains(['=', ',']);
    let full = if plain {
        format!("{text},{OTHERS}")
    } else {
        text.to_owned()
    };
    EnvFilter::try_new(&full).map_err(|e| format!("'{text}' is no filter for the log: {e}"))
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

/// Whether stderr goes to systemd's journal, which then says so.
fn journal_reads() -> bool {
    let said = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stderr| said == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

/// A line for the journal, which has the time anyway and takes the level from `<6>` in front.
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
    fn a_line_for_the_journal_begins_with_its_level() {
        let written = Written::default();
        let to = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || to.clone())
            .with_ansi(false)
            .event_format(Journal::new());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::error!("a camera is lost");
            tracing::warn!(camera = "bow", "it stalls");
            tracing::info!("all is well");
            tracing::debug!("said");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            text,
            "<3>a camera is lost\n<4>it stalls camera=\"bow\"\n<6>all is well\n<7>said\n"
        );
    }

    #[test]
    fn a_level_or_a_whole_filter_is_read() {
        assert!(
            filter("debug")
                .unwrap()
                .to_string()
                .contains("rumqttc=error")
        );
        let whole = filter("warn,flukewatch_edge=trace").unwrap().to_string();
        assert!(!whole.contains("rumqttc"), "{whole}");
        let said = filter("flukewatch=loud").unwrap_err();
        assert!(said.starts_with("'flukewatch=loud' is no filter"), "{said}");
    }

    #[test]
    fn nobody_but_the_journal_gets_its_lines() {
        // Tests have no journal.
        assert!(!journal_reads());
    }
}
