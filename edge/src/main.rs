//! The boat's program.

use clap::{Args, Parser, Subcommand};
use flukewatch_common::broker_url::BrokerEnvironment;
use flukewatch_common::bundle::BundleTrust;
use flukewatch_common::clock::{SystemClock, Timestamp};
use flukewatch_edge::app_state::AppState;
use flukewatch_edge::bundle_trust::{self, bundle_trust};
use flukewatch_edge::bundle_update;
use flukewatch_edge::cancellation::CancellationToken;
use flukewatch_edge::capture;
use flukewatch_edge::check::{self, CheckResult};
use flukewatch_edge::config::{Config, EngineSection, LogFormat, LogSection};
use flukewatch_edge::logging::{LogArgs, Logs};
use flukewatch_edge::outbox::{self, Listed, Listing, SetAside};
use flukewatch_edge::page_token::{LinkOptions, page_link};
use flukewatch_edge::received_bundles::ReceivedBundles;
use flukewatch_edge::received_settings;
use flukewatch_edge::reprocess::{ReprocessOptions, reprocess, reprocess_clips};
use flukewatch_edge::selftest;
use flukewatch_edge::service::{self, Reload, RunArgs};
use flukewatch_edge::session::RunOptions;
use flukewatch_edge::systemd::Systemd;
use flukewatch_http::AllowedHost;
use flukewatch_inference::engine::choice::EngineChoice;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Identify humpback whales on board and report them to shore.
///
/// Each encounter is recorded as it ends, and identified afterwards. Sightings are stored in an outbox on
/// disk until shore has acknowledged them; recordings stay on board.
#[derive(Parser)]
#[command(
    name = "flukewatch-edge",
    version,
    after_help = "\
Examples:
  flukewatch-edge cameras
  flukewatch-edge check --config edge.toml
  flukewatch-edge selftest --config edge.toml
  flukewatch-edge run --config edge.toml
  flukewatch-edge run --config edge.toml --until-delivered 60
  flukewatch-edge page-token --config edge.toml
  flukewatch-edge outbox --config edge.toml --json
  flukewatch-edge outbox --config edge.toml --resend
  flukewatch-edge reprocess --config edge.toml --dry-run
  flukewatch-edge trust --config edge.toml

The broker's user and password may be in the environment: FLUKEWATCH_BROKER_USER and
FLUKEWATCH_BROKER_PASSWORD.

Logs go to stderr. Set their level with --log or RUST_LOG."
)]
struct Cli {
    /// Log level (error, warn, info, debug, trace) or levels by crate, e.g. warn,flukewatch_edge=debug [default:
    /// from the configuration]
    #[arg(long, value_name = "LEVEL", global = true)]
    log: Option<String>,
    /// Format of log lines [default: from the configuration]
    #[arg(long, value_name = "FORMAT", value_enum, global = true)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch the cameras, identify whales and report them.
    ///
    /// A camera may be replaced by a replay: a folder or list of images, or a video (MJPEG, Y4M, AVI;
    /// MP4, MOV, MKV, WebM, MPEG-TS, H.264 and H.265 where GStreamer is installed).
    ///
    /// Runs until Ctrl-C or SIGTERM, also after the last frame. On shutdown the open encounter is
    /// recorded; what is not identified by then is at the next start. Messages that are not
    /// acknowledged stay in the outbox for the next run. A second signal exits immediately. The health
    /// document is written every 10 seconds to health.json in RUNTIME_DIRECTORY, as a service, else in
    /// the outbox's folder, and printed to stdout at the end as one line of JSON.
    ///
    /// SIGHUP reloads the configuration: the open encounter is recorded, then the new
    /// configuration is applied. An invalid one changes nothing.
    ///
    /// As a service, with a state folder in STATE_DIRECTORY, a copy of the last working configuration
    /// is kept there. Where the configuration cannot be used, the boat starts with the copy, and the
    /// log and health.json give the reason.
    #[command(after_help = "\
Exit codes:
  0  shut down as requested
  1  startup failed, or a recording could not be saved
  2  invalid command line
  3  --until-delivered: messages are still pending, or encounters not identified
  4  more than half of the frames of a replay, or all stills, could not be used, whether or not
     messages are pending")]
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Exit once the source has ended and everything is identified and acknowledged, or this long
        /// after the source's end
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        until_delivered: Option<Duration>,
        /// Backend of the embedding network: auto, tract or tensorrt [default: from the
        /// configuration]
        #[arg(long, value_name = "BACKEND")]
        engine: Option<EngineChoice>,
    },
    /// List live cameras with their formats.
    ///
    /// Lists sizes and rates of each supported format (GREY, NV12, YUYV, UYVY, MJPEG), and why a camera
    /// cannot be used. Cameras that only GStreamer reaches are not listed; whether GStreamer is
    /// installed is. Can be used while the boat works.
    #[command(after_help = "\
Exit codes:
  0  success, even if there are no cameras
  2  invalid command line")]
    Cameras {
        /// Print JSON: a list of {path, name, offers, trouble}
        #[arg(long)]
        json: bool,
    },
    /// Check whether a configuration and its bundle will work.
    ///
    /// Validates the configuration, verifies every part of the bundle, runs its model once, opens
    /// the cameras, writes to the outbox's folder, verifies its database, and reads from the GNSS
    /// receiver. Run it as the user that the boat runs as. A GStreamer pipeline is run up
    /// to its first frame, so stop the boat first. Faults are reported with their line or part.
    #[command(after_help = "\
Exit codes:
  0  everything passed
  1  something failed
  2  invalid command line")]
    Check {
        #[command(flatten)]
        subject: Subject,
        /// Print JSON: a list of {part, ok, message}
        #[arg(long)]
        json: bool,
    },
    /// Verify the embeddings of the configured engine.
    ///
    /// Embeds drawn flukes with tract, with quantised and with dequantised weights, and with the
    /// configured engine, and compares the embeddings with each other and with those stored in the
    /// bundle. Where TensorRT is allowed its plan is built first, which takes minutes on a small
    /// machine; the boat uses the same plan afterwards.
    #[command(after_help = "\
Exit codes:
  0  passed
  1  failed, or could not run
  2  invalid command line")]
    Selftest {
        #[command(flatten)]
        subject: Subject,
        /// Backend of the embedding network: auto, tract or tensorrt [default: from the
        /// configuration]
        #[arg(long, value_name = "BACKEND")]
        engine: Option<EngineChoice>,
        /// Print JSON: {passed, engine, tensorrt_error, detector, comparisons}
        #[arg(long)]
        json: bool,
    },
    /// Show who published the configuration's bundle, and whether this boat uses it.
    ///
    /// A boat uses a bundle that one of bundle.trusted_keys signed. One that is new to it must not be older
    /// than the one that it used last, and not have expired; the boat rejects it where the date is unknown.
    ///
    /// With --accept, the bundle is used whatever its version and its expiry, e.g. to return to an older one
    /// on purpose. With --roll-back, the boat returns from a bundle that arrived over the air to the one before.
    /// The boat uses it from the next start or reload on. Run it as the user that the boat runs as.
    #[command(after_help = "\
Examples:
  flukewatch-edge trust --config edge.toml
  flukewatch-edge trust --config edge.toml --accept
  flukewatch-edge trust --config edge.toml --roll-back

Exit codes:
  0  the boat uses the bundle
  1  it does not, or the bundle or the configuration cannot be read
  2  invalid command line")]
    Trust {
        #[command(flatten)]
        config: ConfigFile,
        /// Use this bundle although it is older or has expired
        #[arg(long)]
        accept: bool,
        /// Return to the bundle before the one that arrived over the air
        #[arg(long, conflicts_with = "accept")]
        roll_back: bool,
        /// Print JSON: {bundle, key, version, expires, last_version, error}
        #[arg(long)]
        json: bool,
    },
    /// Identify recorded encounters again with the configuration's bundle.
    ///
    /// After a newer bundle is in place: each recorded encounter that is still on board is identified by its
    /// recorded crops, oldest first, and where that changes what shore was sent, a revision of its sighting is
    /// queued. Encounters that this bundle has identified are left out. Can be used while the boat works, which
    /// then sends the revisions; it takes a core for about half a second an encounter.
    ///
    /// After a newer detector is in place: with --clips, every frame of the clips on board is searched, and flukes that were not
    /// recorded become sightings, with the times of the clip. For that, stop the boat first.
    #[command(after_help = "\
Examples:
  flukewatch-edge reprocess --config edge.toml --dry-run
  flukewatch-edge reprocess --config edge.toml --since 2026-07-01T00:00:00Z
  flukewatch-edge reprocess --config edge.toml --clips

Exit codes:
  0  success, also where there is nothing to do
  1  the configuration, the bundle or the outbox cannot be used
  2  invalid command line")]
    Reprocess {
        #[command(flatten)]
        config: ConfigFile,
        /// Bundle to use [default: that of the configuration]
        #[arg(long, value_name = "BUNDLE")]
        bundle: Option<PathBuf>,
        /// Only encounters that began at this time or later, RFC 3339
        #[arg(long, value_name = "TIME", value_parser = timestamp)]
        since: Option<Timestamp>,
        /// Also those that this bundle has identified
        #[arg(long)]
        all: bool,
        /// Also search clips for flukes that were not recorded
        #[arg(long)]
        clips: bool,
        /// Show what would change, and queue nothing
        #[arg(long)]
        dry_run: bool,
        /// Print JSON: a list of {sighting, sequence, started, clip, before, after, queued, error}
        #[arg(long)]
        json: bool,
    },
    /// Print the address that opens the boat's page, with its token, also as a QR code.
    ///
    /// A page that other machines can reach (page.listen) asks for the token: open the address once,
    /// or scan the code with a phone, and the browser remembers it. Programs send it as
    /// "Authorization: Bearer TOKEN". The token is in the file page-token in the outbox's folder, made
    /// at the first use; run this as the boat's user. Can be used while the boat works.
    #[command(after_help = "\
Examples:
  sudo -u flukewatch flukewatch-edge page-token --config /etc/flukewatch/edge.toml
  flukewatch-edge page-token --config edge.toml --host 10.42.0.1
  flukewatch-edge page-token --config edge.toml --renew

Exit codes:
  0  success
  1  the boat has no page, or its token cannot be read or written
  2  invalid command line")]
    PageToken {
        #[command(flatten)]
        config: ConfigFile,
        /// Name or address of the boat in the printed address [default: the first of page.hosts, the
        /// address of page.listen, or this computer's]
        #[arg(long, value_name = "HOST")]
        host: Option<AllowedHost>,
        /// Make a new token first, so that everyone needs the new address
        #[arg(long)]
        renew: bool,
    },
    /// List pending messages, dead letters and what was set aside.
    ///
    /// Can be used while the boat works.
    #[command(after_help = "\
Exit codes:
  0  success
  1  the configuration or the outbox cannot be read, or with --resend written
  2  invalid command line")]
    Outbox {
        #[command(flatten)]
        config: ConfigFile,
        /// Make dead letters pending again first, e.g. after the broker's size limit was raised
        #[arg(long)]
        resend: bool,
        /// Print JSON: {accepted, pending, dead_letters, set_aside}
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// Configuration of the boat; edge.example.toml explains every key
    #[arg(long = "config", value_name = "FILE")]
    file: PathBuf,
}

/// A configuration, or a bundle alone.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// Configuration of the boat
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Bundle to use with default settings
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
}

fn timestamp(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| e.to_string())?;
    Ok(Timestamp(time.as_millisecond()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("invalid number of seconds '{text}'"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// Exit code of `run --until-delivered` with pending messages.
const UNDELIVERED: u8 = 3;
/// Exit code of `run` with a replay of which most frames could not be used.
const BROKEN_REPLAY: u8 = 4;

fn main() -> ExitCode {
    let Cli {
        log,
        log_format,
        command,
    } = Cli::parse();
    let log = LogArgs {
        filter: log,
        format: log_format,
    };
    match execute(command, &log) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, log: &LogArgs) -> Result<ExitCode, Box<dyn Error>> {
    if !matches!(command, Command::Run { .. }) {
        Logs::start(log, &LogSection::default())?;
    }
    match command {
        Command::Run {
            config,
            until_delivered,
            engine,
        } => run(
            &RunArgs {
                file: config.file,
                engine,
                options: RunOptions { until_delivered },
                state_folder: service_folder("STATE_DIRECTORY"),
            },
            log,
        ),
        Command::Cameras { json } => {
            let cameras = capture::list();
            if json {
                println!("{}", serde_json::to_string_pretty(&cameras)?);
            } else {
                if cameras.is_empty() {
                    println!("no cameras: no /dev/video* exists");
                }
                print!("{}", capture::text(&cameras));
                let version = capture::gstreamer::version();
                print!("{}", capture::pipelines(&version));
                print!("{}", capture::gstreamer::decoders());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { subject, json } => {
            let Subject { config, bundle } = subject;
            let mut results = vec![];
            if let Some(file) = config {
                results.extend(check::check_config(&file, &BrokerEnvironment::read()?));
            }
            results.extend(bundle.iter().flat_map(|path| check::check_bundle(path)));
            if json {
                println!("{}", serde_json::to_string_pretty(&results)?);
            } else {
                for CheckResult { part, ok, message } in &results {
                    println!("{} {part}: {message}", if *ok { "ok   " } else { "ERROR" });
                }
            }
            Ok(if results.iter().all(|r| r.ok) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Selftest {
            subject,
            engine,
            json,
        } => {
            let (path, trust, mut section) = match (subject.config, subject.bundle) {
                (Some(file), _) => {
                    let config = Config::load(&file)?;
                    let trust = bundle_trust(&config, &SystemClock);
                    let path = ReceivedBundles::of(&config).path_in_use();
                    (path, trust, config.engine)
                }
                (None, Some(bundle)) => (bundle, BundleTrust::Everyone, EngineSection::default()),
                // clap requires one of them.
                (None, None) => return Ok(ExitCode::from(2)),
            };
            section.backend = engine.unwrap_or(section.backend);
            let found = selftest::selftest(&path, &trust, &section)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&found)?);
            } else {
                print!("{found}");
            }
            Ok(if found.passed {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Trust {
            config,
            accept,
            roll_back,
            json,
        } => {
            let config = Config::load(&config.file)?;
            if accept {
                bundle_trust::accept(&config, &SystemClock)?;
            }
            if roll_back
                && !bundle_update::roll_back(&config, "a person returned to it", &SystemClock)
            {
                return Err(
                    "the bundle in use is that of the configuration: nothing to return to".into(),
                );
            }
            let report = bundle_trust::report(&config, &SystemClock)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            Ok(if report.error.is_none() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Reprocess {
            config,
            bundle,
            since,
            all,
            clips,
            dry_run,
            json,
        } => {
            let (mut config, _) = received_settings::overlay(&Config::load(&config.file)?);
            config.bundle.path = bundle.unwrap_or(config.bundle.path);
            let options = ReprocessOptions {
                since,
                all,
                dry_run,
            };
            let mut found = vec![];
            let mut done = |one| {
                if !json {
                    println!("{one}");
                }
                found.push(one);
            };
            reprocess(&config, &options, &mut done)?;
            if clips {
                reprocess_clips(&config, &options, &mut done)?;
            }
            if json {
                println!("{}", serde_json::to_string_pretty(&found)?);
            } else {
                let changed = found.iter().filter(|one| one.is_changed()).count();
                println!("{} encounters, {changed} changed", found.len());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::PageToken {
            config,
            host,
            renew,
        } => {
            // The bundle may not be in place yet.
            let config = Config::parse(&Config::read(&config.file)?, &config.file)?;
            let link = page_link(&config, &LinkOptions { host, renew })?;
            print!("{link}");
            if !link.is_required {
                eprintln!(
                    "the page listens on this computer alone and asks for no token there; set [page] listen, e.g. to \"0.0.0.0:8090\", \
                     to open it from other devices"
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Outbox {
            config,
            resend,
            json,
        } => {
            let config = Config::load(&config.file)?;
            if resend {
                let moved = outbox::resend(&config.outbox.path)?;
                eprintln!("{moved} dead letters are pending again");
            }
            let listing = Listing::read(&config.outbox.path)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&listing)?);
            } else {
                show(&listing);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A folder of the service, from the variable that systemd sets for `StateDirectory=` or
/// `RuntimeDirectory=`, to several divided by colons where several are configured.
fn service_folder(variable: &str) -> Option<PathBuf> {
    let folders = std::env::var_os(variable)?;
    std::env::split_paths(&folders).find(|folder| !folder.as_os_str().is_empty())
}

/// Runs the boat until a signal or its options end it.
fn run(args: &RunArgs, log: &LogArgs) -> Result<ExitCode, Box<dyn Error>> {
    let first = args.first()?;
    let logs = Logs::start(log, &first.config.log)?;
    let mut state = AppState::new(Systemd::from_environment(), BrokerEnvironment::read()?);
    state.runtime_folder = service_folder("RUNTIME_DIRECTORY");
    let (stop, reload) = (CancellationToken::default(), Reload::default());
    on_signals(stop.clone(), reload.clone(), state.systemd)?;
    let finished = service::run(args, first, &stop, &reload, &logs, &state)?;
    println!("{}", serde_json::to_string(&finished.health)?);
    if finished.undelivered {
        let health = &finished.health;
        let pending = health.pending_sightings + health.pending_pictures;
        eprintln!("{pending} messages are still pending in the outbox");
        if health.unidentified > 0 {
            eprintln!("{} encounters are not identified yet", health.unidentified);
        }
    }
    for replay in &finished.broken_replays {
        eprintln!("error: {replay}");
    }
    Ok(if !finished.broken_replays.is_empty() {
        ExitCode::from(BROKEN_REPLAY)
    } else if finished.undelivered {
        ExitCode::from(UNDELIVERED)
    } else {
        ExitCode::SUCCESS
    })
}

fn show(listing: &Listing) {
    let Listing {
        accepted,
        pending,
        dead_letters,
        set_aside,
    } = listing;
    println!(
        "{accepted} sightings accepted, {} messages pending, {} dead letters",
        pending.len(),
        dead_letters.len()
    );
    for (state, messages) in [("pending", pending), ("dead", dead_letters)] {
        for Listed {
            sighting,
            sequence,
            part,
            bytes,
            reason,
        } in messages
        {
            let why = reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            println!("{state:<7}  {sequence:>6}  {part:<8}  {bytes:>7} bytes  {sighting}{why}");
        }
    }
    for SetAside {
        folder,
        reason,
        salvaged,
    } in set_aside
    {
        let salvaged = salvaged
            .map(|salvaged| format!("; {} messages brought back", salvaged.messages))
            .unwrap_or_default();
        println!("set aside  {}: {reason}{salvaged}", folder.display());
    }
}

/// Shuts down on the first Ctrl-C or SIGTERM, and exits immediately on a second one, which loses
/// nothing that is accepted. SIGHUP reloads, except where stderr is a terminal: there it shuts
/// down.
fn on_signals(
    stop: CancellationToken,
    reload: Reload,
    systemd: Systemd,
) -> Result<(), Box<dyn Error>> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    let hang_up_stops = std::io::stderr().is_terminal();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                        _ = hang_up.recv() => if !hang_up_stops {
                            reload.request();
                            continue;
                        },
                    }
                    if stop.is_cancelled() {
                        std::process::exit(130);
                    }
                    tracing::info!("shutting down; recording the open encounter");
                    systemd.stopping();
                    stop.cancel();
                }
            });
        })?;
    Ok(())
}
