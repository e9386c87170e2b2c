//! `ghascale listen`: the same in real time, for weeks. Here are its beginning, its end, and its reloads.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, OptionFuture};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Failure;
use super::session::{Session, configuration, pool_names, state_directory};
use crate::apply::Paces;
use crate::cli::{Cli, ListenArgs};
use crate::config::{Environment, Needs};
use crate::engine::PoolName;
use crate::exit;
use crate::lines::Lines;
use crate::listen::metrics::{Metrics, Server};
use crate::listen::{Event, Line, Parts, serve};
use crate::scale_set::Pauses;
use crate::state::host;
use crate::ui::Ui;
use crate::warning::{Warning, WarningCode};

/// How often the configuration file is looked at for changes.
const FILE_LOOKS: Duration = Duration::from_secs(5);
/// How long the region is asked for that the configuration does not name: longer than systemd gives a service to start, so
/// that there it is asked for again and again.
const REGION_WITHIN: Duration = Duration::from_mins(2);
const REGION_ASKED_EVERY: Duration = Duration::from_secs(2);
/// A refusal that stands is said again after so long.
const SAID_AGAIN: Duration = Duration::from_mins(10);
/// How much of the hourly limit looks at the jobs may use, in percent: without the rest runners could not be listed any more,
/// and nothing would be launched at messages either.
const LOOKS_SHARE: u8 = 90;

pub(super) async fn run(cli: &Cli, args: &ListenArgs, ui: &Ui) -> Result<u8, Failure> {
    let pools = pool_names(&args.pool);
    let mut signals = Signals::new().context("signals can't be waited for")?;
    let voice = Voice::new(ui.is_json());
    let hear = |line: Line| voice.say(&line);
    // Another look at the configuration was asked for before there was anybody to take it.
    let mut is_asked = false;
    let first = tokio::select! {
        prepared = prepare_at_first(cli, args, &pools, ui) => Ok(prepared?),
        name = signals.stop(&mut is_asked) => Err(name),
    };
    let (mut session, mut file) = match first {
        Ok(prepared) => prepared,
        Err(name) => {
            hear(Line::now(Event::Stopped { pool: None, reason: name.to_owned() }));
            voice.lines.finish();
            return Ok(exit::DONE);
        }
    };
    let metrics = Arc::new(Metrics::new());
    let _server = match args.metrics {
        Some(address) => Some(serve_metrics(address, metrics.clone()).await?),
        None => None,
    };
    let paces = RefCell::default();
    let (reason, code) = loop {
        let end = one_configuration(
            &session,
            &Setting { cli, args, pools: &pools, ui, metrics: &metrics, hear: &hear, paces: &paces },
            &mut signals,
            file,
            is_asked,
        )
        .await;
        match end {
            End::Signal(name) => break (name, exit::DONE),
            End::SecondSignal => break ("a second signal", exit::FAILED),
            End::Reload { next, stamp, is_asked: again } => (session, file, is_asked) = (*next, stamp, again),
        }
    };
    hear(Line::now(Event::Stopped { pool: None, reason: reason.to_owned() }));
    voice.lines.finish();
    Ok(code)
}

/// What stays the same over reloads.
struct Setting<'a> {
    cli: &'a Cli,
    args: &'a ListenArgs,
    pools: &'a [PoolName],
    ui: &'a Ui,
    metrics: &'a Metrics,
    hear: &'a dyn Fn(Line),
    paces: &'a RefCell<Paces>,
}

/// Why listening by one configuration ended.
enum End {
    Signal(&'static str),
    SecondSignal,
    Reload {
        next: Box<Session>,
        /// What the files looked like before they were read.
        stamp: Stamp,
        /// Another reload was asked for since.
        is_asked: bool,
    },
}

/// Listens by one configuration, until a signal or a good new configuration.
async fn one_configuration(
    session: &Session,
    setting: &Setting<'_>,
    signals: &mut Signals,
    mut file: Stamp,
    mut is_asked: bool,
) -> End {
    let Some(fleet) = &session.fleet else { return End::Signal("no EC2 client") };
    let (stop, stopping) = watch::channel(false);
    let watchdog = sd_notify::watchdog_enabled(false, &mut 0);
    let owner = owner();
    let state = state_directory();
    let parts = Parts {
        config: &session.config,
        client: &session.client,
        service: &session.service,
        fleet,
        state: &state,
        pools: setting.pools,
        every: setting.args.interval,
        pauses: Pauses::default(),
        owner: &owner,
        hear: setting.hear,
        metrics: setting.metrics,
        paces: setting.paces,
        alive: &|| {
            if watchdog {
                notify(&[NotifyState::Watchdog]);
            }
        },
    };
    let mut serving = std::pin::pin!(serve(parts, stopping));
    notify(&[NotifyState::Ready]);
    let mut looks = tokio::time::interval(FILE_LOOKS);
    let mut refusal: Option<(Failure, Instant)> = None;
    let mut preparing: Option<LocalBoxFuture<'_, Result<Session, Failure>>> = None;
    let end = loop {
        if let Some((failure, said_at)) = refusal.as_mut().filter(|(_, said_at)| said_at.elapsed() >= SAID_AGAIN) {
            refused(setting, failure);
            *said_at = Instant::now();
        }
        if preparing.is_none() && std::mem::take(&mut is_asked) {
            refusal = None;
            file = Stamp::of(session.config.file.as_deref());
            preparing = Some(prepare(setting.cli, setting.args, setting.pools, setting.ui).boxed_local());
        }
        tokio::select! {
            () = &mut serving => return End::Signal("the listener ended by itself"),
            got = signals.next() => match got {
                Got::Stop(name) => break End::Signal(name),
                Got::HangUp => is_asked = true,
            },
            // The SDK may look for a region for a while: the old configuration is served until then.
            prepared = OptionFuture::from(preparing.as_mut()), if preparing.is_some() => {
                preparing = None;
                match prepared {
                    Some(Ok(next)) => break End::Reload { next: Box::new(next), stamp: file, is_asked },
                    Some(Err(failure)) => {
                        refused(setting, &failure);
                        refusal = Some((failure, Instant::now()));
                    }
                    None => {}
                }
            }
            _ = looks.tick() => is_asked |= Stamp::of(session.config.file.as_deref()) != file,
        }
    };
    if let End::Signal(_) = end {
        notify(&[NotifyState::Stopping]);
    }
    stop.send_replace(true);
    let mut end = end;
    loop {
        tokio::select! {
            () = &mut serving => return end,
            got = signals.next() => match (got, &end) {
                (Got::HangUp, End::Reload { .. }) => {
                    if let End::Reload { is_asked, .. } = &mut end {
                        *is_asked = true;
                    }
                }
                (Got::HangUp, _) => {}
                // The first, while an old configuration is being left.
                (Got::Stop(name), End::Reload { .. }) => end = End::Signal(name),
                (Got::Stop(_), End::Signal(_) | End::SecondSignal) => return End::SecondSignal,
            },
        }
    }
}

/// A new configuration that is wrong changes nothing.
fn refused(setting: &Setting<'_>, failure: &Failure) {
    let message = format!("the changed configuration is refused, and the old one stays: {}", failure.message.trim());
    (setting.hear)(Line::now(Event::Warning { pool: None, code: WarningCode::Degraded, message, subject: None }));
}

/// Prepares, and waits where an instance that is booting doesn't know its region yet: its metadata service may come later
/// than this. Where that lasts, it is the configuration that lacks it.
///
/// Returns what the files looked like before they were read, too.
async fn prepare_at_first(
    cli: &Cli,
    args: &ListenArgs,
    pools: &[PoolName],
    ui: &Ui,
) -> Result<(Session, Stamp), Failure> {
    let began = Instant::now();
    let mut is_said = false;
    let can_come = !std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|word| word.eq_ignore_ascii_case("true"));
    loop {
        let stamp = Stamp::of(Environment::of_process().file(cli.config.as_deref()).as_deref());
        match prepare(cli, args, pools, ui).await {
            Err(failure) if failure.may_pass && can_come && began.elapsed() < REGION_WITHIN => {
                if !std::mem::replace(&mut is_said, true) {
                    let message = format!("{}; it is asked for again, for two minutes", failure.message);
                    ui.warn(&[Warning { code: WarningCode::Degraded, message, subject: None }]);
                }
                tokio::time::sleep(REGION_ASKED_EVERY).await;
            }
            prepared => return prepared.map(|session| (session, stamp)),
        }
    }
}

async fn prepare(cli: &Cli, args: &ListenArgs, pools: &[PoolName], ui: &Ui) -> Result<Session, Failure> {
    let mut config = configuration(cli, Needs::Launch, pools, ui)?;
    config.scan.rate_limit_share = config.scan.rate_limit_share.min(LOOKS_SHARE);
    if config.pools.is_empty() {
        return Err(Failure::usage("there is no pool to listen for").hint("add a `[[pool]]` to the configuration"));
    }
    Session::open_to_repeat(config, Needs::Launch, Some(args.interval)).await
}

async fn serve_metrics(address: SocketAddr, metrics: Arc<Metrics>) -> Result<Server, Failure> {
    let server = Server::start(address, metrics).await;
    let server = server.map_err(|error| {
        // Another process may give it up, and an interface come up late: whoever starts this tries again.
        let may_pass = matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable);
        Failure::new(if may_pass { exit::FAILED } else { exit::USAGE }, format!("--metrics {address}: {error}"))
    })?;
    tracing::info!(address = %server.address, "metrics are served");
    Ok(server)
}

/// Says events to stdout from a thread of its own: a reader that stands still, or a full disk, must not stop a listener.
struct Voice {
    is_json: bool,
    lines: Lines,
}

impl Voice {
    fn new(is_json: bool) -> Self {
        let is_gone = Cell::new(false);
        let lines = Lines::start(move |line| {
            let mut out = std::io::stdout().lock();
            match out.write_all(line).and_then(|()| out.flush()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    if !is_gone.replace(true) {
                        tracing::warn!("who read the events is gone: they are written nowhere, and it goes on");
                    }
                }
                Err(error) => tracing::warn!(%error, "an event could not be written"),
            }
        });
        Self { is_json, lines }
    }

    fn say(&self, line: &Line) {
        let text = if self.is_json { serde_json::to_string(line).unwrap_or_default() } else { line.text() };
        let lost = self.lines.write((text + "\n").into_bytes());
        if lost > 0 {
            tracing::warn!(lost, "events were not written, since nobody read those before them");
        }
    }
}

/// Tells systemd, if it started us.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// Returns whom the service names to others: this process.
fn owner() -> String {
    format!("ghascale {} {}", host().as_deref().unwrap_or("unknown host"), std::process::id())
}

/// What the configuration's file looks like, and the files that it names: keys, tokens, certificates, user data.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Vec<Option<(SystemTime, u64)>>);

impl Stamp {
    fn of(file: Option<&Path>) -> Self {
        let seen = |file: &Path| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let Some(file) = file else { return Self(Vec::new()) };
        let folder = file.parent().unwrap_or(Path::new("."));
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let table: toml::Table = toml::from_str(&text).unwrap_or_default();
        let named = named_files(&toml::Value::Table(table)).into_iter().map(|named| seen(&folder.join(named)));
        Self(std::iter::once(seen(file)).chain(named).collect())
    }
}

/// Returns what stands under keys that end with `_file`.
fn named_files(value: &toml::Value) -> Vec<String> {
    match value {
        toml::Value::Table(table) => table
            .iter()
            .flat_map(|(key, value)| match value {
                toml::Value::String(file) if key.ends_with("_file") => vec![file.clone()],
                other => named_files(other),
            })
            .collect(),
        toml::Value::Array(values) => values.iter().flat_map(named_files).collect(),
        _ => Vec::new(),
    }
}

/// What a signal asks for.
enum Got {
    Stop(&'static str),
    HangUp,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that ends it; notes whether others came.
    async fn stop(&mut self, is_asked: &mut bool) -> &'static str {
        loop {
            match self.next().await {
                Got::Stop(name) => return name,
                Got::HangUp => *is_asked = true,
            }
        }
    }

    async fn next(&mut self) -> Got {
        tokio::select! {
            _ = self.terminate.recv() => Got::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Got::Stop("SIGINT"),
            _ = self.hang_up.recv() => Got::HangUp,
        }
    }
}
