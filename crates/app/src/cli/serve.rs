//! `tertulia serve`: the API over HTTP, from the first check to the last stored record.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use adapters_db::Migrations;
use api::ApiState;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::config::{Config, ModelConfig};
use crate::start_error::StartError;
use crate::system::BackgroundTasks;
use crate::telemetry::Logs;
use crate::wiring::database::Found;
use crate::wiring::models::ProcessModels;
use crate::wiring::{self, Foundations};
use crate::{banner, secret_key, telemetry};

/// Serve the API over HTTP
///
/// Everything that can be wrong is looked at first (the address, the data folder, the database, the model); only then is anything
/// written: the data folder, the secret key, the database's tables. SIGTERM or Ctrl-C stops the server: what runs may end within
/// SHUTDOWN_GRACE_SECONDS.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Refuse to start, instead of migrating, if the database's tables are older than this program
    #[arg(long)]
    no_migrate: bool,
}

const EXAMPLES: &str = "\
Examples:
  tertulia serve
  HOST=0.0.0.0 PORT=80 DATA_DIR=/var/lib/tertulia tertulia serve
  LOG_FORMAT=json LOG_FILE=/var/log/tertulia.log tertulia serve
  tertulia migrate && tertulia serve --no-migrate";

impl Serve {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let migrations = if self.no_migrate { Migrations::Refuse } else { Migrations::Run };
        let Looked { listener, models, mut logs } = look(&config, migrations).await?;
        logs.release()?;
        let background = BackgroundTasks::on_this_runtime();
        let foundations = open(&config, migrations, &models, background.clone())?;
        let llm = wiring::default_llm(&config, &foundations).await?;
        let model = models.load(&llm).await?.describe();
        let state = wiring::services(&config, foundations)?;
        banner::print(&config, &listener, &llm, &model);
        let deadline = serve_until_told_to_stop(&config, listener, state, models).await?;
        let time_left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let unfinished = background.finish(time_left).await;
        if unfinished > 0 {
            tracing::error!(unfinished, "background tasks had not ended when the grace period did");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// What is there once everything that can be wrong was looked at.
struct Looked {
    listener: TcpListener,
    models: Arc<ProcessModels>,
    logs: Logs,
}

/// Looks at everything that can be wrong, and writes nothing.
async fn look(config: &Config, migrations: Migrations) -> Result<Looked, StartError> {
    let listener = listen(config)?;
    wiring::data_dir::check(&config.data_dir)?;
    if config.accounts.secret_keys.is_empty() {
        secret_key::check(&config.data_dir)?;
    }
    let found = wiring::database::check(config, migrations)?;
    let logs = telemetry::start(&config.log)?;
    for name in &config.unknown_names {
        tracing::warn!(name, "a name in .env is no setting of this server");
    }
    let models = Arc::new(ProcessModels::new(config)?);
    load_before_writing(config, found, &models).await?;
    Ok(Looked { listener, models, logs })
}

/// Makes what is not there yet, and opens it.
fn open(
    config: &Config,
    migrations: Migrations,
    models: &Arc<ProcessModels>,
    background: BackgroundTasks,
) -> Result<Foundations, StartError> {
    wiring::data_dir::make(&config.data_dir)?;
    let mut secret_keys = config.accounts.secret_keys.clone();
    if secret_keys.is_empty() {
        secret_keys.push(secret_key::load_or_make(&config.data_dir)?);
    }
    let database = wiring::database::open(config, migrations)?;
    Ok(Foundations { database, models: Arc::clone(models), secret_keys, background })
}

fn listen(config: &Config) -> Result<TcpListener, StartError> {
    let (host, port) = (config.http.host.as_str(), config.http.port);
    let refused = |error: std::io::Error| StartError::Address { address: format!("{host}:{port}"), problem: error.to_string() };
    let listener = TcpListener::bind((host, port)).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}

/// Opens the model that will most likely be the default one, so that one that cannot be opened stops the start before anything is
/// written. Which it is, an outdated database cannot tell yet.
async fn load_before_writing(config: &Config, found: Found, models: &ProcessModels) -> Result<(), StartError> {
    let llm = match (&config.model.llm, found) {
        (Some(llm), _) => Some(llm.clone()),
        (None, Found::Nothing) => Some(ModelConfig::fallback()),
        (None, Found::Outdated) => None,
        (None, Found::UpToDate) => Some(wiring::database::kept_llm(config).await?.unwrap_or_else(ModelConfig::fallback)),
    };
    if let Some(llm) = llm {
        models.load(&llm).await?;
    }
    Ok(())
}

/// Serves, and answers when everything must have ended once a signal came.
async fn serve_until_told_to_stop(
    config: &Config,
    listener: TcpListener,
    state: ApiState,
    models: Arc<ProcessModels>,
) -> Result<Instant, StartError> {
    let http = &config.http;
    let api_config = wiring::api_config(http);
    let mut server = HttpServer::new(move || App::new().configure(api::routes(state.clone(), api_config)))
        .keep_alive(http.keep_alive)
        .client_request_timeout(http.client_request_timeout)
        // A client that closes its side has gone: what was made for it stops.
        .h1_allow_half_closed(false)
        .max_connections(http.max_connections_per_worker)
        .shutdown_timeout(config.shutdown_grace.as_secs())
        .disable_signals();
    if let Some(workers) = http.workers {
        server = server.workers(workers);
    }
    let address = listener.local_addr().map_err(|error| cannot_serve(&error))?;
    let server = server.listen(listener).map_err(|error| cannot_serve(&error))?.run();
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), database = %config.database.url, "serving");
    let stopper = tokio::spawn(stop_when_told(server.handle(), models, config.shutdown_grace, Signals::listen()?));
    server.await.map_err(|error| cannot_serve(&error))?;
    stopper.await.map_err(|error| StartError::System(error.to_string()))
}

fn cannot_serve(error: &std::io::Error) -> StartError {
    StartError::System(format!("cannot serve: {error}"))
}

/// What an operator, or whatever watches over the server, stops it with.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(|error| cannot_serve(&error));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! { _ = self.terminate.recv() => "SIGTERM", _ = self.interrupt.recv() => "SIGINT" }
    }
}

/// Takes no more requests and lets those that run end, until the grace period does; answers when that will be. A second signal means now.
async fn stop_when_told(server: ServerHandle, models: Arc<ProcessModels>, grace: Duration, mut signals: Signals) -> Instant {
    let signal = signals.next().await;
    let deadline = Instant::now() + grace;
    tracing::info!(signal, grace_seconds = grace.as_secs(), "stopping");
    tokio::select! {
        ((), ()) = async { tokio::join!(server.stop(true), models.shutdown()) } => {}
        _ = signals.next() => server.stop(false).await,
    }
    deadline
}
