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

/// What videos of real flukes on real seas are composed of.
pub(super) struct Real {
    /// Folder of masks.
    masks: PathBuf,
    /// Folder of photos of seas.
    pub(super) seas: PathBuf,
}

impl Real {
    /// These folders.
    pub(super) fn open(masks: &Path, seas: &Path) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            let real = fs::canonicalize(path);
            real.with_context(|| path.display().to_string())
        };
        Ok(Self {
            masks: open(masks)?,
            seas: open(seas)?,
        })
    }
}

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
        /// Folder of masks, by which they are cut out.
        masks: Option<PathBuf>,
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
    /// photo appears in the video (the last with a mask, if there are masks), and the other photos of every
    /// second whale are enrolled; of the other whales every second one is enrolled, and none appears.
    pub(super) fn photos(folder: &Path, table: &Path, real: Option<&Real>) -> anyhow::Result<Self> {
        let photos = table.with_extension("");
        let photos = fs::canonicalize(&photos).with_context(|| photos.display().to_string())?;
        let name = if real.is_some() { "real" } else { "photos" };
        let folder = folder.join(name);
        empty(&folder)?;
        let text = fs::read_to_string(table).with_context(|| table.display().to_string())?;
        let masks = real.map(|real| real.masks.as_path());
        let has_mask = masks.map(|masks| {
            move |image: &str| {
                let mask = Path::new(image).with_extension("png");
                masks.join(mask).is_file()
            }
        });
        let Split { catalogue, film } =
            split(&text, has_mask).with_context(|| table.display().to_string())?;
        for (name, rows) in [("catalogue", catalogue), ("film", film)] {
            let path = folder.join(name).with_extension("csv");
            fs::write(&path, rows).with_context(|| path.display().to_string())?;
            std::os::unix::fs::symlink(&photos, folder.join(name))?;
        }
        Ok(Self::Photos {
            folder,
            photos,
            masks: real.map(|real| real.masks.clone()),
        })
    }

    /// Name of this kind of whales.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Drawn { .. } => "drawn",
            Self::Photos { masks: None, .. } => "photos",
            Self::Photos { masks: Some(_), .. } => "real",
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
            Self::Photos { folder, masks, .. } => {
                if let Some(masks) = masks {
                    synth.arg("--masks").arg(masks);
                }
                synth.arg("--photos").arg(folder.join("film.csv"))
            }
        };
    }
}

/// Tables of enrolled photos, and of photos for the video.
struct Split {
    catalogue: String,
    film: String,
}

/// Only images that have a mask appear in the video, if there are masks.
fn split(table: &str, has_mask: Option<impl Fn(&str) -> bool>) -> anyhow::Result<Split> {
    let mut lines = table.lines();
    let head = lines.next().context("the table is empty")?;
    if table.contains('"') {
        bail!("quoted fields are not supported");
    }
    let column = |wanted: &str| {
        let place = head.split(',').position(|name| name.trim() == wanted);
        place.with_context(|| format!("the table has no column '{wanted}'"))
    };
    let place = column("identity")?;
    let has_mask = has_mask.map(|has| Ok::<_, anyhow::Error>((column("image")?, has)));
    let has_mask = has_mask.transpose()?;
    let may_appear = |row: &&str| match &has_mask {
        None => true,
        Some((image, has)) => row.split(',').nth(*image).is_some_and(has),
    };
    let mut whales: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in lines {
        if let Some(whale) = line.split(',').nth(place).filter(|w| !w.is_empty()) {
            whales.entry(whale).or_default().push(line);
        }
    }
    let (mut catalogue, mut film) = (vec![head], vec![head]);
    let (mut once, mut often) = (0, 0);
    for rows in whales.values() {
        let shown = rows.iter().rposition(may_appear).filter(|_| rows.len() > 1);
        let count = if shown.is_some() {
            &mut often
        } else {
            &mut once
        };
        *count += 1;
        if let Some(at) = shown {
            film.push(rows[at]);
        }
        if *count % 2 == 1 {
            let others = rows.iter().enumerate().filter(|(at, _)| Some(*at) != shown);
            catalogue.extend(others.map(|(_, row)| *row));
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
        let Split { catalogue, film } = split(table, None::<fn(&str) -> bool>).unwrap();
        assert_eq!(catalogue, "image,identity\na1,a\na2,a\nc1,c\n");
        assert_eq!(film, "image,identity\na3,a\nb2,b\n");
        // With masks of some photos only.
        let Split { catalogue, film } =
            split(table, Some(|image: &str| ["a2", "b2"].contains(&image))).unwrap();
        assert_eq!(catalogue, "image,identity\na1,a\na3,a\nc1,c\n");
        assert_eq!(film, "image,identity\na2,a\nb2,b\n");
    }

    #[test]
    fn tables_that_cannot_be_split_say_why() {
        for (table, why) in [
            ("", "empty"),
            ("image,name\na,b\n", "no column 'identity'"),
            ("image,identity\na1,a\n", "two photos"),
            ("image,identity\n\"a\",a\n", "quoted"),
        ] {
            let error = split(table, None::<fn(&str) -> bool>)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
