//! Pictures from strangers, made into PNG files of our own and WebP copies.
//!
//! What a provider sends may be anything. Its kind is read from its own first bytes, never from what the provider says; its sides are
//! looked at before it is unpacked; and only its pixels are written, so that nothing else in it (a place, a camera, a comment, a second
//! picture) goes any further.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ImageSize;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::error::{LimitError, LimitErrorKind};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use ports::{Picture, PictureCodec, PictureError};
use tokio::sync::Semaphore;

/// What is unpacked at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecLimits {
    /// The longest side, in pixels.
    pub max_side: u32,
    /// The memory that unpacking may take, in bytes.
    pub max_bytes: u64,
    /// How many pictures are worked on at the same time.
    pub max_concurrent: usize,
    /// How many may wait for that, each of them in memory as it was sent.
    pub max_waiting: usize,
}

impl Default for CodecLimits {
    fn default() -> Self {
        Self { max_side: 8192, max_bytes: 256 * 1024 * 1024, max_concurrent: 2, max_waiting: 16 }
    }
}

/// The longer side of a small copy.
const THUMBNAIL_SIDE: u32 = 256;

/// Reads PNG, JPEG and WebP.
#[derive(Debug, Clone)]
pub struct PngCodec {
    limits: CodecLimits,
    places: Arc<Semaphore>,
    /// As many as work and wait.
    admitted: Arc<Semaphore>,
}

impl PngCodec {
    /// With these limits.
    pub fn new(limits: CodecLimits) -> Self {
        let max_concurrent = limits.max_concurrent.clamp(1, Semaphore::MAX_PERMITS);
        let max_admitted = max_concurrent.saturating_add(limits.max_waiting).min(Semaphore::MAX_PERMITS);
        let (places, admitted) = (Arc::new(Semaphore::new(max_concurrent)), Arc::new(Semaphore::new(max_admitted)));
        Self { limits, places, admitted }
    }
}

impl Default for PngCodec {
    fn default() -> Self {
        Self::new(CodecLimits::default())
    }
}

#[async_trait]
impl PictureCodec for PngCodec {
    async fn normalise(&self, sent: Bytes, size: ImageSize) -> Result<Picture, PictureError> {
        let admission = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| PictureError::Overloaded)?;
        let closed = |_| PictureError::NotAPicture("the server is stopping".to_owned());
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let limits = self.limits;
        let done = tokio::task::spawn_blocking(move || {
            // The place stays with the work: one who goes away must not let another in early.
            let _places = (place, admission);
            normalise(&sent, size, limits)
        });
        done.await.unwrap_or_else(|failure| Err(PictureError::NotAPicture(format!("reading it did not end: {failure}"))))
    }
}

fn normalise(sent: &[u8], size: ImageSize, limits: CodecLimits) -> Result<Picture, PictureError> {
    let (width, height) = (size.width(), size.height());
    let mut picture = decode(sent, limits).map_err(|error| not_a_picture(&error))?;
    if (picture.width(), picture.height()) != (width, height) {
        picture = picture.resize_to_fill(width, height, FilterType::CatmullRom);
    }
    // Eight bits a channel, with transparency or without: what every browser shows.
    picture = if picture.color().has_alpha() { picture.into_rgba8().into() } else { picture.into_rgb8().into() };
    let is_small = width.max(height) <= THUMBNAIL_SIDE;
    let thumbnail = if is_small { picture.clone() } else { picture.thumbnail(THUMBNAIL_SIDE, THUMBNAIL_SIDE) };
    let (mut png, mut webp) = (Vec::new(), Vec::new());
    picture
        .write_with_encoder(PngEncoder::new_with_quality(&mut png, CompressionType::Default, PngFilter::Adaptive))
        .and_then(|()| thumbnail.write_with_encoder(WebPEncoder::new_lossless(&mut webp)))
        .map_err(|error| not_a_picture(&error))?;
    Ok(Picture { png: png.into(), thumbnail_webp: webp.into() })
}

fn decode(sent: &[u8], limits: CodecLimits) -> Result<DynamicImage, ImageError> {
    let mut reader = ImageReader::new(Cursor::new(sent)).with_guessed_format()?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) {
        return Err(ImageError::Unsupported(image::error::ImageFormatHint::Unknown.into()));
    }
    let mut most = Limits::no_limits();
    most.max_image_width = Some(limits.max_side);
    most.max_image_height = Some(limits.max_side);
    most.max_alloc = Some(limits.max_bytes);
    reader.limits(most);
    let mut decoder = reader.into_decoder()?;
    // A decoder counts what it needs for itself; the picture's own pixels are counted here.
    if decoder.total_bytes() > limits.max_bytes {
        return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::InsufficientMemory)));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The decoders' words may quote what was sent; only their kind is told.
fn not_a_picture(error: &ImageError) -> PictureError {
    PictureError::NotAPicture(
        match error {
            ImageError::Limits(_) => "it is too large to be unpacked",
            ImageError::Unsupported(_) => "it is neither PNG nor JPEG nor WebP",
            ImageError::Decoding(_) | ImageError::IoError(_) => "it is damaged",
            ImageError::Encoding(_) | ImageError::Parameter(_) => "it cannot be written anew",
        }
        .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    fn size(width: u32, height: u32) -> ImageSize {
        ImageSize::new(width, height).unwrap()
    }

    /// Red on the left, blue on the right.
    fn a_picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn read(picture: &Picture) -> DynamicImage {
        image::load_from_memory_with_format(&picture.png, ImageFormat::Png).unwrap()
    }

    #[tokio::test]
    async fn whatever_was_sent_becomes_a_png_of_the_size_that_was_asked_for() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let sent = encoded(&a_picture(300, 200).into(), format);
            for (width, height) in [(300, 200), (64, 64), (128, 256), (512, 512)] {
                let picture = PngCodec::default().normalise(sent.clone().into(), size(width, height)).await.unwrap();
                let png = read(&picture).into_rgb8();
                assert_eq!((png.width(), png.height()), (width, height), "{format:?}");
                let (left, right) = (png.get_pixel(1, height / 2), png.get_pixel(width - 2, height / 2));
                assert!(left[0] > 200 && left[2] < 60 && right[2] > 200 && right[0] < 60, "{format:?} {left:?} {right:?}");
                let small = image::load_from_memory_with_format(&picture.thumbnail_webp, ImageFormat::WebP).unwrap();
                assert_eq!(small.width().max(small.height()), width.max(height).min(256), "its longer side");
            }
        }
    }

    #[tokio::test]
    async fn transparency_stays() {
        let clear = RgbaImage::from_pixel(64, 64, Rgba([10, 20, 30, 0]));
        let picture = PngCodec::default().normalise(encoded(&clear.into(), ImageFormat::Png).into(), size(64, 64)).await.unwrap();
        assert_eq!(read(&picture).into_rgba8().get_pixel(5, 5), &Rgba([10, 20, 30, 0]));
    }

    #[tokio::test]
    async fn what_a_camera_wrote_beside_the_pixels_is_dropped_and_which_way_is_up_is_heeded() {
        // A little-endian TIFF with one entry: orientation 6, which asks for a quarter turn.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        let mut sent = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut sent);
        encoder.set_exif_metadata(exif).unwrap();
        let upright = a_picture(64, 64);
        encoder.write_image(upright.as_raw(), 64, 64, ExtendedColorType::Rgb8).unwrap();
        assert!(sent.windows(4).any(|bytes| bytes == b"Exif"), "it is in what was sent");
        let picture = PngCodec::default().normalise(sent.into(), size(64, 64)).await.unwrap();
        let png = read(&picture).into_rgb8();
        assert!(png.get_pixel(32, 5)[0] > 200 && png.get_pixel(32, 58)[2] > 200, "red is above, blue below");
        for kept in [&picture.png, &picture.thumbnail_webp] {
            for mark in [b"Exif".as_slice(), b"eXIf", b"EXIF", b"tEXt", b"iTXt", b"ICCP", b"XMP "] {
                assert!(!kept.windows(4).any(|bytes| bytes == mark), "{}", String::from_utf8_lossy(mark));
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_picture_is_refused_without_its_words() {
        let png = encoded(&a_picture(64, 64).into(), ImageFormat::Png);
        let gif = b"GIF89a\x01\0\x01\0\0\0\0;".to_vec();
        let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
        for (sent, expected) in [
            (Vec::new(), "neither"),
            (b"{\"error\": \"a secret\"}".to_vec(), "neither"),
            (gif, "neither"),
            (svg, "neither"),
            (png[..png.len() / 2].to_vec(), "damaged"),
        ] {
            let refused = PngCodec::default().normalise(sent.into(), size(64, 64)).await.map(drop).unwrap_err();
            assert!(refused.to_string().contains(expected), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_picture_that_would_unpack_to_too_much_is_refused_before_it_is() {
        // A PNG that says it has 60,000 by 60,000 pixels, and holds none of them.
        let mut bomb = encoded(&a_picture(64, 64).into(), ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]);
        let crc = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        let refused = PngCodec::default().normalise(bomb.into(), size(64, 64)).await.map(drop).unwrap_err();
        assert!(refused.to_string().contains("too large"), "{refused}");
        let tight = PngCodec::new(CodecLimits { max_bytes: 1000, ..CodecLimits::default() });
        let sent = encoded(&a_picture(300, 200).into(), ImageFormat::Png);
        assert!(tight.normalise(sent.into(), size(64, 64)).await.is_err(), "memory is counted too");
    }

    #[tokio::test]
    async fn one_too_many_is_refused_and_who_goes_away_makes_room() {
        let codec = PngCodec::new(CodecLimits { max_concurrent: 1, max_waiting: 1, ..CodecLimits::default() });
        let sent = Bytes::from(encoded(&a_picture(64, 64).into(), ImageFormat::Png));
        let at_work = Arc::clone(&codec.places).acquire_owned().await.unwrap();
        let _admitted = Arc::clone(&codec.admitted).acquire_owned().await.unwrap();
        let waiting = tokio::spawn({
            let (codec, sent) = (codec.clone(), sent.clone());
            async move { codec.normalise(sent, size(64, 64)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(codec.normalise(sent.clone(), size(64, 64)).await.map(drop), Err(PictureError::Overloaded));
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(at_work);
        codec.normalise(sent, size(64, 64)).await.unwrap();
    }

    /// The checksum of a PNG's chunk (PNG, third edition, annex D).
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 0 { 0 } else { 0xEDB8_8320 })
        };
        !bytes.iter().fold(u32::MAX, step)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_a_picture_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), position in 0..200_usize) {
            let mut sent = encoded(&a_picture(64, 64).into(), ImageFormat::WebP);
            for (offset, byte) in bytes.iter().enumerate() {
                if let Some(place) = sent.get_mut(position + offset) {
                    *place = *byte;
                }
            }
            let _ = normalise(&sent, size(64, 64), CodecLimits::default());
            let _ = normalise(&bytes, size(64, 64), CodecLimits::default());
        }
    }
}
