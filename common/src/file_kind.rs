//! What a file is, by its content: cameras, phones and archives name files as they like.

use std::fmt;
use std::io::{Cursor, Read, Seek, SeekFrom};

/// How many bytes at the start of a file are looked at.
const START: usize = 64;
/// The most entries of a TIFF directory that are looked at.
const MAX_ENTRIES: u16 = 512;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A JPEG picture.
    Jpeg,
    /// A PNG picture.
    Png,
    /// A TIFF picture, not a camera's raw file.
    Tiff,
    /// A WebP picture.
    WebP,
    /// HEIC or HEIF, as phones save photos.
    Heic,
    /// A camera's raw file: DNG, NEF, CR2, CR3, ARW, ORF, RW2, RAF, ..
    Raw,
    /// Another kind of picture, by its name.
    OtherPicture(&'static str),
    /// A video.
    Video,
    /// What git-annex or Git LFS leaves in place of a file that it has not fetched.
    Placeholder,
    /// None of these.
    Unknown,
}

impl FileKind {
    /// The kind of a file with this content.
    pub fn of(bytes: &[u8]) -> Self {
        Self::read(&mut Cursor::new(bytes)).unwrap_or(Self::Unknown)
    }

    /// The kind of a file, from its first bytes and, for a TIFF, its first directory.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(file: &mut (impl Read + Seek)) -> std::io::Result<Self> {
        let mut start = vec![];
        file.take(START as u64).read_to_end(&mut start)?;
        let kind = of_start(&start);
        Ok(match kind {
            Self::Tiff if is_raw(&start, file)? => Self::Raw,
            kind => kind,
        })
    }

    /// Whether [`decode`](crate::prepare::decode) reads it.
    pub fn is_photo(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Tiff | Self::WebP)
    }

    /// What to do with a file that cannot be read.
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Heic => "export it as JPEG",
            Self::Raw => "export it as JPEG or TIFF",
            Self::OtherPicture(_) => "convert it to JPEG",
            Self::Video => "export stills as JPEG",
            Self::Placeholder => {
                "fetch its content with 'git annex get', or 'git lfs pull' for Git LFS"
            }
            Self::Jpeg | Self::Png | Self::Tiff | Self::WebP | Self::Unknown => return None,
        })
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG picture",
            Self::Png => "PNG picture",
            Self::Tiff => "TIFF picture",
            Self::WebP => "WebP picture",
            Self::Heic => "HEIC photo",
            Self::Raw => "camera raw file",
            Self::OtherPicture(name) => return write!(f, "{name} picture"),
            Self::Video => "video",
            Self::Placeholder => "placeholder of git-annex or Git LFS",
            Self::Unknown => "unknown file",
        })
    }
}

fn of_start(start: &[u8]) -> FileKind {
    use FileKind::{Jpeg, OtherPicture, Placeholder, Png, Raw, Tiff, Video, WebP};
    let riff = |form: &[u8]| start.starts_with(b"RIFF") && start.get(8..12) == Some(form);
    if start.get(4..8) == Some(b"ftyp") {
        return of_brand(start.get(8..12).unwrap_or_default());
    }
    if riff(b"WEBP") {
        return WebP;
    }
    if riff(b"AVI ") {
        return Video;
    }
    let kinds: [(&[u8], FileKind); 29] = [
        (b"\xff\xd8\xff", Jpeg),
        (b"\x89PNG\r\n\x1a\n", Png),
        (b"II*\0", Tiff),
        (b"MM\0*", Tiff),
        (b"II+\0", Tiff),
        (b"MM\0+", Tiff),
        (b"IIRO", Raw),
        (b"IIRS", Raw),
        (b"MMOR", Raw),
        (b"IIU\0", Raw),
        (b"FUJIFILMCCD-RAW", Raw),
        (b"FOVb", Raw),
        (b"\0MRM", Raw),
        (b"GIF8", OtherPicture("GIF")),
        (b"BM", OtherPicture("BMP")),
        (b"8BPS", OtherPicture("Photoshop")),
        (b"gimp xcf", OtherPicture("GIMP")),
        (b"\xff\x0a", OtherPicture("JPEG XL")),
        (b"\0\0\0\x0cJXL ", OtherPicture("JPEG XL")),
        (b"\xff\x4f\xff\x51", OtherPicture("JPEG 2000")),
        (b"\0\0\0\x0cjP  ", OtherPicture("JPEG 2000")),
        (b"%PDF", OtherPicture("PDF")),
        (b"\x1a\x45\xdf\xa3", Video),
        (b"version https://git-lfs", Placeholder),
        (b"/annex/objects/", Placeholder),
        (b".git/annex/objects/", Placeholder),
        (b"../.git/annex/objects/", Placeholder),
        (b"../../.git/annex/objects/", Placeholder),
        (b"../../../.git/annex/objects/", Placeholder),
    ];
    kinds
        .into_iter()
        .find(|(magic, _)| start.starts_with(magic))
        .map_or(FileKind::Unknown, |(_, kind)| kind)
}

/// Of the ISO base media file format.
fn of_brand(brand: &[u8]) -> FileKind {
    match brand {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"hevm" | b"hevs" | b"mif1"
        | b"mif2" | b"msf1" => FileKind::Heic,
        b"avif" | b"avis" => FileKind::OtherPicture("AVIF"),
        b"crx " => FileKind::Raw,
        _ => FileKind::Video,
    }
}

/// Whether a TIFF is a camera's raw file, whose first picture is only a thumbnail or unprocessed sensor data.
fn is_raw(start: &[u8], file: &mut (impl Read + Seek)) -> std::io::Result<bool> {
    // CR2 says so behind the offset of the first directory.
    if start.get(8..10) == Some(b"CR") {
        return Ok(true);
    }
    let little = start.starts_with(b"II");
    let short = |b: [u8; 2]| {
        if little {
            u16::from_le_bytes(b)
        } else {
            u16::from_be_bytes(b)
        }
    };
    let [_, _, version0, version1, o0, o1, o2, o3, ..] = *start else {
        return Ok(false);
    };
    // No raw format is a BigTIFF, whose entries are longer.
    if short([version0, version1]) != 42 {
        return Ok(false);
    }
    let offset = [o0, o1, o2, o3];
    let offset = if little {
        u32::from_le_bytes(offset)
    } else {
        u32::from_be_bytes(offset)
    };
    file.seek(SeekFrom::Start(offset.into()))?;
    let mut directory = vec![];
    file.take(2 + 12 * u64::from(MAX_ENTRIES))
        .read_to_end(&mut directory)?;
    let Some((count, entries)) = directory.split_first_chunk::<2>() else {
        return Ok(false);
    };
    let entries = entries.as_chunks::<12>().0.iter();
    Ok(entries.take(short(*count).into()).any(|entry| {
        let value = short([entry[8], entry[9]]);
        match short([entry[0], entry[1]]) {
            // NewSubfileType, a long: a reduced copy of a picture in another directory.
            254 => (if little { entry[8] } else { entry[11] }) & 1 == 1,
            // PhotometricInterpretation: a colour filter array, or linear raw.
            262 => value == 32803 || value == 34892,
            // DNGVersion.
            50706 => true,
            _ => false,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF with one directory of these tags with short values, at its end.
    fn tiff(little: bool, tags: &[(u16, u32)]) -> Vec<u8> {
        let short = |v: u16| {
            if little {
                v.to_le_bytes()
            } else {
                v.to_be_bytes()
            }
        };
        let long = |v: u32| {
            if little {
                v.to_le_bytes()
            } else {
                v.to_be_bytes()
            }
        };
        let mut file = if little {
            b"II".to_vec()
        } else {
            b"MM".to_vec()
        };
        file.extend(short(42));
        file.extend(long(300));
        file.resize(300, 0);
        file.extend(short(tags.len() as u16));
        for (tag, value) in tags {
            file.extend(short(*tag));
            let is_long = *tag == 254;
            file.extend(short(if is_long { 4 } else { 3 }));
            file.extend(long(1));
            if is_long {
                file.extend(long(*value));
            } else {
                file.extend(short(*value as u16));
                file.extend([0, 0]);
            }
        }
        file
    }

    #[test]
    fn a_kind_is_known_by_its_content() {
        let ftyp = |brand: &[u8; 4]| [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\0\0"].concat();
        for (bytes, kind) in [
            (b"\xff\xd8\xff\xe0".to_vec(), FileKind::Jpeg),
            (b"\x89PNG\r\n\x1a\n".to_vec(), FileKind::Png),
            (b"RIFF\x10\0\0\0WEBPVP8 ".to_vec(), FileKind::WebP),
            (b"RIFF\x10\0\0\0AVI LIST".to_vec(), FileKind::Video),
            (ftyp(b"heic"), FileKind::Heic),
            (ftyp(b"mif1"), FileKind::Heic),
            (ftyp(b"avif"), FileKind::OtherPicture("AVIF")),
            (ftyp(b"crx "), FileKind::Raw),
            (ftyp(b"qt  "), FileKind::Video),
            (ftyp(b"isom"), FileKind::Video),
            (b"IIRO\x08\0\0\0".to_vec(), FileKind::Raw),
            (b"GIF89a".to_vec(), FileKind::OtherPicture("GIF")),
            (
                b"../../.git/annex/objects/a/b.jpg".to_vec(),
                FileKind::Placeholder,
            ),
            (
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                FileKind::Placeholder,
            ),
            (b"Dear whale,".to_vec(), FileKind::Unknown),
            (vec![], FileKind::Unknown),
        ] {
            assert_eq!(FileKind::of(&bytes), kind, "{bytes:?}");
        }
    }

    #[test]
    fn a_raw_file_is_not_a_tiff_picture() {
        for little in [true, false] {
            let kind = |tags: &[(u16, u32)]| FileKind::of(&tiff(little, tags));
            assert_eq!(kind(&[(254, 0), (262, 2)]), FileKind::Tiff);
            assert_eq!(kind(&[(254, 1), (262, 2)]), FileKind::Raw);
            assert_eq!(kind(&[(262, 32803)]), FileKind::Raw);
            assert_eq!(kind(&[(262, 2), (50706, 1)]), FileKind::Raw);
            assert_eq!(kind(&[]), FileKind::Tiff);
        }
        assert_eq!(FileKind::of(b"II*\0\x10\0\0\0CR\x02\0"), FileKind::Raw);
        assert_eq!(FileKind::of(b"II*\0\xff\xff\xff\xff"), FileKind::Tiff);
        assert_eq!(FileKind::of(b"II*\0"), FileKind::Tiff);
    }
}
