//! How an answer comes to its end, and what that means for what is stored and told.

use domain::{ChatFailure, ChatStreamState, FinishReason, MessageStatus};
use ports::{Completion, GenerationError};

use super::live::Cut;
use crate::ServiceError;

/// Why an answer is at its end.
pub(super) enum Ending {
    Finished(Completion),
    Failed(GenerationError),
    /// Nobody listened for too long.
    Unheard,
    Cut(Cut),
}

impl Ending {
    /// What whoever asked is told instead of an answer that has not begun; `None` where their own wish ended it.
    pub(super) fn refusal(&self) -> Option<ServiceError> {
        match self {
            Self::Failed(error) => Some(error.clone().into()),
            Self::Cut(Cut::ShuttingDown) => Some(GenerationError::ShuttingDown.into()),
            Self::Finished(_) | Self::Unheard | Self::Cut(Cut::Stopped | Cut::Gone) => None,
        }
    }
}

/// What an ending means for what is stored and told.
pub(super) struct Judgement {
    pub(super) state: ChatStreamState,
    pub(super) status: MessageStatus,
    /// Whether the answer is kept.
    pub(super) kept: bool,
    /// What listeners are told instead of the end.
    pub(super) outcome: Option<ServiceError>,
}

pub(super) fn judge(ending: Ending, has_begun: bool) -> Judgement {
    let failed = |failure: ChatFailure, status: MessageStatus, error: ServiceError| Judgement {
        state: ChatStreamState::Failed(failure),
        status,
        // An answer that never began is none; the question stays.
        kept: has_begun,
        outcome: Some(error),
    };
    let stopped = Judgement { state: ChatStreamState::Done, status: MessageStatus::Interrupted, kept: true, outcome: None };
    match ending {
        Ending::Finished(completion) if completion.finish_reason == FinishReason::Interrupted => {
            failed(ChatFailure::ShuttingDown, MessageStatus::Interrupted, GenerationError::ShuttingDown.into())
        }
        Ending::Finished(_) => Judgement { status: MessageStatus::Done, ..stopped },
        Ending::Unheard | Ending::Cut(Cut::Stopped) => stopped,
        Ending::Cut(Cut::ShuttingDown) => {
            failed(ChatFailure::ShuttingDown, MessageStatus::Interrupted, GenerationError::ShuttingDown.into())
        }
        Ending::Cut(Cut::Gone) => failed(ChatFailure::Failed, MessageStatus::Interrupted, ServiceError::ConversationNotFound),
        Ending::Failed(error) => {
            let failure = failure_of(&error);
            let was_cut = matches!(failure, ChatFailure::DeadlineExceeded | ChatFailure::ShuttingDown);
            failed(failure, if was_cut { MessageStatus::Interrupted } else { MessageStatus::Failed }, error.into())
        }
    }
}

/// What is kept of why an answer broke off, for those who take it up later.
fn failure_of(error: &GenerationError) -> ChatFailure {
    match error {
        GenerationError::DeadlineExceeded => ChatFailure::DeadlineExceeded,
        GenerationError::ShuttingDown => ChatFailure::ShuttingDown,
        GenerationError::ProviderBusy { .. }
        | GenerationError::ProviderUnreachable { .. }
        | GenerationError::ProviderFailed { .. } => ChatFailure::Provider,
        GenerationError::PromptTooLong { .. }
        | GenerationError::Overloaded { .. }
        | GenerationError::ModelUnavailable(_)
        | GenerationError::Unsupported { .. }
        | GenerationError::InputRefused(_)
        | GenerationError::Failed(_) => ChatFailure::Failed,
    }
}
