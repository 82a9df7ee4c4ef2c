//! What a program or a shared library requires of the system, read from its ELF file.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeSet;

/// The requirements and exports in an ELF file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// `EM_X86_64` (62) or `EM_AARCH64` (183).
    pub(crate) machine: u16,
    /// Versions of symbols, e.g. `GLIBC_2.17`.
    pub(crate) versions: BTreeSet<String>,
    /// Required libraries (`DT_NEEDED`).
    pub(crate) libraries: BTreeSet<String>,
    /// Exported functions.
    pub(crate) functions: BTreeSet<String>,
}

const DYNAMIC: u32 = 6;
const DYNSYM: u32 = 11;
const VERNEED: u32 = 0x6fff_fffe;
const NEEDED: u64 = 1;

impl Requirements {
    /// Reads a 64-bit little-endian ELF file.
    ///
    /// # Errors
    /// If the bytes are not such a file.
    pub(crate) fn read(file: &[u8]) -> anyhow::Result<Self> {
        ensure!(
            file.starts_with(b"\x7fELF\x02\x01"),
            "it is not a 64-bit little-endian ELF file"
        );
        let mut requirements = Self {
            machine: u16_at(file, 18)?,
            ..Self::default()
        };
        let sections = Section::all(file)?;
        for section in &sections {
            let strings = || -> anyhow::Result<&[u8]> {
                let link = sections
                    .get(section.link)
                    .context("a section's strings are missing")?;
                link.bytes(file)
            };
            match section.kind {
                DYNAMIC => {
                    for entry in section.bytes(file)?.chunks_exact(16) {
                        if u64_at(entry, 0)? == NEEDED {
                            requirements
                                .libraries
                                .insert(text_at(strings()?, usize_of(u64_at(entry, 8)?)?)?);
                        }
                    }
                }
                DYNSYM => {
                    for entry in section.bytes(file)?.chunks_exact(24) {
                        // Defined here, and global or weak.
                        if u16_at(entry, 6)? != 0 && entry[4] >> 4 != 0 {
                            requirements
                                .functions
                                .insert(text_at(strings()?, u32_at(entry, 0)? as usize)?);
                        }
                    }
                }
                VERNEED => {
                    read_versions(section.bytes(file)?, strings()?, &mut requirements.versions)?
                }
                _ => {}
            }
        }
        Ok(requirements)
    }

    /// The highest required version of glibc, e.g. `(2, 17)`.
    ///
    /// # Errors
    /// If a version is not of that form.
    pub(crate) fn glibc(&self) -> anyhow::Result<Option<(u32, u32)>> {
        let mut highest = None;
        for version in self
            .versions
            .iter()
            .filter_map(|v| v.strip_prefix("GLIBC_"))
        {
            let mut parts = version.split('.').map(str::parse::<u32>);
            let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
                bail!("GLIBC_{version} is not a version of glibc");
            };
            highest = highest.max(Some((major, minor)));
        }
        Ok(highest)
    }
}

/// A linked list of libraries, each with a linked list of versions.
fn read_versions(
    bytes: &[u8],
    strings: &[u8],
    versions: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    let mut library = 0;
    loop {
        let mut version = library + u32_at(bytes, library + 8)? as usize;
        for _ in 0..u16_at(bytes, library + 2)? {
            versions.insert(text_at(strings, u32_at(bytes, version + 8)? as usize)?);
            version += u32_at(bytes, version + 12)? as usize;
        }
        match u32_at(bytes, library + 12)? as usize {
            0 => return Ok(()),
            next => library += next,
        }
    }
}

struct Section {
    kind: u32,
    link: usize,
    offset: usize,
    size: usize,
}

impl Section {
    fn all(file: &[u8]) -> anyhow::Result<Vec<Self>> {
        let (table, size, count) = (
            usize_of(u64_at(file, 40)?)?,
            usize::from(u16_at(file, 58)?),
            usize::from(u16_at(file, 60)?),
        );
        (0..count)
            .map(|i| {
                let at = table + i * size;
                Ok(Self {
                    kind: u32_at(file, at + 4)?,
                    link: u32_at(file, at + 40)? as usize,
                    offset: usize_of(u64_at(file, at + 24)?)?,
                    size: usize_of(u64_at(file, at + 32)?)?,
                })
            })
            .collect()
    }

    fn bytes<'a>(&self, file: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let rest = file.get(self.offset..).context(CUT)?;
        rest.get(..self.size).context(CUT)
    }
}

const CUT: &str = "the ELF file is truncated";

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> anyhow::Result<[u8; N]> {
    let rest = bytes.get(at..).context(CUT)?;
    Ok(*rest.first_chunk::<N>().context(CUT)?)
}

fn u16_at(bytes: &[u8], at: usize) -> anyhow::Result<u16> {
    Ok(u16::from_le_bytes(bytes_at(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    Ok(u32::from_le_bytes(bytes_at(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> anyhow::Result<u64> {
    Ok(u64::from_le_bytes(bytes_at(bytes, at)?))
}

fn usize_of(number: u64) -> anyhow::Result<usize> {
    // Small enough that no sum of a few such numbers overflows.
    ensure!(
        number < 1 << 40,
        "the ELF file has an invalid size or offset"
    );
    Ok(number as usize)
}

fn text_at(strings: &[u8], at: usize) -> anyhow::Result<String> {
    let rest = strings.get(at..).context(CUT)?;
    let text = rest.split(|&b| b == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn the_tests_own_program_is_parsed() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let requirements = Requirements::read(&file).unwrap();
        assert!(
            requirements.libraries.contains("libc.so.6"),
            "{:?}",
            requirements.libraries
        );
        let (major, minor) = requirements.glibc().unwrap().unwrap();
        assert!(major == 2 && minor >= 17, "{major}.{minor}");
        for end in [0, 3, 20, 63, file.len() / 2] {
            assert!(Requirements::read(&file[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let glibc = |versions: &[&str]| {
            let versions = versions.iter().map(|&v| v.to_owned()).collect();
            Requirements {
                versions,
                ..Requirements::default()
            }
            .glibc()
        };
        assert_eq!(
            glibc(&["GLIBC_2.4", "GLIBC_2.17", "GCC_3.0"]).unwrap(),
            Some((2, 17))
        );
        assert_eq!(glibc(&["GLIBC_2.2.5"]).unwrap(), Some((2, 2)));
        assert_eq!(glibc(&["CXXABI_1.3"]).unwrap(), None);
        assert!(glibc(&["GLIBC_PRIVATE"]).is_err());
    }
}
