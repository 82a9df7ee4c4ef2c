//! `deterministic`: libtorch uses reproducible algorithms (feature `train`). A test of its own, since the
//! switch is one of the whole process.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod stripes;

use flukewatch_train::embedding::run::run;
use flukewatch_train::trainer::device;
use flukewatch_train::trainer::device_choice::DeviceChoice;
use flukewatch_train::trainer::error::TrainError;
use stripes::{job, stripes};

#[test]
fn a_deterministic_run_uses_reproducible_algorithms() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 4, 3);
    for (name, deterministic) in [("on", true), ("off", false)] {
        let set = format!("deterministic={deterministic}");
        run(&job(
            data.clone(),
            &dir.path().join(name),
            &["backbone=tiny", &set],
        ))
        .unwrap();
        assert_eq!(device::is_deterministic().unwrap(), deterministic);
    }
    // A device that does not exist is an error, not another device.
    let mut job = job(data, &dir.path().join("cuda"), &[]);
    job.device = DeviceChoice::Cuda(99);
    let error = run(&job).unwrap_err();
    assert!(matches!(error, TrainError::Device(_)), "{error}");
}
