//! The first lines that `serve` prints: where it listens, which model answers, where the data lies, and what to try.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;

use domain::LlmId;
use ports::GeneratorDescription;

use crate::config::Config;

/// Prints to standard output. The first line always ends with the address, for scripts that wait for it.
pub(crate) fn print(config: &Config, listener: &TcpListener, llm: &LlmId, model: &GeneratorDescription) {
    let port = listener.local_addr().map_or(config.http.port, |address| address.port());
    // What listens on all addresses is reached from here by this one.
    let host = if matches!(config.http.host.as_str(), "0.0.0.0" | "::") { "127.0.0.1" } else { &config.http.host };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let scheme = if config.edge.tls.is_some() { "https" } else { "http" };
    let text = text(&format!("{scheme}://{host}:{port}"), config, &data_dir, llm, model);
    // Whoever started the server may not want to read.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn text(url: &str, config: &Config, data_dir: &Path, llm: &LlmId, model: &GeneratorDescription) -> String {
    let (name, context) = (&config.model.name, model.context_length);
    let (data_dir, database) = (data_dir.display(), &config.database.url);
    format!(
        r#"Tertulia {version} listens on {url}
  model          {name}: {llm}, {context} tokens of context
  data           {data_dir} (database: {database})
  documentation  {url}/docs

Try it:
  curl {url}/users -H 'Content-Type: application/json' -d '{{"username": "ana", "password": "correct horse"}}'
  TOKEN=$(curl -s {url}/token -d 'username=ana' --data-urlencode 'password=correct horse' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl {url}/text_generations -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"prompt": "Once upon a time", "max_new_tokens": 60}}'
"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}
