//! The whales of a video: drawn, or from photos; half of them are enrolled.

use super::super::empty;
use crate::checkout::Checkout;
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Number of drawn whales; half are enrolled.
const DRAWN: u32 = 120;

/// The whales of a film.
pub(super) enum Cast {
    /// Drawn whales.
    Drawn {
        /// Folder of population and bundle.
        folder: PathBuf,
        /// Seed of the population.
        seed: u64,
    },
    /// Whales from photos.
    Photos {
        /// Folder of the split tables.
        folder: PathBuf,
        /// Folder of the photos.
        photos: PathBuf,
    },
}

impl Cast {
    /// Draws whales.
    pub(super) fn drawn(folder: &Path, seed: u64) -> Self {
        Self::Drawn {
            folder: folder.join(format!("drawn-{seed}")),
            seed,
        }
    }

    /// The whales of a table of photos with boxes. Of whales with two photos or more, the last
    /// photo appears in the video, and the other photos of every second whale are enrolled; of
    /// whales with one photo every second one is enrolled, and none appears.
    pub(super) fn photos(folder: &Path, table: &Path) -> anyhow::Result<Self> {
        let photos = table.with_extension("");
        let photos = fs::canonicalize(&photos).with_context(|| photos.display().to_string())?;
        let folder = folder.join("photos");
        empty(&folder)?;
        let text = fs::read_to_string(table).with_context(|| table.display().to_string())?;
        let Split { catalogue, film } =
            split(&text).with_context(|| table.display().to_string())?;
        for (name, rows) in [("catalogue", catalogue), ("film", film)] {
            let path = folder.join(name).with_extension("csv");
            fs::write(&path, rows).with_context(|| path.display().to_string())?;
            std::os::unix::fs::symlink(&photos, folder.join(name))?;
        }
        Ok(Self::Photos { folder, photos })
    }

    /// Name of this kind of whales.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Drawn { .. } => "drawn",
            Self::Photos { .. } => "photos",
        }
    }

    fn folder(&self) -> &Path {
        match self {
            Self::Drawn { folder, .. } | Self::Photos { folder, .. } => folder,
        }
    }

    /// The bundle with the enrolled whales.
    pub(super) fn bundle(&self) -> PathBuf {
        self.folder().with_extension("flukebundle")
    }

    /// A table with one photo of each whale.
    pub(super) fn stills(&self) -> PathBuf {
        self.folder().join(match self {
            Self::Drawn { .. } => "queries.csv",
            Self::Photos { .. } => "film.csv",
        })
    }

    /// Writes the bundle with the enrolled whales.
    pub(super) fn enrol(&self, checkout: &Checkout, bundle: &Path) -> anyhow::Result<()> {
        let flukewatch = || checkout.program(checkout.built("flukewatch"));
        let mut enrol = flukewatch();
        enrol
            .args(["enroll", "--quiet", "--out"])
            .arg(self.bundle())
            .arg(bundle);
        enrol.arg(self.folder().join("catalogue.csv"));
        match self {
            Self::Drawn { folder, seed } => {
                empty(folder)?;
                let mut synth = flukewatch();
                synth.arg("synth").arg("--out").arg(folder);
                synth.arg("--seed").arg(seed.to_string());
                let half = (DRAWN / 2).to_string();
                synth.args(["--whales", &half, "--new-whales", &half]);
                checkout.run(&mut synth)?;
            }
            Self::Photos { photos, .. } => {
                enrol.arg("--photos").arg(photos);
            }
        }
        checkout.run(&mut enrol)
    }

    /// Adds the arguments of `synth-sea` that show these whales.
    pub(super) fn show(&self, synth: &mut Command) {
        match self {
            Self::Drawn { .. } => synth.arg("--whales").arg(DRAWN.to_string()),
            Self::Photos { folder, .. } => synth.arg("--photos").arg(folder.join("film.csv")),
        };
    }
}

/// Tables of enrolled photos, and of photos for the video.
struct Split {
    catalogue: String,
    film: String,
}

fn split(table: &str) -> anyhow::Result<Split> {
    let mut lines = table.lines();
    let head = lines.next().context("the table is empty")?;
    if table.contains('"') {
        bail!("quoted fields are not supported");
    }
    let place = head.split(',').position(|name| name.trim() == "identity");
    let place = place.context("the table has no column 'identity'")?;
    let mut whales: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines {
        if let Some(whale) = line.split(',').nth(place).filter(|w| !w.is_empty()) {
            whales.entry(whale).or_default().push(line);
        }
    }
    let (mut catalogue, mut film) = (vec![head], vec![head]);
    let (mut once, mut often) = (0, 0);
    for rows in whales.values() {
        let Some((last, others)) = rows.split_last() else {
            continue;
        };
        let count = if others.is_empty() {
            &mut once
        } else {
            &mut often
        };
        *count += 1;
        let enrolled = *count % 2 == 1;
        if others.is_empty() {
            catalogue.extend(enrolled.then_some(last));
        } else {
            film.push(last);
            catalogue.extend(others.iter().filter(|_| enrolled));
        }
    }
    ensure!(
        film.len() > 2,
        "fewer than two whales have two photos; add photos"
    );
    let text = |rows: Vec<&str>| rows.join("\n") + "\n";
    Ok(Split {
        catalogue: text(catalogue),
        film: text(film),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_enrolled_and_no_enrolled_photo_appears_in_the_video() {
        let table = "image,identity\na1,a\na2,a\nb1,b\nb2,b\nc1,c\nd1,d\ne1,\na3,a\n";
        let Split { catalogue, film } = split(table).unwrap();
        assert_eq!(catalogue, "image,identity\na1,a\na2,a\nc1,c\n");
        assert_eq!(film, "image,identity\na3,a\nb2,b\n");
    }

    #[test]
    fn tables_that_cannot_be_split_say_why() {
        for (table, why) in [
            ("", "empty"),
            ("image,name\na,b\n", "no column 'identity'"),
            ("image,identity\na1,a\n", "two photos"),
            ("image,identity\n\"a\",a\n", "quoted"),
        ] {
            let error = split(table).err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
