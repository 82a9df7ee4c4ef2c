//! Who can connect.

use super::client::{Client, Options};
use super::fixture::{Broker, files, folder_in, identity, new_authority, options};
use flukewatch_common::clock::Timestamp;
use flukewatch_shore::authority::{ProvisionRequest, Revocation};
use flukewatch_shore::random::system_random;
use flukewatch_test_support::wait::until;
use std::fs;

#[test]
fn only_valid_certificates_of_the_authority_connect() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let balaena = broker.provision("balaena");
    let mut boat = broker.connect(&balaena);
    let rejects = |what: &str, options: &Options<'_>| {
        let connected = Client::connect(broker.address(), options);
        assert!(connected.is_err(), "{what}");
    };
    let without = Options {
        identity: None,
        ..options(&balaena)
    };
    rejects("no certificate", &without);

    let other_folder = folder_in(&broker.folder, "other");
    fs::create_dir(&other_folder).unwrap();
    let other = identity(&new_authority(&other_folder), &other_folder, "balaena");
    let of_another = Options {
        ca: &balaena.ca,
        ..options(&other)
    };
    rejects("certificate of another authority", &of_another);

    let server = broker.authority.server_files();
    rejects("the broker's certificate", &options(&server));

    let request = ProvisionRequest {
        boat: "late".parse().unwrap(),
        out: folder_in(&broker.folder, "aboard-late"),
        days: 1,
        replace: false,
        broker: None,
    };
    // 2026-01-02.
    let long_ago = Timestamp(1_767_312_000_000);
    let late = broker
        .authority
        .provision(&request, &mut system_random().unwrap(), long_ago);
    rejects("expired", &options(&files(&late.unwrap().folder)));

    assert!(boat.is_connected());
}

#[test]
fn a_boat_checks_the_broker_s_certificate() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let balaena = broker.provision("balaena");
    let other_folder = folder_in(&broker.folder, "other");
    fs::create_dir(&other_folder).unwrap();
    let other = new_authority(&other_folder).station_files();
    let wrong_ca = Options {
        ca: &other.ca,
        ..options(&balaena)
    };
    assert!(Client::connect(broker.address(), &wrong_ca).is_err());
    // The broker's clock is right, so that the boat's own certificate is valid.
    let at_1970 = Options {
        clock_reset: true,
        ..options(&balaena)
    };
    assert!(
        Client::connect(broker.address(), &at_1970)
            .unwrap()
            .is_connected()
    );
}

#[test]
fn a_revoked_boat_is_disconnected_and_stays_out() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let (lost, balaena) = (broker.provision("lost"), broker.provision("balaena"));
    let (mut of_lost, before) = (broker.connect(&lost), broker.process());
    let revoked = broker
        .authority
        .revoke(&"lost".parse().unwrap(), Timestamp(1_795_450_800_000));
    assert_eq!(revoked.unwrap(), Revocation::Revoked);
    assert!(of_lost.is_closed());
    until("the broker runs again", || broker.has_restarted(before));
    until("another boat reconnects", || {
        Client::connect(broker.address(), &options(&balaena)).is_ok()
    });
    assert!(Client::connect(broker.address(), &options(&lost)).is_err());
    let process = broker.health.broker_process().unwrap();
    assert!(process.running && process.restarts == 0, "{process:?}");
}
