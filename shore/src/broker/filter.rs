//! Topics and topic filters.

const MAX_TOPIC_BYTES: usize = 512;

/// Whether `topic` may be published to.
pub(super) fn is_valid_topic(topic: &str) -> bool {
    (1..=MAX_TOPIC_BYTES).contains(&topic.len()) && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` may be subscribed to. Shared subscriptions (`$share/..`) are not supported.
pub(super) fn is_valid_filter(filter: &str) -> bool {
    if !(1..=MAX_TOPIC_BYTES).contains(&filter.len())
        || filter.contains('\0')
        || filter.starts_with("$share/")
    {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && (level.len() > 1 || (level == "#" && levels.peek().is_some())) {
            return false;
        }
    }
    true
}

/// Whether `filter` matches `topic`; both must be valid. A leading wildcard does not match topics
/// that start with `$`.
///
/// `rumqttc::matches` cannot be used: it slices the topic after the first byte and panics where
/// that splits a character.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for expected in filter.split('/') {
        match (expected, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (expected, Some(level)) if expected == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_levels() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a/+", "a/", true),
            ("+", "a/b", false),
            ("#", "a/b", true),
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("#", "ä/ö", true),
            ("ä/+", "ä/ö", true),
        ] {
            assert!(
                is_valid_filter(filter) && is_valid_topic(topic),
                "{filter} {topic}"
            );
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn invalid_filters_and_topics_are_rejected() {
        for invalid in [
            "",
            "a#",
            "a/#/b",
            "a+/b",
            "a/b\0",
            "$share/g/a",
            &"x".repeat(513),
        ] {
            assert!(!is_valid_filter(invalid), "{invalid}");
        }
        for invalid in ["", "a/+", "#", "a\0"] {
            assert!(!is_valid_topic(invalid), "{invalid}");
        }
    }
}
