//! Speaking a text.

use std::sync::Arc;

use bytes::Bytes;
use domain::{AudioFormat, MediaRecord, MediaSettings, MediaState, ModelName, Pitch, Prompt, Refusal, Speed, VoiceName};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use ports::{AudioStream, GenerationError, ObjectStorage, ObjectUpload, SpeechRequest, SpeechSynthesizer, StoreError, Voice};

use super::job::Job;
use super::{MediaService, choose, storage_error, text_tokens};
use crate::{Caller, ServiceError};

/// A text to be spoken. What is `None` is the default.
#[derive(Clone, Default)]
pub struct SpeechOrder {
    /// The words.
    pub prompt: String,
    /// Who speaks.
    pub voice: Option<String>,
    /// Which synthesizer.
    pub model: Option<String>,
    /// How the sound is encoded.
    pub format: Option<String>,
    /// How fast; 1 is the voice's own.
    pub speed: Option<f64>,
    /// How high; 1 is the voice's own.
    pub pitch: Option<f64>,
}

/// A recording while it is made.
pub struct SpeechStream {
    /// Its record, which is `running`.
    pub record: MediaRecord,
    /// The encoded sound. It ends once the record is `done`; an error is the last item. Dropping it breaks the recording off: its record
    /// fails and nothing is kept.
    pub audio: BoxStream<'static, Result<Bytes, ServiceError>>,
}

impl MediaService {
    /// Speaks a text and answers its record once it is done. Dropping the call breaks it off, as dropping a [`SpeechStream`] does.
    pub async fn speak(&self, caller: Option<&Caller>, order: SpeechOrder) -> Result<MediaRecord, ServiceError> {
        let mut speaking = self.begin(caller, order).await?;
        let spoken = self.in_time(async {
            while speaking.step().await?.is_some() {}
            Ok(())
        });
        if let Err(error) = spoken.await {
            return Err(speaking.fail(error).await);
        }
        speaking.done.ok_or_else(|| GenerationError::Failed("a recording ended without its record".to_owned()).into())
    }

    /// Begins to speak. What is refused is refused here and leaves no record; a synthesizer that fails leaves one that says so.
    pub async fn speak_stream(&self, caller: Option<&Caller>, order: SpeechOrder) -> Result<SpeechStream, ServiceError> {
        let speaking = self.begin(caller, order).await?;
        let record = speaking.record.clone();
        let audio = stream::try_unfold(speaking, async |mut speaking| Ok(speaking.next().await?.map(|piece| (piece, speaking))));
        Ok(SpeechStream { record, audio: audio.boxed() })
    }

    /// The voices of a synthesizer, or of the default one.
    pub async fn voices(&self, model: Option<String>) -> Result<Vec<Voice>, ServiceError> {
        let model = model.map_or_else(|| Ok(self.policy.speech_model.clone()), ModelName::new)?;
        let (synthesizer, _) = choose(&model, &self.ports.synthesizers)?;
        Ok(synthesizer.voices().await?)
    }

    async fn begin(&self, caller: Option<&Caller>, order: SpeechOrder) -> Result<Speaking, ServiceError> {
        self.admit(caller)?;
        let prompt = Prompt::new(order.prompt.clone(), self.policy.speech_characters)?;
        let model = order.model.clone().map_or_else(|| Ok(self.policy.speech_model.clone()), ModelName::new)?;
        let (synthesizer, provider_model) = choose(&model, &self.ports.synthesizers)?;
        let request = request(&**synthesizer, &prompt, order, provider_model)?;
        let record = MediaRecord {
            id: self.new_id(caller),
            user_id: caller.map(|caller| caller.user.id),
            prompt: request.text.clone(),
            model,
            settings: MediaSettings::Speech {
                voice: request.voice.clone(),
                format: request.format,
                speed: request.speed,
                pitch: request.pitch,
            },
            state: MediaState::Queued,
            created_at: self.ports.clock.now(),
        };
        let tokens = text_tokens(&prompt);
        let hold = self.hold(caller, tokens).await?.map(|hold| (hold, tokens));
        let job = self.queue(record, hold).await?;
        match synthesizer.synthesize(request).await {
            Ok(audio) => self.run(job, audio).await,
            Err(error) if is_refusal(&error) => {
                job.withdraw().await?;
                Err(error.into())
            }
            Err(error) => Err(job.fail(error.into()).await),
        }
    }

    async fn run(&self, mut job: Job, audio: AudioStream) -> Result<Speaking, ServiceError> {
        let begun = async {
            let record = job.run().await?;
            let upload = self.ports.storage.begin(&record.content_key(), record.content_type()).await;
            Ok((record, upload.map_err(|error| storage_error(&*self.ports.storage, error))?))
        };
        match begun.await {
            Ok((record, upload)) => {
                let storage = Arc::clone(&self.ports.storage);
                Ok(Speaking { record, job: Some(job), audio, upload: Some(upload), storage, done: None })
            }
            Err(error) => Err(job.fail(error).await),
        }
    }
}

/// What is refused before it began is not kept.
pub(super) fn is_refusal(error: &GenerationError) -> bool {
    matches!(
        error,
        GenerationError::Overloaded { .. }
            | GenerationError::Unsupported { .. }
            | GenerationError::ShuttingDown
            | GenerationError::PromptTooLong { .. }
    )
}

fn request(
    synthesizer: &dyn SpeechSynthesizer,
    prompt: &Prompt,
    order: SpeechOrder,
    provider_model: Option<String>,
) -> Result<SpeechRequest, Refusal> {
    let can = synthesizer.describe();
    let own_format = can.formats.first().copied().unwrap_or_default();
    let format = order.format.map_or(Ok(own_format), |name| AudioFormat::parse(&name))?;
    if !can.formats.contains(&format) {
        let names: Vec<&str> = can.formats.iter().map(|format| format.as_str()).collect();
        return Err(Refusal::field("format", format!("must be one of {} with this model", names.join(", "))));
    }
    let speed = order.speed.map_or(Ok(Speed::default()), Speed::new)?;
    if !can.has_speed && speed != Speed::default() {
        return Err(Refusal::field("speed", "must be 1 with this model, which knows no other"));
    }
    let pitch = order.pitch.map_or(Ok(Pitch::default()), Pitch::new)?;
    if !can.has_pitch && pitch != Pitch::default() {
        return Err(Refusal::field("pitch", "must be 1 with this model, which knows no other"));
    }
    let voice = order.voice.map_or_else(|| Ok(VoiceName::default()), VoiceName::new)?;
    Ok(SpeechRequest { text: prompt.as_str().to_owned(), voice, format, speed, pitch, provider_model })
}

/// A recording on its way to the caller and into the storage at once.
struct Speaking {
    /// As it was when the sound began.
    record: MediaRecord,
    /// `None` once it has ended.
    job: Option<Job>,
    audio: AudioStream,
    upload: Option<Box<dyn ObjectUpload>>,
    /// Where the upload leads.
    storage: Arc<dyn ObjectStorage>,
    done: Option<MediaRecord>,
}

impl Speaking {
    /// The next piece, which is on its way into the storage by then; `None` at the end, when all of it is kept.
    async fn next(&mut self) -> Result<Option<Bytes>, ServiceError> {
        match self.step().await {
            Ok(piece) => Ok(piece),
            Err(error) => Err(self.fail(error).await),
        }
    }

    async fn fail(&mut self, error: ServiceError) -> ServiceError {
        // The upload is discarded before its record says that nothing is kept.
        self.upload = None;
        match self.job.take() {
            Some(job) => job.fail(error).await,
            None => error,
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>, ServiceError> {
        let Some(piece) = self.audio.try_next().await? else {
            self.finish().await?;
            return Ok(None);
        };
        if let Some(upload) = &mut self.upload {
            upload.write(piece.clone()).await.map_err(|error| storage_error(&*self.storage, error))?;
        }
        Ok(Some(piece))
    }

    async fn finish(&mut self) -> Result<(), ServiceError> {
        let (Some(upload), Some(job)) = (self.upload.take(), &mut self.job) else { return Ok(()) };
        let size_bytes = upload.finish().await.map_err(|error| storage_error(&*self.storage, error))?;
        if size_bytes == 0 {
            return Err(ServiceError::Store(StoreError::Corrupt("a synthesizer gave no sound".to_owned())));
        }
        self.done = Some(job.finish(size_bytes).await?);
        self.job = None;
        Ok(())
    }
}
