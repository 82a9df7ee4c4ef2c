//! The camera against a stand-in for an IP camera on the loopback address.

use super::*;
use crate::cancellation::CancellationToken;
use crate::capture::gstreamer::stand_in::options;
use std::io::{BufRead, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// How the stand-in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// It has this status for every DESCRIBE.
    Status(u16),
    /// It has sound only.
    Sound,
    /// It plays, and sends nothing.
    Silence,
    /// It plays key frames until the connection ends.
    Plays,
    /// It plays three key frames and closes the connection.
    Closes,
}

/// Parameter sets of 160 x 240 pixels, in the form of SDP.
const PARAMETERS: &str = "Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==";

/// Starts a stand-in that serves any number of connections. Returns its address.
fn camera(behaviour: Behaviour) -> RtspUrl {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            // The client may go at any time.
            let _ = serve(connection.unwrap(), behaviour);
        }
    });
    format!("rtsp://127.0.0.1:{port}/stream").parse().unwrap()
}

fn serve(mut connection: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    loop {
        let (mut method, mut number) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(cseq) = line.strip_prefix("CSeq: ") {
                number = cseq.into();
            } else if method.is_empty() {
                method = line.split(' ').next().unwrap_or_default().into();
            }
        }
        let (status, headers, body) = answer(&method, behaviour);
        let length = body.len();
        write!(
            connection,
            "RTSP/1.0 {status} x\r\nCSeq: {number}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )?;
        if method == "PLAY" {
            match behaviour {
                Behaviour::Plays => (0..).try_for_each(|i| key_frame(&mut connection, i))?,
                Behaviour::Closes => return (0..3).try_for_each(|i| key_frame(&mut connection, i)),
                _ => {}
            }
        }
    }
}

fn answer(method: &str, behaviour: Behaviour) -> (u16, &'static str, String) {
    let media = match behaviour {
        Behaviour::Sound => "m=audio 0 RTP/AVP 0".to_owned(),
        _ => format!(
            "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1;profile-level-id=42C01E;sprop-parameter-sets={PARAMETERS}"
        ),
    };
    match (method, behaviour) {
        ("DESCRIBE", Behaviour::Status(status)) => {
            let challenge = "WWW-Authenticate: Digest realm=\"camera\", nonce=\"1\"\r\n";
            (status, challenge, String::new())
        }
        ("DESCRIBE", _) => {
            let body = format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{media}\r\na=control:trackID=1\r\n"
            );
            (200, "Content-Type: application/sdp\r\n", body)
        }
        ("SETUP", _) => {
            let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n";
            (200, transport, String::new())
        }
        ("PLAY", _) => (
            200,
            "Session: 7\r\nRTP-Info: url=trackID=1;seq=0;rtptime=0\r\n",
            String::new(),
        ),
        _ => (200, "", String::new()),
    }
}

/// Sends the `number`th key frame as one RTP packet.
fn key_frame(connection: &mut TcpStream, number: u32) -> std::io::Result<()> {
    let mut packet = vec![0x80, 0x80 | 96];
    packet.extend_from_slice(&(number as u16).to_be_bytes());
    packet.extend_from_slice(&(number * 3_000).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&[0x65, 1, 2, 3]);
    let mut framed = vec![b'$', 0];
    framed.extend_from_slice(&(packet.len() as u16).to_be_bytes());
    framed.extend_from_slice(&packet);
    connection.write_all(&framed)?;
    std::thread::sleep(Duration::from_millis(5));
    Ok(())
}

const MODE: Mode = Mode {
    encoding: Encoding::I420,
    width: 1920,
    height: 1080,
    rate: 10.0,
};

fn two_decoders(codec: Codec) -> Vec<GstDecoder> {
    GstDecoder::all(codec)[3..].to_vec()
}

/// The camera of `url`, with a decoder that is the program `decoder`.
fn open_with(url: RtspUrl, login: Option<(&str, &Path)>, decoder: &str) -> RtspCamera {
    let login = login.map(|(user, file)| (user.to_owned(), PasswordSource::File(file.into())));
    let options = PipelineOptions {
        start_timeout: Duration::from_secs(2),
        ..options(decoder)
    };
    RtspCamera::new(RtspAddress { url, login }, options, two_decoders)
}

fn start_error(camera: &mut RtspCamera) -> String {
    let error = camera.start(&MODE, &Controls::default()).unwrap_err();
    assert!(matches!(error, DeviceError::Ended(_)), "{error:?}");
    error.to_string()
}

#[test]
fn a_camera_that_cannot_play_is_explained() {
    let none = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        format!("rtsp://127.0.0.1:{port}/").parse().unwrap()
    };
    for (url, expected) in [
        (none, "refused"),
        (
            camera(Behaviour::Status(404)),
            "no such stream: check the path in 'url' (RTSP status 404)",
        ),
        (
            camera(Behaviour::Status(401)),
            "asks for a user: set 'user'",
        ),
        (
            camera(Behaviour::Sound),
            "offers no H.264 or H.265 (it has: audio/",
        ),
        (camera(Behaviour::Silence), "no frame within 2 s"),
    ] {
        let error = start_error(&mut open_with(url, None, "/bin/false"));
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_password_is_read_and_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let login = Some(("boat", file.as_path()));
    let mut camera = open_with(camera(Behaviour::Status(401)), login, "/bin/false");
    let error = start_error(&mut camera);
    assert!(error.contains("cannot read the password file"), "{error}");
    std::fs::write(&file, "S3cret\n").unwrap();
    let error = start_error(&mut camera);
    assert!(error.contains("rejects user or password"), "{error}");
    assert!(!error.contains("S3cret"), "{error}");
    assert!(!format!("{:?}", camera.address).contains("S3cret"));
    let missing = PasswordSource::Environment("FLUKEWATCH_NO_SUCH_VARIABLE".into());
    let error = missing.read().unwrap_err();
    assert!(error.contains("FLUKEWATCH_NO_SUCH_VARIABLE"), "{error}");
}

#[test]
fn a_decoder_that_fails_is_replaced_by_the_next() {
    let mut camera = open_with(camera(Behaviour::Plays), None, "/bin/false");
    for skip in 1..3 {
        let error = start_error(&mut camera);
        assert!(error.contains("the decoder ended"), "{error}");
        assert_eq!(camera.skip, skip);
    }
}

#[test]
fn a_missing_program_is_named() {
    let mut camera = open_with(camera(Behaviour::Plays), None, "/no/such/gst-launch");
    let error = start_error(&mut camera);
    assert!(
        error.contains("cannot start /no/such/gst-launch"),
        "{error}"
    );
}

#[test]
fn a_connection_that_ends_ends_the_decoder() {
    // It reads until its input ends, and prints no image.
    let mut camera = open_with(camera(Behaviour::Closes), None, "/bin/cat");
    let error = start_error(&mut camera);
    assert!(!error.is_empty());
    assert!(camera.running.is_none());
}

#[test]
fn waiting_is_cancelled() {
    let url = camera(Behaviour::Silence);
    let mut camera = open_with(url, None, "/bin/false");
    camera.options.start_timeout = Duration::from_secs(60);
    camera.options.stop = CancellationToken::default();
    let stop = camera.options.stop.clone();
    let begun = Instant::now();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.cancel();
    });
    let error = start_error(&mut camera);
    canceller.join().unwrap();
    assert!(error.contains("cancelled"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_address_is_checked() {
    for (text, expected) in [
        (
            "rtsp://192.168.1.64:554/Streaming/Channels/101?transport=tcp",
            "",
        ),
        (
            "rtsp://boat:S3cret@192.168.1.64/stream1",
            "must not have a user or password",
        ),
        (
            "rtsp://boat@camera/stream1",
            "must not have a user or password",
        ),
        (
            "http://camera/stream1",
            "must begin with rtsp://, not http://",
        ),
        ("192.168.1.64/stream1", "invalid address"),
        ("rtsp:///stream1", "invalid address"),
        ("", "invalid address"),
    ] {
        let parsed = text.parse::<RtspUrl>();
        match &parsed {
            Ok(url) => assert_eq!((url.to_string().as_str(), ""), (text, expected)),
            Err(error) => {
                assert!(!expected.is_empty(), "{text}: {error}");
                assert!(error.to_string().contains(expected), "{text}: {error}");
                assert!(!error.to_string().contains("S3cret"));
            }
        }
    }
}
