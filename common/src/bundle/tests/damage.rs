//! Bundles that are truncated, changed or malicious.

use super::*;

pub(super) fn tar_of(path: &Path, entries: &[(&str, &[u8])]) {
    let mut tar = tar::Builder::new(vec![]);
    for (name, bytes) in entries {
        let mut header = tar::Header::new_ustar();
        // Written past the checks of the tar crate, as an attacker would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    fs::write(path, tar.into_inner().unwrap()).unwrap();
}

fn bytes_of(bundle: &Bundle, part: &str) -> Vec<u8> {
    let mut bytes = vec![];
    bundle.part(part).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn files(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(MANIFEST_FILE.to_owned(), bundle.manifest_bytes.clone())];
    files.extend(
        PARTS
            .iter()
            .map(|(part, file)| ((*file).to_owned(), bytes_of(bundle, part))),
    );
    files
}

#[test]
fn one_byte_changed_in_a_part_is_detected() {
    for (part, file) in PARTS {
        let (_dir, [folder, _]) = saved();
        let path = folder.join(file);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Bundle::open(&folder).unwrap_err();
        assert!(
            matches!(&error, BundleError::Altered { part: p, .. } if p == part),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(part) && text.contains(&*folder.to_string_lossy()),
            "{text}"
        );
    }
}

#[test]
fn one_byte_changed_anywhere_in_the_file_never_gives_another_bundle() {
    let (_dir, [_, file]) = saved();
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&file, bytes).unwrap();
        // A change of the manifest that leaves it valid gives another id; padding is ignored.
        if let Ok(opened) = Bundle::open(&file) {
            let same_parts = (
                &opened.model,
                &opened.catalogue,
                &opened.decision,
                &opened.card,
            ) == (
                &bundle().model,
                &bundle().catalogue,
                &bundle().decision,
                &bundle().card,
            );
            assert!(
                same_parts && (opened.id() != bundle().id() || opened == bundle()),
                "byte {at}"
            );
        }
    }
}

#[test]
fn a_changed_hash_is_detected() {
    let error = open_error(|m| m["parts"]["card"]["sha256"] = "0".repeat(64).into());
    assert!(
        matches!(&error, BundleError::Altered { part, .. } if part == "card"),
        "{error}"
    );
}

#[test]
fn a_missing_part_is_named() {
    for (part, file) in PARTS {
        let (_dir, [folder, _]) = saved();
        fs::remove_file(folder.join(file)).unwrap();
        let error = Bundle::open(&folder).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("bundle {}: its {part} is missing", folder.display())
        );
        let error = open_error(|m| drop(m["parts"].as_object_mut().unwrap().remove(part)));
        assert!(
            matches!(&error, BundleError::MissingPart { part: p, .. } if p == part),
            "{error}"
        );
    }
}

#[test]
fn a_part_of_another_size_is_named() {
    let (_dir, [folder, _]) = saved();
    fs::write(folder.join("model.onnx"), b"a mod").unwrap();
    let error = Bundle::open(&folder).unwrap_err();
    assert!(
        matches!(&error, BundleError::WrongSize { part, expected: 7, got: 5, .. } if part == "model"),
        "{error}"
    );
}

#[test]
fn a_truncated_file_is_rejected() {
    let (_dir, [_, file]) = saved();
    let whole = fs::read(&file).unwrap();
    // The last kilobyte is the end of every tar, two empty blocks; before it is the padding of the
    // last part.
    let content = whole.len() - 1024;
    let last = PARTS
        .iter()
        .map(|(part, _)| bytes_of(&bundle(), part).len())
        .next_back()
        .unwrap();
    let needed = content - last.next_multiple_of(512) + last;
    for end in (0..needed).step_by(13).chain(needed - 20..needed) {
        fs::write(&file, &whole[..end]).unwrap();
        assert!(Bundle::open(&file).is_err(), "cut at {end} of {needed}");
    }
}

#[test]
fn an_unsupported_format_is_named() {
    let error = open_error(|m| {
        m["format"] = 7.into();
        m["something_new"] = true.into();
    });
    assert!(
        matches!(error, BundleError::Newer { got: 7, .. }),
        "{error}"
    );
    for older in 0..FORMAT {
        let error = open_error(|m| m["format"] = older.into());
        assert!(
            matches!(error, BundleError::Older { got, .. } if got == u64::from(older)),
            "{error}"
        );
    }
    assert!(matches!(
        open_error(|m| m["format"] = "1".into()),
        BundleError::Manifest { .. }
    ));
}

#[test]
fn an_unknown_part_or_field_is_rejected() {
    let error = open_error(|m| m["parts"]["virus"] = m["parts"]["card"].clone());
    assert!(
        matches!(&error, BundleError::UnknownPart { part, .. } if part == "virus"),
        "{error}"
    );
    let error = open_error(|m| m["surprise"] = 1.into());
    assert!(error.to_string().contains("surprise"), "{error}");
}

#[test]
fn a_part_outside_the_bundle_is_rejected() {
    for file in [
        "../model.onnx",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "..",
        ".hidden",
        "",
        "manifest.json",
        "CARD.md",
        "ä",
    ] {
        let error = open_error(|m| m["parts"]["model"]["file"] = file.into());
        assert!(
            matches!(&error, BundleError::PartName { .. }),
            "{file}: {error}"
        );
    }
}

#[test]
fn entries_that_the_manifest_does_not_name_are_rejected() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("b.flukebundle");
    let files = files(&bundle());
    let good: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(n, b)| (n.as_str(), b.as_slice()))
        .collect();
    tar_of(&path, &good);
    assert_eq!(Bundle::open(&path).unwrap(), bundle());
    let with_dots: Vec<_> = good.iter().map(|(n, b)| (format!("./{n}"), *b)).collect();
    tar_of(
        &path,
        &with_dots
            .iter()
            .map(|(n, b)| (n.as_str(), *b))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        Bundle::open(&path).unwrap(),
        bundle(),
        "as tar itself writes them"
    );
    for extra in ["../evil", "extra.bin", "/etc/cron.d/evil"] {
        tar_of(&path, &[&good[..], &[(extra, b"x")]].concat());
        let error = Bundle::open(&path).unwrap_err();
        assert!(
            matches!(&error, BundleError::UnknownPart { part, .. } if part == extra),
            "{error}"
        );
    }
    tar_of(&path, &[&good[..], &good[1..2]].concat());
    assert!(
        Bundle::open(&path)
            .unwrap_err()
            .to_string()
            .contains("two of its model")
    );
    tar_of(&path, &good[1..]);
    assert!(matches!(
        Bundle::open(&path),
        Err(BundleError::NotABundle { .. })
    ));
    tar_of(&path, &good[..4]);
    assert!(
        matches!(Bundle::open(&path), Err(BundleError::MissingPart { part, .. }) if part == "card")
    );
    assert_eq!(names(dir.path()), ["b.flukebundle"]);
}

#[test]
fn sizes_are_checked_before_memory_is_allocated() {
    let error = open_error(|m| m["parts"]["model"]["bytes"] = (MAX_PART + 1).into());
    assert!(
        matches!(&error, BundleError::TooLarge { part, .. } if part == "model"),
        "{error}"
    );
    let (_dir, [folder, file]) = saved();
    fs::write(
        folder.join(MANIFEST_FILE),
        vec![b' '; MAX_MANIFEST as usize + 1],
    )
    .unwrap();
    assert!(matches!(
        Bundle::open(&folder),
        Err(BundleError::Read { .. })
    ));
    // A header that announces a manifest of 8 GB.
    let mut header = tar::Header::new_ustar();
    header.set_path(MANIFEST_FILE).unwrap();
    header.set_size(8 << 30);
    header.set_cksum();
    fs::write(&file, header.as_bytes()).unwrap();
    assert!(matches!(
        Bundle::open(&file),
        Err(BundleError::TooLarge { .. })
    ));
}

#[test]
fn a_file_that_is_not_a_bundle_is_rejected() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(
        Bundle::open(dir.path()),
        Err(BundleError::NotABundle { .. })
    ));
    let file = dir.path().join("x.flukebundle");
    assert!(matches!(Bundle::open(&file), Err(BundleError::Read { .. })));
    for content in [&b""[..], b"some text", &[0; 2048], &[0xff; 2048]] {
        fs::write(&file, content).unwrap();
        assert!(matches!(
            Bundle::open(&file),
            Err(BundleError::NotABundle { .. })
        ));
    }
}

#[test]
fn a_complete_part_with_invalid_content_is_named() {
    for (part, file, content) in [
        ("catalogue", "catalogue.bin", &b"FLKC"[..]),
        ("decision", "decision.json", b"{}"),
        ("card", "CARD.md", b"\xff"),
    ] {
        let (_dir, [folder, _]) = saved();
        fs::write(folder.join(file), content).unwrap();
        edit(&folder, |m| {
            m["parts"][part]["sha256"] = sha256_hex(content).into();
            m["parts"][part]["bytes"] = content.len().into();
        });
        let error = Bundle::open(&folder).unwrap_err();
        assert!(
            matches!(&error, BundleError::Part { part: p, .. } if p == part),
            "{error}"
        );
    }
}
