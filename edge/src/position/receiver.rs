//! The connection to a receiver: made, held, and made again.

use super::lines::Lines;
use super::link::{Dial, Link, Received};
use super::navigator::Navigator;
use super::positions::Positions;
use super::{gpsd, sentence};
use crate::backoff::Backoff;
use crate::stop::Stop;
use crate::time::SteadyClock;
use std::sync::Arc;
use std::time::Duration;

/// A wait is cut into naps of this length, so that somebody can ask it to end.
const NAP: Duration = Duration::from_millis(100);

/// What a receiver speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// NMEA 0183.
    Nmea,
    /// gpsd's JSON.
    Gpsd,
}

/// Listens to a receiver.
pub struct Receiver {
    /// How it is reached.
    pub dial: Box<dyn Dial>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Without a sentence for so long it is silent, and called anew.
    pub silent_after: Duration,
    /// Takes what it says.
    pub navigator: Navigator,
    /// Where its state is written.
    pub positions: Arc<Positions>,
    /// Times what is heard.
    pub clock: Arc<dyn SteadyClock>,
    /// Waits between calls.
    pub backoff: Backoff,
    /// Ends it.
    pub stop: Stop,
}

/// Why a call ended.
#[derive(Debug)]
enum Ended {
    Stopped,
    Because {
        /// Whether it was ever connected.
        connected: bool,
        trouble: String,
    },
}

impl Receiver {
    /// Listens until it is asked to stop.
    pub fn run(mut self) {
        let mut told = None;
        loop {
            match self.call() {
                Ended::Stopped => return,
                Ended::Because { connected, trouble } => {
                    let trouble = format!("{}: {trouble}", self.dial);
                    if told.as_ref() != Some(&trouble) {
                        tracing::warn!(
                            "the position is not heard from {trouble}; tried again and again"
                        );
                        told = Some(trouble.clone());
                    }
                    self.positions.silent(connected, trouble);
                }
            }
            if !self.pause() {
                return;
            }
        }
    }

    fn pause(&mut self) -> bool {
        let mut left = self.backoff.wait();
        while !left.is_zero() && !self.stop.asked() {
            let nap = left.min(NAP);
            std::thread::sleep(nap);
            left -= nap;
        }
        !self.stop.asked()
    }

    /// One call, to its end.
    fn call(&mut self) -> Ended {
        if self.stop.asked() {
            return Ended::Stopped;
        }
        let mut link = match self.dial.dial() {
            Ok(link) => link,
            Err(e) => {
                return Ended::Because {
                    connected: false,
                    trouble: e.to_string(),
                };
            }
        };
        self.positions.connected();
        self.listen(&mut *link)
    }

    fn listen(&mut self, link: &mut dyn Link) -> Ended {
        let (mut lines, mut buffer) = (Lines::default(), [0; 4096]);
        let mut last = self.clock.now();
        let mut rubbish = false;
        let because = |trouble: String| Ended::Because {
            connected: true,
            trouble,
        };
        while !self.stop.asked() {
            let received = match link.receive(&mut buffer) {
                Ok(Received::Bytes(n)) => buffer.get(..n).unwrap_or_default(),
                Ok(Received::Nothing) => &[],
                Ok(Received::Closed) => return because("the other end is gone".into()),
                Err(e) => return because(e.to_string()),
            };
            rubbish |= !received.is_empty();
            let now = self.clock.now();
            let mut understood = false;
            lines.push(received, |line| {
                let heard = match self.protocol {
                    Protocol::Nmea => sentence::parse(line).map_err(|e| e.to_string()),
                    Protocol::Gpsd => gpsd::parse(line).map_err(|e| e.to_string()),
                };
                match heard {
                    Ok(heard) => {
                        understood = true;
                        self.positions.hears();
                        self.navigator.take(&heard, now);
                    }
                    Err(e) => {
                        self.positions.damaged();
                        tracing::debug!("{e}");
                    }
                }
            });
            if understood {
                last = now;
                rubbish = false;
                self.backoff.reset();
            } else if now.since(last) >= self.silent_after {
                let seconds = self.silent_after.as_secs_f64();
                return because(if rubbish {
                    format!(
                        "bytes come, but no sentence for {seconds:.0} s; are protocol and baud rate right?"
                    )
                } else {
                    format!("nothing for {seconds:.0} s")
                });
            }
        }
        Ended::Stopped
    }
}

#[cfg(test)]
mod tests;
