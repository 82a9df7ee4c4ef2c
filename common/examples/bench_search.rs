//! Our side of `cargo xtask bench search`: draws embeddings, searches them, and reports the times.
//!
//! ```sh
//! cargo run --release -p flukewatch-common --example bench_search -- draw FOLDER PHOTOS DIMENSION
//! cargo run --release -p flukewatch-common --example bench_search -- serve FOLDER    # then `search` or `floats`, line by line
//! cargo run --release -p flukewatch-common --example bench_search -- agree BUNDLE    # enrolled photos, each looked up among the others
//! cargo run --release -p flukewatch-common --example bench_search -- fill BUNDLE PHOTOS OUT    # a bundle with a drawn catalogue
//! ```
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::catalogue::{Catalogue, Enrolled, Match, search_kernel};
use flukewatch_common::embedding::{Embedding, dot};
use flukewatch_common::local_matching::{Descriptors, LocalPhotos};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

/// The photos of each drawn whale.
const PHOTOS_PER_WHALE: usize = 5;
/// The queries of each round.
const QUERIES: usize = 15;
/// The whales returned per query, as on a boat.
const MOST: usize = 5;
/// The distance of a photo from its whale's direction: the cosine of two photos of a whale is about
/// 0.7.
const SPREAD: f32 = 0.65;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["draw", folder, photos, dimension] => draw(
            Path::new(folder),
            photos.parse().unwrap(),
            dimension.parse().unwrap(),
        ),
        ["serve", folder] => serve(Path::new(folder)),
        ["agree", bundle] => println!(
            "{}",
            agree(&Bundle::open(Path::new(bundle)).unwrap().catalogue)
        ),
        ["fill", bundle, photos, out] => {
            fill(Path::new(bundle), photos.parse().unwrap(), Path::new(out));
        }
        _ => panic!(
            "draw FOLDER PHOTOS DIMENSION, serve FOLDER, agree BUNDLE, or fill BUNDLE PHOTOS OUT"
        ),
    }
}

/// `embeddings.f32` `[photos, dimension]` and `queries.f32` for others, little-endian, and `catalogue.bin` for us.
fn draw(folder: &Path, photos: usize, dimension: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut catalogue = Catalogue::new(dimension);
    let mut embeddings = BufWriter::new(File::create(folder.join("embeddings.f32")).unwrap());
    let mut queries = BufWriter::new(File::create(folder.join("queries.f32")).unwrap());
    let whales = photos.div_ceil(PHOTOS_PER_WHALE);
    let mut centre = vec![];
    for photo in 0..photos {
        let whale = photo / PHOTOS_PER_WHALE;
        if photo % PHOTOS_PER_WHALE == 0 {
            centre = random.row(dimension);
            if whale * QUERIES / whales != (whale + 1) * QUERIES / whales {
                write(&mut queries, &random.near(&centre));
            }
        }
        let row = random.near(&centre);
        write(&mut embeddings, &row);
        let entry = Enrolled {
            whale: format!("W{whale}"),
            photo: photo.to_string(),
            source: "drawn".into(),
            ..Enrolled::default()
        };
        catalogue.enrol(entry, &row).unwrap();
    }
    let mut file = BufWriter::new(File::create(folder.join("catalogue.bin")).unwrap());
    catalogue.write_to(&mut file).unwrap();
    file.flush().unwrap();
}

/// The different descriptors of a drawn catalogue, which its photos share in turn.
const DESCRIPTORS: usize = 509;

/// Writes the bundle with a drawn catalogue: whales of [`PHOTOS_PER_WHALE`] photos each, with descriptors where the bundle has local
/// matching.
fn fill(bundle: &Path, photos: usize, out: &Path) {
    let bundle = Bundle::open(bundle).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut catalogue = Catalogue::new(bundle.manifest.dimension);
    let mut local = bundle.local.clone();
    let layout = local.as_ref().map(LocalPhotos::layout);
    let drawn: Vec<Descriptors> = layout.map_or(vec![], |layout| {
        let values = layout.dimension * layout.locations();
        let mut one = || Descriptors::quantised(layout, random.row(values).as_slice()).unwrap();
        (0..DESCRIPTORS).map(|_| one()).collect()
    });
    let mut centre = vec![];
    for photo in 0..photos {
        if photo % PHOTOS_PER_WHALE == 0 {
            centre = random.row(bundle.manifest.dimension);
        }
        let entry = Enrolled {
            whale: format!("W{}", photo / PHOTOS_PER_WHALE),
            photo: photo.to_string(),
            source: "drawn".into(),
            ..Enrolled::default()
        };
        if let Some(local) = &mut local {
            local.push(&entry, &drawn[photo % DESCRIPTORS]).unwrap();
        }
        catalogue.enrol(entry, &random.near(&centre)).unwrap();
    }
    let rule = bundle.decision.clone();
    let filled = bundle.with_enrolled(catalogue, local, rule).unwrap();
    filled.save(out).unwrap();
}

fn write(out: &mut impl Write, row: &Embedding) {
    let bytes: Vec<u8> = row
        .as_slice()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    out.write_all(&bytes).unwrap();
}

/// Answers each line of standard input with a line of JSON.
fn serve(folder: &Path) {
    let catalogue = Catalogue::open(&folder.join("catalogue.bin")).unwrap();
    let bytes = std::fs::read(folder.join("queries.f32")).unwrap();
    let numbers: Vec<f32> = bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect();
    let queries: Vec<Embedding> = numbers
        .chunks_exact(catalogue.dimension())
        .map(|row| Embedding::normalised(row.to_vec()).unwrap())
        .collect();
    for line in std::io::stdin().lines() {
        let mut milliseconds = vec![];
        let mut first = vec![];
        for query in &queries {
            let began = Instant::now();
            let found = match line.as_deref().unwrap() {
                "search" => catalogue.search(query, MOST).unwrap(),
                "floats" => in_floats(&catalogue, query.as_slice(), usize::MAX)
                    .into_iter()
                    .collect(),
                other => panic!("search or floats, not {other}"),
            };
            milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
            first.push(found[0].photo.parse::<u64>().unwrap());
        }
        let answer = json!({
            "milliseconds": milliseconds,
            "first": first,
            "kernel": search_kernel(),
            "mapped": catalogue.is_mapped(),
        });
        println!("{answer}");
    }
}

/// The best photo by floats alone, except the one at `left_out`.
fn in_floats(catalogue: &Catalogue, query: &[f32], left_out: usize) -> Option<Match> {
    let mut best: Option<(f32, usize)> = None;
    for photo in (0..catalogue.len()).filter(|photo| *photo != left_out) {
        let score = dot(query, catalogue.embedding(photo));
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, photo));
        }
    }
    let (score, photo) = best?;
    let entry = &catalogue.entries()[photo];
    Some(Match {
        whale: entry.whale.clone(),
        photo: entry.photo.clone(),
        score,
    })
}

/// Looks up each enrolled photo among all others.
fn agree(catalogue: &Catalogue) -> Value {
    let mut same = 0;
    for photo in 0..catalogue.len() {
        let query = catalogue.embedding(photo);
        let found = catalogue
            .search_where(query, 1, |other| other != photo)
            .unwrap();
        let expected = in_floats(catalogue, query, photo);
        same += usize::from(found.first() == expected.as_ref());
    }
    json!({"photos": catalogue.len(), "dimension": catalogue.dimension(), "same": same})
}

/// Xorshift: the same numbers on every machine.
struct Random(u64);

impl Random {
    /// An approximately normal number: the sum of four uniform ones.
    fn number(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            sum += (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        }
        sum
    }

    /// A random direction.
    fn row(&mut self, dimension: usize) -> Vec<f32> {
        let row = (0..dimension).map(|_| self.number()).collect();
        Embedding::normalised(row).unwrap().as_slice().to_vec()
    }

    /// A random direction near `centre`.
    fn near(&mut self, centre: &[f32]) -> Embedding {
        let off = self.row(centre.len());
        let row = centre.iter().zip(off).map(|(c, o)| c + SPREAD * o);
        Embedding::normalised(row.collect()).unwrap()
    }
}
