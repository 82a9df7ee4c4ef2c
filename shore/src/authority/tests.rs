//! The authority, and what OpenSSL says about its certificates.

use super::*;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::{PublicKey, Purpose, SigningKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// 2026-11-23.
const NOW: Timestamp = Timestamp(1_795_450_800_000);
const DAY: i64 = 24 * 60 * 60 * 1000;

struct Fixture {
    folder: TempDir,
    random: StdRng,
    authority: Authority,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut random = StdRng::seed_from_u64(1);
        let authority = Authority::open_or_create(folder.path(), &mut random, NOW).unwrap();
        Self {
            folder,
            random,
            authority,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("authority").join(name)
    }

    fn request(&self, name: &str, folder: &str) -> ProvisionRequest {
        ProvisionRequest {
            boat: boat(name),
            out: self.folder.path().join(folder),
            days: BOAT_DAYS,
            replace: false,
            broker: None,
        }
    }

    fn provision(&mut self, request: &ProvisionRequest) -> Result<IdentityFolder, AuthorityError> {
        self.authority.provision(request, &mut self.random, NOW)
    }
}

fn boat(name: &str) -> BoatId {
    name.parse().unwrap()
}

fn names(names: &[&str]) -> BTreeSet<ServerName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn an_authority_is_created_once() {
    let mut fixture = Fixture::new();
    let data = fixture.folder.path().to_owned();
    let key = fixture.authority.station_key().public();
    let again = Authority::open_or_create(&data, &mut fixture.random, NOW).unwrap();
    assert_eq!(again.station_key().public(), key);
    assert!(again.revocation_list().is_file());
    assert_eq!(again.certificates().unwrap(), []);
    let mut entries: Vec<_> = fs::read_dir(&data).unwrap().collect();
    assert_eq!(entries.pop().unwrap().unwrap().file_name(), "authority");
    assert!(entries.is_empty());
}

#[test]
fn a_folder_without_an_authority_has_none() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Authority::open(folder.path()).unwrap().is_none());
    let missing = folder.path().join("missing");
    let mut random = StdRng::seed_from_u64(1);
    let error = Authority::open_or_create(&missing, &mut random, NOW).unwrap_err();
    assert!(matches!(error, AuthorityError::NoData(_)), "{error}");
    let unset = Timestamp(86_400_000);
    let error = Authority::open_or_create(folder.path(), &mut random, unset).unwrap_err();
    assert!(matches!(error, AuthorityError::Clock(_)), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_authority_without_its_list_is_not_replaced() {
    let mut fixture = Fixture::new();
    fs::remove_file(fixture.file("certificates.json")).unwrap();
    let opened = Authority::open_or_create(fixture.folder.path(), &mut fixture.random, NOW);
    assert!(matches!(
        opened.unwrap_err(),
        AuthorityError::Io { action: "read", .. }
    ));
    assert!(fixture.file("ca.key").is_file());
}

#[cfg(unix)]
#[test]
fn private_files_are_their_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut fixture = Fixture::new();
    let identity = fixture
        .provision(&fixture.request("balaena", "aboard"))
        .unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    for key in ["ca.key", "station.key", "server.key"] {
        assert_eq!(mode(&fixture.file(key)), 0o600, "{key}");
    }
    assert_eq!(mode(&fixture.file("")), 0o700);
    assert_eq!(mode(&identity.folder), 0o700);
    assert_eq!(mode(&identity.folder.join("boat.key")), 0o600);
}

#[test]
fn a_boat_s_folder_has_its_key_and_the_station_has_not() {
    let mut fixture = Fixture::new();
    let request = ProvisionRequest {
        broker: Some("mqtts://shore.example.org:8883".into()),
        ..fixture.request("balaena", "aboard")
    };
    let identity = fixture.provision(&request).unwrap();
    assert_eq!(
        identity.expires,
        NOW.plus_millis(i64::from(BOAT_DAYS) * DAY)
    );
    let file = |name: &str| identity.folder.join(name);
    let key = SigningKey::read_file(&file("boat.key")).unwrap();
    let known = fixture.authority.boat_key(&boat("balaena"), NOW).unwrap();
    assert_eq!(known, key.public());
    // Its messages are verified with the key of its certificate.
    let signature = key.sign(Purpose::BoatMessage, b"message");
    assert!(
        known
            .verify(Purpose::BoatMessage, b"message", &signature)
            .is_ok()
    );
    let station = PublicKey::read_file(&file("station.pub")).unwrap();
    assert_eq!(station, fixture.authority.station_key().public());
    let same = |name: &str, other: &str| {
        assert_eq!(
            fs::read(file(name)).unwrap(),
            fs::read(fixture.file(other)).unwrap()
        );
    };
    same("ca.pem", "ca.pem");
    same("boat.pem", "boats/balaena/boat.pem");
    let readme = fs::read_to_string(file("README.txt")).unwrap();
    assert!(readme.contains("broker = \"mqtts://shore.example.org:8883\""));
    assert!(readme.contains("identity = \"/etc/flukewatch/identity\""));

    let secret = key.to_pem();
    let secret = secret.lines().nth(1).unwrap();
    let mut folders = vec![fixture.file("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains(secret), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_certificate_is_replaced_only_on_request() {
    let mut fixture = Fixture::new();
    let request = fixture.request("balaena", "first");
    fixture.provision(&request).unwrap();
    let first = fixture.authority.boat_key(&request.boat, NOW).unwrap();
    let request = fixture.request("balaena", "second");
    let error = fixture.provision(&request).unwrap_err();
    assert!(
        matches!(error, AuthorityError::AlreadyProvisioned { .. }),
        "{error}"
    );
    assert!(!request.out.exists());
    let list = || fs::read(fixture.authority.revocation_list()).unwrap();
    let before = list();
    let request = ProvisionRequest {
        replace: true,
        ..request
    };
    let mut random = StdRng::seed_from_u64(2);
    fixture
        .authority
        .provision(&request, &mut random, NOW)
        .unwrap();
    assert_ne!(list(), before);
    let second = fixture.authority.boat_key(&request.boat, NOW).unwrap();
    assert_ne!(second, first);
    let certificates = fixture.authority.certificates().unwrap();
    let revoked: Vec<_> = certificates.iter().map(|c| c.revoked).collect();
    assert_eq!(revoked, [Some(NOW), None]);
}

#[test]
fn another_boat_s_certificate_leaves_the_revocation_list_alone() {
    // Its replacement restarts the broker.
    let mut fixture = Fixture::new();
    let list = fs::read(fixture.authority.revocation_list()).unwrap();
    fixture
        .provision(&fixture.request("balaena", "aboard"))
        .unwrap();
    assert_eq!(fs::read(fixture.authority.revocation_list()).unwrap(), list);
}

#[test]
fn a_key_is_known_until_it_expires_or_is_revoked() {
    let mut fixture = Fixture::new();
    let request = fixture.request("balaena", "aboard");
    // As a station that runs while another process provisions.
    let running = Authority::open(fixture.folder.path()).unwrap().unwrap();
    assert_eq!(running.boat_key(&request.boat, NOW), None);
    let expires = fixture.provision(&request).unwrap().expires;
    assert!(running.boat_key(&request.boat, NOW).is_some());
    assert_eq!(running.boat_key(&boat("orca"), NOW), None);
    assert_eq!(running.boat_key(&request.boat, expires), None);

    let revoke = |name: &str| fixture.authority.revoke(&boat(name), NOW);
    assert_eq!(revoke("balaena").unwrap(), Revocation::Revoked);
    assert_eq!(running.boat_key(&request.boat, NOW), None);
    assert_eq!(revoke("balaena").unwrap(), Revocation::AlreadyRevoked);
    let error = revoke("orca").unwrap_err();
    assert!(matches!(error, AuthorityError::UnknownBoat(_)), "{error}");
    // A boat that was revoked by mistake gets another certificate without --replace.
    let request = fixture.request("balaena", "again");
    fixture.provision(&request).unwrap();
    assert!(running.boat_key(&request.boat, NOW).is_some());
}

#[test]
fn a_damaged_list_does_not_take_the_keys_away() {
    let mut fixture = Fixture::new();
    let request = fixture.request("balaena", "aboard");
    fixture.provision(&request).unwrap();
    assert!(fixture.authority.boat_key(&request.boat, NOW).is_some());
    fs::write(fixture.file("certificates.json"), "{").unwrap();
    assert!(fixture.authority.boat_key(&request.boat, NOW).is_some());
    let error = fixture.authority.revoke(&request.boat, NOW).unwrap_err();
    assert!(matches!(error, AuthorityError::Damaged { .. }), "{error}");
}

#[test]
fn what_cannot_be_provisioned_changes_nothing() {
    let mut fixture = Fixture::new();
    let file = fixture.file("certificates.json");
    let before = fs::read(&file).unwrap();
    let taken = fixture.request("balaena", "taken");
    fs::create_dir(&taken.out).unwrap();
    let error = fixture.provision(&taken).unwrap_err();
    assert!(matches!(error, AuthorityError::FolderExists(_)), "{error}");
    assert!(taken.out.is_dir());
    let error = fixture
        .provision(&fixture.request("balaena", "no/such/folder"))
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Io { .. }), "{error}");
    let error = fixture
        .provision(&fixture.request("station", "aboard"))
        .unwrap_err();
    assert!(matches!(error, AuthorityError::ReservedName(_)), "{error}");
    let long = ProvisionRequest {
        days: 10_000,
        ..fixture.request("balaena", "aboard")
    };
    let error = fixture.provision(&long).unwrap_err();
    assert!(
        matches!(error, AuthorityError::OutlastsAuthority { .. }),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(!fixture.folder.path().join("aboard").exists());
}

#[test]
fn processes_that_provision_at_once_lose_nothing() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for number in 0..8u8 {
            let fixture = &fixture;
            scope.spawn(move || {
                let authority = Authority::open(fixture.folder.path()).unwrap().unwrap();
                let request = fixture.request(&format!("boat-{number}"), &format!("b{number}"));
                let mut random = StdRng::seed_from_u64(number.into());
                authority.provision(&request, &mut random, NOW).unwrap();
            });
        }
    });
    assert_eq!(fixture.authority.certificates().unwrap().len(), 8);
}

#[test]
fn the_broker_s_certificate_is_made_again_for_other_names() {
    let mut fixture = Fixture::new();
    let file = fixture.authority.server_files().certificate;
    assert!(!file.exists());
    let mut prepare = |list: &[&str]| {
        let prepared = fixture
            .authority
            .prepare_broker(names(list), &mut fixture.random);
        prepared.unwrap();
        fs::read(&file).unwrap()
    };
    let first = prepare(&["localhost", "192.168.1.5"]);
    assert_eq!(prepare(&["192.168.1.5", "localhost"]), first);
    assert_ne!(prepare(&["localhost"]), first);
    assert_eq!(
        fixture.authority.server_names().unwrap(),
        names(&["localhost"])
    );
}

/// The output of OpenSSL; `None` where it is not installed.
fn openssl(arguments: &[&str]) -> Option<String> {
    match Command::new("openssl").args(arguments).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            Some(String::from_utf8(text).unwrap())
        }
        Err(_) => {
            eprintln!("skipped: openssl not installed");
            None
        }
    }
}

#[test]
fn openssl_verifies_certificates_for_their_purpose_only() {
    let mut fixture = Fixture::new();
    fixture
        .authority
        .prepare_broker(names(&["shore.example.org", "::1"]), &mut fixture.random)
        .unwrap();
    let identity = fixture
        .provision(&fixture.request("balaena", "aboard"))
        .unwrap();
    let boat_certificate = identity.folder.join("boat.pem");
    let verify = |certificate: &Path, purpose: &str, at: Timestamp| {
        let seconds = (at.0 / 1000).to_string();
        openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check",
            "-CAfile",
            fixture.file("ca.pem").to_str().unwrap(),
            "-CRLfile",
            fixture.authority.revocation_list().to_str().unwrap(),
            "-purpose",
            purpose,
            "-attime",
            &seconds,
            certificate.to_str().unwrap(),
        ])
    };
    let Some(answer) = verify(&boat_certificate, "sslclient", NOW) else {
        return;
    };
    assert!(answer.contains(": OK"), "{answer}");
    let server = fixture.authority.server_files().certificate;
    let station = fixture.authority.station_files().certificate;
    let years = |years: i64| NOW.plus_millis(years * 365 * DAY);
    for (certificate, purpose, at, expected) in [
        (&boat_certificate, "sslserver", NOW, "purpose"),
        (&boat_certificate, "sslclient", years(4), "expired"),
        (
            &boat_certificate,
            "sslclient",
            NOW.plus_millis(-DAY / 2),
            ": OK",
        ),
        (
            &boat_certificate,
            "sslclient",
            NOW.plus_millis(-2 * DAY),
            "not yet valid",
        ),
        (&station, "sslclient", years(19), ": OK"),
        (&server, "sslserver", years(19), ": OK"),
        (&server, "sslclient", NOW, "purpose"),
        // A boat whose clock was reset.
        (&server, "sslserver", Timestamp(5000), ": OK"),
    ] {
        let answer = verify(certificate, purpose, at).unwrap();
        assert!(answer.contains(expected), "{purpose} {at}: {answer}");
    }
    fixture.authority.revoke(&boat("balaena"), NOW).unwrap();
    let answer = verify(&boat_certificate, "sslclient", NOW).unwrap();
    assert!(answer.contains("revoked"), "{answer}");
    let answer = verify(&station, "sslclient", NOW).unwrap();
    assert!(answer.contains(": OK"), "{answer}");

    let show = |file: &Path| openssl(&["x509", "-noout", "-text", "-in", file.to_str().unwrap()]);
    let text = show(&boat_certificate).unwrap();
    assert!(text.contains("CN = balaena\n"), "{text}");
    let text = show(&server).unwrap();
    assert!(text.contains("DNS:shore.example.org"), "{text}");
    assert!(text.contains("IP Address:0:0:0:0:0:0:0:1"), "{text}");
}

#[test]
fn each_revocation_list_has_a_higher_number() {
    let mut fixture = Fixture::new();
    let file = fixture.authority.revocation_list();
    let number = || {
        let text = openssl(&["crl", "-noout", "-crlnumber", "-in", file.to_str().unwrap()])?;
        let digits = text.trim().strip_prefix("crlNumber=")?;
        u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
    };
    fixture
        .provision(&fixture.request("balaena", "aboard"))
        .unwrap();
    let mut last = number();
    if last.is_none() {
        return;
    }
    for _ in 0..3 {
        fixture.authority.revoke(&boat("balaena"), NOW).unwrap();
        assert!(number() > last);
        last = number();
    }
}
