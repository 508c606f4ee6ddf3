//! The stories of [`ports::TextGenerationStore`].

use chrono::TimeDelta;
use domain::{
    FinishReason, LlmId, ModelDefaults, ModelName, SamplingParameters, SamplingRequest, Seed, TextGeneration, TextGenerationId,
    TokenUsage, UserId,
};
use ports::{RecordScope, StoreError, TextEdit};

use super::{Stores, all_pages, error_of};
use crate::builders::{a_text_generation, a_time, a_user_id, a_uuid};

const EVERYONE: RecordScope = RecordScope::Everyone;

fn edited(prompt: Option<&str>, generated_text: Option<&str>) -> TextEdit {
    TextEdit { prompt: prompt.map(str::to_owned), generated_text: generated_text.map(str::to_owned) }
}

async fn a_kept_text(stores: &Stores) -> TextGeneration {
    let text = a_text_generation(stores.add_a_user().await.id);
    stores.texts.add(text.clone()).await.unwrap();
    text
}

/// Texts of which several share an instant, oldest first.
async fn several_texts(stores: &Stores, user_id: UserId) -> Vec<TextGeneration> {
    let mut texts = Vec::new();
    for n in 0..7 {
        let created_at = a_time() + TimeDelta::microseconds(n / 3);
        let text = TextGeneration { created_at, ..a_text_generation(user_id) };
        stores.texts.add(text.clone()).await.unwrap();
        texts.push(text);
    }
    texts
}

/// A text with something unusual in every field, and every field present.
fn an_unusual_text(user_id: UserId) -> TextGeneration {
    let request = SamplingRequest {
        max_new_tokens: Some(1_048_576),
        temperature: Some(0.1 + 0.2),
        top_p: Some(1.0 - f64::EPSILON),
        top_k: Some(1_000_000),
        min_p: Some(f64::MIN_POSITIVE),
        repetition_penalty: Some(std::f64::consts::PI),
        presence_penalty: Some(-2.0),
        frequency_penalty: Some(1.0 / 3.0),
        logit_bias: std::collections::BTreeMap::from([(0, -100.0), (u32::MAX, 1.0 / 3.0)]),
        stop: vec!["\0".into(), "\"\\\n".into(), "🐉".into(), "ñ".repeat(256)],
        seed: Some(i64::MAX),
        ..SamplingRequest::default()
    };
    TextGeneration {
        prompt: "Había una vez… 🐉\0\u{10}0\u{10}\u{10} 'quoted' \"twice\"; --\r\n".into(),
        generated_text: "\u{0}\u{1}\u{10}\u{fffd}\u{10ffff}".into(),
        model: ModelName::new("ORG/name:8b-v1.0_x").unwrap(),
        llm: LlmId::parse("hf:org/name@refs/pr/1").unwrap(),
        weights_digest: Some("f".repeat(64)),
        parameters: SamplingParameters::resolve(request, &ModelDefaults::default(), Seed::new(0).unwrap()).unwrap(),
        usage: TokenUsage { prompt_tokens: u32::MAX, completion_tokens: u32::MAX },
        finish_reason: FinishReason::Interrupted,
        truncated_tokens: u32::MAX,
        queued_ms: Some(u32::MAX),
        first_token_ms: Some(u32::MAX),
        duration_ms: u32::MAX,
        edited: true,
        created_at: a_time() + TimeDelta::microseconds(999_999),
        ..a_text_generation(user_id)
    }
}

/// To the last bit of the last parameter: the text can be made again from it.
pub async fn a_text_comes_back_as_it_was_added(stores: &Stores) {
    let user = stores.add_a_user().await;
    let plain = TextGeneration {
        weights_digest: None,
        finish_reason: FinishReason::Length,
        queued_ms: None,
        first_token_ms: None,
        ..a_text_generation(user.id)
    };
    for text in [plain, an_unusual_text(user.id)] {
        stores.texts.add(text.clone()).await.unwrap();
        assert_eq!(stores.texts.get(RecordScope::Of(user.id), text.id).await.unwrap(), text);
    }
}

/// A megabyte and more.
pub async fn a_long_text_comes_back_whole(stores: &Stores) {
    let user = stores.add_a_user().await;
    let text = TextGeneration { generated_text: "Once upon a time… ".repeat(100_000), ..a_text_generation(user.id) };
    stores.texts.add(text.clone()).await.unwrap();
    assert!(stores.texts.get(EVERYONE, text.id).await.unwrap() == text);
}

/// The account may go while its text is being made.
pub async fn a_text_of_nobody_is_not_kept(stores: &Stores) {
    let text = a_text_generation(a_user_id());
    assert_eq!(error_of(stores.texts.add(text.clone()).await), StoreError::NotFound);
    assert_eq!(error_of(stores.texts.get(EVERYONE, text.id).await), StoreError::NotFound);
}

/// A caller who repeats a request does not get two records of one name.
pub async fn the_same_text_is_not_kept_twice(stores: &Stores) {
    let text = a_kept_text(stores).await;
    assert_eq!(error_of(stores.texts.add(text).await), StoreError::Conflict { field: "id" });
}

/// Nothing tells whether the record is there.
pub async fn anothers_text_looks_like_none(stores: &Stores) {
    let text = a_kept_text(stores).await;
    let stranger = RecordScope::Of(stores.add_a_user().await.id);
    let nowhere = TextGenerationId::new(a_uuid());
    for (scope, id) in [(stranger, text.id), (EVERYONE, nowhere), (RecordScope::Of(text.user_id), nowhere)] {
        assert_eq!(error_of(stores.texts.get(scope, id).await), StoreError::NotFound);
        assert_eq!(error_of(stores.texts.edit(scope, id, edited(Some("x"), None)).await), StoreError::NotFound);
        assert_eq!(error_of(stores.texts.edit(scope, id, TextEdit::default()).await), StoreError::NotFound);
        assert_eq!(error_of(stores.texts.remove(scope, id).await), StoreError::NotFound);
    }
    assert_eq!(stores.texts.get(RecordScope::Of(text.user_id), text.id).await.unwrap(), text, "it is as it was");
}

/// In the scope of all.
pub async fn an_admin_sees_edits_and_removes_everybodys_texts(stores: &Stores) {
    let text = a_kept_text(stores).await;
    assert_eq!(stores.texts.get(EVERYONE, text.id).await.unwrap(), text);
    stores.texts.edit(EVERYONE, text.id, edited(None, Some("changed"))).await.unwrap();
    stores.texts.remove(EVERYONE, text.id).await.unwrap();
    assert_eq!(error_of(stores.texts.get(RecordScope::Of(text.user_id), text.id).await), StoreError::NotFound);
}

/// Page by page, each text once, and nobody else's.
pub async fn a_users_texts_are_listed_newest_first_a_page_at_a_time(stores: &Stores) {
    let user = stores.add_a_user().await;
    several_texts(stores, stores.add_a_user().await.id).await;
    let mut expected = several_texts(stores, user.id).await;
    expected.reverse();
    for limit in [1, 2, 3, 7, 200] {
        let listed = all_pages(limit, |page| stores.texts.list(RecordScope::Of(user.id), page)).await;
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// All of them in one order.
pub async fn everybodys_texts_are_listed_together(stores: &Stores) {
    let mut expected = several_texts(stores, stores.add_a_user().await.id).await;
    expected.extend(several_texts(stores, stores.add_a_user().await.id).await);
    expected.sort_by_key(|text| std::cmp::Reverse((text.created_at, text.id)));
    for limit in [1, 4, 14] {
        assert_eq!(all_pages(limit, |page| stores.texts.list(EVERYONE, page)).await, expected, "pages of {limit}");
    }
}

/// So that a list can say beforehand whether it is all there is.
pub async fn texts_are_counted_as_far_as_they_may_be_seen(stores: &Stores) {
    let (user, other) = (stores.add_a_user().await, stores.add_a_user().await);
    let before = stores.texts.count(RecordScope::Everyone).await.unwrap();
    let kept = several_texts(stores, user.id).await;
    let several = u64::try_from(kept.len()).unwrap();
    assert_eq!(stores.texts.count(RecordScope::Of(user.id)).await.unwrap(), several);
    assert_eq!(stores.texts.count(RecordScope::Of(other.id)).await.unwrap(), 0);
    assert!(stores.texts.count(RecordScope::Everyone).await.unwrap() >= before + several);
}

/// Not an error.
pub async fn a_user_without_texts_has_an_empty_list(stores: &Stores) {
    a_kept_text(stores).await;
    let user = stores.add_a_user().await;
    assert_eq!(all_pages(5, |page| stores.texts.list(RecordScope::Of(user.id), page)).await, []);
}

/// Field by field; and the record tells from then on that its words are no longer those that were made.
pub async fn an_edit_changes_what_it_names_and_marks_the_text(stores: &Stores) {
    let mut expected = a_kept_text(stores).await;
    let (own, id) = (RecordScope::Of(expected.user_id), expected.id);
    assert_eq!(stores.texts.edit(own, id, TextEdit::default()).await.unwrap(), expected, "an edit of nothing is none");
    expected.edited = true;
    expected.prompt = "Otra vez\0".into();
    assert_eq!(stores.texts.edit(own, id, edited(Some("Otra vez\0"), None)).await.unwrap(), expected);
    expected.generated_text = "\u{10}".into();
    assert_eq!(stores.texts.edit(own, id, edited(None, Some("\u{10}"))).await.unwrap(), expected);
    expected.prompt = String::new();
    expected.generated_text = "both".into();
    assert_eq!(stores.texts.edit(own, id, edited(Some(""), Some("both"))).await.unwrap(), expected);
    assert_eq!(stores.texts.get(own, id).await.unwrap(), expected);
}

/// And no other.
pub async fn a_removed_text_is_gone(stores: &Stores) {
    let (gone, stays) = (a_kept_text(stores).await, a_kept_text(stores).await);
    stores.texts.remove(RecordScope::Of(gone.user_id), gone.id).await.unwrap();
    assert_eq!(error_of(stores.texts.get(EVERYONE, gone.id).await), StoreError::NotFound);
    assert_eq!(error_of(stores.texts.remove(EVERYONE, gone.id).await), StoreError::NotFound);
    assert_eq!(stores.texts.get(EVERYONE, stays.id).await.unwrap(), stays);
}

/// Writers wait for one another; none is turned away.
pub async fn texts_added_at_once_are_all_kept(stores: &Stores) {
    let user = stores.add_a_user().await;
    let adding: Vec<_> = (0..32)
        .map(|_| {
            let texts = stores.texts.clone();
            tokio::spawn(async move { texts.add(a_text_generation(user.id)).await })
        })
        .collect();
    for added in adding {
        added.await.unwrap().unwrap();
    }
    assert_eq!(all_pages(200, |page| stores.texts.list(EVERYONE, page)).await.len(), 32);
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! text_generation_store_contract {
    ($make:path) => {
        $crate::stories! {
            $make, text_generation_store,
            a_text_comes_back_as_it_was_added,
            a_long_text_comes_back_whole,
            a_text_of_nobody_is_not_kept,
            the_same_text_is_not_kept_twice,
            anothers_text_looks_like_none,
            an_admin_sees_edits_and_removes_everybodys_texts,
            a_users_texts_are_listed_newest_first_a_page_at_a_time,
            everybodys_texts_are_listed_together,
            texts_are_counted_as_far_as_they_may_be_seen,
            a_user_without_texts_has_an_empty_list,
            an_edit_changes_what_it_names_and_marks_the_text,
            a_removed_text_is_gone,
            texts_added_at_once_are_all_kept,
        }
    };
}
