//! The HTTP server between its first connection and its last, and the signals that reach it meanwhile.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use api::{ApiState, Edge};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::config::Config;
use crate::sockets;
use crate::start_error::StartError;
use crate::telemetry::LogFile;
use crate::tls::CurrentCertificate;
use crate::wiring;
use crate::wiring::models::ProcessModels;

/// What serves, and what is served.
pub(crate) struct Server {
    pub(crate) listener: TcpListener,
    /// `None` to speak plain HTTP.
    pub(crate) certificate: Option<Arc<CurrentCertificate>>,
    /// Opened again at SIGHUP, if there is one.
    pub(crate) log_file: Option<LogFile>,
    pub(crate) state: ApiState,
    pub(crate) edge: Edge,
    pub(crate) models: Arc<ProcessModels>,
}

impl Server {
    /// Serves, and answers when everything must have ended once a signal came.
    pub(crate) async fn serve_until_told_to_stop(self, config: &Config) -> Result<Instant, StartError> {
        let Self { listener, certificate, log_file, state, edge, models } = self;
        let http = &config.http;
        let api_config = wiring::api_config(http, &config.chat);
        let stalled = http.stalled_connection_timeout;
        let mut server = HttpServer::new(move || App::new().configure(api::routes(state.clone(), api_config, edge.clone())))
            .keep_alive(http.keep_alive)
            .client_request_timeout(http.client_request_timeout)
            .tls_handshake_timeout(http.client_request_timeout)
            // A client that closes its side has gone: what was made for it stops.
            .h1_allow_half_closed(false)
            // A stream is many small writes. Without this each would wait for the client's acknowledgement of the one before (Nagle's
            // algorithm), which clients delay by some 40 ms.
            .tcp_nodelay(true)
            .max_connections(http.max_connections_per_worker)
            .on_connect(move |connection, _| sockets::limit_stalls(connection, stalled))
            .shutdown_timeout(config.shutdown_grace.as_secs())
            .disable_signals();
        if let Some(workers) = http.workers {
            server = server.workers(workers);
        }
        let address = listener.local_addr().map_err(|error| cannot_serve(&error))?;
        let server = match &certificate {
            Some(certificate) => server.listen_rustls_0_23(listener, certificate.server_config()?),
            None => server.listen(listener),
        };
        let server = server.map_err(|error| cannot_serve(&error))?.run();
        let stopping = stop_when_told(server.handle(), models, config.shutdown_grace, Signals::listen()?);
        let tls = certificate.is_some();
        let reloader = tokio::spawn(reload_when_told(certificate, log_file)?);
        tracing::info!(
            %address, tls, version = env!("CARGO_PKG_VERSION"), database = %config.database.url, "serving"
        );
        let stopper = tokio::spawn(stopping);
        let ended = server.await.map_err(|error| cannot_serve(&error));
        reloader.abort();
        ended?;
        stopper.await.map_err(|error| StartError::System(error.to_string()))
    }
}

fn cannot_serve(error: &std::io::Error) -> StartError {
    StartError::System(format!("cannot serve: {error}"))
}

fn listen_for(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| cannot_serve(&error))
}

/// What an operator, or whatever watches over the server, stops it with.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        Ok(Self { terminate: listen_for(SignalKind::terminate())?, interrupt: listen_for(SignalKind::interrupt())? })
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

/// Listens for SIGHUP at once, so that none ends the server; the future then reads the certificate and opens the log file at each.
fn reload_when_told(
    certificate: Option<Arc<CurrentCertificate>>,
    log_file: Option<LogFile>,
) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    let mut hangup = listen_for(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            let (certificate, log_file) = (certificate.clone(), log_file.clone());
            let reloaded = tokio::task::spawn_blocking(move || reload(certificate.as_deref(), log_file.as_ref())).await;
            if let Err(problem) = reloaded {
                tracing::error!(%problem, "what SIGHUP asks to be read again could not be");
            }
        }
    })
}

fn reload(certificate: Option<&CurrentCertificate>, log_file: Option<&LogFile>) {
    match log_file.map(LogFile::reopen) {
        Some(Ok(())) => tracing::info!("the log file was opened again"),
        Some(Err(problem)) => tracing::error!(%problem, "the log file that is open stays so"),
        None => {}
    }
    match certificate.map(CurrentCertificate::reload) {
        Some(Ok(())) => tracing::info!("the TLS certificate was read again"),
        Some(Err(problem)) => tracing::error!(%problem, "the TLS certificate that was current stays so"),
        None => {}
    }
}
