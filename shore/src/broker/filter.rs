//! Topics, and the filters that choose them.

/// The longest topic or filter, in bytes.
const LONGEST: usize = 512;

/// Whether `topic` may be published to.
pub(super) fn valid_topic(topic: &str) -> bool {
    (1..=LONGEST).contains(&topic.len()) && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` may be subscribed to. Shared subscriptions (`$share/..`) are not offered.
pub(super) fn valid_filter(filter: &str) -> bool {
    if !(1..=LONGEST).contains(&filter.len())
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

/// Whether `filter` chooses `topic`; both valid. A wildcard at the start does not choose topics that start with `$`.
///
/// `rumqttc`'s own `matches` cannot be used: it cuts the topic after its first byte, and panics where that is no whole character.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_choose_levels() {
        for (filter, topic, chosen) in [
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
                valid_filter(filter) && valid_topic(topic),
                "{filter} {topic}"
            );
            assert_eq!(matches(filter, topic), chosen, "{filter} {topic}");
        }
    }

    #[test]
    fn what_is_no_filter_or_topic_is_refused() {
        for bad in [
            "",
            "a#",
            "a/#/b",
            "a+/b",
            "a/b\0",
            "$share/g/a",
            &"x".repeat(513),
        ] {
            assert!(!valid_filter(bad), "{bad}");
        }
        for bad in ["", "a/+", "#", "a\0"] {
            assert!(!valid_topic(bad), "{bad}");
        }
    }
}
