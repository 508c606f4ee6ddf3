//! Drawing a picture.

use domain::{ImageSize, MediaRecord, MediaSettings, MediaState, ModelName, Prompt};
use ports::{GenerationError, ImageGenerator, ImageRequest, PictureError};

use super::job::{Job, put};
use super::speak::is_refusal;
use super::{MediaService, choose, storage_error};
use crate::{Caller, ServiceError};

/// A picture to be made. What is `None` is the default.
#[derive(Clone, Default)]
pub struct ImageOrder {
    /// What it shows.
    pub prompt: String,
    /// How large it is, as `512x512`.
    pub size: Option<String>,
    /// Which generator.
    pub model: Option<String>,
    /// Where its random choices begin.
    pub seed: Option<i64>,
}

impl MediaService {
    /// Makes a picture and answers its record once it is done. What is refused leaves no record; a generator that fails leaves one that
    /// says so. Dropping the call breaks it off.
    pub async fn draw(&self, caller: Option<&Caller>, order: ImageOrder) -> Result<MediaRecord, ServiceError> {
        self.admit(caller)?;
        let prompt = Prompt::new(order.prompt, self.policy.image_prompt_characters)?;
        let size = order.size.map_or_else(|| Ok(ImageSize::default()), |size| size.parse())?;
        let seed = self.seed(order.seed)?;
        let model = order.model.map_or_else(|| Ok(self.policy.image_model.clone()), ModelName::new)?;
        let (generator, provider_model) = choose(&model, &self.ports.image_generators)?;
        let record = MediaRecord {
            id: self.new_id(caller),
            user_id: caller.map(|caller| caller.user.id),
            prompt: prompt.as_str().to_owned(),
            model,
            settings: MediaSettings::Image { size, seed },
            state: MediaState::Queued,
            created_at: self.ports.clock.now(),
        };
        let request = ImageRequest { prompt: record.prompt.clone(), size, seed, provider_model };
        let tokens = self.policy.image_tokens;
        let hold = self.hold(caller, tokens).await?.map(|hold| (hold, tokens));
        let mut job = self.queue(record, hold).await?;
        match self.in_time(self.make(&mut job, &**generator, request)).await {
            Ok(record) => Ok(record),
            Err(ServiceError::Generation(error)) if is_refusal(&error) => {
                job.withdraw().await?;
                Err(error.into())
            }
            Err(error) => Err(job.fail(error).await),
        }
    }

    async fn make(
        &self,
        job: &mut Job,
        generator: &dyn ImageGenerator,
        request: ImageRequest,
    ) -> Result<MediaRecord, ServiceError> {
        let size = request.size;
        let sent = generator.generate(request).await?;
        let record = job.run().await?;
        let picture = self.ports.pictures.normalise(sent, size).await.map_err(|error| match error {
            PictureError::NotAPicture(problem) => GenerationError::ProviderFailed { provider: "the image provider", problem },
            PictureError::Overloaded => GenerationError::Overloaded { retry_after_seconds: 5 },
        })?;
        let storage = &*self.ports.storage;
        if let Some(key) = record.thumbnail_key() {
            let kept = put(storage, &key, "image/webp", picture.thumbnail_webp).await;
            kept.map_err(|error| storage_error(storage, error))?;
        }
        let kept = put(storage, &record.content_key(), record.content_type(), picture.png).await;
        job.finish(kept.map_err(|error| storage_error(storage, error))?).await
    }
}
