//! `link`, `schedule`, `route` and `bytes_per_hour` of `[uplink]`

use super::checks::Checks;
use super::locate::element;
use crate::link_budget::{HourlyLimits, InvalidTimeOfDay, LinkProfile, TimeOfDay, TimeSpan};
use flukewatch_common::boat_settings::SettingKey;
use flukewatch_common::link_class::LinkClass;
use serde::Deserialize;

/// The longest name of a network interface.
const MAX_INTERFACE: usize = 15;

/// A part of each day with a class of link, `[[uplink.schedule]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleEntry {
    /// Its first minute, UTC, e.g. `22:00`.
    pub from: String,
    /// The minute after its last, UTC; before `from` it is on the next day.
    pub to: String,
    /// The class.
    pub link: LinkClass,
}

/// A network interface with a class of link, `[[uplink.route]]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteEntry {
    /// The interface's name, e.g. `wwan0`.
    pub interface: String,
    /// The class while the default route leads over it.
    pub link: LinkClass,
}

/// Bytes an hour of each class, `bytes_per_hour`; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BytesPerHour {
    /// In harbour.
    pub harbour: u64,
    /// Over a mobile network.
    pub lte: u64,
    /// Over Starlink.
    pub starlink: u64,
    /// Over a geostationary satellite.
    pub vsat: u64,
    /// Over Iridium.
    pub iridium: u64,
}

impl Default for BytesPerHour {
    fn default() -> Self {
        let of = |class| LinkProfile::of(class).bytes_per_hour.unwrap_or(0);
        Self {
            harbour: of(LinkClass::Harbour),
            lte: of(LinkClass::Lte),
            starlink: of(LinkClass::Starlink),
            vsat: of(LinkClass::Vsat),
            iridium: of(LinkClass::Iridium),
        }
    }
}

impl BytesPerHour {
    fn of(&self, class: LinkClass) -> u64 {
        match class {
            LinkClass::Harbour => self.harbour,
            LinkClass::Lte => self.lte,
            LinkClass::Starlink => self.starlink,
            LinkClass::Vsat => self.vsat,
            LinkClass::Iridium => self.iridium,
        }
    }

    /// The limit of a class, to change it.
    pub(super) fn of_mut(&mut self, class: LinkClass) -> &mut u64 {
        match class {
            LinkClass::Harbour => &mut self.harbour,
            LinkClass::Lte => &mut self.lte,
            LinkClass::Starlink => &mut self.starlink,
            LinkClass::Vsat => &mut self.vsat,
            LinkClass::Iridium => &mut self.iridium,
        }
    }

    /// The limits.
    pub(super) fn limits(&self) -> HourlyLimits {
        LinkClass::ALL.map(|class| Some(self.of(class)).filter(|bytes| *bytes > 0))
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        for class in LinkClass::ALL {
            checks.setting(SettingKey::BytesPerHour(class), self.of(class) as f64);
        }
    }
}

impl ScheduleEntry {
    /// The part of the day.
    ///
    /// # Errors
    /// When a time is invalid.
    pub(super) fn span(&self) -> Result<TimeSpan, InvalidTimeOfDay> {
        Ok(TimeSpan {
            from: self.from.parse()?,
            to: self.to.parse()?,
        })
    }
}

/// Checks `[[uplink.schedule]]`.
pub(super) fn check_schedule(schedule: &[ScheduleEntry], checks: &mut Checks<'_>) {
    for (entry, number) in schedule.iter().zip(1..) {
        let key = |key: &str| format!("{}.{key}", section("schedule", schedule.len(), number));
        checks.parses(&key("from"), entry.from.parse::<TimeOfDay>());
        checks.parses(&key("to"), entry.to.parse::<TimeOfDay>());
        if entry.span().is_ok_and(|span| span.from == span.to) {
            checks.fault(&key("to"), "must differ from 'from'");
        }
    }
}

/// Checks `[[uplink.route]]`.
pub(super) fn check_routes(routes: &[RouteEntry], checks: &mut Checks<'_>) {
    for (index, entry) in routes.iter().enumerate() {
        let key = format!("{}.interface", section("route", routes.len(), index + 1));
        let name = &entry.interface;
        let is_name = (1..=MAX_INTERFACE).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
        if !is_name {
            let problem = format!(
                "expected the name of a network interface, 1 to {MAX_INTERFACE} characters"
            );
            checks.fault(&key, problem);
        } else if routes[..index]
            .iter()
            .any(|earlier| earlier.interface == *name)
        {
            checks.fault(&key, format!("another route is over '{name}'"));
        }
    }
}

/// The name of a table in the array `key`.
fn section(key: &str, tables: usize, number: usize) -> String {
    if tables == 1 {
        key.to_owned()
    } else {
        element(key, number)
    }
}
