//! A video of the sea with the truth of every frame: open sea, flukes that appear and disappear,
//! distractors.

use super::actor::{Actor, ActorKind};
use super::cast::Cast;
use super::scene;
use super::still::RealSeas;
use super::surface::Sea;
use super::surfacing::{DAWN, Position, Surfacing, VisibleFluke, place};
use crate::SynthError;
use crate::seed::{Draw, Purpose, Span, generator};
use flukewatch_dataset::DatasetError;
use image::RgbImage;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Settings of a video.
#[derive(Clone, Debug)]
pub struct VideoSettings {
    /// Seed of the video; the same seed and number give the same video.
    pub seed: u64,
    /// Number of the video; videos of one seed with different numbers differ.
    pub number: u32,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second.
    pub frames_per_second: f32,
    /// Number of encounters.
    pub encounters: u32,
    /// Duration of a fluke's appearance, in seconds.
    pub fluke_seconds: Span,
    /// Width of a fluke in pixels.
    pub fluke_pixels: Span,
    /// Duration of open sea before, between and after flukes, in seconds.
    pub sea_seconds: Span,
    /// Fraction of encounters in which two whales dive side by side.
    pub pair_fraction: f32,
    /// Fraction of encounters after which the same whale returns.
    pub return_fraction: f32,
    /// Time until it returns, in seconds.
    pub return_after_seconds: Span,
    /// Distractors (birds, boats etc.) per minute.
    pub distractors_per_minute: f32,
    /// Time until the sea changes, in seconds; the video is cut there.
    pub sea_change_seconds: f64,
}

impl VideoSettings {
    /// Checks that a video can be drawn with these settings.
    ///
    /// # Errors
    /// For the first setting that is out of range.
    pub fn check(&self) -> Result<(), SynthError> {
        let check = |holds: bool, what, got: String, allowed| {
            if holds {
                Ok(())
            } else {
                Err(SynthError::OutOfRange { what, got, allowed })
            }
        };
        let (width, height) = self.size;
        check(
            (64..=8192).contains(&width) && (64..=8192).contains(&height),
            "frame size",
            format!("{width}x{height}"),
            "64x64 to 8192x8192",
        )?;
        check(
            (0.1..=240.0).contains(&self.frames_per_second),
            "frames per second",
            self.frames_per_second.to_string(),
            "0.1 to 240",
        )?;
        for (what, fraction) in [
            ("pair fraction", self.pair_fraction),
            ("return fraction", self.return_fraction),
        ] {
            check(
                (0.0..=1.0).contains(&fraction),
                what,
                fraction.to_string(),
                "in [0, 1]",
            )?;
        }
        check(
            (1.0..=1e6).contains(&self.sea_change_seconds),
            "seconds until the sea changes",
            self.sea_change_seconds.to_string(),
            "1 to 1000000",
        )?;
        check(
            self.distractors_per_minute >= 0.0,
            "distractors per minute",
            self.distractors_per_minute.to_string(),
            "0 or more",
        )?;
        for (what, span) in [
            ("fluke pixels", &self.fluke_pixels),
            ("fluke seconds", &self.fluke_seconds),
            ("sea seconds", &self.sea_seconds),
            ("return after seconds", &self.return_after_seconds),
        ] {
            let valid = *span.start() >= 0.0 && span.end().is_finite();
            check(
                valid,
                what,
                format!("{}..{}", span.start(), span.end()),
                "0 or more",
            )?;
        }
        Ok(())
    }
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            number: 0,
            size: (1280, 720),
            frames_per_second: 10.0,
            encounters: 4,
            fluke_seconds: 1.0..=6.0,
            fluke_pixels: 60.0..=400.0,
            sea_seconds: 5.0..=20.0,
            pair_fraction: 0.15,
            return_fraction: 0.15,
            return_after_seconds: 120.0..=480.0,
            distractors_per_minute: 6.0,
            sea_change_seconds: 600.0,
        }
    }
}

/// A video, painted frame by frame.
#[derive(Debug)]
pub struct Video {
    size: (u32, u32),
    frames_per_second: f32,
    seed: u64,
    /// Start of each sea in seconds, and the sea.
    seas: Vec<(f64, Sea)>,
    /// Distractors, by start.
    actors: Vec<Actor>,
    flukes: Vec<Surfacing>,
    seconds: f64,
}

/// A frame of a video.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The frame's number, from 0.
    pub number: u32,
    /// Time in seconds.
    pub time: f64,
    /// The painted pixels.
    pub picture: RgbImage,
    /// The flukes above the water.
    pub seen: Vec<VisibleFluke>,
}

impl Video {
    /// Draws the events of a video on drawn seas.
    ///
    /// # Errors
    /// If a photo of the cast cannot be read.
    pub fn draw(plan: &VideoSettings, cast: &Cast) -> Result<Self, DatasetError> {
        Self::on(plan, cast, None)
    }

    /// The same on photos of real seas, if there are any: each of them once, in random order, before one
    /// is used again.
    ///
    /// # Errors
    /// If a photo of the cast or of a sea cannot be read.
    pub fn on(
        plan: &VideoSettings,
        cast: &Cast,
        real: Option<&RealSeas>,
    ) -> Result<Self, DatasetError> {
        let rng = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, 0);
        // First the times, then the seas, then the positions.
        let mut starts = vec![];
        let mut time = f64::from(rng.within(&plan.sea_seconds));
        for _ in 0..plan.encounters {
            let seconds = rng.within(&plan.fluke_seconds);
            starts.push((time, seconds));
            time += f64::from(seconds + rng.within(&plan.sea_seconds));
        }
        let mut seas = vec![];
        let mut start = 0.0;
        let mut stills: Vec<usize> = (0..real.map_or(0, |r| r.photos().len())).collect();
        stills.shuffle(&mut generator(
            plan.seed,
            Purpose::SeaFilm,
            plan.number,
            u32::MAX,
        ));
        while start < time || seas.is_empty() {
            let number = plan
                .number
                .wrapping_mul(4099)
                .wrapping_add(seas.len() as u32);
            let sea = match real {
                None => Sea::draw(plan.seed, number, plan.size),
                Some(real) => {
                    let photo = real.picture(stills[seas.len() % stills.len()])?;
                    Sea::real(plan.seed, number, plan.size, &photo)
                }
            };
            seas.push((start, sea));
            start += plan.sea_change_seconds.max(1.0);
        }
        let mut video = Self {
            size: plan.size,
            frames_per_second: plan.frames_per_second,
            seed: plan.seed,
            seas,
            actors: vec![],
            flukes: vec![],
            seconds: time,
        };
        for (i, (start, seconds)) in starts.into_iter().enumerate() {
            let events = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, 1 + i as u32);
            video.encounter(plan, cast, start, seconds, events)?;
        }
        let many = (time / 60.0 * f64::from(plan.distractors_per_minute)) as u32;
        for i in 0..many {
            let number = (1 << 31) + i;
            let events = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, number);
            let start = f64::from(events.random::<f32>()) * time - 5.0;
            let kind = ActorKind::ALL[events.random_range(0..ActorKind::ALL.len())];
            let actor = Actor::draw(kind, video.sea(start), start, events);
            video.actors.push(actor);
        }
        video.actors.sort_by(|a, b| a.start.total_cmp(&b.start));
        video.flukes.sort_by(|a, b| a.start.total_cmp(&b.start));
        Ok(video)
    }

    /// Draws an encounter with one whale or two, and perhaps a return.
    fn encounter(
        &mut self,
        plan: &VideoSettings,
        cast: &Cast,
        start: f64,
        seconds: f32,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), DatasetError> {
        let number = rng.random_range(0..cast.len().max(1));
        let whale = cast.as_photographed(number, rng)?;
        let (low, high) = (
            plan.fluke_pixels.start().max(4.0),
            plan.fluke_pixels.end().max(4.0),
        );
        let width = rng.within(&(low.ln()..=high.ln())).exp();
        let here = place(self.sea(start), width, start, rng);
        let first = Surfacing::draw(whale.clone(), here, start, seconds, rng);
        self.flukes.push(first.as_photographed());
        if rng.chance(plan.pair_fraction) && cast.len() > 1 {
            let other =
                cast.as_photographed(number + 1 + rng.random_range(0..cast.len() - 1), rng)?;
            let side = if here.x > self.size.0 as f32 / 2.0 {
                -1.0
            } else {
                1.0
            };
            let beside = Position {
                x: here.x + side * width * rng.within(&(1.15..=1.8)),
                width: width * rng.within(&(0.85..=1.15)),
                ..here
            };
            let later = start + f64::from(rng.within(&(0.0..=0.6)) * seconds);
            let second = Surfacing::draw(other, beside, later, seconds, rng);
            self.flukes.push(second.as_photographed());
        }
        if rng.chance(plan.return_fraction) {
            let again = start + f64::from(seconds + rng.within(&plan.return_after_seconds));
            if again + f64::from(seconds) < self.seconds {
                let width = width * rng.within(&(0.8..=1.25));
                let there = place(self.sea(again), width, again, rng);
                let back = Surfacing::draw(whale, there, again, seconds, rng);
                self.flukes.push(back.as_photographed());
            }
        }
        Ok(())
    }

    fn sea(&self, time: f64) -> &Sea {
        let later = self.seas.partition_point(|(start, _)| *start <= time);
        &self.seas[later.saturating_sub(1)].1
    }

    /// The number of frames.
    pub fn len(&self) -> u32 {
        (self.seconds * f64::from(self.frames_per_second)).ceil() as u32
    }

    /// Whether there are no frames.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Frames per second.
    pub fn frames_per_second(&self) -> f32 {
        self.frames_per_second
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Every appearance of a fluke: whale, start and end in seconds.
    pub fn surfacings(&self) -> impl Iterator<Item = (&str, f64, f64)> {
        self.flukes
            .iter()
            .map(|f| (f.whale.name.as_str(), f.start, f.end()))
    }

    /// The time of a frame in seconds.
    pub fn time(&self, frame: u32) -> f64 {
        f64::from(frame) / f64::from(self.frames_per_second)
    }

    /// Paints frame `frame` and returns its flukes, each with at least [`scene::MIN_VISIBLE`] above
    /// the water.
    pub fn paint(&self, frame: u32, picture: &mut RgbImage, seen: &mut Vec<VisibleFluke>) {
        let time = self.time(frame);
        let begun = self.actors.partition_point(|a| a.start <= time);
        let actors: Vec<&Actor> = self.actors[..begun]
            .iter()
            .filter(|a| a.start + a.duration >= time)
            .collect();
        // Flukes that have just disappeared or are about to appear affect the light.
        let begun = self.flukes.partition_point(|f| f.start <= time + DAWN);
        let flukes: Vec<&Surfacing> = self.flukes[..begun]
            .iter()
            .filter(|f| f.end() + DAWN >= time)
            .collect();
        let moment = frame ^ (self.seed as u32).rotate_left(16);
        scene::paint_into(
            self.sea(time),
            &actors,
            &flukes,
            time,
            moment,
            picture,
            seen,
        );
        seen.retain(|s| s.visible >= scene::MIN_VISIBLE);
    }

    /// All frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame> {
        (0..self.len()).map(|number| {
            let mut picture = RgbImage::new(self.size.0, self.size.1);
            let mut seen = vec![];
            self.paint(number, &mut picture, &mut seen);
            Frame {
                number,
                time: self.time(number),
                picture,
                seen,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> VideoSettings {
        VideoSettings {
            size: (320, 180),
            fluke_pixels: 60.0..=120.0,
            sea_seconds: 1.0..=2.0,
            encounters: 3,
            pair_fraction: 1.0,
            return_fraction: 1.0,
            return_after_seconds: 2.0..=3.0,
            ..VideoSettings::default()
        }
    }

    #[test]
    fn flukes_are_where_the_truth_says_and_nowhere_before() {
        let cast = Cast::drawn(3, 4);
        let video = Video::draw(&plan(), &cast).unwrap();
        let times: Vec<(String, f64, f64)> = video
            .surfacings()
            .map(|(w, a, b)| (w.to_owned(), a, b))
            .collect();
        assert!(times.len() > 6, "pairs and returns: {times:?}");
        let mut with = 0;
        for moment in video.frames() {
            for seen in &moment.seen {
                assert!(
                    times
                        .iter()
                        .any(|(w, a, b)| *w == seen.whale && (*a..=*b).contains(&moment.time)),
                    "{seen:?} at {}",
                    moment.time
                );
                assert!(seen.region.within(320, 180) == Some(seen.region));
                with += 1;
            }
        }
        assert!(with > 40, "{with}");
        let open = video.frames().next().unwrap();
        assert!(open.seen.is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_video() {
        let cast = Cast::drawn(3, 4);
        let frame = |plan: &VideoSettings| {
            let video = Video::draw(plan, &cast).unwrap();
            video.frames().nth(25).unwrap().picture
        };
        assert_eq!(frame(&plan()), frame(&plan()));
        assert_ne!(
            frame(&plan()),
            frame(&VideoSettings {
                number: 1,
                ..plan()
            })
        );
    }
}
