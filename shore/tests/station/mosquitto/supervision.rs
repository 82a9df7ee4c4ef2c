//! Starts, crashes and ends.

use super::fixture::{
    Broker, any_port, installed, is_running, new_authority, options, process, start,
};
use crate::mosquitto::client::Client;
use flukewatch_shore::health::Health;
use flukewatch_shore::mosquitto::{Mosquitto, MosquittoError, MosquittoSettings};
use flukewatch_test_support::wait::until;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

fn kill(process: u32) {
    let killed = Command::new("kill")
        .args(["-9", &process.to_string()])
        .status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_killed_broker_is_started_again_and_reported() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let balaena = broker.provision("balaena");
    let healthy = broker.health.broker_process().unwrap();
    assert!(healthy.running && healthy.last_error.is_none());
    let mut boat = broker.connect(&balaena);
    let first = broker.process();
    kill(first);
    assert!(boat.is_closed());
    until("the broker runs again", || {
        let process = broker.health.broker_process().unwrap();
        process.running && process.restarts == 1
    });
    let error = broker.health.broker_process().unwrap().last_error.unwrap();
    assert!(error.contains("signal 9"), "{error}");
    assert_ne!(broker.process(), first);
    assert!(broker.connect(&balaena).is_connected());
}

#[test]
fn a_stopped_broker_leaves_neither_process_nor_port() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let (process, address) = (broker.process(), broker.address());
    let pid_file = broker.folder.path().join("broker/mosquitto.pid");
    drop(broker.mosquitto);
    assert!(!is_running(process) && !pid_file.exists());
    TcpListener::bind(address).unwrap();
}

#[test]
fn a_broker_of_an_earlier_run_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let authority = new_authority(folder.path());
    let health = Arc::new(Health::default());
    let Some(first) = installed(start(folder.path(), &authority, any_port(), &health)) else {
        return;
    };
    drop(first.unwrap());
    // As if it had survived its station.
    let config = folder.path().join("broker/mosquitto.conf");
    let address = port_in(&config);
    let mut earlier = Command::new("/usr/sbin/mosquitto");
    let Ok(mut earlier) = earlier.arg("-c").arg(&config).spawn() else {
        eprintln!("skipped: mosquitto is not in /usr/sbin");
        return;
    };
    until("the earlier broker listens", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    let pid_file = folder.path().join("broker/mosquitto.pid");
    std::fs::write(&pid_file, earlier.id().to_string()).unwrap();
    let second = start(folder.path(), &authority, address, &health).unwrap();
    assert!(earlier.try_wait().unwrap().is_some());
    assert_ne!(process(folder.path()), earlier.id());
    drop(second);

    // Another program that has the number by now is left alone.
    let mut innocent = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(&pid_file, innocent.id().to_string()).unwrap();
    start(folder.path(), &authority, any_port(), &health).unwrap();
    assert!(innocent.try_wait().unwrap().is_none());
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

fn port_in(config: &Path) -> std::net::SocketAddr {
    let text = std::fs::read_to_string(config).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("listener "));
    let (port, ip) = line.unwrap().split_once(' ').unwrap();
    format!("{ip}:{port}").parse().unwrap()
}

#[test]
fn a_broker_that_cannot_start_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let authority = new_authority(folder.path());
    let start = |program: Option<&str>, address| {
        let settings = MosquittoSettings {
            address,
            program: program.map(Path::new),
            data: folder.path(),
            authority: &authority,
        };
        Mosquitto::start(&settings, Arc::new(Health::default()))
    };
    let error = start(Some("/no/such/mosquitto"), any_port()).unwrap_err();
    assert!(matches!(error, MosquittoError::NoProgram(_)), "{error}");
    let error = start(Some("/bin/false"), any_port()).unwrap_err();
    assert!(matches!(error, MosquittoError::Exited { .. }), "{error}");
    let taken = TcpListener::bind(any_port()).unwrap();
    let address = taken.local_addr().unwrap();
    let Some(in_use) = installed(start(None, address)) else {
        return;
    };
    let error = in_use.unwrap_err();
    assert!(matches!(error, MosquittoError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("--mqtts"));
    // The log says what is wrong with the configuration.
    std::fs::remove_file(authority.server_files().certificate).unwrap();
    let error = start(None, any_port()).unwrap_err();
    let MosquittoError::Exited { log, .. } = error else {
        panic!("{error}");
    };
    assert!(log.contains("server.pem"), "{log}");
}

#[test]
fn a_data_folder_with_spaces_works() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("with spaces ü");
    std::fs::create_dir(&data).unwrap();
    let authority = new_authority(&data);
    let started = start(&data, &authority, any_port(), &Arc::new(Health::default()));
    let Some(mosquitto) = installed(started) else {
        return;
    };
    let mosquitto = mosquitto.unwrap();
    let station = authority.station_files();
    let connected = Client::connect(mosquitto.address(), &options(&station));
    assert!(connected.unwrap().is_connected());
}
