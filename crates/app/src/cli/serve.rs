//! `tertulia serve`: the API over HTTP, from the first check to the last stored record.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use adapters_db::{DbPool, Migrations};
use adapters_limits::SharedRedis;
use clap::Args;
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ModelConfig};
use crate::maintenance::Upkeep;
use crate::metrics::Metrics;
use crate::server::Server;
use crate::start_error::StartError;
use crate::system::BackgroundTasks;
use crate::telemetry::Logs;
use crate::tls::CurrentCertificate;
use crate::wiring::database::Found;
use crate::wiring::models::ProcessModels;
use crate::wiring::{self, Foundations};
use crate::{banner, secret_key, sockets, telemetry};

/// Serve the API over HTTP
///
/// Everything that can be wrong is looked at first (the address, the data folder, the database, the model); only then is anything
/// written: the data folder, the secret key, the database's tables. A model of the hub that LLM_ID names is fetched first if it is not
/// here. SIGTERM or Ctrl-C stops the server: what runs may end within SHUTDOWN_GRACE_SECONDS. SIGHUP reads TLS_CERT_FILE and
/// TLS_KEY_FILE again, and opens LOG_FILE again.
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
        let Looked { listener, certificate, metrics, redis, models, mut logs } = look(&config, migrations).await?;
        logs.release()?;
        let background = BackgroundTasks::on_this_runtime();
        let Opened { database, secret_keys } = open(&config, migrations)?;
        let foundations =
            Foundations { database, models: Arc::clone(&models), redis, secret_keys, background: background.clone() };
        let llm = wiring::default_llm(&config, &foundations).await?;
        let model = models.load(&llm).await?.describe();
        let edge = wiring::edge(&config.edge, metrics.clone(), foundations.database.clone());
        let state = wiring::services(&config, foundations)?;
        let stop_maintenance = CancellationToken::new();
        let upkeep = Upkeep {
            metrics,
            accounts: state.accounts.clone(),
            sessions: state.sessions.clone(),
            limits: state.limits.clone(),
            chats: state.chats.clone(),
            media: state.media.clone(),
            abandonment: wiring::media::Abandonment::new(&config),
        };
        upkeep.start(&background, &stop_maintenance).await;
        banner::print(&config, &listener, &llm, &model);
        let chats = state.chats.clone();
        let server = Server { listener, certificate, log_file: logs.open_file(), state, edge, models };
        let deadline = server.serve_until_told_to_stop(&config).await?;
        stop_maintenance.cancel();
        // An answer that nobody waits for has no connection that could have ended it.
        chats.cut_all();
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
    certificate: Option<Arc<CurrentCertificate>>,
    metrics: Metrics,
    redis: Option<SharedRedis>,
    models: Arc<ProcessModels>,
    logs: Logs,
}

/// Looks at everything that can be wrong, and writes nothing.
async fn look(config: &Config, migrations: Migrations) -> Result<Looked, StartError> {
    let listener = listen(config)?;
    let certificate = config.edge.tls.clone().map(CurrentCertificate::load).transpose()?;
    wiring::data_dir::check(&config.data_dir)?;
    if config.accounts.secret_keys.is_empty() {
        secret_key::check(&config.data_dir)?;
    }
    let found = wiring::database::check(config, migrations)?;
    let logs = telemetry::start(&config.log)?;
    for name in &config.unknown_names {
        tracing::warn!(name, "a name in .env is no setting of this server");
    }
    let metrics = Metrics::install()?;
    let models = Arc::new(ProcessModels::new(config)?);
    load_before_writing(config, found, &models).await?;
    let redis = wiring::limits::connect(&config.limits).await?;
    Ok(Looked { listener, certificate, metrics, redis, models, logs })
}

/// What is there once it was made or opened.
struct Opened {
    database: DbPool,
    secret_keys: Vec<SecretString>,
}

/// Makes what is not there yet, and opens it.
fn open(config: &Config, migrations: Migrations) -> Result<Opened, StartError> {
    wiring::data_dir::make(&config.data_dir)?;
    let mut secret_keys = config.accounts.secret_keys.clone();
    if secret_keys.is_empty() {
        secret_keys.push(secret_key::load_or_make(&config.data_dir)?);
    }
    Ok(Opened { database: wiring::database::open(config, migrations)?, secret_keys })
}

fn listen(config: &Config) -> Result<TcpListener, StartError> {
    let (host, port) = (config.http.host.as_str(), config.http.port);
    sockets::listen(host, port)
        .map_err(|error| StartError::Address { address: format!("{host}:{port}"), problem: error.to_string() })
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
