//! Removes passwords from text that repeats what a person typed.

/// `text` with everything between a URL's `://` and its last `@` replaced by `***`. A password in an
/// MQTT URL may hold spaces and quotes: there the last `@` of the line counts. Where an MQTT URL has
/// no `@`, what may be a password is replaced: everything after the first colon unless it is a port.
pub fn redact(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        result.push_str(before);
        result.push_str("://");
        let scheme_is_mqtt = before.ends_with("mqtt") || before.ends_with("mqtts");
        let line = after.split('\n').next().unwrap_or(after);
        if scheme_is_mqtt && let Some(at) = line.rfind('@') {
            result.push_str("***");
            rest = after.get(at..).unwrap_or_default();
            continue;
        }
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`'))
            .unwrap_or(after.len());
        let (url, remaining) = after.split_at(end);
        match url.rsplit_once('@') {
            Some((_, address)) => {
                result.push_str("***@");
                result.push_str(address);
            }
            None if scheme_is_mqtt && !has_plain_address(url) => result.push_str("***"),
            None => result.push_str(url),
        }
        rest = remaining;
    }
    result.push_str(rest);
    result
}

/// Whether a URL without `@` is a host, or a host and a port.
fn has_plain_address(address: &str) -> bool {
    let address = address.trim_end_matches('/');
    match address.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse::<u16>().is_ok(),
        _ => true,
    }
}
