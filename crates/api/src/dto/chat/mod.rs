//! Conversations: what is said, and what of it is told.

mod conversations;
mod messages;
mod sampling;
mod transfer;
pub(crate) mod wire;

pub(crate) use conversations::{
    ConversationChangeRequest, ConversationListQuery, ConversationPage, ConversationRequest, ConversationResponse,
};
pub(crate) use messages::{
    AnswerResponse, ChatStreamRequest, HistoryPage, MessageEditRequest, MessageListQuery, MessageRequest, MessageResponse,
    RegenerationRequest,
};
pub(crate) use transfer::{
    ConversationImport, ConversationText, ExportFormat, ExportQuery, ExportedConversations, ImportResponse,
};
pub(crate) use wire::{ChatWire, EventId, context_headers, turn_headers};
