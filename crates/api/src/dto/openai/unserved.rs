//! What OpenAI's API has and this server has not. Ignoring it would give an answer to another question.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{ApiError, ErrorCode};

/// All members of a body that its shape does not name.
pub(super) type Others = BTreeMap<String, Value>;

/// A field, and the value at which it asks for nothing. `null` and an empty list never ask for anything.
pub(super) type Unserved = (&'static str, fn(&Value) -> bool);

/// Fields of `POST /v1/chat/completions`.
pub(super) const OF_CHAT: &[Unserved] = &[
    ("tools", never),
    ("tool_choice", |value| value == "none"),
    ("functions", never),
    ("function_call", |value| value == "none"),
    ("response_format", |value| *value == json!({"type": "text"})),
    ("modalities", |value| *value == json!(["text"])),
    ("audio", never),
    ("prediction", never),
    ("web_search_options", never),
    ("reasoning_effort", |value| value == "none"),
    ("verbosity", |value| value == "medium"),
    ("store", |value| *value == false),
    ("service_tier", |value| value == "auto" || value == "default"),
];

/// Fields of `POST /v1/completions`.
pub(super) const OF_COMPLETIONS: &[Unserved] =
    &[("suffix", |value| value == ""), ("best_of", |value| value.as_f64() == Some(1.0))];

fn never(_: &Value) -> bool {
    false
}

/// Refuses a body that asks for any of these.
pub(super) fn refuse(others: &Others, unserved: &[Unserved]) -> Result<(), ApiError> {
    let asks = |value: &Value| !value.is_null() && !value.as_array().is_some_and(Vec::is_empty);
    for (field, is_nothing) in unserved {
        if others.get(*field).is_some_and(|value| asks(value) && !is_nothing(value)) {
            return Err(unsupported(*field, "is not supported by this server"));
        }
    }
    Ok(())
}

/// The refusal of a field; `problem` is the rest of a sentence that begins with the field's name.
pub(super) fn unsupported(field: impl Into<String>, problem: &str) -> ApiError {
    let field = field.into();
    ApiError::new(ErrorCode::Unsupported, format!("{field} {problem}")).about(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Value, unserved: &[Unserved]) -> Option<String> {
        let others: Others = serde_json::from_value(body).unwrap();
        refuse(&others, unserved).err().map(|error| error.param().unwrap().to_owned())
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_its_name() {
        for (field, value) in [
            ("tools", json!([{"type": "function"}])),
            ("tool_choice", json!("auto")),
            ("functions", json!([{}])),
            ("response_format", json!({"type": "json_object"})),
            ("modalities", json!(["text", "audio"])),
            ("audio", json!({})),
            ("prediction", json!({"type": "content", "content": "x"})),
            ("web_search_options", json!({})),
            ("store", json!(true)),
        ] {
            assert_eq!(refused(json!({ (field): value }), OF_CHAT).as_deref(), Some(field));
        }
        assert_eq!(refused(json!({"suffix": "the end"}), OF_COMPLETIONS).as_deref(), Some("suffix"));
        assert_eq!(refused(json!({"best_of": 2}), OF_COMPLETIONS).as_deref(), Some("best_of"));
    }

    #[test]
    fn what_asks_for_nothing_is_accepted_and_what_nobody_knows_is_ignored() {
        let nothing = json!({
            "tools": null, "functions": [], "tool_choice": "none", "response_format": {"type": "text"}, "modalities": ["text"],
            "store": false, "service_tier": "auto", "colour": "red", "user": "ana", "metadata": {"a": "b"},
        });
        assert_eq!(refused(nothing, OF_CHAT), None);
        assert_eq!(refused(json!({"suffix": null, "best_of": 1}), OF_COMPLETIONS), None);
    }
}
