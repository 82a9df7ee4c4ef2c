//! The log of libFuzzer.

/// The parsed part of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// Number of inputs that were tried.
    pub(super) runs: u64,
    /// Number of covered edges.
    pub(super) edges: u64,
    /// Number of inputs in the corpus.
    pub(super) kept: u64,
    /// The failure, in the words of the program or of libFuzzer.
    pub(super) wrong: Option<String>,
    /// The file with the failing input.
    pub(super) input: Option<String>,
}

impl Log {
    /// Parses the log of a run, whole or truncated.
    pub(super) fn read(text: &str) -> Self {
        let mut log = Self::default();
        let mut panic: Option<String> = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| {
                let at = words.iter().position(|w| *w == word)?;
                words.get(at + 1).copied()
            };
            if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
                log.runs = runs.trim().parse().unwrap_or(log.runs);
            } else if let Some(runs) = words.first().and_then(|w| w.strip_prefix('#')) {
                // "#4096  pulse  cov: 812 ft: 2140 corp: 310/21Kb lim: 80 exec/s: 2048 rss: 61Mb"
                log.runs = runs.parse().unwrap_or(log.runs).max(log.runs);
                log.edges = after("cov:")
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(log.edges);
                let corpus = after("corp:").and_then(|c| c.split('/').next()?.parse().ok());
                log.kept = corpus.unwrap_or(log.kept);
            } else if let Some((_, place)) =
                line.split_once(" panicked at ").filter(|_| panic.is_none())
            {
                let said = lines.next().unwrap_or_default();
                panic = Some(format!("{}: {said}", place.trim_end_matches(':')));
            } else if let Some((_, error)) = line.split_once("ERROR: libFuzzer: ") {
                log.wrong = Some(error.to_owned());
            } else if let Some((_, file)) = line.split_once("Test unit written to ") {
                // Inputs that are only slow are also written, and are not failures.
                if !file.contains("/slow-unit-") {
                    log.input = Some(file.trim().to_owned());
                }
            }
        }
        log.wrong = panic.or(log.wrong);
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_a_finding() {
        let text = "\
INFO: Seed: 1
#5\tINITED cov: 700 ft: 900 corp: 4/1200b exec/s: 0 rss: 40Mb
#4096\tpulse  cov: 812 ft: 2140 corp: 310/21Kb lim: 80 exec/s: 2048 rss: 61Mb
artifact_prefix='a/'; Test unit written to a/slow-unit-12
#9000\tDONE   cov: 815 ft: 2150 corp: 312/22Kb lim: 80 exec/s: 2048 rss: 61Mb
Done 9000 runs in 4 second(s)
stat::number_of_executed_units: 9000
";
        let log = Log::read(text);
        assert_eq!((log.runs, log.edges, log.kept), (9000, 815, 312));
        assert_eq!((log.wrong, log.input), (None, None));
    }

    #[test]
    fn a_panic_is_reported_with_its_position() {
        let text = "\
#128\tNEW    cov: 812 ft: 2140 corp: 310/21Kb lim: 80 exec/s: 0 rss: 61Mb L: 3/9 MS: 1 EraseBytes-

thread '<unnamed>' (71) panicked at edge/src/position/gpsd.rs:70:9:
attempt to add with overflow
note: run with `RUST_BACKTRACE=1`
==71== ERROR: libFuzzer: deadly signal
SUMMARY: libFuzzer: deadly signal
artifact_prefix='f/'; Test unit written to f/crash-0a1b
";
        let log = Log::read(text);
        let wrong = "edge/src/position/gpsd.rs:70:9: attempt to add with overflow";
        assert_eq!(log.wrong.as_deref(), Some(wrong));
        assert_eq!(
            (log.runs, log.input.as_deref()),
            (128, Some("f/crash-0a1b"))
        );
    }

    #[test]
    fn memory_and_time_limits_are_reported_in_libfuzzers_words() {
        let text = "==9== ERROR: libFuzzer: out-of-memory (used: 2100Mb; limit: 2048Mb)\n";
        let wrong = Log::read(text).wrong.unwrap();
        assert_eq!(wrong, "out-of-memory (used: 2100Mb; limit: 2048Mb)");
        assert_eq!(Log::read(""), Log::default());
    }
}
