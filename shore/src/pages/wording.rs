//! How facts are put into words on the pages.

use crate::store::{PictureState, StoredSighting, VerdictKind};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::Footage;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};

/// As `2026-11-23 16:20:05`; the pages say that it is UTC.
pub(super) fn time(t: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(t.0).map_or_else(
        |_| t.to_string(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// As `4 minutes ago`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.millis_since(then) / 1000;
    let count = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match seconds {
        ..10 => "just now".into(),
        10..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        3600..172_800 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

/// As `3.0 s`.
pub(super) fn seconds(from: Timestamp, to: Timestamp) -> String {
    format!("{:.1} s", to.millis_since(from) as f64 / 1000.0)
}

/// As `12 kB`.
pub(super) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        format!("{bytes} bytes")
    } else {
        format!("{} kB", bytes.div_ceil(1000))
    }
}

/// As `38.51230° N, 28.62500° W, satellites, 9 in use, 0.3 s apart; 6.5 knots on course 270°`.
pub(super) fn position(position: Option<Position>) -> String {
    let Some(p) = position else {
        return "not known".into();
    };
    let side = |angle: f64, positive, negative| if angle < 0.0 { negative } else { positive };
    let (north, east) = (side(p.latitude, "N", "S"), side(p.longitude, "E", "W"));
    let quality = match p.quality {
        FixQuality::Satellites => "satellites",
        FixQuality::Differential => "satellites with corrections",
        FixQuality::RtkFloat => "RTK, float",
        FixQuality::Rtk => "RTK",
        FixQuality::Estimated => "dead reckoning",
        FixQuality::Manual => "entered by hand",
        FixQuality::Simulated => "simulated",
    };
    let mut words = format!(
        "{:.5}° {north}, {:.5}° {east}, {quality}",
        p.latitude.abs(),
        p.longitude.abs()
    );
    if let Some(satellites) = p.satellites {
        words += &format!(", {satellites} in use");
    }
    words += &format!(", {:.1} s apart", f64::from(p.age) / 1000.0);
    match (p.speed, p.course) {
        (Some(speed), Some(course)) => {
            words += &format!("; {speed:.1} knots on course {course:.0}°")
        }
        (Some(speed), None) => words += &format!("; {speed:.1} knots"),
        _ => {}
    }
    if let Some(heading) = p.heading {
        words += &format!("; heading {heading:.0}°");
    }
    words
}

/// As `satellites, within 0.5 s`.
pub(super) fn time_basis(basis: Option<TimeBasis>) -> String {
    let Some(basis) = basis else {
        return "not said".into();
    };
    let whose = match basis.source {
        TimeSource::Computer => "the boat's computer",
        TimeSource::Satellites => "satellites",
        TimeSource::Replay => "a replay",
    };
    match basis.uncertainty {
        Some(millis) => format!("{whose}, within {:.1} s", f64::from(millis) / 1000.0),
        None => format!("{whose}, which nothing checks"),
    }
}

/// As `5, and 5 of the encounter's earlier sightings`.
pub(super) fn crops(footage: &Footage) -> String {
    let own = footage.crops.len();
    match footage.earlier_crops {
        0 => own.to_string(),
        earlier => format!("{own}, and {earlier} of the encounter's earlier sightings"),
    }
}

/// As `48 %: sharpness 62 %, size 80 %, angle 100 %, exposure 97 %`.
pub(super) fn quality(footage: &Footage) -> String {
    footage.crops.first().map_or_else(String::new, |c| {
        format!(
            "{} %: sharpness {} %, size {} %, angle {} %, exposure {} %",
            c.total(),
            c.sharpness,
            c.size,
            c.angle,
            c.exposure
        )
    })
}

/// As `sure to 0.91`.
pub(super) fn detector(score: Option<f32>) -> String {
    score.map_or_else(
        || "none looked: boxes came with the frames, or the whole frame counts".into(),
        |score| format!("sure to {score:.2}"),
    )
}

/// A cosine with two digits.
pub(super) fn score(cosine: f32) -> String {
    format!("{cosine:.2}")
}

/// A chance in per cent; never quite none or quite sure, which no curve is.
pub(super) fn chance(chance: f32) -> String {
    match (chance * 100.0).round() {
        ..1.0 => "under 1 %".into(),
        100.0.. => "over 99 %".into(),
        percent => format!("{percent} %"),
    }
}

/// How much of a score's bar is filled, 0 to 100.
pub(super) fn fill(cosine: f32) -> u32 {
    (cosine.clamp(0.0, 1.0) * 100.0).round() as u32
}

/// The verdict without its whale.
pub(super) fn kind(verdict: &Verdict) -> VerdictKind {
    match verdict {
        Verdict::Known { .. } => VerdictKind::Known,
        Verdict::New => VerdictKind::New,
        Verdict::Review => VerdictKind::Review,
    }
}

/// What the verdict says, as a headline.
pub(super) fn headline(stored: &StoredSighting) -> String {
    match &stored.sighting.verdict {
        Verdict::Known { whale } => whale.clone(),
        Verdict::New => "New whale".into(),
        Verdict::Review => "For review".into(),
    }
}

/// What the score means next to the headline.
pub(super) fn closest(stored: &StoredSighting) -> String {
    match (&stored.sighting.verdict, stored.sighting.candidates.first()) {
        (_, None) => "nothing to compare with".into(),
        (Verdict::Known { whale }, Some(best)) if *whale == best.whale => String::new(),
        (_, Some(best)) => format!("closest: {}", best.whale),
    }
}

/// Why there is no picture to see; `None` where there is one.
pub(super) fn no_picture(state: PictureState) -> Option<&'static str> {
    match state {
        PictureState::Stored => None,
        PictureState::Missing => Some("The picture has not arrived yet"),
        PictureState::Broken => Some("The picture arrived, but is no readable JPEG"),
        PictureState::Mismatched => Some("A picture arrived that is not the one announced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_words() {
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
            assert_eq!(ago(now.plus_millis(-seconds * 1000), now), words);
        }
    }

    #[test]
    fn a_position_and_its_time_are_told_in_words() {
        let (s, _) = crate::sample::sighting("balaena", 1);
        assert_eq!(
            position(s.position),
            "38.51230° N, 28.62500° W, satellites with corrections, 9 in use, 0.3 s apart; 6.5 knots on course 270°"
        );
        assert_eq!(position(None), "not known");
        assert_eq!(time_basis(s.time), "satellites, within 0.5 s");
        let unchecked = TimeBasis {
            source: TimeSource::Computer,
            uncertainty: None,
        };
        assert_eq!(
            time_basis(Some(unchecked)),
            "the boat's computer, which nothing checks"
        );
    }

    #[test]
    fn footage_is_told_in_words() {
        let (s, _) = crate::sample::sighting("balaena", 1);
        let mut f = s.footage.unwrap();
        assert_eq!(crops(&f), "1");
        f.earlier_crops = 3;
        assert_eq!(crops(&f), "1, and 3 of the encounter's earlier sightings");
        assert_eq!(
            quality(&f),
            "48 %: sharpness 62 %, size 80 %, angle 100 %, exposure 97 %"
        );
        assert_eq!(detector(f.detector), "sure to 0.91");
        assert!(detector(None).starts_with("none looked"));
    }

    #[test]
    fn a_bar_stays_within_its_frame() {
        assert_eq!([-0.3, 0.0, 0.456, 1.0, 1.2].map(fill), [0, 0, 46, 100, 100]);
    }
}
