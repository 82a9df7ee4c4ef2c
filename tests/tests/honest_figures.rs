//! Figures on photos that a model was trained on, splits of tables, and partial submissions.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::text;
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::pictures::photo;
use flukewatch_tests::program::{Finished, Program};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with a bundle without whales and tables of photos.
struct Case(tempfile::TempDir);

impl Case {
    fn new() -> Self {
        let case = Self(tempfile::tempdir().unwrap());
        tiny(0).save(&case.path("bundle")).unwrap();
        case
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// A table of three photos of each whale, and its photos; `more` is the end of each line.
    fn table(&self, name: &str, whales: std::ops::Range<u32>, more: &str) -> PathBuf {
        let path = self.path(name).with_extension("csv");
        fs::create_dir_all(self.path(name)).unwrap();
        let header = if more.is_empty() { "" } else { ",split" };
        let mut lines = format!("image,identity{header}\n");
        for whale in whales {
            for number in 0..3 {
                let file = format!("w{whale}-{number}.jpg");
                // Photos of one whale differ in the sum of this text.
                let shade = "a".repeat(1 + 20 * number);
                fs::write(self.path(name).join(&file), photo(whale, &shade)).unwrap();
                lines += &format!("{file},W{whale}{more}\n");
            }
        }
        fs::write(&path, lines).unwrap();
        path
    }

    /// The bundle `trained`, whose model was trained on the table.
    fn record_training(&self, data: &Path) -> PathBuf {
        let (bundle, out) = (self.path("bundle"), self.path("trained"));
        let arguments = ["bundle-training-set", text(&bundle), "--out", text(&out)];
        run(&[&arguments[..], &["--data", text(data)]].concat()).succeeded();
        out
    }
}

fn run(arguments: &[&str]) -> Finished {
    Program::Host.run(arguments)
}

#[test]
fn figures_on_training_photos_are_refused_unless_wanted() {
    let case = Case::new();
    let train = case.table("train", 0..4, "");
    let bundle = case.record_training(&train);
    let size = fs::metadata(bundle.join("training.bin")).unwrap().len();
    assert_eq!(size, 8 + 4 + 4 + 16 + 8 + (4 + 12) * 8);
    let (bundle, train) = (text(&bundle), text(&train));
    let refused = ["was trained on 12 of 12 photos", "--allow-training-photos"];
    let report = case.path("report.html");

    run(&["evaluate", bundle, train]).failed(1, &refused);
    run(&["calibrate", bundle, train, "--dry-run"]).failed(1, &refused);
    run(&["ensemble", "concat", bundle, bundle, "--data", train]).failed(1, &refused);

    let allowed = [
        "--allow-training-photos",
        "--json",
        "--report",
        text(&report),
    ];
    let found = run(&[&["evaluate", bundle, train], &allowed[..]].concat()).succeeded();
    assert_eq!(
        found.json()["training_overlap"],
        json!({"photos": 12, "of_photos": 12, "whales": 4, "of_whales": 4, "photo": "w0-0.jpg", "whale": "W0"})
    );
    assert!(found.stderr.contains("WARNING"), "{}", found.stderr);
    let page = fs::read_to_string(&report).unwrap();
    assert!(page.contains("class=\"warning\">The model was trained on 12 of 12 photos"));
    let summary = run(&["evaluate", bundle, train, "--allow-training-photos"]).succeeded();
    assert!(
        summary.stdout.contains("model trained on 12 of 12 photos"),
        "{summary:?}"
    );

    let out = case.path("enrolled");
    let enrolled = run(&["enroll", bundle, train, "--out", text(&out)]).succeeded();
    assert!(
        enrolled.stdout.contains("model trained on 12 of 12 photos"),
        "{enrolled:?}"
    );
    // Enrolling keeps the part.
    run(&["evaluate", text(&out), train]).failed(1, &refused);
}

#[test]
fn fewer_wrong_names_are_a_matter_of_choice() {
    let case = Case::new();
    let table = case.table("catalogue", 0..8, "");
    let known_at = |most: &str| {
        let out = case.path(&format!("at-{most}"));
        let (bundle, out) = (case.path("bundle"), text(&out));
        let limit = ["--max-false-match-rate", most];
        run(&[
            &["enroll", text(&bundle), text(&table), "--out", out],
            &limit[..],
        ]
        .concat())
        .succeeded();
        let rule = fs::read_to_string(Path::new(out).join("decision.json")).unwrap();
        serde_json::from_str::<serde_json::Value>(&rule).unwrap()["known_at"]
            .as_f64()
            .unwrap()
    };
    let (few, some) = (known_at("0"), known_at("0.3"));
    assert!(few > some, "{few} {some}");
}

#[test]
fn other_photos_are_not_refused_and_old_bundles_do_not_know() {
    let case = Case::new();
    let bundle = case.record_training(&case.table("train", 0..4, ""));
    let other = case.table("other", 10..14, "");
    let found = run(&["evaluate", text(&bundle), text(&other), "--json"]).succeeded();
    assert_eq!(found.json()["training_overlap"]["photos"], 0);
    assert!(!found.stderr.contains("trained"), "{}", found.stderr);

    // Other photos of a whale of that name are reported and not refused.
    let renamed = fs::read_to_string(&other).unwrap().replace(",W10", ",W0");
    fs::write(&other, renamed).unwrap();
    let found = run(&["evaluate", text(&bundle), text(&other), "--json"]).succeeded();
    assert_eq!(found.json()["training_overlap"]["whales"], 1);
    assert!(
        found.stderr.contains("1 of 4 whales (e.g. W0)"),
        "{}",
        found.stderr
    );

    let old = case.path("bundle");
    let found = run(&["evaluate", text(&old), text(&other), "--json"]).succeeded();
    assert!(found.json()["training_overlap"].is_null());
    assert!(found.stderr.contains("unknown whether"), "{}", found.stderr);
    let shown = run(&["inspect", text(&old)]).succeeded().stdout;
    assert!(shown.contains("trained on   unknown"), "{shown}");
    let shown = run(&["inspect", text(&bundle)]).succeeded().stdout;
    assert!(
        shown.contains("trained on   12 photos of 4 whales"),
        "{shown}"
    );
}

#[test]
fn evaluate_reads_the_split_that_chose_nothing() {
    let case = Case::new();
    let (bundle, data) = (case.path("bundle"), case.table("all", 0..6, ",train"));
    let (bundle, data) = (text(&bundle), text(&data));
    let table = fs::read_to_string(data).unwrap();
    let with = |test: &str| {
        // The last two whales.
        let mut lines: Vec<String> = table.lines().map(str::to_owned).collect();
        for line in &mut lines[13..] {
            *line = line.replace(",train", &format!(",{test}"));
        }
        fs::write(data, lines.join("\n")).unwrap();
    };
    run(&["evaluate", bundle, data]).failed(1, &["all lines are of split train", "--split train"]);
    with("test");
    let found = run(&["evaluate", bundle, data, "--json"]).succeeded();
    assert_eq!(found.json()["queries"], 6);
    assert!(
        found
            .stderr
            .contains("evaluating the 6 lines of split test"),
        "{found:?}"
    );
    for (split, queries) in [("train", 12), ("all", 18)] {
        let found = run(&["evaluate", bundle, data, "--json", "--split", split]).succeeded();
        assert_eq!(found.json()["queries"], queries);
    }
    with("Val");
    let found = run(&["evaluate", bundle, data, "--json"]).succeeded();
    assert_eq!(found.json()["queries"], 6);
    assert!(found.stderr.contains("may have chosen"), "{found:?}");
    with("fold1");
    run(&["evaluate", bundle, data]).failed(1, &["all.csv:14: split 'fold1'; expected train"]);
    run(&["evaluate", bundle, data, "--split", "fold1"]).succeeded();
}

#[test]
fn a_partial_submission_is_scored_with_its_missing_answers() {
    let case = Case::new();
    let data = case.table("test", 0..2, "");
    let submission = case.path("answers.csv");
    fs::write(
        &submission,
        "Image,Id\nw0-0.jpg,W0\nw0-1.jpg,W0\nw1-0.jpg,W0 W1\n",
    )
    .unwrap();
    let arguments = ["score", text(&submission), text(&data)];
    let found = run(&arguments).succeeded();
    // (1 + 1 + 1/2) / 6
    assert!(
        found
            .stdout
            .contains("MAP@5  0.41667  (6 photos, 3 without an answer)"),
        "{found:?}"
    );
    assert!(
        found
            .stderr
            .contains("3 of 6 photos have no answer and score 0, e.g. w0-2.jpg"),
        "{found:?}"
    );
    let json = run(&[&arguments[..], &["--json"]].concat())
        .succeeded()
        .json();
    assert_eq!(json["missing"], json!(["w0-2.jpg", "w1-1.jpg", "w1-2.jpg"]));
}
