//! Rows of `text_generations`.

use chrono::NaiveDateTime;
use diesel::{Insertable, Queryable, Selectable};
use domain::{FinishReason, LlmId, ModelName, TextGeneration, TokenUsage};
use ports::StoreError;

use super::parameters::KeptParameters;
use super::{corrupt, from_kept_text, from_kept_time, parse_id, refused, to_kept_text, to_kept_time};
use crate::schema::text_generations;

const TABLE: &str = "text_generations";

/// A made text as it is kept.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = text_generations)]
pub(crate) struct TextGenerationRow {
    id: String,
    user_id: String,
    prompt: String,
    generated_text: String,
    model: String,
    llm: String,
    weights_digest: Option<String>,
    parameters: String,
    prompt_tokens: i64,
    completion_tokens: i64,
    finish_reason: String,
    truncated_tokens: i64,
    queued_ms: Option<i64>,
    first_token_ms: Option<i64>,
    duration_ms: i64,
    edited: bool,
    created_at: NaiveDateTime,
}

impl TryFrom<TextGeneration> for TextGenerationRow {
    type Error = StoreError;

    fn try_from(text: TextGeneration) -> Result<Self, StoreError> {
        let parameters = serde_json::to_string(&KeptParameters::from(text.parameters)).map_err(|error| corrupt(TABLE, error))?;
        Ok(Self {
            id: text.id.to_string(),
            user_id: text.user_id.to_string(),
            prompt: to_kept_text(text.prompt),
            generated_text: to_kept_text(text.generated_text),
            model: text.model.as_str().to_owned(),
            llm: text.llm.to_string(),
            weights_digest: text.weights_digest,
            parameters,
            prompt_tokens: i64::from(text.usage.prompt_tokens),
            completion_tokens: i64::from(text.usage.completion_tokens),
            finish_reason: text.finish_reason.as_str().to_owned(),
            truncated_tokens: i64::from(text.truncated_tokens),
            queued_ms: text.queued_ms.map(i64::from),
            first_token_ms: text.first_token_ms.map(i64::from),
            duration_ms: i64::from(text.duration_ms),
            edited: text.edited,
            created_at: to_kept_time(text.created_at),
        })
    }
}

impl TryFrom<TextGenerationRow> for TextGeneration {
    type Error = StoreError;

    fn try_from(row: TextGenerationRow) -> Result<Self, StoreError> {
        let text = |kept| from_kept_text(kept).ok_or_else(|| corrupt(TABLE, "a text is badly escaped"));
        let number = |kept: i64| u32::try_from(kept).map_err(|_| corrupt(TABLE, "a number is out of range"));
        let parameters: KeptParameters =
            serde_json::from_str(&row.parameters).map_err(|_| corrupt(TABLE, "the parameters cannot be read"))?;
        Ok(Self {
            id: parse_id(TABLE, &row.id)?,
            user_id: parse_id(TABLE, &row.user_id)?,
            prompt: text(row.prompt)?,
            generated_text: text(row.generated_text)?,
            model: ModelName::new(row.model).map_err(refused(TABLE))?,
            llm: LlmId::parse(&row.llm).map_err(refused(TABLE))?,
            weights_digest: row.weights_digest,
            parameters: parameters.try_into().map_err(refused(TABLE))?,
            usage: TokenUsage { prompt_tokens: number(row.prompt_tokens)?, completion_tokens: number(row.completion_tokens)? },
            finish_reason: FinishReason::parse(&row.finish_reason).map_err(refused(TABLE))?,
            truncated_tokens: number(row.truncated_tokens)?,
            queued_ms: row.queued_ms.map(number).transpose()?,
            first_token_ms: row.first_token_ms.map(number).transpose()?,
            duration_ms: number(row.duration_ms)?,
            edited: row.edited,
            created_at: from_kept_time(row.created_at),
        })
    }
}
