//! Signed bundles, and those that a boat must not use.

use super::*;
use crate::clock::Timestamp;
use flukewatch_trust::SigningKey;

const EXPIRES: Timestamp = Timestamp(1_827_619_200_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn terms(version: u64) -> SignatureTerms {
    SignatureTerms {
        version,
        expires: EXPIRES,
    }
}

/// Trusts key 1, on the day before the expiry.
fn trust() -> BundleTrust {
    BundleTrust::Keys(TrustedKeys {
        keys: vec![key(1).public()],
        now: Some(EXPIRES.plus_millis(-86_400_000)),
        accepted: Accepted::Nothing,
    })
}

fn trust_error(path: &Path) -> TrustError {
    match Bundle::open_trusted(path, &trust()) {
        Err(BundleError::Untrusted {
            source,
            path: named,
        }) => {
            assert_eq!(named, path);
            source
        }
        other => panic!("{other:?}"),
    }
}

fn signature_file(path: &Path) -> PathBuf {
    path.join(SIGNATURE_FILE)
}

#[test]
fn a_signed_bundle_is_trusted_and_keeps_its_id() {
    let (_dir, paths) = saved();
    for path in &paths {
        assert_eq!(trust_error(path), TrustError::Unsigned);
        let signature = sign(path, &key(1), terms(3)).unwrap();
        let opened = Bundle::open_trusted(path, &trust()).unwrap();
        assert_eq!(opened.signature(), Some(&signature));
        assert_eq!(opened.id(), bundle().id());
        let head = BundleHead::read(path).unwrap();
        assert_eq!(head.signature(), Some(&signature));
        assert_eq!(head.manifest_sha256(), opened.manifest_sha256());
        assert_eq!(head.manifest(path).unwrap(), opened.manifest);
        let copies = TempDir::new().unwrap();
        let copied = Bundle::open_copied(path, &trust(), copies.path()).unwrap();
        assert_eq!(copied, opened);
    }
    assert_eq!(
        names(paths[0].parent().unwrap()),
        ["whales", "whales.flukebundle"],
        "no temporary files are left"
    );
    // The signature is saved with the bundle, in both forms alike.
    let opened = Bundle::open(&paths[0]).unwrap();
    let copy = paths[0].with_file_name("copy.flukebundle");
    opened.save(&copy).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&paths[1]).unwrap());
    let copy = paths[0].with_file_name("copy");
    opened.save(&copy).unwrap();
    opened.save(&copy).unwrap();
    assert_eq!(names(&copy), names(&paths[0]));
}

#[test]
fn a_bundle_is_signed_again() {
    let (_dir, paths) = saved();
    for path in &paths {
        sign(path, &key(2), terms(3)).unwrap();
        let foreign = TrustError::Foreign {
            key: Box::new(key(2).public()),
        };
        assert_eq!(trust_error(path), foreign);
        let signature = sign(path, &key(1), terms(2)).unwrap();
        let opened = Bundle::open_trusted(path, &trust()).unwrap();
        assert_eq!(opened.signature(), Some(&signature));
    }
    // Also where the signature is that of another bundle.
    let (_other_dir, [other, _]) = saved();
    edit(&other, |m| m["name"] = "other".into());
    sign(&other, &key(1), terms(9)).unwrap();
    fs::copy(signature_file(&other), signature_file(&paths[0])).unwrap();
    sign(&paths[0], &key(1), terms(10)).unwrap();
    assert!(Bundle::open_trusted(&paths[0], &trust()).is_ok());
}

#[test]
fn what_is_changed_must_be_signed_again() {
    let (_dir, [folder, _]) = saved();
    sign(&folder, &key(1), terms(3)).unwrap();
    let opened = Bundle::open(&folder).unwrap();
    let other = opened.with_card("# Another card".into()).unwrap();
    assert_eq!(other.signature(), None);
    other.save(&folder).unwrap();
    assert_eq!(trust_error(&folder), TrustError::Unsigned);
}

#[test]
fn a_damaged_bundle_is_not_signed() {
    let (_dir, paths) = saved();
    fs::write(paths[0].join("model.onnx"), b"a mode!").unwrap();
    let error = sign(&paths[0], &key(1), terms(1)).unwrap_err();
    assert!(matches!(error, BundleError::Altered { .. }), "{error}");
    assert!(!signature_file(&paths[0]).exists());
    let error = sign(&paths[1], &key(1), terms(0)).unwrap_err();
    assert!(matches!(error, BundleError::Signature { .. }), "{error}");
    assert_eq!(Bundle::open(&paths[1]).unwrap(), bundle());
}

#[test]
fn an_altered_manifest_or_part_is_rejected() {
    let (_dir, [folder, file]) = saved();
    for path in [&folder, &file] {
        sign(path, &key(1), terms(3)).unwrap();
    }
    // A part with its hash in the manifest.
    let card = b"# Another card";
    fs::write(folder.join("CARD.md"), card).unwrap();
    let error = Bundle::open_trusted(&folder, &trust()).unwrap_err();
    assert!(matches!(error, BundleError::WrongSize { .. }), "{error}");
    edit(&folder, |m| {
        m["parts"]["card"]["sha256"] = sha256_hex(card).into();
        m["parts"]["card"]["bytes"] = card.len().into();
    });
    let altered = TrustError::Altered {
        key: Box::new(key(1).public()),
    };
    assert_eq!(trust_error(&folder), altered);
    // Not accepted in a lab either.
    let error = Bundle::open(&folder).unwrap_err();
    assert!(matches!(error, BundleError::Untrusted { .. }), "{error}");
    let whole = fs::read(&file).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&file, bytes).unwrap();
        if let Ok(opened) = Bundle::open_trusted(&file, &trust()) {
            assert_eq!(opened.manifest_sha256(), bundle().manifest_sha256(), "{at}");
            assert_eq!(opened.model, bundle().model, "{at}");
            assert_eq!(opened.signature().unwrap().version(), 3, "{at}");
        }
    }
}

#[test]
fn nothing_but_the_head_of_an_untrusted_bundle_is_read() {
    let (_dir, [folder, file]) = saved();
    fs::remove_file(folder.join("model.onnx")).unwrap();
    // Not even parsed.
    fs::write(folder.join(MANIFEST_FILE), "not JSON").unwrap();
    assert_eq!(trust_error(&folder), TrustError::Unsigned);
    let whole = fs::read(&file).unwrap();
    let manifest = bundle().manifest_bytes.len().next_multiple_of(512);
    fs::write(&file, &whole[..512 + manifest + 512]).unwrap();
    assert_eq!(trust_error(&file), TrustError::Unsigned);
}

#[test]
fn a_file_that_is_not_a_signature_is_an_error() {
    let (_dir, [folder, _]) = saved();
    let file = signature_file(&folder);
    for content in [&b""[..], b"{}", b"\xff", &[b' '; 600]] {
        fs::write(&file, content).unwrap();
        let error = Bundle::open(&folder).unwrap_err();
        assert!(matches!(error, BundleError::Signature { .. }), "{error}");
    }
    fs::write(&file, [b' '; 2000]).unwrap();
    let error = Bundle::open(&folder).unwrap_err();
    assert!(matches!(error, BundleError::Read { .. }), "{error}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let error = Bundle::open(&folder).unwrap_err();
    assert!(matches!(error, BundleError::Read { .. }), "{error}");
}

#[test]
fn a_signature_has_one_place_in_the_file() {
    let (_dir, [folder, file]) = saved();
    sign(&folder, &key(1), terms(3)).unwrap();
    let manifest = bundle().manifest_bytes;
    let signature = fs::read(signature_file(&folder)).unwrap();
    let parts: Vec<(String, Vec<u8>)> = PARTS
        .iter()
        .map(|(_, file)| ((*file).to_owned(), fs::read(folder.join(file)).unwrap()))
        .collect();
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(n, b)| (n.as_str(), &**b)).collect();
    let manifest = (MANIFEST_FILE, &manifest[..]);
    let signature = (SIGNATURE_FILE, &signature[..]);
    damage::tar_of(&file, &[&[manifest, signature][..], &parts].concat());
    assert!(Bundle::open_trusted(&file, &trust()).is_ok());
    for entries in [
        [&[manifest, signature, signature][..], &parts].concat(),
        [&[manifest][..], &parts, &[signature]].concat(),
        [&[manifest, signature][..], &parts, &[signature]].concat(),
    ] {
        damage::tar_of(&file, &entries);
        let error = Bundle::open(&file).unwrap_err();
        assert!(
            matches!(&error, BundleError::UnknownPart { part, .. } if part == SIGNATURE_FILE),
            "{error}"
        );
    }
    damage::tar_of(&file, &[&[signature, manifest][..], &parts].concat());
    let error = Bundle::open(&file).unwrap_err();
    assert!(matches!(error, BundleError::NotABundle { .. }), "{error}");
    let large = [b' '; 2000];
    damage::tar_of(
        &file,
        &[&[manifest, (SIGNATURE_FILE, &large)][..], &parts].concat(),
    );
    let error = Bundle::open(&file).unwrap_err();
    assert!(matches!(error, BundleError::TooLarge { .. }), "{error}");
}

#[test]
fn a_part_cannot_pose_as_the_signature_or_have_another_hash() {
    let error = open_error(|m| m["parts"]["card"]["file"] = SIGNATURE_FILE.into());
    assert!(matches!(error, BundleError::PartName { .. }), "{error}");
    for hash in ["../../card", "", &"A".repeat(64), &"0".repeat(63)] {
        let error = open_error(|m| m["parts"]["card"]["sha256"] = hash.into());
        assert!(matches!(error, BundleError::Manifest { .. }), "{error}");
    }
}

/// With 5 photos of 1 MiB of descriptors each.
fn bundle_with_large_local() -> Bundle {
    let layout = Layout {
        height: 32,
        width: 32,
        dimension: 1024,
        fine: 0,
    };
    let small = bundle_with_local();
    let info = LocalInfo {
        layout,
        ..small.manifest.local.clone().unwrap()
    };
    let empty = small.with_catalogue(Catalogue::new(8), rule(0.6, 0.4));
    let empty = empty.unwrap();
    let model = empty.model.clone();
    let bundle = empty.with_local(model, Some(info)).unwrap();
    let mut catalogue = Catalogue::new(8);
    let mut local = LocalPhotos::new(layout);
    let values: Vec<f32> = (0..32 * 32 * 1024).map(|i| (i % 7) as f32 - 2.0).collect();
    let descriptors = Descriptors::quantised(layout, &values).unwrap();
    for i in 0..5 {
        let entry = Enrolled {
            whale: "HW-1".into(),
            photo: format!("{i}.jpg"),
            source: "test".into(),
            ..Enrolled::default()
        };
        let embedding = (1..=8).map(|v| (v + i) as f32).collect();
        let embedding = Embedding::normalised(embedding).unwrap();
        catalogue.enrol(entry, &embedding).unwrap();
        let entry = catalogue.entries().last().unwrap();
        local.push(entry, &descriptors).unwrap();
    }
    local.set_norms(&[0.25; 5]);
    bundle
        .with_enrolled(catalogue, Some(local), rule(0.6, 0.4))
        .unwrap()
}

#[test]
fn descriptors_on_disk_are_verified_where_keys_are_trusted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("whales");
    bundle_with_large_local().save(&path).unwrap();
    sign(&path, &key(1), terms(3)).unwrap();
    let copies = TempDir::new().unwrap();
    assert!(Bundle::open_copied(&path, &trust(), copies.path()).is_ok());
    let file = path.join("local.bin");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    // Each record has a checksum, which whoever alters it can match.
    assert!(Bundle::open(&path).is_ok());
    for opened in [
        Bundle::open_trusted(&path, &trust()),
        Bundle::open_copied(&path, &trust(), copies.path()),
    ] {
        let error = opened.unwrap_err();
        assert!(
            matches!(&error, BundleError::Altered { part, .. } if part == "local"),
            "{error}"
        );
    }
    let error = sign(&path, &key(1), terms(4)).unwrap_err();
    assert!(matches!(error, BundleError::Altered { .. }), "{error}");
}
