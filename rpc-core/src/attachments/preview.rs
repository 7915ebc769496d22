//! Makes previews of images. The decoders read bytes from untrusted clients, so their memory is limited.

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use std::io::Cursor;

/// Length of the longer side of a preview, in pixels.
const PREVIEW_SIDE: u32 = 512;
/// JPEG quality of a preview, 1 to 100.
const PREVIEW_QUALITY: u8 = 80;
/// Maximum length of a side of an image, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Maximum memory of a decoded image, in bytes: about 50 million pixels.
const MAX_MEMORY: u64 = 160 << 20;

/// Media type of every preview.
pub(super) const MIME_TYPE: &str = "image/jpeg";

/// Why a preview cannot be made. The texts follow "The file is taken for image/png, and".
#[derive(Debug, thiserror::Error)]
pub(super) enum PreviewError {
    /// The image needs too much memory.
    #[error("it has more than {MAX_SIDE} pixels on a side, or about 50 million in all")]
    TooLarge,
    /// The bytes are not a valid image of the format.
    #[error("it cannot be decoded: {0}")]
    Broken(image::ImageError),
}

/// Returns the image format of a media type; `None` if browsers or models do not support it.
pub(super) fn image_format(mime_type: &str) -> Option<ImageFormat> {
    match mime_type {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        "image/gif" => Some(ImageFormat::Gif),
        "image/webp" => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// Makes a preview: a JPEG on white; of an animation, the first frame. Uses much CPU: call it on a blocking thread.
pub(super) fn make(bytes: &[u8], format: ImageFormat) -> Result<Vec<u8>, PreviewError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    if decoder.total_bytes() > MAX_MEMORY {
        return Err(PreviewError::TooLarge);
    }
    // Cameras store the orientation as metadata instead of rotating the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder)?;
    let mut image = if image.width().max(image.height()) > PREVIEW_SIDE {
        image.thumbnail(PREVIEW_SIDE, PREVIEW_SIDE)
    } else {
        image
    };
    image.apply_orientation(orientation);
    let mut preview = Vec::new();
    JpegEncoder::new_with_quality(&mut preview, PREVIEW_QUALITY).encode_image(&on_white(&image))?;
    Ok(preview)
}

/// Puts an image on white, because JPEG has no transparency.
fn on_white(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba8();
    let mut opaque = RgbImage::new(image.width(), image.height());
    for (to, from) in opaque.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u16::from);
        let blend = |colour: u16| u8::try_from((colour * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX);
        *to = Rgb([blend(red), blend(green), blend(blue)]);
    }
    opaque
}

impl From<image::ImageError> for PreviewError {
    fn from(error: image::ImageError) -> Self {
        match error {
            image::ImageError::Limits(_) => Self::TooLarge,
            error => Self::Broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbaImage;

    fn encoded(image: &RgbaImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        // JPEG has no alpha channel.
        let image = DynamicImage::from(image.clone());
        let image = if format == ImageFormat::Jpeg { image.to_rgb8().into() } else { image };
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn every_format_has_a_preview_of_limited_size() {
        let image = RgbaImage::from_pixel(1024, 300, image::Rgba([200, 10, 10, 255]));
        for mime_type in ["image/png", "image/jpeg", "image/gif", "image/webp"] {
            let format = image_format(mime_type).unwrap();
            let preview = make(&encoded(&image, format), format).unwrap();
            let preview = image::load_from_memory_with_format(&preview, ImageFormat::Jpeg).unwrap();
            assert_eq!((preview.width(), preview.height()), (512, 150), "{mime_type}");
        }
        assert!(image_format("image/svg+xml").is_none(), "SVG is a document");
    }

    #[test]
    fn transparent_pixels_become_white() {
        let image = RgbaImage::from_pixel(8, 8, image::Rgba([0, 0, 0, 0]));
        let preview = make(&encoded(&image, ImageFormat::Png), ImageFormat::Png).unwrap();
        let preview = image::load_from_memory(&preview).unwrap().to_rgb8();
        assert!(preview.get_pixel(4, 4).0.iter().all(|colour| *colour > 250), "{:?}", preview.get_pixel(4, 4));
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let small = encoded(&RgbaImage::new(1, 1), ImageFormat::Png);
        for side in [MAX_SIDE + 1, 60_000, MAX_SIDE] {
            // The header of a PNG: width, height and a checksum.
            let mut bomb = small.clone();
            bomb[16..20].copy_from_slice(&side.to_be_bytes());
            bomb[20..24].copy_from_slice(&side.to_be_bytes());
            let sum = crc32(&bomb[12..29]);
            bomb[29..33].copy_from_slice(&sum.to_be_bytes());
            assert!(matches!(make(&bomb, ImageFormat::Png), Err(PreviewError::TooLarge)), "{side}");
        }
        assert!(matches!(make(&small, ImageFormat::Jpeg), Err(PreviewError::Broken(_))), "another format");
        assert!(matches!(make(&small[..40], ImageFormat::Png), Err(PreviewError::Broken(_))), "half a file");
        assert!(matches!(make(b"", ImageFormat::Gif), Err(PreviewError::Broken(_))));
    }

    /// The checksum of PNG chunks.
    fn crc32(bytes: &[u8]) -> u32 {
        let step = |sum: u32| if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
        !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
    }
}
