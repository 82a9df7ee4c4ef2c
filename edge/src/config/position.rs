//! `[position]`

use super::{Fault, range, within};
use crate::position::Protocol;
use crate::position::gpsd::WATCH;
use crate::position::link::{Dial, Network, Serial};
use serde::Deserialize;
use std::time::Duration;

/// How the boat knows where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionKind {
    /// It does not.
    None,
    /// NMEA 0183 on a serial line.
    NmeaSerial,
    /// NMEA 0183 over a network.
    NmeaTcp,
    /// gpsd.
    Gpsd,
}

/// `[position]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PositionSection {
    /// What says where the boat is.
    pub source: PositionKind,
    /// `host:port`, or the serial line.
    pub address: String,
    /// Bits a second on a serial line.
    pub baud: u32,
    /// Without a sentence for so long the receiver is silent, and called anew.
    pub silent_seconds: f64,
    /// A fix that is farther from a sighting is not given with it.
    pub longest_age_seconds: f64,
}

impl Default for PositionSection {
    fn default() -> Self {
        Self {
            source: PositionKind::None,
            address: String::new(),
            baud: 4800,
            silent_seconds: 10.0,
            longest_age_seconds: 120.0,
        }
    }
}

impl PositionSection {
    /// How the receiver is reached, and what it speaks; `None` where there is none.
    pub fn receiver(&self) -> Option<(Box<dyn Dial>, Protocol)> {
        let network = |greeting| {
            Box::new(Network {
                address: self.address.clone(),
                greeting,
            })
        };
        Some(match self.source {
            PositionKind::None => return None,
            PositionKind::NmeaTcp => (network(b"" as &[u8]), Protocol::Nmea),
            PositionKind::Gpsd => (network(WATCH), Protocol::Gpsd),
            PositionKind::NmeaSerial => {
                let serial = Serial {
                    path: self.address.clone().into(),
                    baud: self.baud,
                };
                (Box::new(serial), Protocol::Nmea)
            }
        })
    }

    /// After how long without a sentence a receiver is silent.
    pub fn silent_after(&self) -> Duration {
        Duration::from_secs_f64(self.silent_seconds)
    }

    /// How far from a sighting its fix may be.
    pub fn longest_age(&self) -> Duration {
        Duration::from_secs_f64(self.longest_age_seconds)
    }

    /// What makes no sense in it.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = vec![];
        let address = self.address.as_str();
        let problem = match self.source {
            PositionKind::None => None,
            PositionKind::NmeaSerial if address.is_empty() => {
                Some("must name the serial line, as /dev/ttyUSB0")
            }
            PositionKind::NmeaSerial => None,
            PositionKind::NmeaTcp | PositionKind::Gpsd => {
                let port = address
                    .rsplit_once(':')
                    .filter(|(host, _)| !host.is_empty());
                let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
                port.is_none_or(|p| p == 0)
                    .then_some("must be host:port, as 127.0.0.1:2947")
            }
        };
        faults.extend(problem.map(|p| Fault::of("position.address", p)));
        for (key, value, low, high) in [
            ("baud", f64::from(self.baud), 300.0, 4e6),
            ("silent_seconds", self.silent_seconds, 1.0, 3600.0),
            (
                "longest_age_seconds",
                self.longest_age_seconds,
                1.0,
                86_400.0,
            ),
        ] {
            if !within(value, low, high) {
                faults.push(Fault::of(
                    &format!("position.{key}"),
                    range(value, low, high),
                ));
            }
        }
        faults
    }
}
