//! The whales that the emulated boat encounters.

use crate::checkout::Checkout;
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Few whales, with photos besides the enrolled ones; no camera sequences, which take longest to
/// draw.
const DRAWN: [(&str, &str); 6] = [
    ("--seed", "2026"),
    ("--whales", "12"),
    ("--new-whales", "2"),
    ("--photos-per-whale", "4..5"),
    ("--queries-per-whale", "3"),
    ("--sequences", "0"),
];

/// A whale in front of the emulated camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Encounter {
    /// The whale's name.
    pub(super) whale: String,
    /// Whether the whale is in the catalogue.
    pub(super) enrolled: bool,
    /// Photos with the box of the fluke in each.
    pub(super) photos: Vec<Photo>,
}

/// A photo of the queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Photo {
    /// File name in the folder `queries`.
    pub(super) file: String,
    /// Left, top, right and bottom of the fluke's box in pixels.
    pub(super) region: [u32; 4],
}

impl Photo {
    /// The text of the sidecar file with the fluke's box.
    pub(super) fn sidecar(&self) -> String {
        let [x0, y0, x1, y1] = self.region;
        format!("{{\"boxes\":[{{\"x0\":{x0},\"y0\":{y0},\"x1\":{x1},\"y1\":{y1}}}]}}")
    }
}

/// Draws whales into `folder` with the workstation's `program`.
pub(super) fn draw(checkout: &Checkout, program: &Path, folder: &Path) -> anyhow::Result<()> {
    let mut synth = checkout.program(program);
    synth.arg("synth").arg("--out").arg(folder);
    for (option, value) in DRAWN {
        synth.args([option, value]);
    }
    checkout.run(&mut synth)
}

/// Enrols the whales: writes the bundle `to` with the model of the bundle `model`.
pub(super) fn enrol(
    checkout: &Checkout,
    program: &Path,
    folder: &Path,
    model: &Path,
    to: &Path,
) -> anyhow::Result<()> {
    let mut enroll = checkout.program(program);
    enroll
        .arg("enroll")
        .arg(model)
        .arg(folder.join("catalogue.csv"));
    checkout.run(enroll.arg("--out").arg(to))
}

/// Path of a photo.
pub(super) fn photo(folder: &Path, photo: &Photo) -> PathBuf {
    folder.join("queries").join(&photo.file)
}

/// Two whales of the catalogue and a new one.
pub(super) fn encounters(folder: &Path) -> anyhow::Result<Vec<Encounter>> {
    let read = |name: &str| {
        let file = folder.join(name);
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
    };
    let enrolled = whales(&read("catalogue.csv")?).context("catalogue.csv is invalid")?;
    let seen = whales(&read("queries.csv")?).context("queries.csv is invalid")?;
    let (known, new): (Vec<Encounter>, Vec<Encounter>) = seen
        .into_iter()
        .map(|(whale, photos)| Encounter {
            enrolled: enrolled.contains_key(&whale),
            whale,
            photos,
        })
        .partition(|encounter| encounter.enrolled);
    let chosen: Vec<Encounter> = known
        .into_iter()
        .take(2)
        .chain(new.into_iter().take(1))
        .collect();
    ensure!(
        chosen.len() == 3,
        "expected 3 whales, {} were drawn",
        chosen.len()
    );
    Ok(chosen)
}

/// The photos of each whale in a table of `flukewatch synth`, whose names contain no comma.
fn whales(table: &str) -> Option<BTreeMap<String, Vec<Photo>>> {
    let mut lines = table.lines();
    if lines.next()? != "image,identity,width,height,x0,y0,x1,y1" {
        return None;
    }
    let mut whales = BTreeMap::<String, Vec<Photo>>::new();
    for line in lines {
        let [file, whale, _, _, sides @ ..] = &line.split(',').collect::<Vec<_>>()[..] else {
            return None;
        };
        let sides: Vec<u32> = sides
            .iter()
            .map(|s| s.parse().ok())
            .collect::<Option<_>>()?;
        whales.entry((*whale).to_owned()).or_default().push(Photo {
            file: (*file).to_owned(),
            region: sides.try_into().ok()?,
        });
    }
    Some(whales)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "image,identity,width,height,x0,y0,x1,y1\n";

    #[test]
    fn known_whales_come_before_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &[(&str, &str)]| {
            let rows: Vec<String> = rows
                .iter()
                .map(|(file, whale)| format!("{file},{whale},448,381,24,93,357,315\n"))
                .collect();
            fs::write(folder.path().join(name), HEAD.to_owned() + &rows.concat()).unwrap();
        };
        write(
            "catalogue.csv",
            &[("1.jpg", "A"), ("2.jpg", "B"), ("3.jpg", "C")],
        );
        let rows = [
            ("4.jpg", "N"),
            ("5.jpg", "A"),
            ("6.jpg", "B"),
            ("7.jpg", "A"),
            ("8.jpg", "C"),
        ];
        write("queries.csv", &rows);
        let encounters = encounters(folder.path()).unwrap();
        let report: Vec<_> = encounters
            .iter()
            .map(|v| (&*v.whale, v.enrolled, v.photos.len()))
            .collect();
        assert_eq!(report, [("A", true, 2), ("B", true, 1), ("N", false, 1)]);
        assert_eq!(
            encounters[2].photos[0].sidecar(),
            r#"{"boxes":[{"x0":24,"y0":93,"x1":357,"y1":315}]}"#
        );
        write("queries.csv", &rows[1..]);
        assert!(super::encounters(folder.path()).is_err(), "no new whale");
    }

    #[test]
    fn an_invalid_table_is_an_error() {
        assert_eq!(whales("Image,Id\n1.jpg,A\n"), None);
        assert_eq!(whales(&format!("{HEAD}1.jpg,A,4,4,0,0,4\n")), None);
        assert_eq!(whales(&format!("{HEAD}1.jpg,A,4,4,0,0,4,x\n")), None);
        assert!(whales(HEAD).unwrap().is_empty());
    }
}
