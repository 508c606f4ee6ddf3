//! The real `espeak-ng`, its sound decoded by a program that is not ours; and programs that misbehave in its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod listening;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use adapters_speech::{EspeakConfig, EspeakSynthesizer};
use domain::{AudioFormat, Pitch, Speed, VoiceName};
use futures_util::{StreamExt, TryStreamExt};
use ports::{GenerationError, SpeechRequest, SpeechSynthesizer};
use tempfile::TempDir;

use listening::{Heard, listen};

fn config() -> EspeakConfig {
    EspeakConfig { program: "espeak-ng".into(), max_processes: 2, max_waiting: 16, deadline: Duration::from_secs(30) }
}

fn says(text: &str, voice: &str) -> SpeechRequest {
    SpeechRequest {
        text: text.into(),
        voice: VoiceName::new(voice).unwrap(),
        format: AudioFormat::Mp3,
        speed: Speed::default(),
        pitch: Pitch::default(),
        provider_model: None,
    }
}

async fn sound(synthesizer: &EspeakSynthesizer, request: SpeechRequest) -> Result<Vec<u8>, GenerationError> {
    let pieces: Vec<_> = synthesizer.synthesize(request).await?.try_collect().await?;
    Ok(pieces.concat())
}

#[tokio::test]
async fn the_eight_languages_of_the_contract_become_mp3_that_can_be_heard() {
    let synthesizer = EspeakSynthesizer::new(config());
    for (voice, text) in [
        ("en", "Once upon a time there was a king who had three daughters."),
        ("es", "Érase una vez un rey que tenía tres hijas."),
        ("fr", "Il était une fois un roi qui avait trois filles."),
        ("de", "Es war einmal ein König, der hatte drei Töchter."),
        ("it", "C'era una volta un re che aveva tre figlie."),
        ("pt", "Era uma vez um rei que tinha três filhas."),
        ("ja", "むかしむかし、あるところに、おうさまがいました。"),
        ("zh-CN", "从前有一个国王，他有三个女儿。"),
    ] {
        let heard = listen(sound(&synthesizer, says(text, voice)).await.unwrap());
        assert!((1.0..20.0).contains(&heard.seconds), "{voice}: {} s", heard.seconds);
        assert!(heard.loudness > 0.01, "{voice}: {}", heard.loudness);
    }
}

#[tokio::test]
async fn every_format_holds_the_same_sound() {
    let synthesizer = EspeakSynthesizer::new(config());
    let mut lengths = Vec::new();
    for format in synthesizer.describe().formats {
        let heard =
            listen(sound(&synthesizer, SpeechRequest { format: *format, ..says("Once upon a time.", "en") }).await.unwrap());
        assert!(heard.loudness > 0.01, "{format:?}");
        lengths.push((heard.seconds, *format));
    }
    // An MP3 holds whole frames, and a little silence before them.
    let (shortest, longest) =
        (lengths.iter().min_by(|a, b| a.0.total_cmp(&b.0)), lengths.iter().max_by(|a, b| a.0.total_cmp(&b.0)));
    assert!(longest.unwrap().0 - shortest.unwrap().0 < 0.2, "{lengths:?}");
}

#[tokio::test]
async fn what_is_lossless_is_lossless() {
    let synthesizer = EspeakSynthesizer::new(config());
    let request = |format| SpeechRequest { format, ..says("Once upon a time.", "en") };
    let wav = listen(sound(&synthesizer, request(AudioFormat::Wav)).await.unwrap());
    let flac = listen(sound(&synthesizer, request(AudioFormat::Flac)).await.unwrap());
    assert!(wav.samples == flac.samples, "{} and {} samples", wav.samples.len(), flac.samples.len());
}

#[tokio::test]
async fn opus_begins_and_ends_with_the_sound_and_is_as_loud_all_along() {
    let synthesizer = EspeakSynthesizer::new(config());
    let request = |format| SpeechRequest { format, ..says("Once upon a time there was a king. He had three daughters.", "en") };
    let wav = listen(sound(&synthesizer, request(AudioFormat::Wav)).await.unwrap());
    let opus = listen(sound(&synthesizer, request(AudioFormat::Opus)).await.unwrap());
    assert!((wav.seconds - opus.seconds).abs() < 1.0 / 48_000.0, "{} and {} s", wav.seconds, opus.seconds);
    // A twentieth of a second each.
    for (n, (expected, heard)) in wav.loudness_of_parts(1102).zip(opus.loudness_of_parts(2400)).enumerate() {
        assert!((expected - heard).abs() < 0.005 + 0.1 * expected, "part {n}: {expected:.4} became {heard:.4}");
    }
}

#[tokio::test]
async fn speed_and_pitch_can_be_heard() {
    let synthesizer = EspeakSynthesizer::new(config());
    let text = "Once upon a time there was a king who had three daughters.";
    let at = async |speed, pitch| {
        let (speed, pitch) = (Speed::new(speed).unwrap(), Pitch::new(pitch).unwrap());
        listen(sound(&synthesizer, SpeechRequest { speed, pitch, ..says(text, "en") }).await.unwrap())
    };
    let (slow, own, fast) = (at(0.5, 1.0).await, at(1.0, 1.0).await, at(2.0, 1.0).await);
    assert!(slow.seconds > own.seconds * 1.3 && own.seconds > fast.seconds * 1.3);
    let (low, high) = (at(1.0, 0.0).await, at(1.0, 2.0).await);
    assert!(low.samples != own.samples && own.samples != high.samples && high.samples != low.samples);
}

#[tokio::test]
async fn sound_comes_before_the_whole_text_is_spoken() {
    let synthesizer = EspeakSynthesizer::new(config());
    let text = "Once upon a time there was a king who had three daughters. ".repeat(40);
    let pieces: Vec<_> = synthesizer.synthesize(says(&text, "en")).await.unwrap().collect().await;
    assert!(pieces.len() > 50, "{} pieces", pieces.len());
}

#[tokio::test]
async fn a_text_cannot_be_an_option_or_a_command() {
    let synthesizer = EspeakSynthesizer::new(config());
    for text in ["--help", "-f /etc/passwd", "$(touch /tmp/x)", "<audio src='/etc/passwd'/>", "a\0b", "💥"] {
        sound(&synthesizer, says(text, "en")).await.unwrap();
    }
}

#[tokio::test]
async fn a_voice_that_is_not_there_is_refused() {
    let synthesizer = EspeakSynthesizer::new(config());
    let refused = sound(&synthesizer, says("Hello", "klingon")).await;
    assert_eq!(refused, Err(GenerationError::Unsupported { field: "voice" }));
}

#[tokio::test]
async fn all_its_voices_speak() {
    let synthesizer = EspeakSynthesizer::new(config());
    let voices = synthesizer.voices().await.unwrap();
    assert!(voices.len() > 100, "{}", voices.len());
    for voice in voices.iter().step_by(7) {
        let bytes = sound(&synthesizer, says("1 2 3", voice.name.as_str())).await;
        assert!(bytes.is_ok_and(|bytes| bytes.len() > 500), "{}", voice.name);
    }
}

#[tokio::test]
async fn where_the_program_is_not_installed_it_is_told_how_to() {
    let synthesizer = EspeakSynthesizer::new(EspeakConfig { program: "no-such-program".into(), ..config() });
    let GenerationError::ModelUnavailable(problem) = synthesizer.voices().await.unwrap_err() else { panic!() };
    assert!(problem.contains("apt-get install -y espeak-ng") && problem.contains("SPEECH_BACKEND"), "{problem}");
    assert_eq!(sound(&synthesizer, says("Hello", "en")).await, Err(GenerationError::ModelUnavailable(problem)));
}

/// A program that lists one voice, and otherwise does this.
fn scripted(script: &str) -> (EspeakSynthesizer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("espeak");
    let list = "if [ \"$1\" = --voices ]; then echo header; echo '5 en --/M English gmw/en'; exit; fi";
    std::fs::write(&path, format!("#!/bin/sh\n{list}\necho $$ > {}/pid\n{script}\n", folder.path().display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = EspeakConfig { program: path.display().to_string(), max_processes: 1, max_waiting: 1, ..config() };
    (EspeakSynthesizer::new(config), folder)
}

/// Its header says 22,050 samples a second.
const HEADER: &str = "head -c 44 /dev/zero | sed 's/x/x/' > /dev/null; printf 'RIFF....WAVEfmt ....\\001\\000\\001\\000\\042\\126\\000\\000........data....'";

fn is_running(folder: &TempDir) -> bool {
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // A zombie has ended.
    !state.is_empty() && !state.contains(") Z ")
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What becomes of these samples of a program.
async fn opus_of(samples: &str) -> Heard {
    let (synthesizer, _folder) = scripted(&format!("cat > /dev/null; {HEADER}; {samples}"));
    listen(sound(&synthesizer, SpeechRequest { format: AudioFormat::Opus, ..says("Hello", "en") }).await.unwrap())
}

#[tokio::test]
async fn any_samples_become_opus_of_their_length() {
    for bytes in [2_u32, 882, 44_100, 441_000] {
        let seconds = f64::from(bytes) / 44_100.0;
        let silence = opus_of(&format!("head -c {bytes} /dev/zero")).await;
        let noise = opus_of(&format!("head -c {bytes} /dev/urandom")).await;
        for heard in [&silence, &noise] {
            assert!((heard.seconds - seconds).abs() < 1.0 / 48_000.0, "{bytes} bytes: {} s", heard.seconds);
        }
        assert!(silence.loudness < 0.001, "{bytes} bytes: {}", silence.loudness);
        assert!(bytes == 2 || noise.loudness > 0.3, "{bytes} bytes: {}", noise.loudness);
    }
}

#[tokio::test]
async fn whoever_goes_away_ends_the_process_and_frees_its_place() {
    let (synthesizer, folder) = scripted(&format!("cat > /dev/null; {HEADER}; exec cat /dev/zero"));
    for _ in 0..3 {
        let mut stream = synthesizer.synthesize(says("Hello", "en")).await.unwrap();
        assert!(stream.next().await.unwrap().is_ok());
        assert!(is_running(&folder));
        drop(stream);
        eventually("the process ends", || !is_running(&folder)).await;
    }
}

#[tokio::test]
async fn one_too_many_is_refused_and_the_others_take_their_turn() {
    let (synthesizer, _folder) = scripted(&format!("cat > /dev/null; {HEADER}; exec cat /dev/zero"));
    let synthesizer = std::sync::Arc::new(synthesizer);
    let first = synthesizer.synthesize(says("Hello", "en")).await.unwrap();
    let for_second = std::sync::Arc::clone(&synthesizer);
    let second = tokio::spawn(async move { for_second.synthesize(says("Hello", "en")).await.map(drop) });
    eventually("the second waits and the third is refused", || {
        let third = futures_util::FutureExt::now_or_never(synthesizer.synthesize(says("Hello", "en")));
        matches!(third, Some(Err(GenerationError::Overloaded { .. })))
    })
    .await;
    drop(first);
    second.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_process_that_hangs_is_ended_at_its_deadline() {
    for script in [String::from("exec sleep 100"), format!("cat > /dev/null; {HEADER}; exec sleep 100")] {
        let (_, folder) = scripted(&script);
        let program = folder.path().join("espeak").display().to_string();
        let config = EspeakConfig { program, deadline: Duration::from_millis(500), ..config() };
        let ended = sound(&EspeakSynthesizer::new(config), says("Hello", "en")).await;
        assert_eq!(ended, Err(GenerationError::DeadlineExceeded), "{script}");
        eventually("the process ends", || !is_running(&folder)).await;
    }
}

#[tokio::test]
async fn a_reader_who_does_not_read_keeps_no_process_and_no_place() {
    let (_, folder) = scripted(&format!("cat > /dev/null; {HEADER}; exec cat /dev/zero"));
    let program = folder.path().join("espeak").display().to_string();
    let config = EspeakConfig { program, max_processes: 1, max_waiting: 1, deadline: Duration::from_millis(500) };
    let synthesizer = EspeakSynthesizer::new(config);
    let unread = synthesizer.synthesize(says("Hello", "en")).await.unwrap();
    eventually("the process ends", || !is_running(&folder)).await;
    drop(synthesizer.synthesize(says("Hello", "en")).await.unwrap());
    let pieces: Vec<_> = unread.collect().await;
    assert_eq!(pieces.last(), Some(&Err(GenerationError::DeadlineExceeded)), "nobody takes half of it for the whole");
}

#[tokio::test]
async fn what_is_no_sound_is_an_error() {
    for script in ["exit 1", "cat > /dev/null; echo nonsense", "cat > /dev/null; head -c 100 /dev/zero"] {
        let (synthesizer, _folder) = scripted(script);
        let failure = sound(&synthesizer, says("Hello", "en")).await.unwrap_err();
        assert!(matches!(failure, GenerationError::Failed(_)), "{script}: {failure}");
    }
    let (synthesizer, _folder) = scripted(&format!("cat > /dev/null; {HEADER}; head -c 4001 /dev/zero; exit 3"));
    let failure = sound(&synthesizer, says("Hello", "en")).await.unwrap_err();
    assert!(matches!(failure, GenerationError::Failed(_)), "it said something and failed: {failure}");
}
