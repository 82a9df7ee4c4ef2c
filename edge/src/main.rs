//! The boat's program.

use clap::{Args, Parser, Subcommand};
use flukewatch_common::engine::choice::EngineChoice;
use flukewatch_edge::capture;
use flukewatch_edge::check::{self, Finding};
use flukewatch_edge::config::{Config, EngineSection, LogFormat, LogSection};
use flukewatch_edge::logging::{LogOrders, Logs};
use flukewatch_edge::outbox::{Listed, Listing};
use flukewatch_edge::run::RunOptions;
use flukewatch_edge::selftest;
use flukewatch_edge::service::{self, Aboard, Orders, Reload, Systemd};
use flukewatch_edge::stop::Stop;
use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Recognises whales on board and reports them to shore.
///
/// Frames become encounters, encounters become sightings, and sightings wait in an outbox on disk until shore has receipted them.
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
  flukewatch-edge outbox --config edge.toml --json

Logs go to stderr; --log debug says more, --log warn less, and so does RUST_LOG."
)]
struct Cli {
    /// How much the log says: error, warn, info, debug or trace, or a filter as RUST_LOG has it; instead of what the configuration says.
    #[arg(long, value_name = "LEVEL", global = true)]
    log: Option<String>,
    /// How its lines look; instead of what the configuration says.
    #[arg(long, value_name = "FORMAT", value_enum, global = true)]
    log_format: Option<LogFormat>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch, recognise and report.
    ///
    /// Goes on sending after the last frame, until Ctrl-C or SIGTERM: the encounter that is going on is then reported and saved,
    /// and what shore has not receipted waits in the outbox for the next run. `health.json` in the outbox's folder says every 10
    /// seconds how the boat is doing; its last state is printed on stdout at the end, as one line of JSON. SIGHUP has the configuration
    /// read anew: the encounter that is going on is reported and saved, and the boat goes on as it says; one at fault changes nothing.
    #[command(after_help = "\
Exit codes: 0 ended as asked; 1 cannot work, or a sighting could not be saved (stderr says why); 2 wrong command line; \
3 with --until-delivered: something still waits in the outbox.")]
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// End once the frames are over and shore has receipted everything, or this many seconds after the last frame.
        #[arg(long, value_name = "SECONDS", value_parser = seconds)]
        until_delivered: Option<Duration>,
        /// What runs the model: auto, tract or tensorrt; instead of what the configuration says.
        #[arg(long, value_name = "ENGINE")]
        engine: Option<EngineChoice>,
    },
    /// List live cameras with what they offer.
    ///
    /// Sizes and rates of each way of sending that is read (GREY, NV12, YUYV, MJPEG), and why a camera cannot be used. Cameras that only
    /// GStreamer reaches are not listed; it says whether the program that does is there. May be used while the boat works.
    #[command(
        after_help = "Exit codes: 0 listed, if only that there is none; 2 wrong command line."
    )]
    Cameras {
        /// Print JSON: a list of {path, name, offers, trouble}.
        #[arg(long)]
        json: bool,
    },
    /// Say whether a configuration and its bundle will work.
    ///
    /// Reads the configuration, verifies every part of the bundle, runs its model once, looks at the cameras and the outbox, and listens
    /// to the receiver for a moment. A pipeline of GStreamer is run up to its first frame, so not while the boat runs it. What is at fault is named with its line or its part.
    #[command(
        after_help = "Exit codes: 0 all is well; 1 something is at fault; 2 wrong command line."
    )]
    Check {
        #[command(flatten)]
        subject: Subject,
        /// Print JSON: a list of {part, good, says}.
        #[arg(long)]
        json: bool,
    },
    /// Say whether the engine's embeddings can be trusted.
    ///
    /// Embeds drawn flukes with the bundle's model in tract, with and without the rounding of the quantised file, and in the engine that
    /// is configured, and compares them with each other and with what the model gave where its bundle was made. Where TensorRT is wanted its plan is built first, which takes minutes on a small machine, once;
    /// the next run of the boat finds it.
    #[command(
        after_help = "Exit codes: 0 yes; 1 no, or something is at fault; 2 wrong command line."
    )]
    Selftest {
        #[command(flatten)]
        subject: Subject,
        /// What runs the model: auto, tract or tensorrt; instead of what the configuration says.
        #[arg(long, value_name = "ENGINE")]
        engine: Option<EngineChoice>,
        /// Print JSON: {passed, engine, detector, why_not_tensorrt, comparisons}.
        #[arg(long)]
        json: bool,
    },
    /// List what waits for shore and what can never be sent.
    ///
    /// May be used while the boat works.
    #[command(
        after_help = "Exit codes: 0 listed; 1 the configuration or the outbox cannot be read; 2 wrong command line."
    )]
    Outbox {
        #[command(flatten)]
        config: ConfigFile,
        /// Print JSON: {accepted, queued, dead}.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The boat's configuration; edge.example.toml explains every key.
    #[arg(long = "config", value_name = "FILE")]
    file: PathBuf,
}

/// A configuration, or a bundle alone.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// The boat's configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A bundle alone, with the usual settings.
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("'{text}' is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// `run --until-delivered` ended with something in the outbox.
const UNDELIVERED: u8 = 3;

fn main() -> ExitCode {
    let Cli {
        log,
        log_format,
        command: asked,
    } = Cli::parse();
    let orders = LogOrders {
        filter: log,
        format: log_format,
    };
    match command(asked, &orders) {
        Ok(code) => code,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn command(command: Command, log: &LogOrders) -> Result<ExitCode, Box<dyn Error>> {
    if !matches!(command, Command::Run { .. }) {
        Logs::start(log, &LogSection::default())?;
    }
    match command {
        Command::Run {
            config,
            until_delivered,
            engine,
        } => work(
            &Orders {
                file: config.file,
                engine,
                options: RunOptions { until_delivered },
            },
            log,
        ),
        Command::Cameras { json } => {
            let cameras = capture::list();
            if json {
                println!("{}", serde_json::to_string_pretty(&cameras)?);
            } else {
                if cameras.is_empty() {
                    println!("no camera is there: no /dev/video*");
                }
                print!("{}", capture::text(&cameras));
                let version = capture::gstreamer::version();
                print!("{}", capture::pipelines(&version));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { subject, json } => {
            let Subject { config, bundle } = subject;
            let mut findings = vec![];
            findings.extend(config.iter().flat_map(|file| check::check_config(file)));
            findings.extend(bundle.iter().flat_map(|path| check::check_bundle(path)));
            if json {
                println!("{}", serde_json::to_string_pretty(&findings)?);
            } else {
                for Finding { part, good, says } in &findings {
                    println!("{} {part}: {says}", if *good { "ok   " } else { "FAULT" });
                }
            }
            Ok(if findings.iter().all(|f| f.good) {
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
            let (path, mut section) = match (subject.config, subject.bundle) {
                (Some(file), _) => {
                    let config = Config::load(&file)?;
                    (config.bundle.path, config.engine)
                }
                (None, Some(bundle)) => (bundle, EngineSection::default()),
                // clap demands one of them.
                (None, None) => return Ok(ExitCode::from(2)),
            };
            section.choice = engine.unwrap_or(section.choice);
            let found = selftest::selftest(&path, &section)?;
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
        Command::Outbox { config, json } => {
            let config = Config::load(&config.file)?;
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

/// The boat at work, until it is asked to end.
fn work(orders: &Orders, log: &LogOrders) -> Result<ExitCode, Box<dyn Error>> {
    let config = orders.read()?;
    let logs = Logs::start(log, &config.log)?;
    let aboard = Aboard::new(Systemd::from_environment());
    let (stop, reload) = (Stop::default(), Reload::default());
    on_signals(stop.clone(), reload.clone(), aboard.systemd)?;
    let finished = service::operate(orders, config, &stop, &reload, &logs, &aboard)?;
    println!("{}", serde_json::to_string(&finished.health)?);
    if finished.undelivered {
        let waiting = finished.health.queued_sightings + finished.health.queued_pictures;
        let outbox = aboard.bulletin.outbox().unwrap_or_default();
        eprintln!(
            "{waiting} messages still wait in the outbox {}",
            outbox.display()
        );
        return Ok(ExitCode::from(UNDELIVERED));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(listing: &Listing) {
    let Listing {
        accepted,
        queued,
        dead,
    } = listing;
    println!(
        "{accepted} sightings ever, {} messages wait, {} dead letters",
        queued.len(),
        dead.len()
    );
    for (state, messages) in [("waits", queued), ("dead", dead)] {
        for Listed {
            sighting,
            sequence,
            part,
            bytes,
            dead_because,
        } in messages
        {
            let why = dead_because
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            println!("{state:<5}  {sequence:>6}  {part:<8}  {bytes:>7} bytes  {sighting}{why}");
        }
    }
}

/// Asks all to stop at the first Ctrl-C or SIGTERM; a second one ends the program at once, which loses nothing that is accepted.
/// SIGHUP asks for the configuration to be read anew, but where a terminal hangs up: then it asks to stop.
fn on_signals(stop: Stop, reload: Reload, systemd: Systemd) -> Result<(), Box<dyn Error>> {
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
                            reload.ask();
                            continue;
                        },
                    }
                    if stop.asked() {
                        std::process::exit(130);
                    }
                    tracing::info!("stopping: the encounter that is going on is saved first");
                    systemd.stopping();
                    stop.ask();
                }
            });
        })?;
    Ok(())
}
