//! A chat without a web around it: replicas over one database, and a model that answers what it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ChatRole, Conversation, ConversationId, FinishReason, LlmId, Message, MessageId, MessageStatus, ModelName, PageRequest,
    RateLimit, SamplingRequest, TokenUsage, User,
};
use futures_util::{StreamExt, stream};
use ports::{
    Completion, GenerationError, GenerationInput, GenerationRequest, GenerationStart, GeneratorDescription, TextGenerator,
    TokenEvent, TokenStream, UserStore,
};
use services::{
    Addressed, AnswerRequest, AuditTrail, Caller, ChatEvent, ChatEvents, ChatLimits, ChatPorts, ChatRequest, ChatService,
    ChatTurn, ConversationReader, Credential, ImportedConversation, ImportedMessage, LimitDefaults, LimitPorts, LimitService,
    MessageOrder, ModelService, Resumed, ServiceError,
};
use test_support::builders::{a_new_user, a_uuid};
use test_support::{
    FakeClock, FakeDatabase, FakeLanguageModels, FakeRateLimiter, SequentialRandomness, TokioBackground, TokioTimer,
};

/// One process of a chat.
pub struct Chat {
    pub service: ChatService,
    pub limits: LimitService,
    pub database: Arc<FakeDatabase>,
    pub clock: FakeClock,
    pub background: Arc<TokioBackground>,
    randomness: Arc<SequentialRandomness>,
}

/// What a test sets otherwise.
pub struct Settings {
    pub limits: ChatLimits,
    pub system_prompt: &'static str,
    pub tokens_per_day: Option<u64>,
    /// How many times faster than the clock on the wall a turn's time runs.
    pub time_runs: u32,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = ChatLimits {
            message_characters: 1000,
            conversation_messages: 1000,
            user_conversations: 100,
            context_messages: 500,
            unknown_context_tokens: 100,
            import_conversations: 10,
            running_streams: 100,
            running_streams_a_user: 100,
            resume_window: Duration::from_secs(30),
        };
        Self { limits, system_prompt: "", tokens_per_day: None, time_runs: 10 }
    }
}

impl Chat {
    pub async fn with(generator: Arc<dyn TextGenerator>) -> Self {
        Self::set(generator, Settings::default()).await
    }

    pub async fn set(generator: Arc<dyn TextGenerator>, settings: Settings) -> Self {
        Self::over(Arc::default(), FakeClock::default(), Arc::default(), generator, settings).await
    }

    /// Another process over the same database.
    pub async fn replica(&self, generator: Arc<dyn TextGenerator>, settings: Settings) -> Self {
        Self::over(self.database.clone(), self.clock.clone(), self.randomness.clone(), generator, settings).await
    }

    async fn over(
        database: Arc<FakeDatabase>,
        clock: FakeClock,
        randomness: Arc<SequentialRandomness>,
        generator: Arc<dyn TextGenerator>,
        settings: Settings,
    ) -> Self {
        let shared_clock = Arc::new(clock.clone());
        let background = Arc::new(TokioBackground::default());
        let audit = AuditTrail::new(database.clone(), shared_clock.clone(), background.clone());
        let name = ModelName::new("default").unwrap();
        let llm = LlmId::parse("bundled:fairy-tales").unwrap();
        let language_models = Arc::new(FakeLanguageModels::default().with(&llm.to_string(), generator));
        let models = ModelService::new(database.clone(), language_models.clone(), name.clone(), audit.clone());
        models.ensure_default(None, llm).await.unwrap();
        let limit_ports = LimitPorts {
            limiter: Arc::new(FakeRateLimiter::on(clock.clone())),
            tokens: database.clone(),
            overrides: database.clone(),
            clock: shared_clock.clone(),
            randomness: randomness.clone(),
            background: background.clone(),
        };
        let defaults = LimitDefaults {
            user: RateLimit::per_minute(600).unwrap(),
            guest: RateLimit::per_minute(60).unwrap(),
            tokens_per_day: settings.tokens_per_day,
            reservation_lifetime: Duration::from_mins(10),
        };
        let limits = LimitService::new(limit_ports, defaults, audit.clone());
        let ports = ChatPorts {
            conversations: database.clone(),
            streams: database.clone(),
            models: database.clone(),
            language_models,
            background: background.clone(),
            timer: Arc::new(TokioTimer::faster(settings.time_runs)),
            clock: shared_clock,
            randomness: randomness.clone(),
        };
        let service = ChatService::new(ports, name, settings.system_prompt, settings.limits, limits.clone(), audit);
        Self { service, limits, database, clock, background, randomness }
    }

    /// Somebody with an account, signed in. The first is the admin.
    pub async fn newcomer(&self) -> Caller {
        let user: User = self.database.add(a_new_user()).await.unwrap();
        Caller { user, credential: Credential::Session(domain::SessionId::new(a_uuid())), address: None }
    }

    /// Says something in the default conversation.
    pub async fn say(&self, caller: &Caller, content: &str) -> ChatTurn {
        self.service.send(caller, Addressed::Default, saying(content)).await.unwrap()
    }

    /// Says something in a conversation and waits for the answer.
    pub async fn ask(&self, caller: &Caller, conversation: &Conversation, content: &str) -> services::Answer {
        let turn = self.service.send(caller, Addressed::Conversation(conversation.id), saying(content)).await.unwrap();
        turn.whole().await.unwrap()
    }

    /// The default conversation as it stands: who said what, and how it ended.
    pub async fn history(&self, caller: &Caller) -> Vec<(ChatRole, String, MessageStatus)> {
        let page = self.service.history(caller, PageRequest::default()).await.unwrap();
        let told = page.messages.into_iter().map(|view| view.message);
        told.map(|message| (message.role, message.content, message.status)).collect()
    }

    /// A conversation as it is taken along, in this order.
    pub async fn exported(&self, caller: &Caller, id: ConversationId, order: MessageOrder) -> Exported {
        let mut reader = self.service.read_conversation(caller, id, order).await.unwrap();
        read_whole(&mut reader).await
    }

    /// All conversations as they are taken along.
    pub async fn all_exported(&self, caller: &Caller) -> Vec<Exported> {
        let mut all = self.service.read_conversations(caller);
        let mut exported = Vec::new();
        while let Some(mut reader) = all.next(MessageOrder::Tree).await.unwrap() {
            exported.push(read_whole(&mut reader).await);
        }
        exported
    }

    /// Takes an answer up.
    pub async fn resume(&self, caller: &Caller, turn: domain::ChatStreamId, after: u32) -> Result<ChatEvents, ServiceError> {
        match self.service.resume(caller, turn, after).await? {
            Resumed::Events(events) => Ok(events),
            Resumed::Over => Ok(stream::empty().boxed()),
        }
    }
}

/// A conversation as it is taken along.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    pub conversation: Conversation,
    pub messages: Vec<Message>,
    pub active_message: Option<MessageId>,
}

async fn read_whole(reader: &mut ConversationReader) -> Exported {
    let mut messages = Vec::new();
    loop {
        let page = reader.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        messages.extend(page);
    }
    Exported { conversation: reader.conversation().clone(), messages, active_message: reader.active_message() }
}

/// An exported conversation as it is brought in.
pub fn as_imported(exported: &Exported) -> ImportedConversation {
    let message = |kept: &Message| ImportedMessage {
        id: Some(kept.id.to_string()),
        parent: kept.parent_id.map(|id| id.to_string()),
        role: kept.role,
        content: kept.content.clone(),
        status: kept.status,
        model: kept.model.as_ref().map(ToString::to_string),
        created_at: Some(kept.created_at),
    };
    ImportedConversation {
        title: exported.conversation.title.as_ref().map(|title| title.as_str().to_owned()),
        active_message: exported.active_message.map(|id| id.to_string()),
        messages: exported.messages.iter().map(message).collect(),
        ..ImportedConversation::default()
    }
}

/// Something said, with the conversation so far.
pub fn saying(content: &str) -> ChatRequest {
    ChatRequest { content: content.into(), use_context: true, answer: AnswerRequest::default() }
}

/// The same with a length for the answer.
pub fn saying_within(content: &str, max_new_tokens: i64) -> ChatRequest {
    let sampling = SamplingRequest { max_new_tokens: Some(max_new_tokens), ..SamplingRequest::default() };
    ChatRequest { answer: AnswerRequest { model: None, sampling }, ..saying(content) }
}

/// What an answer's events say together, and whether they came to their end.
pub async fn heard(events: ChatEvents) -> (String, bool) {
    let events: Vec<_> = events.collect().await;
    let ended = matches!(events.last(), Some(Ok(ChatEvent::Done { .. })));
    let text = |event: &Result<ChatEvent, ServiceError>| match event {
        Ok(ChatEvent::Text { text, .. }) => Some(text.clone()),
        _ => None,
    };
    (events.iter().filter_map(text).collect(), ended)
}

/// Repeats what it is asked last, a word at a time, so often; a token a word, and one a message.
pub struct Echo {
    pub repeats: usize,
    pub pause: Duration,
    pub context_length: u32,
    refuses_one_of: Option<usize>,
    asked: AtomicUsize,
    open: Arc<AtomicUsize>,
}

impl Echo {
    pub fn new(repeats: usize, pause: Duration) -> Self {
        let (asked, open) = (AtomicUsize::new(0), Arc::default());
        Self { repeats, pause, context_length: 100_000, refuses_one_of: None, asked, open }
    }

    /// Of so many requests, one is refused after a while, as a provider may do.
    pub fn refusing_one_of(self, count: usize) -> Self {
        Self { refuses_one_of: Some(count), ..self }
    }

    /// How many of its streams are held.
    pub fn open_streams(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

/// What an [`Echo`] answers.
pub fn echo_of(content: &str, repeats: usize) -> String {
    let words: Vec<&str> = content.split_whitespace().collect();
    (0..repeats).flat_map(|_| words.iter().map(|word| format!("{word} "))).collect()
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tokens(input: &GenerationInput) -> u32 {
    let GenerationInput::Chat(messages) = input else { panic!("a chat asks with a chat") };
    messages.iter().map(|message| 1 + u32::try_from(message.content.split_whitespace().count()).unwrap()).sum()
}

#[async_trait]
impl TextGenerator for Echo {
    fn describe(&self) -> GeneratorDescription {
        GeneratorDescription {
            context_length: self.context_length,
            weights_digest: None,
            reproducible: true,
            answers_chats: true,
        }
    }

    async fn generate(&self, request: GenerationRequest) -> Result<TokenStream, GenerationError> {
        let prompt_tokens = tokens(&request.input);
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        if self.refuses_one_of.is_some_and(|of| number % of == of - 1) {
            tokio::time::sleep(self.pause * 8).await;
            return Err(GenerationError::ProviderFailed { provider: "echo", problem: "it had second thoughts".into() });
        }
        let GenerationInput::Chat(messages) = request.input else { panic!("a chat asks with a chat") };
        let asked = messages.last().unwrap().content.split("\n\n").last().unwrap().to_owned();
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(self.open.clone());
        let words: Vec<String> = echo_of(&asked, self.repeats).split_inclusive(' ').map(str::to_owned).collect();
        let usage = TokenUsage { prompt_tokens, completion_tokens: u32::try_from(words.len()).unwrap() };
        let start = GenerationStart { prompt_tokens, truncated_tokens: 0, max_new_tokens: u32::MAX };
        let said = words.into_iter().zip(1..).map(|(text, completion_tokens)| TokenEvent::Text {
            text,
            completion_tokens,
            logprobs: Vec::new(),
        });
        let end = TokenEvent::Finished(Completion { finish_reason: FinishReason::Stop, usage });
        let events = std::iter::once(TokenEvent::Started(start)).chain(said).chain(std::iter::once(end));
        let pause = self.pause;
        let events = stream::iter(events.collect::<Vec<_>>()).then(move |event| {
            let _held = &open;
            async move {
                tokio::time::sleep(pause).await;
                Ok(event)
            }
        });
        Ok(Box::pin(events))
    }

    async fn count_tokens(&self, input: &GenerationInput) -> Result<Option<u32>, GenerationError> {
        Ok(Some(tokens(input)))
    }
}
