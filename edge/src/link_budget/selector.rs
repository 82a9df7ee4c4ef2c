//! Which class of link is in use.

use super::budget::HourlyLimits;
use super::route_table::default_interface;
use super::schedule::TimeSpan;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::link_class::LinkClass;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The largest file that is read for the name of a class, in bytes.
const MAX_NAME_FILE: u64 = 256;
/// A table of routes is cut off after so many bytes.
const MAX_ROUTE_TABLE: u64 = 256 * 1024;
/// The longest part of a file that is shown, in bytes.
const MAX_SHOWN: usize = 40;

/// How the class is chosen: by the file, else by the route, else by the schedule, else `link`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// The class where nothing else chooses one.
    pub link: LinkClass,
    /// Parts of the day with a class; the first one counts.
    pub schedule: Vec<(TimeSpan, LinkClass)>,
    /// Network interfaces with a class, which counts while the default route leads over them.
    pub routes: Vec<(String, LinkClass)>,
    /// A file that another program writes the name of the class to.
    pub file: Option<PathBuf>,
    /// Bytes an hour of each class.
    pub limits: HourlyLimits,
}

/// What has chosen the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectedBy {
    /// `uplink.link`.
    Configuration,
    /// `uplink.schedule`.
    Schedule,
    /// `uplink.route`.
    Route,
    /// `uplink.link_file`.
    File,
}

impl SelectedBy {
    /// The key of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "link",
            Self::Schedule => "schedule",
            Self::Route => "route",
            Self::File => "link_file",
        }
    }
}

/// The class in use, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The class.
    pub class: LinkClass,
    /// What has chosen it.
    pub by: SelectedBy,
}

/// Chooses the class.
#[derive(Debug)]
pub struct LinkSelector {
    settings: LinkSettings,
    route_table: PathBuf,
    /// What is wrong with the file.
    fault: Option<String>,
}

impl LinkSelector {
    /// A selector that reads the kernel's routes from `route_table`: `/proc/net/route`.
    pub fn new(settings: LinkSettings, route_table: &Path) -> Self {
        Self {
            settings,
            route_table: route_table.to_owned(),
            fault: None,
        }
    }

    /// The class at `now`. Reads file and routes, which blocks. A file that cannot be read or names no class
    /// is logged, once for each fault, and chooses nothing.
    pub fn select(&mut self, now: Timestamp) -> Selection {
        let (class, by) = if let Some(class) = self.of_file() {
            (class, SelectedBy::File)
        } else if let Some(class) = self.of_route() {
            (class, SelectedBy::Route)
        } else if let Some(class) = self.of_schedule(now) {
            (class, SelectedBy::Schedule)
        } else {
            (self.settings.link, SelectedBy::Configuration)
        };
        Selection { class, by }
    }

    /// What is wrong with the file at the latest selection.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn of_file(&mut self) -> Option<LinkClass> {
        let file = self.settings.file.as_deref()?;
        let (class, fault) = match read_class(file) {
            Ok(class) => (Some(class), None),
            Err(fault) => (None, Some(fault)),
        };
        if self.fault != fault {
            if let Some(fault) = &fault {
                tracing::warn!(
                    file = %file.display(),
                    fault,
                    "cannot read the link's class; using the configured one"
                );
            }
            self.fault = fault;
        }
        class
    }

    fn of_route(&self) -> Option<LinkClass> {
        if self.settings.routes.is_empty() {
            return None;
        }
        let table = read(&self.route_table, MAX_ROUTE_TABLE).ok()?;
        let interface = default_interface(&table)?;
        let mut routes = self.settings.routes.iter();
        routes.find(|(name, _)| name == interface).map(|r| r.1)
    }

    fn of_schedule(&self, now: Timestamp) -> Option<LinkClass> {
        let mut schedule = self.settings.schedule.iter();
        schedule.find(|(span, _)| span.contains(now)).map(|s| s.1)
    }
}

/// The class that a file names.
fn read_class(file: &Path) -> Result<LinkClass, String> {
    let text = read(file, MAX_NAME_FILE)?;
    let name = text.trim();
    LinkClass::parse(name).ok_or_else(|| {
        let expected = LinkClass::ALL.map(LinkClass::as_str).join(", ");
        let name = one_line(name, MAX_SHOWN);
        format!("unknown class '{name}'; expected one of {expected}")
    })
}

fn read(file: &Path, most: u64) -> Result<String, String> {
    let mut text = vec![];
    File::open(file)
        .and_then(|file| file.take(most).read_to_end(&mut text))
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const NOON: Timestamp = Timestamp(12 * 3_600_000);

    fn span(from: &str, to: &str) -> TimeSpan {
        TimeSpan {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    fn settings(file: Option<PathBuf>) -> LinkSettings {
        LinkSettings {
            link: LinkClass::Iridium,
            schedule: vec![
                (span("11:00", "13:00"), LinkClass::Vsat),
                (span("00:00", "23:59"), LinkClass::Starlink),
            ],
            routes: vec![("wlan0".into(), LinkClass::Harbour)],
            file,
            limits: [None; 5],
        }
    }

    #[test]
    fn file_route_schedule_and_configuration_count_in_this_order() {
        let folder = tempfile::tempdir().unwrap();
        let (file, routes) = (folder.path().join("link"), folder.path().join("route"));
        let mut selector = LinkSelector::new(settings(Some(file.clone())), &routes);
        let mut selected = |now| {
            let Selection { class, by } = selector.select(now);
            (class, by)
        };
        let midnight = Timestamp(24 * 3_600_000 - 1);
        assert_eq!(
            selected(midnight),
            (LinkClass::Iridium, SelectedBy::Configuration)
        );
        assert_eq!(
            selected(NOON),
            (LinkClass::Vsat, SelectedBy::Schedule),
            "the first"
        );
        let table = |interface: &str| {
            format!("\n{interface}\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
        };
        fs::write(&routes, table("wwan0")).unwrap();
        assert_eq!(selected(NOON), (LinkClass::Vsat, SelectedBy::Schedule));
        fs::write(&routes, table("wlan0")).unwrap();
        assert_eq!(selected(NOON), (LinkClass::Harbour, SelectedBy::Route));
        fs::write(&file, "lte\n").unwrap();
        assert_eq!(selected(NOON), (LinkClass::Lte, SelectedBy::File));
        fs::write(&file, "vsat").unwrap();
        assert_eq!(selected(NOON), (LinkClass::Vsat, SelectedBy::File));
    }

    #[test]
    fn a_file_that_names_no_class_is_reported_and_chooses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("link");
        let mut selector = LinkSelector::new(settings(Some(file.clone())), Path::new("missing"));
        for content in [b"".as_slice(), b"5g", b"\xff\xfe", &[b'x'; 100_000]] {
            fs::write(&file, content).unwrap();
            assert_eq!(selector.select(NOON).by, SelectedBy::Schedule);
            let fault = selector.fault().unwrap();
            assert!(
                fault.starts_with("unknown class '") && fault.len() < 200,
                "{fault}"
            );
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(selector.select(NOON).by, SelectedBy::Schedule);
        assert!(selector.fault().is_some());
        fs::write(&file, "iridium").unwrap();
        assert_eq!(selector.select(NOON).by, SelectedBy::File);
        assert_eq!(selector.fault(), None);
    }
}
