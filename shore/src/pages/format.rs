//! Formats values for the pages.

use crate::store::PictureState;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::Footage;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};
use flukewatch_common::relative_position::RelativePosition;
use flukewatch_common::sighting::Sighting;

/// E.g. `2026-11-23 16:20:05`; the pages say that it is UTC.
pub(super) fn time(t: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(t.0).map_or_else(
        |_| t.to_string(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// E.g. `4 minutes ago`.
pub(super) fn relative_time(then: Timestamp, now: Timestamp) -> String {
    match u64::try_from(now.millis_since(then) / 1000) {
        Ok(seconds @ 10..) => format!("{} ago", span(seconds)),
        _ => "just now".into(),
    }
}

/// A time span in words, e.g. `4 minutes`.
pub(super) fn span(seconds: u64) -> String {
    let count = |n: u64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        ..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..172_800 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// E.g. `38.51230° N, 28.62500° W`.
pub(super) fn coordinates(latitude: f64, longitude: f64) -> String {
    let side = |angle: f64, positive, negative| if angle < 0.0 { negative } else { positive };
    format!(
        "{:.5}° {}, {:.5}° {}",
        latitude.abs(),
        side(latitude, "N", "S"),
        longitude.abs(),
        side(longitude, "E", "W")
    )
}

/// A duration in seconds, e.g. `3.0 s`.
pub(super) fn duration(from: Timestamp, to: Timestamp) -> String {
    format!("{:.1} s", to.millis_since(from) as f64 / 1000.0)
}

/// A file size, e.g. `12 kB`.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        format!("{bytes} bytes")
    } else if bytes >= 10_000_000 {
        format!("{} MB", bytes.div_ceil(1_000_000))
    } else {
        format!("{} kB", bytes.div_ceil(1000))
    }
}

/// The name of a reject reason in words, e.g. `wrong boat`.
pub(super) fn reason(name: &str) -> String {
    name.replace('_', " ")
}

/// E.g. `38.51230° N, 28.62500° W; GNSS, 9 satellites, fix age 0.3 s; 6.5 kn, course 270°`.
pub(super) fn position(position: Option<Position>) -> String {
    let Some(p) = position else {
        return "Unknown".into();
    };
    let quality = match p.quality {
        FixQuality::Autonomous => "GNSS",
        FixQuality::Differential => "differential GNSS",
        FixQuality::RtkFloat => "RTK float",
        FixQuality::Rtk => "RTK",
        FixQuality::Estimated => "dead reckoning",
        FixQuality::Manual => "manual input",
        FixQuality::Simulated => "simulated",
    };
    let satellites = p
        .satellites
        .map_or_else(String::new, |n| format!(", {n} satellites"));
    let fix = format!(
        "{}; {quality}{satellites}, fix age {:.1} s",
        coordinates(p.latitude, p.longitude),
        f64::from(p.age) / 1000.0
    );
    let motion = [
        p.speed.map(|speed| format!("{speed:.1} kn")),
        p.course.map(|course| format!("course {course:.0}°")),
        p.heading.map(|heading| format!("heading {heading:.0}°")),
    ];
    let motion: Vec<String> = motion.into_iter().flatten().collect();
    if motion.is_empty() {
        fix
    } else {
        format!("{fix}; {}", motion.join(", "))
    }
}

/// E.g. `bearing 283°, 014° from the bow, about 350 m away`.
pub(super) fn relative_position(relative: RelativePosition) -> String {
    let parts = [
        relative.bearing.map(|b| format!("bearing {}", angle(b))),
        relative
            .bearing_from_bow
            .map(|b| format!("{} from the bow", angle(b))),
        relative
            .range
            .map(|range| format!("about {} m away", rough(range))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// Whole degrees, three digits as on a compass, 0 to 359.
fn angle(degrees: f32) -> String {
    format!("{:03}°", degrees.round() as u32 % 360)
}

/// Metres to two digits: more would promise what the estimate does not have.
fn rough(metres: f32) -> u32 {
    let step = match metres {
        ..100.0 => 1.0,
        100.0..1000.0 => 10.0,
        _ => 100.0,
    };
    ((metres / step).round() * step) as u32
}

/// E.g. `GNSS, within 0.5 s`.
pub(super) fn time_basis(basis: Option<TimeBasis>) -> String {
    let Some(basis) = basis else {
        return "Not reported".into();
    };
    let source = match basis.source {
        TimeSource::System => "System clock",
        TimeSource::Gnss => "GNSS",
        TimeSource::Replay => "Replay",
    };
    match basis.uncertainty {
        Some(millis) => format!("{source}, within {:.1} s", f64::from(millis) / 1000.0),
        None => format!("{source}, unverified"),
    }
}

/// E.g. `5, and 3 of earlier sightings of the encounter`.
pub(super) fn crops(footage: &Footage) -> String {
    let own = footage.crops.len();
    match footage.earlier_crops {
        0 => own.to_string(),
        earlier => format!("{own}, and {earlier} of earlier sightings of the encounter"),
    }
}

/// E.g. `48 % (sharpness 62 %, size 80 %, angle 100 %, exposure 97 %)`.
pub(super) fn quality(footage: &Footage) -> String {
    footage.crops.first().map_or_else(String::new, |c| {
        format!(
            "{} % (sharpness {} %, size {} %, angle {} %, exposure {} %)",
            c.total(),
            c.sharpness,
            c.size,
            c.angle,
            c.exposure
        )
    })
}

/// The detector's confidence, e.g. `0.91`.
pub(super) fn detector(confidence: Option<f32>) -> String {
    confidence.map_or_else(|| "No detector".into(), |c| format!("{c:.2}"))
}

/// A cosine similarity with two digits.
pub(super) fn score(cosine: f32) -> String {
    format!("{cosine:.2}")
}

/// A probability in per cent; never 0 or 100 %, which no calibrator can justify.
pub(super) fn probability(probability: f32) -> String {
    match (probability * 100.0).round() {
        ..1.0 => "under 1 %".into(),
        100.0.. => "over 99 %".into(),
        percent => format!("{percent} %"),
    }
}

/// How much of a score's bar is filled, 0 to 100.
pub(super) fn bar_percent(cosine: f32) -> u32 {
    (cosine.clamp(0.0, 1.0) * 100.0).round() as u32
}

/// The verdict as a headline.
pub(super) fn headline(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Known { whale } => whale.clone(),
        Verdict::New => "New whale".into(),
        Verdict::Review => "To review".into(),
        Verdict::Unidentified { .. } => "Not identified".into(),
    }
}

/// The verdict in one line, e.g. `Not identified: the model has not run yet`.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let headline = headline(verdict);
    match verdict {
        Verdict::Unidentified { reason } => format!("{headline}: {reason}"),
        Verdict::Known { .. } | Verdict::New | Verdict::Review => headline,
    }
}

/// The best candidate, unless the headline names it already; of an unidentified sighting the reason.
pub(super) fn remark(sighting: &Sighting) -> String {
    match (&sighting.verdict, sighting.candidates.first()) {
        (Verdict::Unidentified { reason }, _) => reason.clone(),
        (_, None) => "No candidates".into(),
        (Verdict::Known { whale }, Some(best)) if *whale == best.whale => String::new(),
        (_, Some(best)) => format!("Best candidate: {}", best.whale),
    }
}

/// A name that a boat sent, or that it sent none.
pub(super) fn name_or_none(name: &str) -> String {
    if name.is_empty() { "None" } else { name }.to_owned()
}

/// Why there is no picture to show; `None` if there is one.
pub(super) fn picture_problem(state: PictureState) -> Option<&'static str> {
    match state {
        PictureState::Stored => None,
        PictureState::Missing => Some("Picture not received yet"),
        PictureState::Unreadable => Some("The picture is not a readable JPEG"),
        PictureState::Mismatched => Some("The received picture is not the one announced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted() {
        let now = Timestamp(1_795_450_800_000);
        assert_eq!(time(now), "2026-11-23 16:20:00");
        for (seconds, words) in [
            (-5, "just now"),
            (9, "just now"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7_200, "2 hours ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(relative_time(now.plus_millis(-seconds * 1000), now), words);
        }
    }

    #[test]
    fn positions_and_time_sources_are_formatted() {
        let (s, _) = crate::sample::sighting("balaena", 1);
        assert_eq!(
            position(s.position),
            "38.50000° N, 28.62500° W; differential GNSS, 9 satellites, fix age 0.3 s; 6.5 kn, course 270°"
        );
        assert_eq!(position(None), "Unknown");
        assert_eq!(time_basis(s.time), "GNSS, within 0.5 s");
        let unverified = TimeBasis {
            source: TimeSource::System,
            uncertainty: None,
        };
        assert_eq!(time_basis(Some(unverified)), "System clock, unverified");
    }

    #[test]
    fn relative_positions_are_formatted_as_rough_as_they_are() {
        let of = |bearing, bearing_from_bow, range| {
            relative_position(RelativePosition {
                bearing_from_bow,
                bearing,
                range,
            })
        };
        assert_eq!(
            of(Some(283.4), Some(13.5), Some(346.0)),
            "bearing 283°, 014° from the bow, about 350 m away"
        );
        assert_eq!(of(None, Some(359.7), None), "000° from the bow");
        assert_eq!(of(None, None, Some(1349.0)), "about 1300 m away");
        assert_eq!(of(None, None, Some(87.6)), "about 88 m away");
    }

    #[test]
    fn footage_is_formatted() {
        let (s, _) = crate::sample::sighting("balaena", 1);
        let mut f = s.footage.unwrap();
        assert_eq!(crops(&f), "1");
        f.earlier_crops = 3;
        assert_eq!(crops(&f), "1, and 3 of earlier sightings of the encounter");
        assert_eq!(
            quality(&f),
            "48 % (sharpness 62 %, size 80 %, angle 100 %, exposure 97 %)"
        );
        assert_eq!(detector(f.detector), "0.75");
        assert_eq!(detector(None), "No detector");
    }

    #[test]
    fn an_unidentified_sighting_says_why() {
        let s = crate::sample::unidentified("balaena", 1);
        assert_eq!(headline(&s.verdict), "Not identified");
        assert_eq!(
            verdict(&s.verdict),
            "Not identified: the model has not run yet"
        );
        assert_eq!(remark(&s), "the model has not run yet");
        let (identified, _) = crate::sample::sighting("balaena", 1);
        assert_eq!(verdict(&identified.verdict), "HW-0042");
        assert_eq!(remark(&identified), "");
    }

    #[test]
    fn bars_are_clamped() {
        assert_eq!(
            [-0.3, 0.0, 0.456, 1.0, 1.2].map(bar_percent),
            [0, 0, 46, 100, 100]
        );
    }
}
