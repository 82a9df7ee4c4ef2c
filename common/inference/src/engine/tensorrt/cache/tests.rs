use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

fn cache() -> (TempDir, PlanCache) {
    let folder = TempDir::new().unwrap();
    let cache = PlanCache::open(&folder.path().join("a/plans")).unwrap();
    (folder, cache)
}

fn key(text: &str) -> PlanKey {
    PlanKey::of_text(text)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(cache: &PlanCache) -> Vec<String> {
    let entries = fs::read_dir(&cache.folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_plan_round_trips() {
    let (_folder, cache) = cache();
    assert_eq!(cache.get(&key("one")).unwrap(), None);
    cache.put(&key("one"), b"native code").unwrap();
    cache.put(&key("two"), b"other code").unwrap();
    assert_eq!(cache.get(&key("one")).unwrap().unwrap(), b"native code");
    assert_eq!(cache.get(&key("two")).unwrap().unwrap(), b"other code");
    cache.put(&key("one"), b"newer code").unwrap();
    assert_eq!(cache.get(&key("one")).unwrap().unwrap(), b"newer code");
    cache.delete(&key("one")).unwrap();
    cache.delete(&key("one")).unwrap();
    assert_eq!(cache.get(&key("one")).unwrap(), None);
    assert_eq!(names(&cache), [key("two").file_name()]);
}

#[test]
fn folder_and_plans_are_private_to_this_user() {
    let (_folder, cache) = cache();
    cache.put(&key("one"), b"code").unwrap();
    let bits = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(bits(&cache.folder), 0o700);
    assert_eq!(bits(&cache.path(&key("one"))), 0o600);
}

#[test]
fn a_damaged_plan_is_an_error() {
    let (_folder, cache) = cache();
    cache.put(&key("one"), b"native code").unwrap();
    let path = cache.path(&key("one"));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let changed = cache.get(&key("one"));
        assert!(
            matches!(changed, Err(CacheError::Damaged { .. })),
            "byte {at}"
        );
        fs::write(&path, &whole[..at]).unwrap();
        let cut = cache.get(&key("one"));
        assert!(
            matches!(cut, Err(CacheError::Damaged { .. })),
            "cut at {at}"
        );
    }
    fs::write(&path, &whole).unwrap();
    assert!(cache.get(&key("one")).unwrap().is_some());
}

#[test]
fn a_plan_of_another_key_is_rejected() {
    let (_folder, cache) = cache();
    cache.put(&key("one"), b"code").unwrap();
    fs::rename(cache.path(&key("one")), cache.path(&key("two"))).unwrap();
    let error = cache.get(&key("two")).unwrap_err().to_string();
    assert!(
        error.ends_with("it belongs to another model or machine"),
        "{error}"
    );
}

#[test]
fn a_plan_that_others_can_write_is_not_loaded() {
    let (_folder, cache) = cache();
    cache.put(&key("one"), b"code").unwrap();
    let path = cache.path(&key("one"));
    mode(&path, 0o620);
    let error = cache.get(&key("one")).unwrap_err();
    assert!(matches!(error, CacheError::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains("mode is 620"), "{error}");
    mode(&path, 0o600);
    mode(&cache.folder, 0o707);
    let error = PlanCache::open(&cache.folder).unwrap_err();
    assert!(matches!(error, CacheError::NotOurs { .. }), "{error}");
    mode(&cache.folder, 0o755);
    assert!(PlanCache::open(&cache.folder).is_ok());
}

#[test]
fn links_are_not_followed() {
    let (folder, cache) = cache();
    cache.put(&key("one"), b"code").unwrap();
    let path = cache.path(&key("one"));
    let elsewhere = folder.path().join("elsewhere.plan");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(cache.get(&key("one")).is_err());
    let linked = folder.path().join("linked");
    symlink(&cache.folder, &linked).unwrap();
    let error = PlanCache::open(&linked).unwrap_err().to_string();
    assert!(error.contains("it is not a folder"), "{error}");
}

#[test]
fn old_and_incomplete_plans_are_deleted() {
    let (_folder, cache) = cache();
    fs::write(cache.folder.join("0123.part-1"), "half").unwrap();
    for number in 0..KEPT + 3 {
        cache.put(&key(&number.to_string()), b"code").unwrap();
    }
    assert_eq!(names(&cache).len(), KEPT);
    let newest = key(&(KEPT + 2).to_string());
    assert!(cache.get(&newest).unwrap().is_some());
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let (folder, _) = cache();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = PlanCache::open(&file.join("plans"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("file cannot be created"), "{error}");
    let error = PlanCache::open(&file).unwrap_err().to_string();
    assert!(error.contains("it is not a folder"), "{error}");
}
