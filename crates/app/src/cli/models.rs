//! `tertulia models`: models of the Hugging Face hub on this machine.

use std::io::Write as _;

use adapters_ml::text::model::check_config;
use clap::{Args, Subcommand};
use domain::{LlmId, Refusal};
use indicatif::HumanBytes;
use ports::{HubModel, RepositoryError, StoredModel};

use crate::config::{Config, LogConfig};
use crate::start_error::StartError;
use crate::telemetry;
use crate::wiring::hub::Hub;

/// Fetch, list and remove models of the Hugging Face hub, without a server
///
/// They are kept in the folder hub in HF_HOME (DATA_DIR/models if that is not set), in the layout that the hub's own tools use. A server
/// that runs beside it can use a fetched model at once, and must not be running on one that is removed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Models {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Fetch a model, or what is missing of it
    ///
    /// Broken off, by whatever, it goes on where it was the next time. Every file is checked by its size and digest.
    #[command(after_help = PULL_EXAMPLES)]
    Pull(Named),
    /// List the models that are here, whole
    List,
    /// Remove a model, and what of its files no other revision uses
    Remove(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// gpt2, ORG/NAME or ORG/NAME@REVISION
    name: String,
}

const EXAMPLES: &str = "\
Examples:
  tertulia models pull gpt2
  tertulia models list
  tertulia models remove gpt2";

const PULL_EXAMPLES: &str = "\
Examples:
  tertulia models pull gpt2 && tertulia generate --model gpt2 \"My name is\"
  tertulia models pull openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e
  HF_TOKEN=hf_… tertulia models pull org/private
  HF_ENDPOINT=https://mirror.example.org HF_HOME=/srv/models tertulia models pull gpt2";

impl Models {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let mut logs = telemetry::start(&config.log)?;
        // Logs would run into the progress: only who asks for other logs than the usual ones gets them.
        if config.log.filter != LogConfig::DEFAULT_FILTER {
            logs.release()?;
        }
        let hub = Hub::new(&config)?;
        match self.action {
            Action::Pull(Named { name }) => pull(&hub, &hub_model(&name)?).await,
            Action::List => list(&hub).await,
            Action::Remove(Named { name }) => remove(&hub, &hub_model(&name)?).await,
        }
    }
}

fn hub_model(name: &str) -> Result<HubModel, Refusal> {
    let not_of_the_hub = || Refusal::field("name", "must be a model of the hub, as in gpt2 or ORG/NAME@REVISION");
    HubModel::of(&LlmId::parse(name)?).ok_or_else(not_of_the_hub)
}

async fn pull(hub: &Hub, model: &HubModel) -> Result<(), StartError> {
    let stored = hub.fetch(model).await?;
    let StoredModel { model, commit, folder, bytes } = &stored;
    let (name, bytes) = (title(model), HumanBytes(*bytes));
    let _ = writeln!(std::io::stdout(), "{name} is here: {bytes}, commit {commit}, in {}", folder.display());
    Ok(())
}

async fn list(hub: &Hub) -> Result<(), StartError> {
    let models = hub.repository().list().await?;
    if models.is_empty() {
        let _ = writeln!(std::io::stderr(), "there are no models here yet; `tertulia models pull gpt2` fetches one");
        return Ok(());
    }
    let heading = ["NAME", "REVISION", "SIZE", "RUNS", "FOLDER"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading).chain(models.iter().map(row)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    for [name, revision, size, runs, folder] in &rows {
        let [w0, w1, w2, w3] = widths;
        // A reader that has seen enough (`| head`) is no failure.
        let _ = writeln!(std::io::stdout(), "{name:w0$}  {revision:w1$}  {size:>w2$}  {runs:w3$}  {folder}");
    }
    Ok(())
}

fn row(stored: &StoredModel) -> [String; 5] {
    let StoredModel { model, folder, bytes, .. } = stored;
    let config = std::fs::read(folder.join("config.json")).map_err(|error| error.to_string());
    let runs = match config.and_then(|text| check_config(&text)) {
        Ok(()) => "yes".to_owned(),
        Err(problem) => format!("no: {problem}"),
    };
    let folder = folder.display().to_string();
    [model.repository.clone(), model.revision.clone(), HumanBytes(*bytes).to_string(), runs, folder]
}

async fn remove(hub: &Hub, model: &HubModel) -> Result<(), StartError> {
    hub.repository().remove(model).await.map_err(|error| match error {
        RepositoryError::NotFound(told) => RepositoryError::NotFound(format!("{told}; `tertulia models list` tells what is")),
        other => other,
    })?;
    let _ = writeln!(std::io::stdout(), "removed {}", title(model));
    Ok(())
}

fn title(model: &HubModel) -> String {
    format!("{} ({})", model.repository, model.revision)
}
