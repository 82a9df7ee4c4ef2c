//! Tests counted, from what Cargo's test programs print.

use std::fmt;

/// How many tests passed, failed and were left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Adds a line of output, as `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; ..`; other lines say nothing.
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

    /// Whether any test ran well.
    pub(crate) fn any_passed(&self) -> bool {
        self.passed > 0
    }
}

impl fmt::Display for Tally {
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
        let mut tally = Tally::default();
        assert!(!tally.any_passed());
        for line in [
            "running 13 tests",
            "test wire::tests::a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.52s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.02s",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "15 passed, 2 failed, 1 skipped");
        assert!(tally.any_passed());
    }
}
