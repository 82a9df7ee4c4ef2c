//! `[position]`

use super::checks::Checks;
use crate::position::Protocol;
use crate::position::gpsd::WATCH_COMMAND;
use crate::position::signalk::SUBSCRIPTION;
use crate::position::transport::{Connector, Network, Serial};
use crate::position::udp::Datagrams;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The kind of GNSS receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionKind {
    /// Without a receiver.
    None,
    /// NMEA 0183 on a serial line.
    NmeaSerial,
    /// NMEA 0183 over TCP.
    NmeaTcp,
    /// NMEA 0183 in UDP datagrams, e.g. broadcast by a multiplexer.
    NmeaUdp,
    /// A gpsd server over TCP.
    Gpsd,
    /// A Signal K server's delta stream over TCP.
    #[serde(rename = "signalk")]
    SignalK,
}

/// The GNSS receiver's settings, section `[position]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PositionSection {
    /// The kind of GNSS receiver.
    pub source: PositionKind,
    /// `HOST:PORT`, the address to listen on, or the serial device.
    pub address: String,
    /// The address of the only sender whose datagrams are read; empty for any.
    pub sender: String,
    /// Baud rate of a serial line.
    pub baud: u32,
    /// Without a sentence for this long the receiver is reconnected.
    pub timeout_seconds: f64,
    /// The longest time between a sighting and its fix.
    pub max_fix_age_seconds: f64,
}

impl Default for PositionSection {
    fn default() -> Self {
        Self {
            source: PositionKind::None,
            address: String::new(),
            sender: String::new(),
            baud: 4800,
            timeout_seconds: 10.0,
            max_fix_age_seconds: 120.0,
        }
    }
}

impl PositionSection {
    /// How the receiver is reached, and its protocol; `None` without one.
    pub fn receiver(&self) -> Option<(Box<dyn Connector>, Protocol)> {
        let network = |greeting| {
            Box::new(Network {
                address: self.address.clone(),
                greeting,
            })
        };
        Some(match self.source {
            PositionKind::None => return None,
            PositionKind::NmeaTcp => (network(b"" as &[u8]), Protocol::Nmea),
            PositionKind::Gpsd => (network(WATCH_COMMAND), Protocol::Gpsd),
            PositionKind::SignalK => (network(SUBSCRIPTION), Protocol::SignalK),
            PositionKind::NmeaUdp => {
                let datagrams = Datagrams {
                    listen: self.listen()?,
                    sender: self.sender.parse().ok(),
                };
                (Box::new(datagrams), Protocol::Nmea)
            }
            PositionKind::NmeaSerial => {
                let serial = Serial {
                    path: self.address.clone().into(),
                    baud: self.baud,
                };
                (Box::new(serial), Protocol::Nmea)
            }
        })
    }

    /// The address to listen on for datagrams.
    fn listen(&self) -> Option<SocketAddr> {
        self.address
            .parse()
            .ok()
            .filter(|a: &SocketAddr| a.port() > 0)
    }

    /// How long the receiver may send no sentence.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_seconds)
    }

    /// The longest time between a sighting and its fix.
    pub fn max_fix_age(&self) -> Duration {
        Duration::from_secs_f64(self.max_fix_age_seconds)
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        let address = self.address.as_str();
        match self.source {
            PositionKind::NmeaSerial if address.is_empty() => {
                checks.fault("address", "must be a serial device, e.g. \"/dev/ttyUSB0\"");
            }
            PositionKind::None | PositionKind::NmeaSerial => {}
            PositionKind::NmeaUdp => {
                if self.listen().is_none() {
                    let problem = "must be the ADDRESS:PORT to listen on, e.g. \"0.0.0.0:10110\"";
                    checks.fault("address", problem);
                }
            }
            PositionKind::NmeaTcp | PositionKind::Gpsd | PositionKind::SignalK => {
                let port = address
                    .rsplit_once(':')
                    .filter(|(host, _)| !host.is_empty());
                let port = port.and_then(|(_, port)| port.parse::<u16>().ok());
                if port.is_none_or(|p| p == 0) {
                    checks.fault("address", "must be HOST:PORT, e.g. \"127.0.0.1:2947\"");
                }
            }
        }
        if !self.sender.is_empty() {
            if self.source != PositionKind::NmeaUdp {
                checks.fault("sender", "only allowed with source \"nmea-udp\"");
            } else if self.sender.parse::<IpAddr>().is_err() {
                checks.fault("sender", "must be an IP address, e.g. \"192.168.1.20\"");
            }
        }
        checks.range("baud", f64::from(self.baud), 300.0, 4e6);
        checks.range("timeout_seconds", self.timeout_seconds, 1.0, 3600.0);
        checks.range(
            "max_fix_age_seconds",
            self.max_fix_age_seconds,
            1.0,
            86_400.0,
        );
    }
}
