//! A minimal HTTP client for shore on this machine.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The body of `GET path`.
///
/// # Errors
/// If nothing answers, or the answer's status is not 200.
pub(crate) fn get(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let request = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // HTTP 1.0: the response is not chunked, and the server closes the connection after it.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    };
    let response = request().with_context(|| format!("no response from http://{server}{path}"))?;
    body(&response).with_context(|| format!("http://{server}{path}"))
}

fn body(response: &str) -> anyhow::Result<String> {
    let (head, body) = response
        .split_once("\r\n\r\n")
        .context("the response is not HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("status '{status}': {body}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_body_is_returned() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![];
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream
                .write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n[]")
                .unwrap();
            String::from_utf8(request).unwrap()
        });
        assert_eq!(get(address, "/api/v1/sightings").unwrap(), "[]");
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /api/v1/sightings HTTP/1.0\r\n")
        );
    }

    #[test]
    fn any_status_but_200_is_an_error() {
        let error = body("HTTP/1.0 503 Service Unavailable\r\n\r\nno broker").unwrap_err();
        assert_eq!(
            error.to_string(),
            "status 'HTTP/1.0 503 Service Unavailable': no broker"
        );
        assert!(body("hello").is_err());
    }
}
