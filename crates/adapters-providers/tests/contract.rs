//! Both providers keep the contract of the port, against servers that behave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use adapters_providers::http::BaseUrl;
use adapters_providers::{OpenAiTextApi, Providers};
use ports::TextGenerator;

use support::scripted_server::{ScriptedServer, ollama, openai};
use support::{config, open, providers};

mod openai_completions {
    use super::*;

    async fn subject() -> Arc<dyn TextGenerator> {
        let server = ScriptedServer::start(openai).await;
        open(&providers(&server), "openai:gpt-x").await
    }

    test_support::text_generator_contract!(subject);
}

mod openai_chat {
    use super::*;

    async fn subject() -> Arc<dyn TextGenerator> {
        let server = ScriptedServer::start(openai).await;
        let mut config = config(&server.url);
        config.openai.text_api = OpenAiTextApi::Chat;
        config.openai.base_url = BaseUrl::parse(&server.url).unwrap();
        open(&Providers::new(config).unwrap(), "openai:gpt-x").await
    }

    test_support::text_generator_contract!(subject);
}

mod ollama_generate {
    use super::*;

    async fn subject() -> Arc<dyn TextGenerator> {
        let server = ScriptedServer::start(ollama).await;
        open(&providers(&server), "ollama:llama3.1:8b").await
    }

    test_support::text_generator_contract!(subject);
}
