//! Requests that another site's page makes in the reader's browser.

use axum::http::{HeaderMap, Method, header};

/// Whether a request would change something and comes from another site's page. A browser says so in
/// `Sec-Fetch-Site`, an older one in `Origin`; a client without both is not a browser.
pub(crate) fn is_cross_origin(method: &Method, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return false;
    }
    if let Some(site) = headers.get("sec-fetch-site") {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let (Ok(origin), Some(Ok(host))) = (
        origin.to_str(),
        headers.get(header::HOST).map(|h| h.to_str()),
    ) else {
        return true;
    };
    !origin
        .split_once("://")
        .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross(method: Method, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert("host", "Boat:8090".parse().unwrap());
        for (name, value) in lines {
            headers.insert(*name, value.parse().unwrap());
        }
        is_cross_origin(&method, &headers)
    }

    #[test]
    fn other_sites_may_not_change_anything() {
        for lines in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "http://boat:8090"),
            ],
            &[("origin", "http://evil.example")],
            &[("origin", "http://boat:9090")],
            &[("origin", "http://boat")],
            &[("origin", "null")],
            &[("origin", "")],
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert!(cross(method, lines), "{lines:?}");
            }
            assert!(!cross(Method::GET, lines), "{lines:?}");
        }
    }

    #[test]
    fn the_page_itself_and_programs_may() {
        for lines in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://boat:8090")],
        ] {
            assert!(!cross(Method::POST, lines), "{lines:?}");
        }
    }
}
