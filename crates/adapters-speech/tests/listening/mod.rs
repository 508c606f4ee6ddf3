//! What decoders that are not ours make of a recording.

use std::io::Cursor;
use std::process::Command;

use symphonia::core::audio::SampleBuffer;
use symphonia::core::codecs::DecoderOptions;
use symphonia::core::formats::FormatOptions;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

/// What a decoder makes of it.
pub struct Heard {
    pub seconds: f64,
    /// The root of the mean square, 1.0 being as loud as can be.
    pub loudness: f64,
    pub samples: Vec<f32>,
}

impl Heard {
    fn new(samples: Vec<f32>, rate: u32) -> Self {
        let seconds = f64::from(u32::try_from(samples.len()).unwrap()) / f64::from(rate);
        Self { seconds, loudness: loudness(&samples), samples }
    }

    /// How loud it is in each of its parts of so many samples.
    pub fn loudness_of_parts(&self, samples: usize) -> impl Iterator<Item = f64> {
        self.samples.chunks_exact(samples).map(loudness)
    }
}

fn loudness(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (power / f64::from(u32::try_from(samples.len()).unwrap())).sqrt()
}

/// Decodes any of the formats.
pub fn listen(bytes: Vec<u8>) -> Heard {
    if bytes.starts_with(b"OggS") { listen_to_opus(&bytes) } else { listen_to_others(bytes) }
}

/// By the program that Opus's authors wrote, which heeds a page's checksum and where the sound begins and ends.
fn listen_to_opus(bytes: &[u8]) -> Heard {
    let folder = tempfile::tempdir().unwrap();
    let (file, decoded) = (folder.path().join("sound.opus"), folder.path().join("sound.wav"));
    std::fs::write(&file, bytes).unwrap();
    let opusdec = Command::new("opusdec").args(["--quiet", "--rate", "48000"]).args([&file, &decoded]).output();
    let opusdec = opusdec.expect("opusdec is installed (scripts/setup.sh sees to it)");
    assert!(opusdec.status.success(), "{}", String::from_utf8_lossy(&opusdec.stderr));
    listen_to_others(std::fs::read(decoded).unwrap())
}

fn listen_to_others(bytes: Vec<u8>) -> Heard {
    let source = MediaSourceStream::new(Box::new(Cursor::new(bytes)), symphonia::core::io::MediaSourceStreamOptions::default());
    let probe = symphonia::default::get_probe();
    let probed = probe.format(&Hint::new(), source, &FormatOptions::default(), &MetadataOptions::default()).unwrap();
    let mut format = probed.format;
    let track = format.default_track().unwrap().clone();
    let mut decoder = symphonia::default::get_codecs().make(&track.codec_params, &DecoderOptions::default()).unwrap();
    let (mut samples, mut rate) = (Vec::new(), 0);
    while let Ok(packet) = format.next_packet() {
        let piece = decoder.decode(&packet).expect("every packet can be decoded");
        rate = piece.spec().rate;
        assert_eq!(piece.spec().channels.count(), 1);
        let mut buffer = SampleBuffer::<f32>::new(piece.capacity() as u64, *piece.spec());
        buffer.copy_interleaved_ref(piece);
        samples.extend_from_slice(buffer.samples());
    }
    Heard::new(samples, rate)
}
