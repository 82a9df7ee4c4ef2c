//! One HTTP request at a time, to this machine's own shore: not worth a client.

use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// The body of `GET path`.
///
/// # Errors
/// When there is no answer, or one that is not 200.
pub(crate) fn get(server: SocketAddr, path: &str) -> anyhow::Result<String> {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        // HTTP 1.0: the answer comes in one piece and the connection ends after it.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().with_context(|| format!("http://{server}{path} does not answer"))?;
    body(&answer).with_context(|| format!("http://{server}{path}"))
}

fn body(answer: &str) -> anyhow::Result<String> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("the answer is '{status}': {body}");
    }
    Ok(body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_body_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![];
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            stream
                .write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n[]")
                .unwrap();
            String::from_utf8(asked).unwrap()
        });
        assert_eq!(get(address, "/api/sightings").unwrap(), "[]");
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /api/sightings HTTP/1.0\r\n")
        );
    }

    #[test]
    fn anything_but_200_is_an_error() {
        let said = body("HTTP/1.0 503 Service Unavailable\r\n\r\nno broker").unwrap_err();
        assert_eq!(
            said.to_string(),
            "the answer is 'HTTP/1.0 503 Service Unavailable': no broker"
        );
        assert!(body("hello").is_err());
    }
}
