//! The record of a run: `run.json`, next to its checkpoints. It says which photos a run trains on and
//! validates on, so that nothing that comes later (a resumed run, an export, an evaluation) has to compute it again
//! from a table that may have changed.

use super::recipe::Recipe;
use super::split::{Identities, Split, SplitSource};
use crate::trainer::record_error::RunRecordError;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sha256::sha256_hex;
use flukewatch_dataset::{Dataset, DatasetError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// The name of the file in a run's folder.
pub const FILE: &str = "run.json";
/// The version of its schema.
pub const SCHEMA: u32 = 1;

/// Which photos a run uses, and its sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The version of the schema: [`SCHEMA`].
    pub schema: u32,
    /// The seed of the recipe.
    pub seed: u64,
    /// The table of the photos.
    pub table: TableRecord,
    /// Who is trained on, and who validates.
    pub split: SplitRecord,
    /// The first start and each resumption, in their order.
    pub sessions: Vec<Session>,
}

/// The table of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRecord {
    /// The SHA-256 of its bytes, or of the names and whales of a folder's photos; hexadecimal.
    pub sha256: String,
    /// Number of photos in training and validation.
    pub photos: usize,
    /// Number of whales in training and validation.
    pub whales: usize,
}

/// Identities to train on and to validate on, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// What chose the validation identities.
    pub source: SplitSource,
    /// Identities to train on.
    pub train: Vec<IdentityRecord>,
    /// Identities held out for validation.
    pub validation: Vec<IdentityRecord>,
}

/// An identity and its photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRecord {
    /// The name of the whale.
    pub whale: String,
    /// Its photos, in the order of the table.
    pub photos: Vec<PhotoRecord>,
}

/// A photo.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotoRecord {
    /// Its name in the table.
    pub photo: String,
    /// The box of the fluke, if the table has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<PixelBox>,
    /// The SHA-256 of the picture, hexadecimal; of a JPEG without metadata.
    pub sha256: String,
}

/// A start or resumption of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// When it started, RFC 3339 UTC.
    pub started: String,
    /// When it ended: done, stopped early or interrupted. `None` while it runs, and if it was killed or
    /// failed.
    pub ended: Option<String>,
    /// The SHA-256 of the recipe as TOML with all its settings, hexadecimal.
    pub recipe_sha256: String,
    /// The git revision of the program, if it was built from one.
    pub revision: Option<String>,
    /// Versions of the program and of the libraries that compute.
    pub libraries: BTreeMap<String, String>,
    /// Where it computes.
    pub device: String,
}

impl RunRecord {
    /// The record of a run that starts now, without sessions. Reads all photos of the split, for their
    /// hashes.
    ///
    /// # Errors
    /// When a photo cannot be read.
    pub fn new(dataset: &Dataset, split: &Split, seed: u64) -> Result<Self, DatasetError> {
        let hashes = dataset.picture_hashes()?;
        let identities = |identities: &Identities| -> Vec<IdentityRecord> {
            let photo = |&at: &usize| PhotoRecord {
                photo: dataset.photos[at].name.clone(),
                region: dataset.photos[at].region,
                sha256: hashes[at].clone(),
            };
            identities
                .iter()
                .map(|(whale, photos)| IdentityRecord {
                    whale: whale.clone(),
                    photos: photos.iter().map(photo).collect(),
                })
                .collect()
        };
        let split = SplitRecord {
            source: split.source,
            train: identities(&split.train),
            validation: identities(&split.validation),
        };
        let all = || split.train.iter().chain(&split.validation);
        Ok(Self {
            schema: SCHEMA,
            seed,
            table: TableRecord {
                sha256: dataset.sha256.clone(),
                photos: all().map(|identity| identity.photos.len()).sum(),
                whales: all().count(),
            },
            split,
            sessions: vec![],
        })
    }

    /// Reads the record in a run's folder; `None` if there is none.
    ///
    /// # Errors
    /// When the file is damaged, or of another schema.
    pub fn read(folder: &Path) -> Result<Option<Self>, RunRecordError> {
        #[derive(Deserialize)]
        struct Head {
            schema: u64,
        }
        let path = folder.join(FILE);
        let bytes = match std::fs::read(&path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(RunRecordError::File { path, source }),
            Ok(bytes) => bytes,
        };
        let format = |e: serde_json::Error| RunRecordError::Format {
            path: path.clone(),
            reason: e.to_string(),
        };
        let head: Head = serde_json::from_slice(&bytes).map_err(format)?;
        if head.schema != u64::from(SCHEMA) {
            return Err(RunRecordError::Schema {
                path,
                found: head.schema,
                expected: SCHEMA,
            });
        }
        serde_json::from_slice(&bytes).map_err(format).map(Some)
    }

    /// Reads the record next to a checkpoint, and checks that it is of the same run; `None` if there is
    /// none.
    ///
    /// # Errors
    /// When the file cannot be used, or is of another run.
    pub fn of_checkpoint(
        checkpoint: &Path,
        recipe: &Recipe,
    ) -> Result<Option<Self>, RunRecordError> {
        let folder = checkpoint.parent().unwrap_or(Path::new(""));
        let Some(record) = Self::read(folder)? else {
            return Ok(None);
        };
        let recipe = recipe_sha256(recipe);
        if record.sessions.iter().all(|s| s.recipe_sha256 != recipe) {
            return Err(RunRecordError::OtherRun {
                path: folder.join(FILE),
                checkpoint: checkpoint.to_owned(),
            });
        }
        Ok(Some(record))
    }

    /// Writes the record to a run's folder, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), RunRecordError> {
        let path = folder.join(FILE);
        let mut bytes = serde_json::to_vec_pretty(self).expect("a record has string keys only");
        bytes.push(b'\n');
        write_atomically(&path, &bytes).map_err(|source| RunRecordError::File { path, source })
    }

    /// The stored split of the photos of `dataset`: whales that are not recorded train.
    pub fn split_of(&self, dataset: &Dataset) -> Split {
        let mut by_whale = dataset.by_whale();
        let mut stored = |identities: &[IdentityRecord]| -> Identities {
            let photos = identities.iter().filter_map(|identity| {
                let photos = by_whale.remove(identity.whale.as_str())?;
                Some((identity.whale.clone(), photos))
            });
            photos.collect()
        };
        let mut split = Split {
            source: self.split.source,
            train: stored(&self.split.train),
            validation: stored(&self.split.validation),
        };
        let others = by_whale.into_iter();
        split
            .train
            .extend(others.map(|(whale, photos)| (whale.to_owned(), photos)));
        split
    }

    /// How `now`, with the [stored split](Self::split_of) of a table, differs from this record; empty if
    /// training on it continues this run.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let (before, after) = (&self.split, &now.split);
        let mut found = vec![];
        let whales = |split: &SplitRecord| -> BTreeSet<String> {
            let all = split.train.iter().chain(&split.validation);
            all.map(|i| i.whale.clone()).collect()
        };
        let (old, new) = (whales(before), whales(after));
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
            a.difference(b).cloned().collect()
        };
        found.extend(counted("whales are missing", &only(&old, &new)));
        found.extend(counted("whales are new", &only(&new, &old)));

        let photos = |split: &SplitRecord| -> BTreeMap<(String, String), PhotoRecord> {
            split
                .train
                .iter()
                .chain(&split.validation)
                .flat_map(|i| i.photos.iter().map(move |p| (i, p)))
                .map(|(i, p)| {
                    (
                        (format!("{}{:?}", p.photo, p.region), i.whale.clone()),
                        p.clone(),
                    )
                })
                .collect()
        };
        let (old, new) = (photos(before), photos(after));
        let names = |a: &BTreeMap<(String, String), PhotoRecord>,
                     keep: &dyn Fn(&(String, String), &PhotoRecord) -> bool|
         -> Vec<String> {
            a.iter()
                .filter(|(key, photo)| keep(key, photo))
                .map(|((_, whale), photo)| format!("{} of {whale}", photo.photo))
                .collect()
        };
        let missing = names(&old, &|key, _| !new.contains_key(key));
        let added = names(&new, &|key, _| !old.contains_key(key));
        let changed = names(&old, &|key, photo| {
            new.get(key).is_some_and(|now| now.sha256 != photo.sha256)
        });
        found.extend(counted(
            "photos are missing, or have another box or whale",
            &missing,
        ));
        found.extend(counted(
            "photos are new, or have another box or whale",
            &added,
        ));
        found.extend(counted("photos have another content", &changed));
        if found.is_empty() && before != after {
            found.push("the photos are in another order".into());
        }
        if self.table.sha256 != now.table.sha256 {
            let same = if found.is_empty() {
                ", although whales and photos are the same"
            } else {
                ""
            };
            found.push(format!(
                "the table's SHA-256 was {}, now it is {}{same}",
                short(&self.table.sha256),
                short(&now.table.sha256)
            ));
        }
        found
    }

    /// The recorded validation identities with their photos in `dataset`: those with the recorded name,
    /// whale and content.
    ///
    /// # Errors
    /// When a photo cannot be read.
    pub fn validation_in(&self, dataset: &Dataset) -> Result<Identities, DatasetError> {
        let mut at: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (i, photo) in dataset.photos.iter().enumerate() {
            if let Some(whale) = &photo.whale {
                at.entry((whale, &photo.name)).or_default().push(i);
            }
        }
        let mut identities = vec![];
        for identity in &self.split.validation {
            let mut photos = BTreeSet::new();
            for recorded in &identity.photos {
                let same_name = at.get(&(identity.whale.as_str(), recorded.photo.as_str()));
                for &i in same_name.into_iter().flatten() {
                    if dataset.photos[i].picture_hash()? == recorded.sha256 {
                        photos.insert(i);
                    }
                }
            }
            if !photos.is_empty() {
                identities.push((identity.whale.clone(), photos.into_iter().collect()));
            }
        }
        Ok(identities)
    }

    /// Number of validation photos.
    pub fn validation_photos(&self) -> usize {
        self.split.validation.iter().map(|i| i.photos.len()).sum()
    }
}

/// The SHA-256 of a recipe as TOML with all its settings, hexadecimal.
pub fn recipe_sha256(recipe: &Recipe) -> String {
    let text = toml::to_string(recipe).expect("a recipe can be written as TOML");
    sha256_hex(text.as_bytes())
}

/// E.g. "2 whales are missing (e.g. HW12)"; nothing for none.
fn counted(what: &str, names: &[String]) -> Option<String> {
    let first = names.first()?;
    Some(format!("{} {what} (e.g. {first})", names.len()))
}

fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_dataset::LabelledPhoto;
    use image::RgbImage;

    /// Five whales with two photos each; of those, `validation` are held out.
    fn dataset(folder: &Path) -> Dataset {
        let photos = (0..10u8).map(|i| {
            let name = format!("{i}.png");
            let path = folder.join(&name);
            RgbImage::from_pixel(4, 4, image::Rgb([20 * i; 3]))
                .save(&path)
                .unwrap();
            LabelledPhoto {
                path,
                name,
                whale: Some(format!("W{}", i / 2)),
                region: None,
                date: None,
                encounter: None,
            }
        });
        Dataset {
            photos: photos.collect(),
            sha256: "aa".into(),
            ..Dataset::default()
        }
    }

    fn record(dataset: &Dataset) -> RunRecord {
        RunRecord::new(dataset, &Split::of(dataset, 2, 1), 1).unwrap()
    }

    #[test]
    fn it_reads_back_and_other_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = record(&dataset(dir.path()));
        record.sessions.push(Session {
            started: "2026-11-29T08:00:00.000Z".into(),
            ended: None,
            recipe_sha256: recipe_sha256(&Recipe::default()),
            revision: Some("0123".into()),
            libraries: BTreeMap::from([("libtorch".into(), "2.13.0".into())]),
            device: "CPU".into(),
        });
        assert_eq!(RunRecord::read(dir.path()).unwrap(), None);
        record.write(dir.path()).unwrap();
        assert_eq!(RunRecord::read(dir.path()).unwrap(), Some(record.clone()));
        assert_eq!((record.table.photos, record.table.whales), (10, 5));

        let checkpoint = dir.path().join("best.safetensors");
        let of = |recipe: &Recipe| RunRecord::of_checkpoint(&checkpoint, recipe);
        assert_eq!(of(&Recipe::default()).unwrap(), Some(record.clone()));
        let other = Recipe {
            seed: 9,
            ..Recipe::default()
        };
        assert!(matches!(of(&other), Err(RunRecordError::OtherRun { .. })));

        record.schema = 2;
        record.write(dir.path()).unwrap();
        let error = RunRecord::read(dir.path()).unwrap_err();
        assert!(
            matches!(error, RunRecordError::Schema { found: 2, .. }),
            "{error}"
        );
        std::fs::write(dir.path().join(FILE), b"{\"schema\": 1}").unwrap();
        let error = RunRecord::read(dir.path()).unwrap_err();
        assert!(matches!(error, RunRecordError::Format { .. }), "{error}");
    }

    #[test]
    fn differences_name_table_whales_and_photos() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(dir.path());
        let before = record(&data);
        let differences = |change: &dyn Fn(&mut Dataset)| {
            let mut changed = data.clone();
            change(&mut changed);
            let split = before.split_of(&changed);
            before.differences(&RunRecord::new(&changed, &split, 1).unwrap())
        };
        assert_eq!(differences(&|_| ()), Vec::<String>::new());

        let found = differences(&|d| d.sha256 = "bb".into());
        assert_eq!(
            found,
            ["the table's SHA-256 was aa, now it is bb, although whales and photos are the same"]
        );
        let found = differences(&|d| d.photos[4].whale = Some("Nobody".into()));
        assert_eq!(
            found,
            [
                "1 whales are new (e.g. Nobody)",
                "1 photos are missing, or have another box or whale (e.g. 4.png of W2)",
                "1 photos are new, or have another box or whale (e.g. 4.png of Nobody)",
            ]
        );
        let found = differences(&|d| d.photos.truncate(8));
        assert_eq!(
            found,
            [
                "1 whales are missing (e.g. W4)",
                "2 photos are missing, or have another box or whale (e.g. 8.png of W4)",
            ]
        );
        let found = differences(&|d| d.photos.swap(0, 1));
        assert_eq!(found, ["the photos are in another order"]);
        let found = differences(&|d| {
            let other = d.photos[2].path.clone();
            d.photos[3].path = other;
        });
        assert_eq!(found, ["1 photos have another content (e.g. 3.png of W1)"]);
    }

    #[test]
    fn validation_photos_are_found_by_name_whale_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let data = dataset(dir.path());
        let record = record(&data);
        assert_eq!(record.validation_photos(), 4);
        assert_eq!(
            record.validation_in(&data).unwrap(),
            Split::of(&data, 2, 1)
                .validation
                .into_iter()
                .collect::<Vec<_>>()
        );
        // A table with one photo more draws another split; the stored one stays.
        let mut more = data.clone();
        more.photos.insert(
            0,
            LabelledPhoto {
                name: "new.png".into(),
                whale: Some("A".into()),
                ..data.photos[0].clone()
            },
        );
        let names = |d: &Dataset, found: Identities| -> Vec<String> {
            found
                .iter()
                .flat_map(|(_, photos)| photos.iter().map(|&i| d.photos[i].name.clone()))
                .collect()
        };
        let expected = names(&data, record.validation_in(&data).unwrap());
        assert_eq!(names(&more, record.validation_in(&more).unwrap()), expected);
        // Another picture under the same name is not a validation photo.
        let first = data
            .photos
            .iter()
            .position(|p| p.name == expected[0])
            .unwrap();
        let mut other = data.clone();
        other.photos[first].path = dir.path().join("other.png");
        RgbImage::new(9, 9).save(&other.photos[first].path).unwrap();
        assert_eq!(
            names(&other, record.validation_in(&other).unwrap()),
            expected[1..]
        );
    }
}
