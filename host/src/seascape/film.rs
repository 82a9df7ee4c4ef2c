//! A sequence of pictures of the sea, with the truth of every frame: open sea, flukes that come and go, and what is none.

use super::actor::{Actor, Kind};
use super::cast::Cast;
use super::scene;
use super::sea::Sea;
use super::surfacing::{DAWN, Place, Seen, Surfacing, place};
use crate::dataset::DatasetError;
use crate::synth::seed::{Draw, Purpose, Span, generator};
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What a film shall show.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Tells the films of one seed apart.
    pub number: u32,
    /// Pixels across and down.
    pub size: (u32, u32),
    /// Frames a second.
    pub frames_per_second: f32,
    /// How often a whale comes.
    pub encounters: u32,
    /// How long a fluke is seen, in seconds.
    pub fluke_seconds: Span,
    /// Pixels across of a fluke.
    pub fluke_pixels: Span,
    /// Open sea before, between and after, in seconds.
    pub sea_seconds: Span,
    /// The share of encounters in which two whales dive side by side.
    pub pairs: f32,
    /// The share of encounters after which the same whale comes back.
    pub returns: f32,
    /// After how long it does, in seconds.
    pub return_after: Span,
    /// Birds, boats and the like that come, a minute.
    pub distractors_a_minute: f32,
    /// After how long another sea is shown, in seconds; the film is cut there.
    pub sea_changes: f64,
}

impl Default for Plan {
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
            pairs: 0.15,
            returns: 0.15,
            return_after: 120.0..=480.0,
            distractors_a_minute: 6.0,
            sea_changes: 600.0,
        }
    }
}

/// A film, ready to be shown.
#[derive(Debug)]
pub struct Film {
    size: (u32, u32),
    frames_per_second: f32,
    seed: u64,
    /// When each begins, seconds.
    seas: Vec<(f64, Sea)>,
    /// By their beginnings.
    actors: Vec<Actor>,
    flukes: Vec<Surfacing>,
    seconds: f64,
}

/// A frame of a film.
#[derive(Clone, Debug)]
pub struct Moment {
    /// From 0.
    pub number: u32,
    /// Seconds.
    pub time: f64,
    /// The picture.
    pub picture: RgbImage,
    /// The flukes in it.
    pub seen: Vec<Seen>,
}

impl Film {
    /// Draws what happens.
    ///
    /// # Errors
    /// When a photo of the cast cannot be read.
    pub fn draw(plan: &Plan, cast: &Cast) -> Result<Self, DatasetError> {
        let chance = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, 0);
        // First when, then on which sea, then where.
        let mut starts = vec![];
        let mut time = f64::from(chance.within(&plan.sea_seconds));
        for _ in 0..plan.encounters {
            let seconds = chance.within(&plan.fluke_seconds);
            starts.push((time, seconds));
            time += f64::from(seconds + chance.within(&plan.sea_seconds));
        }
        let mut seas = vec![];
        let mut begins = 0.0;
        while begins < time || seas.is_empty() {
            let number = plan
                .number
                .wrapping_mul(4099)
                .wrapping_add(seas.len() as u32);
            seas.push((begins, Sea::draw(plan.seed, number, plan.size)));
            begins += plan.sea_changes.max(1.0);
        }
        let mut film = Self {
            size: plan.size,
            frames_per_second: plan.frames_per_second,
            seed: plan.seed,
            seas,
            actors: vec![],
            flukes: vec![],
            seconds: time,
        };
        for (i, (begins, seconds)) in starts.into_iter().enumerate() {
            let events = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, 1 + i as u32);
            film.encounter(plan, cast, begins, seconds, events)?;
        }
        let many = (time / 60.0 * f64::from(plan.distractors_a_minute)) as u32;
        for i in 0..many {
            let number = (1 << 31) + i;
            let events = &mut generator(plan.seed, Purpose::SeaFilm, plan.number, number);
            let begins = f64::from(events.random::<f32>()) * time - 5.0;
            let kind = Kind::ALL[events.random_range(0..Kind::ALL.len())];
            let actor = Actor::draw(kind, film.sea(begins), begins, events);
            film.actors.push(actor);
        }
        film.actors.sort_by(|a, b| a.begins.total_cmp(&b.begins));
        film.flukes.sort_by(|a, b| a.begins.total_cmp(&b.begins));
        Ok(film)
    }

    /// One whale that comes, or two; and perhaps comes back.
    fn encounter(
        &mut self,
        plan: &Plan,
        cast: &Cast,
        begins: f64,
        seconds: f32,
        chance: &mut ChaCha8Rng,
    ) -> Result<(), DatasetError> {
        let number = chance.random_range(0..cast.len().max(1));
        let whale = cast.as_photographed(number, chance)?;
        let (low, high) = (
            plan.fluke_pixels.start().max(4.0),
            plan.fluke_pixels.end().max(4.0),
        );
        let width = chance.within(&(low.ln()..=high.ln())).exp();
        let here = place(self.sea(begins), width, begins, chance);
        let first = Surfacing::draw(whale.clone(), here, begins, seconds, chance);
        self.flukes.push(first.as_photographed());
        if chance.chance(plan.pairs) && cast.len() > 1 {
            let other =
                cast.as_photographed(number + 1 + chance.random_range(0..cast.len() - 1), chance)?;
            let side = if here.x > self.size.0 as f32 / 2.0 {
                -1.0
            } else {
                1.0
            };
            let beside = Place {
                x: here.x + side * width * chance.within(&(1.15..=1.8)),
                width: width * chance.within(&(0.85..=1.15)),
                ..here
            };
            let later = begins + f64::from(chance.within(&(0.0..=0.6)) * seconds);
            let second = Surfacing::draw(other, beside, later, seconds, chance);
            self.flukes.push(second.as_photographed());
        }
        if chance.chance(plan.returns) {
            let again = begins + f64::from(seconds + chance.within(&plan.return_after));
            if again + f64::from(seconds) < self.seconds {
                let width = width * chance.within(&(0.8..=1.25));
                let there = place(self.sea(again), width, again, chance);
                let back = Surfacing::draw(whale, there, again, seconds, chance);
                self.flukes.push(back.as_photographed());
            }
        }
        Ok(())
    }

    fn sea(&self, time: f64) -> &Sea {
        let later = self.seas.partition_point(|(begins, _)| *begins <= time);
        &self.seas[later.saturating_sub(1)].1
    }

    /// How many frames there are.
    pub fn len(&self) -> u32 {
        (self.seconds * f64::from(self.frames_per_second)).ceil() as u32
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seconds from its first frame to its last.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Pixels across and down.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Every time that a fluke is shown: whose, from when to when in seconds.
    pub fn surfacings(&self) -> impl Iterator<Item = (&str, f64, f64)> {
        self.flukes
            .iter()
            .map(|f| (f.whale.name.as_str(), f.begins, f.ends()))
    }

    /// When a frame is taken, seconds.
    pub fn time(&self, frame: u32) -> f64 {
        f64::from(frame) / f64::from(self.frames_per_second)
    }

    /// Paints frame `frame` and says which flukes are in it, each with at least [`scene::LEAST_SHARE`] of it out of the water.
    pub fn paint(&self, frame: u32, picture: &mut RgbImage, seen: &mut Vec<Seen>) {
        let time = self.time(frame);
        let begun = self.actors.partition_point(|a| a.begins <= time);
        let actors: Vec<&Actor> = self.actors[..begun]
            .iter()
            .filter(|a| a.begins + a.lasts >= time)
            .collect();
        // Those that have just gone and that are about to come have a say in the light.
        let begun = self.flukes.partition_point(|f| f.begins <= time + DAWN);
        let flukes: Vec<&Surfacing> = self.flukes[..begun]
            .iter()
            .filter(|f| f.ends() + DAWN >= time)
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
        seen.retain(|s| s.share >= scene::LEAST_SHARE);
    }

    /// All frames, one after another.
    pub fn frames(&self) -> impl Iterator<Item = Moment> {
        (0..self.len()).map(|number| {
            let mut picture = RgbImage::new(self.size.0, self.size.1);
            let mut seen = vec![];
            self.paint(number, &mut picture, &mut seen);
            Moment {
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

    fn plan() -> Plan {
        Plan {
            size: (320, 180),
            fluke_pixels: 60.0..=120.0,
            sea_seconds: 1.0..=2.0,
            encounters: 3,
            pairs: 1.0,
            returns: 1.0,
            return_after: 2.0..=3.0,
            ..Plan::default()
        }
    }

    #[test]
    fn flukes_are_where_the_truth_says_and_nowhere_before() {
        let cast = Cast::drawn(3, 4);
        let film = Film::draw(&plan(), &cast).unwrap();
        let times: Vec<(String, f64, f64)> = film
            .surfacings()
            .map(|(w, a, b)| (w.to_owned(), a, b))
            .collect();
        assert!(
            times.len() > 6,
            "pairs, and whales that come back: {times:?}"
        );
        let mut with = 0;
        for moment in film.frames() {
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
        let open = film.frames().next().unwrap();
        assert!(open.seen.is_empty());
    }

    #[test]
    fn the_same_seed_is_the_same_film() {
        let cast = Cast::drawn(3, 4);
        let frame = |plan: &Plan| {
            let film = Film::draw(plan, &cast).unwrap();
            film.frames().nth(25).unwrap().picture
        };
        assert_eq!(frame(&plan()), frame(&plan()));
        assert_ne!(
            frame(&plan()),
            frame(&Plan {
                number: 1,
                ..plan()
            })
        );
    }
}
