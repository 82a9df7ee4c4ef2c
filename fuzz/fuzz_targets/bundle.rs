//! A single-file bundle: unchanged, and with repaired sizes and checksums, so that the parts are
//! read; then the operations of a boat on a bundle that was opened.
#![no_main]

use flukewatch_common::bundle::{
    Bundle, DETECTOR_PART, DetectorInfo, GOLDEN_PART, MANIFEST_FILE, ModelInfo, NewBundle, PARTS,
    Precision, TRAINING_PART, TrainingSet, View,
};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::{Calibrator, DecisionRule};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_common::whale_score::WhaleScore;
use flukewatch_fuzz::{repair, seeds};
use image::RgbImage;
use rustix::fs::{MemfdFlags, memfd_create};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::LazyLock;

/// An anonymous file in memory.
static FILE: LazyLock<File> = LazyLock::new(|| {
    memfd_create("bundle", MemfdFlags::CLOEXEC).map_or_else(|e| panic!("{e}"), File::from)
});

/// The parts and their default files.
const FILES: [(&str, &str); 7] = [
    PARTS[0],
    PARTS[1],
    PARTS[2],
    PARTS[3],
    GOLDEN_PART,
    DETECTOR_PART,
    TRAINING_PART,
];

/// Opens a bundle from `bytes`.
fn open(bytes: &[u8]) -> Option<Bundle> {
    let written = FILE.set_len(0).and_then(|()| FILE.write_all_at(bytes, 0));
    written.unwrap_or_else(|e| panic!("{e}"));
    Bundle::open(&PathBuf::from(format!(
        "/proc/self/fd/{}",
        FILE.as_raw_fd()
    )))
    .ok()
}

/// Splits the input into manifest and parts: two bytes for the length of each except the last part,
/// then their contents.
fn split(bytes: &[u8]) -> Option<(&[u8], [Vec<u8>; 7])> {
    let (lengths, mut rest) = bytes.split_first_chunk::<14>()?;
    let mut take = |length: usize| {
        let (piece, left) = rest.split_at(length.min(rest.len()));
        rest = left;
        piece
    };
    let mut lengths = lengths
        .as_chunks::<2>()
        .0
        .iter()
        .map(|l| u16::from_le_bytes(*l).into());
    let manifest = take(lengths.next()?);
    Some((
        manifest,
        [(); 7].map(|()| take(lengths.next().unwrap_or(usize::MAX)).to_vec()),
    ))
}

/// The inverse of [`split`].
fn joined(manifest: &[u8], parts: &[Vec<u8>; 7]) -> Vec<u8> {
    let pieces = || std::iter::once(manifest).chain(parts.iter().map(Vec::as_slice));
    let lengths = pieces()
        .take(7)
        .flat_map(|p| (p.len() as u16).to_le_bytes());
    lengths.chain(pieces().flatten().copied()).collect()
}

/// A tar of the parts, named as in the manifest, whose sizes and checksums are set to those of the
/// parts.
fn pack(manifest: &[u8], parts: &mut [Vec<u8>; 7]) -> io::Result<Vec<u8>> {
    repair::catalogue(&mut parts[1]);
    let mut said: Value = serde_json::from_slice(manifest).unwrap_or_default();
    let mut tar = tar::Builder::new(vec![]);
    let add = |tar: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut header, name, content)
    };
    let mut files = vec![];
    for ((part, usual), content) in FILES.iter().zip(parts.iter()) {
        let Some(info) = said
            .pointer_mut(&format!("/parts/{part}"))
            .and_then(Value::as_object_mut)
        else {
            continue;
        };
        let sum: String = Sha256::digest(content)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        info.insert("bytes".into(), content.len().into());
        info.insert("sha256".into(), sum.into());
        let name = info.get("file").and_then(Value::as_str).unwrap_or(usual);
        files.push((name.to_owned(), content));
    }
    let manifest = if said.is_object() {
        said.to_string().into_bytes()
    } else {
        manifest.to_vec()
    };
    add(&mut tar, MANIFEST_FILE, &manifest)?;
    files
        .iter()
        .try_for_each(|(name, content)| add(&mut tar, name, content))?;
    tar.into_inner()
}

/// The operations of a boat on a bundle.
fn use_it(bundle: Bundle) {
    let catalogue = &bundle.catalogue;
    let again = Catalogue::from_bytes(&catalogue.to_bytes());
    assert_eq!(
        again.as_ref(),
        Ok(catalogue),
        "a bundle that was read round-trips"
    );
    let queries = (0..catalogue.len())
        .filter_map(|i| Embedding::normalised(catalogue.embedding(i).to_vec()).ok());
    let queries: Vec<Embedding> = queries.chain(bundle.golden.clone()).take(3).collect();
    let ranking = catalogue.search_encounter(&queries, bundle.decision.whale_score, 5);
    let ranking = ranking.unwrap_or_else(|e| panic!("{e}"));
    let _ = (
        bundle.decision.decide(&ranking),
        bundle.decision.probability(&ranking),
    );
    let preparation = &bundle.manifest.preparation;
    if preparation.width * preparation.height <= 1 << 14 {
        let photo = RgbImage::from_fn(24, 16, |x, y| image::Rgb([x as u8 * 9, y as u8 * 9, 50]));
        let pixels = preparation.pixels(&photo, PixelBox::whole(24, 16));
        let pixels = pixels.unwrap_or_else(|e| panic!("{e}"));
        let _ = preparation.normalise(&pixels, true);
    }
    if let Some(training) = &bundle.training {
        assert_eq!(
            training.has_photo("aa"),
            TrainingSet::union([training.clone()]).has_photo("aa")
        );
    }
    let golden = bundle.golden.clone();
    bundle.with_golden(golden).unwrap_or_else(|e| panic!("{e}"));
}

fn sample() -> Option<(Bundle, [Vec<u8>; 7])> {
    let preparation = Preparation {
        height: 8,
        width: 16,
        colour: Colour::Grey,
        fit: Fit::Letterbox,
        padding: 0.0,
        mean: vec![127.0],
        std: vec![128.0],
    };
    let model = || ModelInfo {
        architecture: "tiny".into(),
        precision: Precision::Int8,
        opset: 17,
        trained_on: "nothing".into(),
    };
    let embedding = |turn: f32| Embedding::normalised(vec![1.0, turn, 0.5, -turn]).ok();
    let mut catalogue = Catalogue::new(4);
    for (whale, photo, turn) in [
        ("HW-1", "a.jpg", 0.3),
        ("HW-1", "b.jpg", 0.5),
        ("HW-2", "c.jpg", -2.0),
    ] {
        let [whale, photo, source] = [whale, photo, "test"].map(str::to_owned);
        catalogue
            .enrol(
                Enrolled {
                    whale,
                    photo,
                    source,
                    ..Enrolled::default()
                },
                &embedding(turn)?,
            )
            .ok()?;
    }
    let rule = DecisionRule {
        whale_score: WhaleScore::BLEND,
        calibrator: Some(Calibrator::Isotonic {
            points: vec![(0.2, 0.1), (0.9, 1.0)],
        }),
        ..DecisionRule::thresholds(0.6, 0.4, "nothing")
    };
    let views = vec![View::Plain, View::Mirrored];
    let created = "2026-11-23T16:20:00.000Z";
    let info = DetectorInfo {
        preparation: preparation.clone(),
        strides: vec![8, 16],
        threshold: 0.5,
        model: model(),
    };
    let bundle = Bundle::new(NewBundle {
        name: "whales",
        created,
        preparation,
        views,
        model_info: model(),
        model: b"m".to_vec(),
        catalogue,
        decision: rule,
        card: "# Card".to_owned(),
    });
    let bundle = bundle.ok()?.with_golden(vec![embedding(1.0)?]).ok()?;
    let bundle = bundle.with_detector(Some((info, b"d".to_vec()))).ok()?;
    let training = TrainingSet::new(b"m", ["HW-1"], ["aa", "bb"]);
    let bundle = bundle.with_training_set(Some(training)).ok()?;
    let golden = bundle.golden.iter().flat_map(|g| g.as_slice());
    let parts = [
        bundle.model.clone(),
        bundle.catalogue.to_bytes(),
        serde_json::to_vec(&bundle.decision).ok()?,
        bundle.card.clone().into_bytes(),
        golden.flat_map(|v| v.to_le_bytes()).collect(),
        bundle.detector.clone()?,
        bundle.training.as_ref()?.to_bytes(),
    ];
    Some((bundle, parts))
}

fn make_seeds() -> Option<[Vec<u8>; 2]> {
    let (bundle, mut parts) = sample()?;
    let manifest = serde_json::to_vec(&bundle.manifest).ok()?;
    let separate = joined(&manifest, &parts);
    let whole = pack(&manifest, &mut parts).ok()?;
    // The seed must be a valid bundle, or the fuzzer has no useful start.
    use_it(open(&whole)?);
    Some([
        [b"W".as_slice(), &whole].concat(),
        [b"P".as_slice(), &separate].concat(),
    ])
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| make_seeds().unwrap_or_else(|| panic!("the sample bundle is invalid")));
    },
    |bytes: &[u8]| {
        let opened = match bytes.split_first() {
            Some((b'W', file)) => open(file),
            Some((_, parts)) => split(parts)
                .and_then(|(manifest, mut parts)| pack(manifest, &mut parts).ok())
                .and_then(|file| open(&file)),
            None => None,
        };
        if let Some(bundle) = opened {
            use_it(bundle);
        }
    }
);
