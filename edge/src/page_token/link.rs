//! The address with the token, as text and as a QR code.

use super::error::TokenError;
use super::file::TokenFile;
use crate::config::Config;
use flukewatch_http::{AllowedHost, machine_name};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use std::fmt;
use std::net::{IpAddr, UdpSocket};

/// An address of documentation, to which nothing is sent.
const ELSEWHERE: &str = "192.0.2.1:9";

/// How a link is made.
#[derive(Clone, Debug, Default)]
pub struct LinkOptions {
    /// The name or address under which a reader reaches the boat; `None` for the likeliest.
    pub host: Option<AllowedHost>,
    /// Whether the token is replaced by a new one.
    pub renew: bool,
}

/// The address that opens a boat's page. Without `Debug`, since it holds the token.
pub struct PageLink {
    /// The URL with the token.
    pub url: String,
    /// Whether the page asks for the token: it does where other machines can reach it.
    pub is_required: bool,
    code: QrCode,
}

/// The link of the boat's page.
///
/// # Errors
/// When the boat has no page, or its token cannot be read or written.
pub fn page_link(config: &Config, options: &LinkOptions) -> Result<PageLink, TokenError> {
    let address = config.page.address().ok_or(TokenError::NoPage)?;
    let file = TokenFile::of_outbox(&config.outbox.path);
    let token = if options.renew {
        file.renew()?
    } else {
        file.read_or_create()?
    };
    let listed = config.page.allowed_hosts().into_iter().next();
    let named = options.host.clone().or(listed);
    let port = named.as_ref().and_then(AllowedHost::port);
    let host = match named {
        Some(host) => host.to_string(),
        None => likely_host(address.ip()),
    };
    let port = port.unwrap_or(address.port());
    let url = format!("http://{host}:{port}/?token={}", token.as_str());
    let code = QrCode::with_error_correction_level(&url, EcLevel::L);
    Ok(PageLink {
        code: code.map_err(|_| TokenError::TooLong)?,
        is_required: config.page.is_public(),
        url,
    })
}

/// The host under which a reader on the boat's network probably reaches a page that listens on `ip`.
fn likely_host(ip: IpAddr) -> String {
    let bracketed = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    if !ip.is_unspecified() && !ip.is_loopback() {
        return bracketed(ip);
    }
    // The address of the network that leads elsewhere; without one, the boat's name.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        socket.local_addr()
    });
    match (own, machine_name()) {
        (Ok(own), _) if !own.ip().is_unspecified() => bracketed(own.ip()),
        (_, Some(name)) => format!("{}.local", name.split('.').next().unwrap_or(&name)),
        (_, None) => bracketed(ip),
    }
}

/// The URL, and below it the QR code, light on dark.
impl fmt::Display for PageLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A console is dark: what is drawn there is the light part of the code.
        let drawn = self
            .code
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build();
        writeln!(f, "{}\n\n{drawn}", self.url)
    }
}

#[cfg(test)]
mod tests;
