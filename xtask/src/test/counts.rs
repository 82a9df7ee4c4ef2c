//! Counts of tests, from the output of `cargo test`.

use std::fmt;

/// Numbers of passed, failed and skipped tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TestCounts {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl TestCounts {
    /// Adds a line of output, e.g. `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured;
    /// ..`; other lines are ignored.
    pub(crate) fn read(&mut self, line: &str) {
        let Some(counts) = line.trim().strip_prefix("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (number, what) = (words.next(), words.next());
            let Some(number) = number.and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            match what {
                Some("passed") => self.passed += number,
                Some("failed") => self.failed += number,
                Some("ignored") => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Whether any test passed.
    pub(crate) fn any_passed(&self) -> bool {
        self.passed > 0
    }
}

impl fmt::Display for TestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            ignored,
        } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut counts = TestCounts::default();
        assert!(!counts.any_passed());
        for line in [
            "running 13 tests",
            "test wire::tests::a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.52s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.02s",
        ] {
            counts.read(line);
        }
        assert_eq!(counts.to_string(), "15 passed, 2 failed, 1 skipped");
        assert!(counts.any_passed());
    }
}
