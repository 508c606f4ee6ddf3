//! Pictures and speech as stories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use domain::{
    AuditAction, MediaId, MediaKind, MediaRecord, MediaState, ModelName, ObjectKey, PageLimit, PageRequest, RateLimit, Refusal,
    Role, User,
};
use futures_util::{StreamExt, TryStreamExt};
use ports::{AuditFilter, AuditLog, Clock, GenerationError, MediaStore, ObjectLinks, ObjectStorage, UserStore};
use services::{
    AuditTrail, Caller, Credential, ImageOrder, LimitDefaults, LimitPorts, LimitService, MediaPolicy, MediaPorts, MediaService,
    ServiceError, SpeechOrder,
};
use test_support::builders::{a_new_user, a_session, a_speech_record, a_time};
use test_support::{
    FakeClock, FakeDatabase, FakeDocuments, FakeImageGenerator, FakeLinks, FakePictureCodec, FakeRateLimiter, FakeStorage,
    FakeSynthesizer, SequentialRandomness, TokioBackground, TokioTimer,
};

const QUOTA: u64 = 2000;
const IMAGE_TOKENS: u32 = 900;

pub struct Studio {
    pub media: MediaService,
    pub database: Arc<FakeDatabase>,
    pub storage: FakeStorage,
    pub synthesizer: FakeSynthesizer,
    pub painter: FakeImageGenerator,
    pub limits: LimitService,
    pub clock: FakeClock,
    pub background: Arc<TokioBackground>,
}

impl Studio {
    pub fn open() -> Self {
        Self::build(true, |database| database)
    }

    /// A studio whose records are kept by what is made of the database.
    pub fn build(allows_guests: bool, records: impl FnOnce(Arc<FakeDatabase>) -> Arc<dyn MediaStore>) -> Self {
        let (database, clock) = (Arc::new(FakeDatabase::default()), FakeClock::default());
        let shared_clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let (background, randomness) = (Arc::new(TokioBackground::default()), Arc::new(SequentialRandomness::default()));
        let audit = AuditTrail::new(database.clone(), shared_clock.clone(), background.clone());
        let limit_ports = LimitPorts {
            limiter: Arc::new(FakeRateLimiter::on(clock.clone())),
            tokens: database.clone(),
            overrides: database.clone(),
            clock: shared_clock.clone(),
            randomness: randomness.clone(),
            background: background.clone(),
        };
        let per_minute = RateLimit::per_minute(600).unwrap();
        let defaults = LimitDefaults {
            user: per_minute,
            guest: per_minute,
            tokens_per_day: Some(QUOTA),
            reservation_lifetime: Duration::from_mins(10),
        };
        let limits = LimitService::new(limit_ports, defaults, audit.clone());
        let (storage, synthesizer) = (FakeStorage::default(), FakeSynthesizer::saying(["once ", "upon ", "a time"]));
        let painter = FakeImageGenerator::drawing("a dragon");
        let ports = MediaPorts {
            records: records(database.clone()),
            storage: Arc::new(storage.clone()),
            links: Some(Arc::new(FakeLinks)),
            documents: Arc::new(FakeDocuments),
            pictures: Arc::new(FakePictureCodec),
            synthesizers: BTreeMap::from([("espeak", Arc::new(synthesizer.clone()) as _)]),
            image_generators: BTreeMap::from([("pollinations", Arc::new(painter.clone()) as _)]),
            users: database.clone(),
            background: background.clone(),
            clock: shared_clock,
            timer: Arc::new(TokioTimer::faster(1000)),
            randomness,
        };
        let policy = MediaPolicy {
            allows_guests,
            image_model: ModelName::new("pollinations").unwrap(),
            speech_model: ModelName::new("espeak").unwrap(),
            image_prompt_characters: 100,
            speech_characters: 100,
            image_tokens: IMAGE_TOKENS,
            max_per_owner: 50,
            time_limit: Duration::from_mins(5),
            link_lifetime: Duration::from_mins(15),
        };
        let media = MediaService::new(ports, policy, limits.clone(), audit);
        Self { media, database, storage, synthesizer, painter, limits, clock, background }
    }

    pub async fn newcomer(&self, role: Role) -> Caller {
        let user = UserStore::add(&*self.database, a_new_user()).await.unwrap();
        let credential = Credential::Session(a_session(user.id).id);
        Caller { user: User { role, ..user }, credential, address: None }
    }

    pub async fn used_tokens(&self, caller: &Caller) -> (u64, u64) {
        let tokens = self.limits.usage(caller).await.unwrap().tokens;
        (tokens.used, tokens.reserved)
    }

    pub async fn all(&self, kind: MediaKind) -> Vec<MediaRecord> {
        let page = PageRequest { after: None, limit: PageLimit::new(200).unwrap() };
        MediaStore::list(&*self.database, kind, ports::RecordScope::Everyone, page).await.unwrap().items
    }

    /// The lines of a user's only history file, once the background is done.
    pub async fn history(&self, caller: &Caller) -> Vec<String> {
        self.background.finish().await;
        let folder = format!("users/{}/", caller.user.id);
        let keys: Vec<String> = self.storage.keys().into_iter().filter(|key| key.starts_with(&folder)).collect();
        let [key] = keys.as_slice() else { return keys };
        String::from_utf8(self.storage.object(key).unwrap().to_vec()).unwrap().lines().map(str::to_owned).collect()
    }
}

pub fn says(prompt: &str) -> SpeechOrder {
    SpeechOrder { prompt: prompt.into(), ..SpeechOrder::default() }
}

pub fn shows(prompt: &str) -> ImageOrder {
    ImageOrder { prompt: prompt.into(), ..ImageOrder::default() }
}

#[tokio::test]
async fn a_text_becomes_a_recording_with_its_documents_beside_it_and_a_line_in_the_history() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let record = studio.media.speak(Some(&ana), says("Hello")).await.unwrap();
    assert!(matches!(record.state, MediaState::Done { size_bytes: 16, .. }), "{record:?}");
    assert_eq!(studio.storage.object(record.content_key().as_str()).unwrap(), "once upon a time");
    assert_eq!(studio.history(&ana).await, [format!("{} done Hello", record.id)]);
    let folder = format!("requests/2026/01/01/{}", record.id);
    let expected = [format!("{folder}/audio/output.mp3"), format!("{folder}/input.json"), format!("{folder}/record.json")];
    assert_eq!(studio.storage.keys()[..3], expected);
    let found = studio.media.get(Some(&ana), MediaKind::Speech, record.id).await.unwrap();
    assert_eq!(found, record);
    let page = studio.media.list(&ana, MediaKind::Speech, PageRequest::default()).await.unwrap();
    assert_eq!(page.items, [record]);
}

#[tokio::test]
async fn a_picture_is_kept_anew_with_its_small_copy() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let order = ImageOrder { size: Some("64x128".into()), seed: Some(7), ..shows("A dragon") };
    let record = studio.media.draw(Some(&ana), order).await.unwrap();
    assert_eq!(studio.storage.object(record.content_key().as_str()).unwrap(), "PNG 64x128 a dragon");
    assert_eq!(studio.storage.object(record.thumbnail_key().unwrap().as_str()).unwrap(), "WEBP");
    assert_eq!(studio.used_tokens(&ana).await, (u64::from(IMAGE_TOKENS), 0));
    assert_eq!(studio.history(&ana).await.len(), 1);
}

#[tokio::test]
async fn sound_can_be_heard_while_it_is_made_and_is_kept_at_its_end() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let mut speech = studio.media.speak_stream(Some(&ana), says("Hello")).await.unwrap();
    assert_eq!(speech.record.state, MediaState::Running);
    assert_eq!(speech.audio.next().await, Some(Ok(Bytes::from("once "))));
    assert!(studio.storage.object(speech.record.content_key().as_str()).is_none(), "half a recording is none");
    assert!(studio.media.link(&speech.record).await.unwrap().is_none());
    let rest: Vec<Bytes> = speech.audio.try_collect().await.unwrap();
    assert_eq!(rest, ["upon ", "a time"]);
    let record = studio.media.get(Some(&ana), MediaKind::Speech, speech.record.id).await.unwrap();
    assert!(matches!(record.state, MediaState::Done { .. }));
}

#[tokio::test]
async fn whoever_goes_away_leaves_a_failed_record_no_object_and_pays_nothing() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    studio.synthesizer.hang();
    let mut speech = studio.media.speak_stream(Some(&ana), says("Hello")).await.unwrap();
    speech.audio.next().await.unwrap().unwrap();
    assert_ne!(studio.used_tokens(&ana).await.1, 0, "tokens are set aside");
    drop(speech.audio);
    assert_eq!(studio.history(&ana).await, [format!("{} failed Hello", speech.record.id)]);
    assert!(studio.storage.object(speech.record.content_key().as_str()).is_none());
    assert_eq!(studio.used_tokens(&ana).await, (0, 0));
}

#[tokio::test]
async fn a_failure_is_told_kept_with_its_reason_and_leaves_nothing_half_stored() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let broken = GenerationError::ProviderFailed { provider: "espeak", problem: "a secret".into() };
    studio.synthesizer.say(vec![Ok("once ".into()), Err(broken.clone())]);
    assert_eq!(studio.media.speak(Some(&ana), says("Hello")).await, Err(broken.clone().into()));
    studio.synthesizer.say(Vec::new());
    assert!(studio.media.speak(Some(&ana), says("Silence")).await.is_err());
    let unreachable = GenerationError::ModelUnavailable("set SPEECH_BACKEND".into());
    studio.synthesizer.refuse(Some(unreachable.clone()));
    assert_eq!(studio.media.speak(Some(&ana), says("Hello")).await, Err(unreachable.into()));
    studio.painter.draw(Ok("nonsense".into()));
    let drawn = studio.media.draw(Some(&ana), shows("A dragon")).await;
    assert!(matches!(drawn, Err(ServiceError::Generation(GenerationError::ProviderFailed { .. }))), "{drawn:?}");
    studio.background.finish().await;
    let records = [studio.all(MediaKind::Speech).await, studio.all(MediaKind::Image).await].concat();
    let mut reasons = Vec::new();
    for record in &records {
        let MediaState::Failed { reason, .. } = &record.state else { panic!("{record:?}") };
        reasons.push(reason.as_str());
        assert!(studio.storage.object(record.content_key().as_str()).is_none());
    }
    reasons.sort_unstable();
    let expected =
        ["espeak answered badly", "set SPEECH_BACKEND", "the image provider answered badly", "the storage could not keep it"];
    assert_eq!(reasons, expected);
    assert_eq!(studio.used_tokens(&ana).await, (0, 0));
}

#[tokio::test]
async fn what_is_refused_stores_nothing_and_costs_nothing() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let order = says("Hello");
    for (refused, field) in [
        (says(" "), "prompt"),
        (says(&"a".repeat(101)), "prompt"),
        (SpeechOrder { model: Some("klingon".into()), ..order.clone() }, "model"),
        (SpeechOrder { model: Some("espeak:".into()), ..order.clone() }, "model"),
        (SpeechOrder { format: Some("flac".into()), ..order.clone() }, "format"),
        (SpeechOrder { format: Some("tape".into()), ..order.clone() }, "format"),
        (SpeechOrder { voice: Some("../x".into()), ..order.clone() }, "voice"),
        (SpeechOrder { speed: Some(5.0), ..order.clone() }, "speed"),
        (SpeechOrder { pitch: Some(1.5), ..order.clone() }, "pitch"),
    ] {
        let Err(ServiceError::Refused(refusal)) = studio.media.speak(Some(&ana), refused).await else { panic!("{field}") };
        assert_eq!(refusal.field_name(), field, "{refusal}");
    }
    for size in ["1x1", "4096x64", "big"] {
        let refused = studio.media.draw(Some(&ana), ImageOrder { size: Some(size.into()), ..shows("A dragon") }).await;
        assert!(matches!(refused, Err(ServiceError::Refused(Refusal::Field { field: "size", .. }))), "{refused:?}");
    }
    let klingon = SpeechOrder { voice: Some("klingon".into()), ..order.clone() };
    assert!(matches!(studio.media.speak(Some(&ana), klingon).await, Err(ServiceError::Generation(_))));
    let overloaded = GenerationError::Overloaded { retry_after_seconds: 1 };
    studio.synthesizer.refuse(Some(overloaded.clone()));
    studio.painter.draw(Err(overloaded.clone()));
    assert_eq!(studio.media.speak(Some(&ana), order).await, Err(overloaded.clone().into()));
    assert_eq!(studio.media.draw(Some(&ana), shows("A dragon")).await, Err(overloaded.into()));
    studio.background.finish().await;
    assert_eq!((studio.all(MediaKind::Speech).await, studio.all(MediaKind::Image).await), (Vec::new(), Vec::new()));
    assert_eq!(studio.storage.keys(), Vec::<String>::new());
    assert_eq!(studio.used_tokens(&ana).await, (0, 0));
}

#[tokio::test]
async fn a_days_tokens_suffice_for_so_many_pictures() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    for _ in 0..2 {
        studio.media.draw(Some(&ana), shows("A dragon")).await.unwrap();
    }
    let third = studio.media.draw(Some(&ana), shows("A dragon")).await;
    assert!(matches!(third, Err(ServiceError::QuotaExceeded { asked: IMAGE_TOKENS, .. })), "{third:?}");
    assert_eq!(studio.all(MediaKind::Image).await.len(), 2);
}

#[tokio::test]
async fn what_a_guest_made_is_found_by_its_whole_identifier_alone() {
    let studio = Studio::open();
    let (ana, bo) = (studio.newcomer(Role::User).await, studio.newcomer(Role::User).await);
    let of_guest = studio.media.speak(None, says("Hello")).await.unwrap();
    let of_ana = studio.media.speak(Some(&ana), says("Hello")).await.unwrap();
    for caller in [None, Some(&bo)] {
        assert_eq!(studio.media.get(caller, MediaKind::Speech, of_guest.id).await.unwrap(), of_guest);
        for (kind, id) in [
            (MediaKind::Speech, MediaId::owned(of_guest.id.uuid())),
            (MediaKind::Speech, MediaId::anonymous(of_guest.id.uuid(), 1)),
            (MediaKind::Image, of_guest.id),
            (MediaKind::Speech, of_ana.id),
        ] {
            let not_found = if kind == MediaKind::Image { ServiceError::ImageNotFound } else { ServiceError::SpeechNotFound };
            assert_eq!(studio.media.get(caller, kind, id).await, Err(not_found.clone()));
            assert_eq!(studio.media.download(caller, kind, id).await, Err(not_found.clone()));
            assert_eq!(studio.media.remove(caller, kind, id).await, Err(not_found));
        }
    }
    studio.media.remove(None, MediaKind::Speech, of_guest.id).await.unwrap();
    studio.background.finish().await;
    assert!(studio.storage.keys().iter().all(|key| !key.contains(&of_guest.id.uuid().to_string())));
}

#[tokio::test]
async fn guests_can_be_kept_out() {
    let studio = Studio::build(false, |database| database);
    assert_eq!(studio.media.speak(None, says("Hello")).await, Err(ServiceError::InvalidToken));
    assert_eq!(studio.media.draw(None, shows("A dragon")).await, Err(ServiceError::InvalidToken));
    assert_eq!(studio.all(MediaKind::Speech).await, []);
}

#[tokio::test]
async fn an_admin_sees_all_and_that_is_noted() {
    let studio = Studio::open();
    let (admin, ana) = (studio.newcomer(Role::Admin).await, studio.newcomer(Role::User).await);
    let record = studio.media.speak(Some(&ana), says("Hello")).await.unwrap();
    let listed = studio.media.list_all(&admin, MediaKind::Speech, PageRequest::default()).await.unwrap();
    assert_eq!(listed.items, std::slice::from_ref(&record));
    assert_eq!(studio.media.list_all(&ana, MediaKind::Speech, PageRequest::default()).await, Err(ServiceError::Forbidden));
    studio.media.get(Some(&admin), MediaKind::Speech, record.id).await.unwrap();
    studio.media.remove(Some(&admin), MediaKind::Speech, record.id).await.unwrap();
    let filter = AuditFilter { action: Some(AuditAction::OthersRecordAccessed), ..AuditFilter::default() };
    let events = AuditLog::list(&*studio.database, filter, None, 10).await.unwrap();
    let subject = format!("speech:{}", record.id);
    assert_eq!(
        events.iter().map(|event| (&*event.entry.subject, &*event.entry.detail)).collect::<Vec<_>>(),
        [(&*subject, "removed"), (&*subject, "read")]
    );
}

#[tokio::test]
async fn a_link_opens_its_object_until_its_time_is_over() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let record = studio.media.speak(Some(&ana), says("Hello")).await.unwrap();
    let link = studio.media.download(Some(&ana), MediaKind::Speech, record.id).await.unwrap();
    assert_eq!(link.expires_at, a_time() + TimeDelta::minutes(15));
    let signature = FakeLinks.sign(&record.content_key(), link.expires_at);
    assert!(link.url.contains(&signature) && link.url.starts_with("/objects/"), "{}", link.url);
    let opened = studio.media.open_link(&record.content_key(), link.expires_at, &signature).await.unwrap();
    let bytes: Vec<Bytes> = studio.media.read(&opened, Some(5..9)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"upon");
    let later = link.expires_at + TimeDelta::seconds(1);
    for (key, expires_at, signature) in [
        (record.record_key(), link.expires_at, signature.as_str()),
        (record.content_key(), later, signature.as_str()),
        (record.content_key(), link.expires_at, "0"),
    ] {
        assert_eq!(studio.media.open_link(&key, expires_at, signature).await, Err(ServiceError::LinkInvalid));
    }
    studio.clock.set(link.expires_at);
    let expired = studio.media.open_link(&record.content_key(), link.expires_at, &signature).await;
    assert_eq!(expired, Err(ServiceError::LinkInvalid));
}

#[tokio::test]
async fn many_records_at_once_are_each_one_line_of_the_history() {
    let studio = Arc::new(Studio::open());
    let ana = studio.newcomer(Role::User).await;
    let speaking: Vec<_> = (0..50)
        .map(|n| {
            let (studio, ana) = (Arc::clone(&studio), ana.clone());
            tokio::spawn(async move { studio.media.speak(Some(&ana), says(&format!("Number {n}"))).await.unwrap().id })
        })
        .collect();
    let mut expected = Vec::new();
    for (n, task) in speaking.into_iter().enumerate() {
        expected.push(format!("{} done Number {n}", task.await.unwrap()));
    }
    let mut lines = studio.history(&ana).await;
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_removed_record_goes_from_the_history_and_the_last_one_takes_the_file_along() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let first = studio.media.speak(Some(&ana), says("First")).await.unwrap();
    let second = studio.media.speak(Some(&ana), says("Second")).await.unwrap();
    studio.media.remove(Some(&ana), MediaKind::Speech, first.id).await.unwrap();
    assert_eq!(studio.history(&ana).await, [format!("{} done Second", second.id)]);
    studio.media.remove(Some(&ana), MediaKind::Speech, second.id).await.unwrap();
    studio.background.finish().await;
    assert_eq!(studio.storage.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_that_is_removed_while_it_is_made_leaves_nothing() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let mut speech = studio.media.speak_stream(Some(&ana), says("Hello")).await.unwrap();
    speech.audio.next().await.unwrap().unwrap();
    studio.media.remove(Some(&ana), MediaKind::Speech, speech.record.id).await.unwrap();
    let rest: Vec<_> = speech.audio.collect().await;
    assert_eq!(rest.last(), Some(&Err(ServiceError::SpeechNotFound)));
    studio.background.finish().await;
    assert_eq!(studio.storage.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn a_storage_that_is_down_fails_the_record_and_a_later_sweep_finds_nothing_wrong() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    studio.storage.set_down(true);
    let refused = studio.media.speak(Some(&ana), says("Hello")).await;
    assert!(matches!(refused, Err(ServiceError::StorageUnavailable { settings: "STORAGE", .. })), "{refused:?}");
    studio.background.finish().await;
    studio.storage.set_down(false);
    assert!(matches!(studio.all(MediaKind::Speech).await[0].state, MediaState::Failed { .. }));
    studio.media.renew_histories().await.unwrap();
    assert_eq!(studio.history(&ana).await.len(), 1, "the line that could not be written then");
}

#[tokio::test]
async fn what_a_dead_process_was_making_is_failed_and_its_objects_go() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let record = MediaRecord { state: MediaState::Running, ..a_speech_record(Some(ana.user.id)) };
    MediaStore::add(&*studio.database, record.clone()).await.unwrap();
    keep(&studio.storage, record.content_key()).await;
    assert_eq!(studio.media.fail_abandoned(a_time()).await.unwrap(), 0, "it may still be at work");
    assert_eq!(studio.media.fail_abandoned(a_time() + TimeDelta::seconds(1)).await.unwrap(), 1);
    assert_eq!(studio.media.fail_abandoned(a_time() + TimeDelta::seconds(1)).await.unwrap(), 0);
    let found = studio.media.get(Some(&ana), MediaKind::Speech, record.id).await.unwrap();
    assert!(matches!(found.state, MediaState::Failed { .. }));
    assert_eq!(studio.history(&ana).await, [format!("{} failed {}", record.id, record.prompt)]);
    assert!(studio.storage.object(record.content_key().as_str()).is_none());
}

async fn keep(storage: &FakeStorage, key: ObjectKey) {
    let mut upload = storage.begin(&key, "text/plain").await.unwrap();
    upload.write(Bytes::from_static(b"x")).await.unwrap();
    upload.finish().await.unwrap();
}

#[tokio::test]
async fn objects_that_nobody_owns_are_swept_away_and_no_others() {
    let studio = Studio::open();
    let ana = studio.newcomer(Role::User).await;
    let record = studio.media.speak(Some(&ana), says("Hello")).await.unwrap();
    studio.history(&ana).await;
    let owned = studio.storage.keys();
    let orphan = a_speech_record(None);
    let stranger = domain::UserId::new(uuid::Uuid::from_u128(7));
    keep(&studio.storage, orphan.content_key()).await;
    keep(&studio.storage, orphan.input_key()).await;
    keep(&studio.storage, ObjectKey::parse(format!("users/{stranger}/tts/history/2026/01/01.jsonl")).unwrap()).await;
    for others in ["requests/readme.txt", "users/readme.txt", "elsewhere/a"] {
        keep(&studio.storage, ObjectKey::parse(others).unwrap()).await;
    }
    assert_eq!(studio.media.sweep().await.unwrap().orphans, 0, "they are too young");
    studio.clock.advance(TimeDelta::hours(2));
    assert_eq!(studio.media.sweep().await.unwrap().orphans, 3);
    let left: Vec<String> =
        studio.storage.keys().into_iter().filter(|key| !key.contains("readme") && key != "elsewhere/a").collect();
    assert_eq!(left, owned);
    assert!(studio.storage.keys().iter().any(|key| key == "requests/readme.txt"), "what is not ours stays");
    assert!(matches!(record.state, MediaState::Done { .. }));
}
