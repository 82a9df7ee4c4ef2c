//! What a bundle's model was trained on, as salted hashes: whether a photo or a whale is among it can be
//! checked, but neither can be read from it.
//!
//! A hash is the first 8 bytes of SHA-256 over the salt, the kind (`whale` or `photo`), a zero byte and the name or
//! the photo's own hash. Of 100,000 other photos and 10,000 of training, two have the same hash with a probability of 1 in 10 billion.
//! The salt differs between models, so that the hashes of two bundles cannot be compared with each other.

use crate::sha256::sha256_hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// The first bytes of the file.
const MAGIC: &[u8; 8] = b"FLUKETRN";
/// The version of the file.
const VERSION: u32 = 1;
const SALT: usize = 16;
const HASH: usize = 8;

/// The identities and photos that a model was trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSet {
    /// One per network, for models that consist of several.
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    salt: [u8; SALT],
    /// Ascending.
    whales: Vec<u64>,
    /// Ascending.
    photos: Vec<u64>,
}

impl Group {
    fn hash(&self, kind: &str, text: &str) -> u64 {
        hash(&self.salt, kind, text)
    }
}

fn hash(salt: &[u8; SALT], kind: &str, text: &str) -> u64 {
    let mut sha256 = Sha256::new();
    sha256.update(salt);
    sha256.update(kind.as_bytes());
    sha256.update([0]);
    sha256.update(text.as_bytes());
    let digest = sha256.finalize();
    u64::from_le_bytes(*digest.first_chunk().expect("SHA-256 has 32 bytes"))
}

const WHALE: &str = "whale";
const PHOTO: &str = "photo";

impl TrainingSet {
    /// The training set of `model`, an ONNX file: names of whales, in Unicode's composed form, and
    /// photos by their SHA-256 in hexadecimal, of JPEG files without metadata.
    pub fn new<'a>(
        model: &[u8],
        whales: impl IntoIterator<Item = &'a str>,
        photos: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut salt = [0; SALT];
        salt.copy_from_slice(&sha256_hex(model).as_bytes()[..SALT]);
        let hashes = |kind, texts: &mut dyn Iterator<Item = &'a str>| -> Vec<u64> {
            let hashes: BTreeSet<u64> = texts.map(|text| hash(&salt, kind, text)).collect();
            hashes.into_iter().collect()
        };
        let whales = hashes(WHALE, &mut whales.into_iter());
        let photos = hashes(PHOTO, &mut photos.into_iter());
        Self {
            groups: vec![Group {
                salt,
                whales,
                photos,
            }],
        }
    }

    /// The training set of a model that consists of several.
    pub fn union(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut groups: Vec<Group> = vec![];
        for group in sets.into_iter().flat_map(|set| set.groups) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Self { groups }
    }

    /// Whether a whale of this name was trained on.
    pub fn has_whale(&self, name: &str) -> bool {
        self.groups
            .iter()
            .any(|g| g.whales.binary_search(&g.hash(WHALE, name)).is_ok())
    }

    /// Whether a photo with this SHA-256 was trained on.
    pub fn has_photo(&self, sha256: &str) -> bool {
        self.groups
            .iter()
            .any(|g| g.photos.binary_search(&g.hash(PHOTO, sha256)).is_ok())
    }

    /// Number of whales; of a model that consists of several, the largest of theirs.
    pub fn whales(&self) -> usize {
        self.groups
            .iter()
            .map(|g| g.whales.len())
            .max()
            .unwrap_or(0)
    }

    /// Number of photos, likewise.
    pub fn photos(&self) -> usize {
        self.groups
            .iter()
            .map(|g| g.photos.len())
            .max()
            .unwrap_or(0)
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(number(self.groups.len()));
        for group in &self.groups {
            bytes.extend(group.salt);
            bytes.extend(number(group.whales.len()));
            bytes.extend(number(group.photos.len()));
            for hash in group.whales.iter().chain(&group.photos) {
                bytes.extend(hash.to_le_bytes());
            }
        }
        bytes
    }

    /// # Errors
    /// When the bytes are not such a file: says why.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it does not start with FLUKETRN")?;
        let mut reader = Reader(rest);
        let version = reader.number()?;
        if version != VERSION {
            return Err(format!("it has version {version}, expected {VERSION}"));
        }
        let mut groups = vec![];
        for _ in 0..reader.number()? {
            let salt = *reader.take()?;
            let (whales, photos) = (reader.number()?, reader.number()?);
            groups.push(Group {
                salt,
                whales: reader.hashes(whales)?,
                photos: reader.hashes(photos)?,
            });
        }
        if !reader.0.is_empty() {
            return Err(format!("{} bytes too many", reader.0.len()));
        }
        Ok(Self { groups })
    }
}

/// Bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], String> {
        let (first, rest) = self.0.split_first_chunk().ok_or("it is cut off")?;
        self.0 = rest;
        Ok(first)
    }

    fn number(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(*self.take()?))
    }

    /// Reads `count` hashes, which must ascend.
    fn hashes(&mut self, count: u32) -> Result<Vec<u64>, String> {
        // Memory is allocated only for what is there.
        if (self.0.len() / HASH) < count as usize {
            return Err("it is cut off".into());
        }
        let hashes = (0..count)
            .map(|_| Ok(u64::from_le_bytes(*self.take()?)))
            .collect::<Result<Vec<_>, String>>()?;
        if !hashes.is_sorted_by(|a, b| a < b) {
            return Err("its hashes do not ascend".into());
        }
        Ok(hashes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(model: &[u8]) -> TrainingSet {
        TrainingSet::new(model, ["HW-1", "Old Timer"], ["aa", "bb", "aa"])
    }

    #[test]
    fn only_what_was_trained_on_is_in_it() {
        let set = set(b"model");
        assert!(set.has_whale("HW-1") && set.has_whale("Old Timer") && set.has_photo("bb"));
        assert!(!set.has_whale("HW-2") && !set.has_photo("cc"));
        // A photo is not a whale.
        assert!(!set.has_whale("aa") && !set.has_photo("HW-1"));
        assert_eq!((set.whales(), set.photos()), (2, 2));
    }

    #[test]
    fn models_have_different_hashes_and_can_be_united() {
        let other = TrainingSet::new(b"other", ["HW-1"], ["cc"]);
        let first = set(b"model");
        assert!(
            first.groups[0]
                .whales
                .iter()
                .all(|w| !other.groups[0].whales.contains(w))
        );
        let both = TrainingSet::union([first.clone(), other, first]);
        assert_eq!(both.groups.len(), 2);
        assert!(both.has_whale("Old Timer") && both.has_photo("cc") && both.has_photo("aa"));
        assert_eq!(TrainingSet::from_bytes(&both.to_bytes()).unwrap(), both);
    }

    #[test]
    fn damaged_files_are_errors() {
        let bytes = set(b"model").to_bytes();
        assert_eq!(bytes.len(), 8 + 4 + 4 + 16 + 4 + 4 + 4 * 8);
        assert_eq!(TrainingSet::from_bytes(&bytes).unwrap(), set(b"model"));
        for cut in 0..bytes.len() {
            assert!(TrainingSet::from_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
        let changed = |at: usize, value: u8| {
            let mut changed = bytes.clone();
            changed[at] = value;
            TrainingSet::from_bytes(&changed).unwrap_err()
        };
        assert_eq!(changed(8, 2), "it has version 2, expected 1");
        assert!(changed(0, b'X').contains("FLUKETRN"));
        assert_eq!(changed(35, 0xff), "it is cut off");
        assert_eq!(
            TrainingSet::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err(),
            "1 bytes too many"
        );
        // Two equal hashes.
        let mut equal = bytes.clone();
        equal.copy_within(40..48, 48);
        let error = TrainingSet::from_bytes(&equal).unwrap_err();
        assert_eq!(error, "its hashes do not ascend");
    }
}
