//! Text from outside, bounded for logs, pages and messages.

/// What stands for a cut end.
const ELLIPSIS: &str = "…";

/// `text` in one line of at most `max_bytes` bytes: runs of white space and control characters become
/// one space, and a cut end an ellipsis.
pub fn one_line(text: &str, max_bytes: usize) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut line = words.join(" ");
    if line.len() > max_bytes {
        line.truncate(line.floor_char_boundary(max_bytes.saturating_sub(ELLIPSIS.len())));
        if line.len() + ELLIPSIS.len() <= max_bytes {
            line.push_str(ELLIPSIS);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_short_text_stays() {
        assert_eq!(one_line("no model", 8), "no model");
        assert_eq!(one_line("", 8), "");
    }

    #[test]
    fn control_characters_and_line_breaks_become_spaces() {
        assert_eq!(one_line(" a\r\n\x1b[31mb\0\tc ", 99), "a [31mb c");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(one_line("abcdefgh", 7), "abcd…");
        assert_eq!(one_line("aäääää", 9), "aää…");
        assert_eq!(one_line("abc", 2), "");
    }

    proptest! {
        #[test]
        fn the_length_is_bounded(text in ".*", max in 0usize..40) {
            prop_assert!(one_line(&text, max).len() <= max);
        }
    }
}
