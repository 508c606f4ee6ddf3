//! `tertulia generate`: a text on the terminal, without a server, a database or an account.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use clap::Args;
use domain::{LlmId, ModelDefaults, Prompt, SamplingParameters, SamplingRequest, Seed};
use futures_util::StreamExt as _;
use ports::{Completion, GenerationInput, GenerationRequest, Owner, Randomness as _, TokenEvent, TokenStream};

use crate::config::{Config, LogConfig, ModelConfig};
use crate::start_error::StartError;
use crate::system::SystemRandomness;
use crate::telemetry;
use crate::wiring::models::ProcessModels;

/// Write a text to the terminal, without a server or an account
///
/// The text goes to standard output as it is made; how it ended, how fast, and the seed that makes it again go to standard error.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// What the text begins with; - reads it from standard input
    prompt: String,
    /// Where the model comes from: bundled:NAME, file:PATH, a model of the hub such as gpt2, which is fetched if it is not here,
    /// openai:NAME or ollama:NAME [default: the setting LLM_ID, or bundled:fairy-tales]
    #[arg(long, value_name = "LLM")]
    model: Option<String>,
    /// Total tokens, prompt included, as Hugging Face counts them
    #[arg(long, value_name = "TOKENS", conflicts_with = "max_new_tokens")]
    max_length: Option<i64>,
    /// Tokens after the prompt
    #[arg(long, value_name = "TOKENS")]
    max_new_tokens: Option<i64>,
    /// How freely tokens are chosen, 0 to 2; 0 always takes the most likely one
    #[arg(long)]
    temperature: Option<f64>,
    /// Choose from the most likely tokens that make up this share, 0 to 1
    #[arg(long)]
    top_p: Option<f64>,
    /// Choose from this many of the most likely tokens; 0 for all
    #[arg(long)]
    top_k: Option<i64>,
    /// Drop tokens less likely than this share of the most likely one, 0 to 1
    #[arg(long)]
    min_p: Option<f64>,
    /// Above 1: what already stands in the text becomes less likely
    #[arg(long)]
    repetition_penalty: Option<f64>,
    /// Subtracted once from what already stands in the text, -2 to 2
    #[arg(long, allow_negative_numbers = true)]
    presence_penalty: Option<f64>,
    /// Subtracted for each time it already stands in the text, -2 to 2
    #[arg(long, allow_negative_numbers = true)]
    frequency_penalty: Option<f64>,
    /// End the text before this string; may be given up to four times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// The same seed, prompt and parameters give the same text
    #[arg(long)]
    seed: Option<i64>,
}

const EXAMPLES: &str = "\
Examples:
  tertulia generate \"Once upon a time\"
  tertulia generate --seed 7 --max-new-tokens 40 \"The king had three sons\"
  tertulia generate --temperature 0 --stop '.' \"In the forest\" > text.txt
  echo \"Long ago\" | tertulia generate -
  tertulia generate --model file:/models/gpt2 \"My name is\"
  tertulia generate --model gpt2 \"My name is\"
  tertulia generate --model ollama:llama3.1:8b \"My name is\"";

impl Generate {
    pub(super) async fn run(self, config: Config) -> Result<(), StartError> {
        let prompt = Prompt::new(prompt_text(&self.prompt, &config)?, config.generations.max_prompt_characters)?;
        let chosen = self.model.as_deref().map(LlmId::parse).transpose()?;
        let llm = chosen.or_else(|| config.model.llm.clone()).unwrap_or_else(ModelConfig::fallback);
        let drawn = Seed::from_random_bits(SystemRandomness.bits());
        let parameters = SamplingParameters::resolve(self.sampling(), &ModelDefaults::default(), drawn)?;
        let seed = parameters.seed.get();
        let mut logs = telemetry::start(&config.log)?;
        // Logs would run into the text: only who asks for other logs than the usual ones gets them.
        if config.log.filter != LogConfig::DEFAULT_FILTER {
            logs.release()?;
        }
        let generator = ProcessModels::new(&config)?.load(&llm).await?;
        let request = GenerationRequest::new(GenerationInput::Text(prompt.clone()), parameters, Owner::Guests);
        let begun = Instant::now();
        let stream = generator.generate(request).await?;
        let Some(completion) = print(prompt.as_str(), stream).await? else { return Ok(()) };
        let tokens = completion.usage.completion_tokens;
        let per_second = f64::from(tokens) / begun.elapsed().as_secs_f64().max(f64::EPSILON);
        let reason = completion.finish_reason.as_str();
        let _ = writeln!(std::io::stderr(), "[{reason}: {tokens} tokens, {per_second:.0} a second, seed {seed}]");
        Ok(())
    }

    fn sampling(&self) -> SamplingRequest {
        SamplingRequest {
            max_length: self.max_length,
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            stop: self.stop.clone(),
            seed: self.seed,
            ..SamplingRequest::default()
        }
    }
}

/// The most that UTF-8 needs for one.
const MAX_BYTES_PER_CHARACTER: usize = 4;

/// The prompt itself, or standard input without its last newline, read no further than a prompt may be long.
fn prompt_text(argument: &str, config: &Config) -> Result<String, StartError> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let most_bytes = config.generations.max_prompt_characters.saturating_add(1).saturating_mul(MAX_BYTES_PER_CHARACTER);
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(u64::try_from(most_bytes).unwrap_or(u64::MAX));
    input.read_to_string(&mut text).map_err(|error| StartError::System(format!("standard input: {error}")))?;
    Ok(text.strip_suffix('\n').map(str::to_owned).unwrap_or(text))
}

/// Writes the prompt and what follows it, piece by piece. `None` if whoever reads has seen enough.
async fn print(prompt: &str, mut stream: TokenStream) -> Result<Option<Completion>, StartError> {
    let mut out = std::io::stdout();
    let mut write = |text: &str| out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    if !write(prompt) {
        return Ok(None);
    }
    let mut completion = None;
    while let Some(event) = stream.next().await {
        match event? {
            TokenEvent::Text { text, .. } => {
                if !write(&text) {
                    return Ok(None);
                }
            }
            TokenEvent::Finished(finished) => completion = Some(finished),
            TokenEvent::Queued { .. } | TokenEvent::Started(_) => {}
        }
    }
    write("\n");
    Ok(completion)
}
