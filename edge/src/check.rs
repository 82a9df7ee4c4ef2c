//! Whether a boat will work, said before it leaves the harbour.

mod inputs;

use crate::config::Config;
use crate::outbox::Listing;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::DetectorError;
use flukewatch_common::embedder::Embedder;
use flukewatch_common::engine::choice::EngineChoice;
use flukewatch_common::engine::tensorrt::TensorRt;
use image::RgbImage;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// What one part of the check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked: `config`, `bundle`, `model`, `detector`, `engine`, `camera`, `position` or `outbox`.
    pub part: &'static str,
    /// Whether it will work.
    pub good: bool,
    /// What it is, or what is wrong with it: the line, or the part of the bundle.
    pub says: String,
}

impl Finding {
    fn good(part: &'static str, says: String) -> Self {
        Self {
            part,
            good: true,
            says,
        }
    }

    fn fault(part: &'static str, error: impl std::fmt::Display) -> Self {
        Self {
            part,
            good: false,
            says: error.to_string(),
        }
    }
}

/// Checks a configuration and all that it names. The broker is not asked: a boat leaves without one, too.
pub fn check_config(file: &Path) -> Vec<Finding> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(e) => return vec![Finding::fault("config", e)],
    };
    let says = format!(
        "{}: the boat is '{}', the broker {}",
        file.display(),
        config.boat.name,
        shown(&config)
    );
    let mut findings = vec![Finding::good("config", says)];
    findings.extend(bundle_findings(
        &config.bundle.path,
        config.detector.enabled,
    ));
    findings.push(check_engine(&config));
    findings.extend(inputs::cameras(&config));
    findings.push(inputs::position(&config));
    findings.push(check_outbox(&config));
    findings
}

/// Checks a bundle and runs its model once.
pub fn check_bundle(path: &Path) -> Vec<Finding> {
    bundle_findings(path, true)
}

fn bundle_findings(path: &Path, detecting: bool) -> Vec<Finding> {
    let bundle = match Bundle::open(path) {
        Ok(bundle) => bundle,
        Err(e) => return vec![Finding::fault("bundle", e)],
    };
    let catalogue = &bundle.catalogue;
    let says = format!(
        "{}: '{}' ({}), {} whales on {} photos",
        path.display(),
        bundle.manifest.name,
        bundle.id(),
        catalogue.whales(),
        catalogue.len()
    );
    vec![
        Finding::good("bundle", says),
        check_model(path, &bundle),
        match about_detector(&bundle, detecting) {
            Ok(says) => Finding::good("detector", says.into()),
            Err(e) => Finding::fault("detector", format!("{}: {e}", path.display())),
        },
    ]
}

/// What looks for flukes with `bundle`, where a detector is to be used or not.
pub(crate) fn about_detector(
    bundle: &Bundle,
    detecting: bool,
) -> Result<&'static str, DetectorError> {
    Ok(if !detecting {
        "none, as the configuration says: a frame without boxes counts as a fluke as a whole"
    } else if crate::run::detector(bundle, 0.0)?.is_some() {
        "the bundle's looks at frames without boxes"
    } else {
        "the bundle has none: a frame without boxes counts as a fluke as a whole"
    })
}

fn check_model(path: &Path, bundle: &Bundle) -> Finding {
    let named = |e: &dyn std::fmt::Display| {
        Finding::fault("model", format!("the model of {}: {e}", path.display()))
    };
    let mut embedder = match Embedder::open(bundle) {
        Ok(embedder) => embedder,
        Err(e) => return named(&e),
    };
    let test_picture = RgbImage::from_fn(640, 320, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x ^ y) as u8])
    });
    let started = Instant::now();
    match embedder.embed(&test_picture, None) {
        Ok(embedding) if embedding.dimension() != bundle.catalogue.dimension() => named(&format!(
            "it gives embeddings of {} numbers, the catalogue holds {}",
            embedding.dimension(),
            bundle.catalogue.dimension()
        )),
        Ok(embedding) => {
            let millis = started.elapsed().as_millis();
            let says = format!(
                "{} gives {} numbers in {millis} ms",
                embedder.engine_name(),
                embedding.dimension()
            );
            Finding::good("model", says)
        }
        Err(e) => named(&e),
    }
}

/// Whether TensorRT would start. No plan is built: that takes minutes, and `selftest` does it.
fn check_engine(config: &Config) -> Finding {
    let choice = config.engine.choice;
    let place = config.engine.place();
    if choice == EngineChoice::Tract {
        return Finding::good("engine", "tract, as the configuration says".into());
    }
    match TensorRt::start(&place, crate::run::teller()) {
        Ok(tensorrt) => Finding::good("engine", tensorrt.installation().to_string()),
        Err(e) if choice == EngineChoice::Auto => Finding::good("engine", format!("tract: {e}")),
        Err(e) => Finding::fault(
            "engine",
            format!("the engine 'tensorrt' is demanded and does not start: {e}"),
        ),
    }
}

fn check_outbox(config: &Config) -> Finding {
    let path = &config.outbox.path;
    match Listing::read(path) {
        Ok(listing) => {
            let (waiting, dead) = (listing.queued.len(), listing.dead.len());
            Finding::good(
                "outbox",
                format!(
                    "{}: {waiting} messages wait, {dead} dead letters",
                    path.display()
                ),
            )
        }
        Err(e) => Finding::fault("outbox", e),
    }
}

/// The broker without its password.
fn shown(config: &Config) -> String {
    config.uplink.broker.parse().map_or_else(
        |_| String::new(),
        |broker: crate::uplink::BrokerUrl| broker.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn boat(folder: &Path) -> std::path::PathBuf {
        sample::bundle(2)
            .save(&folder.join("whales.flukebundle"))
            .unwrap();
        std::fs::create_dir(folder.join("frames")).unwrap();
        std::fs::write(folder.join("frames/0.jpg"), "-").unwrap();
        let file = folder.join("edge.toml");
        std::fs::write(&file, include_str!("../edge.example.toml")).unwrap();
        file
    }

    fn parts(findings: &[Finding]) -> Vec<(&str, bool)> {
        findings.iter().map(|f| (f.part, f.good)).collect()
    }

    #[test]
    fn a_boat_that_will_work_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let findings = check_config(&boat(folder.path()));
        let all = [
            "config", "bundle", "model", "detector", "engine", "camera", "position", "outbox",
        ]
        .map(|part| (part, true));
        assert_eq!(parts(&findings), all, "{findings:?}");
        assert!(
            findings[1].says.contains("2 whales on 2 photos"),
            "{findings:?}"
        );
        assert!(
            findings[2].says.contains("gives 128 numbers"),
            "{findings:?}"
        );
        assert!(
            findings[3].says.starts_with("the bundle has none"),
            "{findings:?}"
        );
        assert!(
            !folder.path().join("outbox").exists(),
            "a check changes nothing"
        );
    }

    #[test]
    fn an_engine_that_is_demanded_and_missing_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let file = boat(folder.path());
        let text = std::fs::read_to_string(&file).unwrap();
        let chosen = |engine: &str| {
            let text = text
                .replace("use = \"auto\"", &format!("use = \"{engine}\""))
                .replace("/usr/local/lib/flukewatch", "no-shims");
            std::fs::write(&file, text).unwrap();
            let findings = check_config(&file);
            let engine = findings.into_iter().find(|f| f.part == "engine").unwrap();
            (engine.good, engine.says)
        };
        let (good, says) = chosen("auto");
        assert!(
            good && says.starts_with("tract: there is no shim for TensorRT"),
            "{says}"
        );
        let (good, says) = chosen("tensorrt");
        assert!(
            !good && says.contains("is demanded and does not start: there is no shim"),
            "{says}"
        );
        let (good, says) = chosen("tract");
        assert!(good && says.starts_with("tract"), "{says}");
    }

    #[test]
    fn a_configuration_at_fault_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = boat(folder.path());
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replace("gap_seconds = 0.7", "gap_seconds = -2.0");
        std::fs::write(&file, &text).unwrap();
        let line = 1 + text
            .lines()
            .position(|l| l.starts_with("gap_seconds"))
            .unwrap();
        let findings = check_config(&file);
        assert_eq!(parts(&findings), [("config", false)]);
        assert!(
            findings[0]
                .says
                .contains(&format!("line {line}, encounter.gap_seconds")),
            "{findings:?}"
        );
    }

    /// What a check of the example with `change` says of `part`.
    fn says(folder: &Path, part: &str, change: impl Fn(&str) -> String) -> Vec<(bool, String)> {
        let file = boat(folder);
        let text = change(&std::fs::read_to_string(&file).unwrap());
        std::fs::write(&file, text).unwrap();
        let found = check_config(&file).into_iter();
        found
            .filter(|f| f.part == part || f.part == "config" && !f.good)
            .map(|f| (f.good, f.says))
            .collect()
    }

    #[test]
    fn a_live_camera_that_is_not_there_is_a_fault_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let said = says(folder.path(), "camera", |text| {
            text.replace("source = \"replay\"", "source = \"v4l2\"")
                .replace("path = \"frames\"", "path = \"/dev/no-such-camera\"")
        });
        assert_eq!(said.len(), 1, "{said:?}");
        let (good, says) = &said[0];
        assert!(
            !good && says.starts_with("it is not there: /dev/no-such-camera"),
            "{says}"
        );
    }

    #[test]
    fn each_of_several_cameras_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let film = b"YUV4MPEG2 W4 H2 F25:1 Cmono\n";
        std::fs::write(folder.path().join("film.y4m"), film).unwrap();
        let said = says(folder.path(), "camera", |text| {
            let second = "[[camera]]\nname = \"mast\"\nsource = \"replay\"\npath = \"film.y4m\"\n[encounter]";
            text.replace("[camera]", "[[camera]]")
                .replace("[encounter]", second)
        });
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].1.starts_with("'main': "), "{said:?}");
        assert!(
            said[1].0
                && said[1]
                    .1
                    .ends_with("film.y4m: a film of 25 frames a second"),
            "{said:?}"
        );
    }

    #[test]
    fn a_receiver_is_listened_to() {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let there = std::thread::spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            let gga = b"$GPGGA,162000.00,3830.0000,N,02830.0000,W,1,09,0.75,12.0,M,54.0,M,,*73\r\n";
            caller.write_all(gga).unwrap();
            caller
        });
        let with = |kind: &'static str, address: String| {
            move |text: &str| {
                text.replace("source = \"none\"", &format!("source = \"{kind}\""))
                    .replace("address = \"\"", &format!("address = \"{address}\""))
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let said = says(folder.path(), "position", with("nmea-tcp", address.clone()));
        let expected =
            format!("{address}: a fix at latitude 38.5000, longitude -28.5000 (satellites)");
        assert_eq!(said, [(true, expected)]);
        drop(there.join().unwrap());
        // Nobody listens there any more.
        let folder = tempfile::tempdir().unwrap();
        let said = says(folder.path(), "position", with("gpsd", address.clone()));
        assert!(!said[0].0 && said[0].1.starts_with(&address), "{said:?}");
    }

    #[test]
    fn a_bundle_at_fault_names_the_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle");
        sample::bundle(2).save(&path).unwrap();
        assert!(check_bundle(&path).iter().all(|f| f.good));
        let catalogue = std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path());
        let catalogue = catalogue
            .into_iter()
            .find(|p| p.to_string_lossy().contains("catalogue"))
            .unwrap();
        let mut bytes = std::fs::read(&catalogue).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&catalogue, bytes).unwrap();
        let findings = check_bundle(&path);
        assert_eq!(parts(&findings), [("bundle", false)]);
        assert!(findings[0].says.contains("catalogue"), "{findings:?}");
    }
}
