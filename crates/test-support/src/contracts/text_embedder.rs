//! The stories of [`ports::TextEmbedder`]. They say nothing of what a vector means, only of how it is made and told.

use std::sync::Arc;
use std::time::Duration;

use domain::Prompt;
use ports::{EmbeddingInput, EmbeddingRequest, Embeddings, GenerationError, Owner, TextEmbedder};

/// The embedder under test.
pub type Subject = Arc<dyn TextEmbedder>;

fn text(words: &str) -> EmbeddingInput {
    EmbeddingInput::Text(Prompt::new(words, 1_000_000).unwrap())
}

fn request<'a>(texts: impl IntoIterator<Item = &'a str>) -> EmbeddingRequest {
    EmbeddingRequest::new(texts.into_iter().map(text).collect(), Owner::Guests)
}

/// Embeds what must go well, and checks what every answer promises.
async fn embed(embedder: &Subject, request: EmbeddingRequest) -> Embeddings {
    let (inputs, dimensions) = (request.inputs.len(), request.dimensions);
    let made = embedder.embed(request).await.unwrap();
    assert_eq!(made.vectors.len(), inputs, "a vector for each input");
    let width = made.vectors[0].len();
    assert!(width > 0 && made.vectors.iter().all(|vector| vector.len() == width), "all of one length");
    assert!(made.vectors.iter().flatten().all(|value| value.is_finite()), "of numbers");
    let known = dimensions.or(embedder.describe().dimensions);
    assert!(known.is_none_or(|known| usize::try_from(known) == Ok(width)), "as long as was asked for, or is known");
    assert!(made.prompt_tokens as usize >= inputs);
    made
}

/// In the order of the inputs, also where several are equal.
pub async fn every_input_has_its_own_vector(embedder: &Subject) {
    let (wolf, king) = ("The wolf ran into the wood.", "Once there was a king, 王 👑.");
    let made = embed(embedder, request([wolf, king, wolf])).await;
    assert_eq!(made.vectors[0], made.vectors[2]);
    assert_ne!(made.vectors[0], made.vectors[1]);
}

/// Whoever shares its request.
pub async fn a_vector_does_not_depend_on_its_neighbours(embedder: &Subject) {
    let together = embed(embedder, request(["one two three", "four", "five six"])).await;
    for (index, alone) in ["one two three", "four", "five six"].into_iter().enumerate() {
        assert_eq!(embed(embedder, request([alone])).await.vectors[0], together.vectors[index]);
    }
}

/// Where it can count at all.
pub async fn tokens_are_counted_as_an_answer_counts_them(embedder: &Subject) {
    let request = request(["Once upon a time", "there was"]);
    let Some(counted) = embedder.count_tokens(&request.inputs).await.unwrap() else { return };
    assert_eq!(counted.len(), 2);
    assert_eq!(embed(embedder, request).await.prompt_tokens, counted.iter().sum::<u32>());
}

/// Nothing is ever cut; where the context is known.
pub async fn an_input_beyond_the_context_is_refused_with_its_count(embedder: &Subject) {
    let context_length = embedder.describe().context_length;
    if !(1..=100_000).contains(&context_length) {
        return;
    }
    let long = "wolf ".repeat(context_length as usize + 1);
    match embedder.embed(request(["short", &long])).await {
        Err(GenerationError::PromptTooLong { prompt_tokens, limit, context_length: told }) => {
            assert!(prompt_tokens > context_length);
            assert_eq!((limit, told), (context_length, context_length));
        }
        Err(GenerationError::InputRefused(problem)) => assert!(problem.contains("context"), "{problem}"),
        other => panic!("{other:?} instead of a refusal"),
    }
}

/// The vector of the same text, or a refusal by name.
pub async fn tokens_are_read_or_refused(embedder: &Subject) {
    let tokens = vec![EmbeddingInput::Tokens(vec![1, 2, 3]), EmbeddingInput::Tokens(vec![4])];
    match embedder.embed(EmbeddingRequest::new(tokens.clone(), Owner::Guests)).await {
        Err(GenerationError::InputRefused(problem)) => assert!(problem.contains("token"), "{problem}"),
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(made) => assert_ne!(made.vectors[0], made.vectors[1]),
    }
}

/// What the model cannot give is never given instead.
pub async fn dimensions_are_obeyed_or_refused(embedder: &Subject) {
    for dimensions in [2, 3] {
        let asked = EmbeddingRequest { dimensions: Some(dimensions), ..request(["Once upon a time"]) };
        match embedder.embed(asked).await {
            Err(error) => assert_eq!(error, GenerationError::Unsupported { field: "dimensions" }),
            Ok(made) => assert_eq!(made.vectors[0].len(), dimensions as usize),
        }
    }
}

/// Whoever goes away leaves the place to the next.
pub async fn a_dropped_call_leaves_room_for_others(embedder: &Subject) {
    for wait in 0..50 {
        let call = embedder.embed(request(["Once upon a time there was a wolf who ran and ran."; 8]));
        let _ = tokio::time::timeout(Duration::from_micros(wait * 50), call).await;
    }
    embed(embedder, request(["and the others are served"])).await;
}

/// Each with its own vectors.
pub async fn several_requests_run_beside_each_other(embedder: &Subject) {
    let running: Vec<_> = (0..6)
        .map(|number| {
            let (embedder, words) = (Arc::clone(embedder), format!("Story number {}", number % 3));
            tokio::spawn(async move { embed(&embedder, request([words.as_str()])).await.vectors.remove(0) })
        })
        .collect();
    let mut vectors = Vec::new();
    for call in running {
        vectors.push(call.await.unwrap());
    }
    assert_eq!(vectors[..3], vectors[3..]);
    assert_ne!(vectors[0], vectors[1]);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! text_embedder_contract {
    ($make:path) => {
        $crate::stories! {
            $make, text_embedder,
            every_input_has_its_own_vector,
            a_vector_does_not_depend_on_its_neighbours,
            tokens_are_counted_as_an_answer_counts_them,
            an_input_beyond_the_context_is_refused_with_its_count,
            tokens_are_read_or_refused,
            dimensions_are_obeyed_or_refused,
            a_dropped_call_leaves_room_for_others,
            several_requests_run_beside_each_other,
        }
    };
}
