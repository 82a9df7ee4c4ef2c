//! Progress bars with the remaining time.

use indicatif::ProgressStyle;

pub use indicatif::ProgressBar;

/// A bar over `length` steps with the elapsed and the remaining time.
pub fn bar(length: u64, label: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix:>10} {bar:30} {pos}/{len} {msg} {elapsed} elapsed, {eta} left",
    )
    .expect("the template is valid");
    ProgressBar::new(length)
        .with_style(style)
        .with_prefix(label)
}

/// The same, or an invisible one if `quiet` is set.
pub fn bar_unless(quiet: bool, length: u64, label: &'static str) -> ProgressBar {
    if quiet {
        ProgressBar::hidden()
    } else {
        bar(length, label)
    }
}
