//! The stories of [`ports::ObjectStorage`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ObjectKey;
use futures_util::TryStreamExt;
use ports::{ObjectStorage, StoreError};

use super::{all_at_once, error_of};
use crate::builders::a_time;

/// An empty storage.
pub type Storage = Arc<dyn ObjectStorage>;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

async fn keep(storage: &Storage, name: &str, pieces: &[&[u8]]) -> u64 {
    let mut upload = storage.begin(&key(name), "text/plain").await.unwrap();
    for piece in pieces {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.finish().await.unwrap()
}

async fn kept(storage: &Storage, name: &str) -> Vec<u8> {
    let pieces: Vec<Bytes> = storage.read(&key(name), None).await.unwrap().try_collect().await.unwrap();
    pieces.concat()
}

async fn names(storage: &Storage, folder: &str, after: Option<&str>, limit: u32) -> Vec<String> {
    let listed = storage.list(&key(folder), after.map(key), limit).await.unwrap();
    listed.into_iter().map(|object| object.key.to_string()).collect()
}

/// Piece by piece in, whole out.
pub async fn an_object_comes_back_as_it_was_kept(storage: &Storage) {
    assert_eq!(keep(storage, "a/b.txt", &[b"once ", b"", b"upon ", b"a time"]).await, 16);
    assert_eq!(kept(storage, "a/b.txt").await, b"once upon a time");
    let info = storage.info(&key("a/b.txt")).await.unwrap();
    assert_eq!((info.key, info.size_bytes), (key("a/b.txt"), 16));
}

/// Also one that is longer than any buffer.
pub async fn a_long_object_comes_back_whole(storage: &Storage) {
    let piece: Vec<u8> = (0..1_000_003_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let size = keep(storage, "long", &[piece.as_slice(); 18]).await;
    assert_eq!(size, 18 * 1_000_003);
    assert!(kept(storage, "long").await == piece.repeat(18));
}

/// Nothing at all is an object too.
pub async fn an_empty_object_is_an_object(storage: &Storage) {
    assert_eq!(keep(storage, "empty", &[]).await, 0);
    assert_eq!(kept(storage, "empty").await, b"");
    assert_eq!(storage.info(&key("empty")).await.unwrap().size_bytes, 0);
}

/// For who resumes a download, or jumps within a recording.
pub async fn a_part_of_an_object_can_be_read(storage: &Storage) {
    keep(storage, "digits", &[b"0123456789"]).await;
    for (range, expected) in [(0..1, "0"), (3..7, "3456"), (9..10, "9"), (0..10, "0123456789"), (4..4, "")] {
        let part: Vec<Bytes> = storage.read(&key("digits"), Some(range)).await.unwrap().try_collect().await.unwrap();
        assert_eq!(part.concat(), expected.as_bytes());
    }
}

/// Not an empty object.
pub async fn what_is_not_there_is_not_found(storage: &Storage) {
    keep(storage, "folder/object", &[b"x"]).await;
    for name in ["nowhere", "folder/other", "other/object"] {
        assert_eq!(error_of(storage.info(&key(name)).await), StoreError::NotFound, "{name}");
        let read = storage.read(&key(name), None).await;
        assert_eq!(error_of(read.map(drop)), StoreError::NotFound, "{name}");
    }
}

/// Half an object is none.
pub async fn nobody_sees_an_upload_before_it_is_finished(storage: &Storage) {
    let mut upload = storage.begin(&key("folder/new"), "text/plain").await.unwrap();
    upload.write(Bytes::from(vec![1; 9_000_000])).await.unwrap();
    assert_eq!(error_of(storage.info(&key("folder/new")).await), StoreError::NotFound);
    assert_eq!(names(storage, "folder", None, 10).await, Vec::<String>::new());
    upload.finish().await.unwrap();
    assert_eq!(names(storage, "folder", None, 10).await, ["folder/new"]);
}

/// And takes nothing away.
pub async fn an_upload_that_breaks_off_leaves_nothing(storage: &Storage) {
    keep(storage, "folder/old", &[b"as it was"]).await;
    for name in ["folder/old", "folder/new"] {
        let mut upload = storage.begin(&key(name), "text/plain").await.unwrap();
        upload.write(Bytes::from(vec![1; 9_000_000])).await.unwrap();
        drop(upload);
    }
    assert_eq!(names(storage, "folder", None, 10).await, ["folder/old"]);
    assert_eq!(kept(storage, "folder/old").await, b"as it was");
}

/// Shorter than the one before, too.
pub async fn an_object_is_replaced_whole(storage: &Storage) {
    keep(storage, "a", &[b"a long one, kept first"]).await;
    keep(storage, "a", &[b"short"]).await;
    assert_eq!(kept(storage, "a").await, b"short");
}

/// Whichever it is, it is one of them.
pub async fn who_reads_while_others_replace_reads_one_version(storage: &Storage) {
    let version = |n: u8| vec![n; 300_000];
    keep(storage, "contested", &[&version(0)]).await;
    let writers: Vec<_> = (1..=4)
        .map(|n| {
            let storage = Arc::clone(storage);
            tokio::spawn(async move {
                for _ in 0..5 {
                    keep(&storage, "contested", &[&version(n)]).await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let read = kept(storage, "contested").await;
        assert!(read == version(read[0]), "one version, whole: {} bytes beginning with {}", read.len(), read[0]);
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// And removing it again is no failure.
pub async fn a_removed_object_is_gone(storage: &Storage) {
    keep(storage, "folder/goes", &[b"x"]).await;
    keep(storage, "folder/stays", &[b"x"]).await;
    for _ in 0..2 {
        storage.remove(&key("folder/goes")).await.unwrap();
    }
    storage.remove(&key("never/was")).await.unwrap();
    assert_eq!(names(storage, "folder", None, 10).await, ["folder/stays"]);
    keep(storage, "folder/goes", &[b"back"]).await;
    assert_eq!(kept(storage, "folder/goes").await, b"back");
}

/// By their bytes, as S3 orders them.
pub async fn objects_are_listed_in_the_order_of_their_names(storage: &Storage) {
    let expected = ["f/A", "f/a-b/c", "f/a.txt", "f/a/b", "f/a/c/d", "f/a0", "f/b"];
    for name in expected.iter().rev() {
        keep(storage, name, &[b"x"]).await;
    }
    keep(storage, "elsewhere/a", &[b"x"]).await;
    keep(storage, "f0", &[b"x"]).await;
    assert_eq!(names(storage, "f", None, 100).await, expected);
    assert_eq!(names(storage, "f/a", None, 100).await, ["f/a/b", "f/a/c/d"]);
    assert_eq!(names(storage, "nowhere", None, 100).await, Vec::<String>::new());
}

/// Each once.
pub async fn a_list_can_be_read_a_page_at_a_time(storage: &Storage) {
    let expected: Vec<String> = (0..12).map(|n| format!("pages/{}/{}", n / 5, n % 5)).collect();
    for name in &expected {
        keep(storage, name, &[b"x"]).await;
    }
    for limit in [1, 4, 5, 12, 50] {
        let mut listed: Vec<String> = Vec::new();
        loop {
            let page = names(storage, "pages", listed.last().map(String::as_str), limit).await;
            assert!(page.len() <= limit as usize);
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, expected, "pages of {limit}");
    }
}

/// None is lost and none mixed with another.
pub async fn many_objects_kept_at_once_are_all_whole(storage: &Storage) {
    let number = Arc::new(std::sync::atomic::AtomicU8::new(0));
    all_at_once(24, || {
        let (storage, number) = (Arc::clone(storage), Arc::clone(&number));
        async move {
            let n = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            keep(&storage, &format!("many/{n}"), &[&vec![n; 70_000], &[n]]).await;
        }
    })
    .await;
    for n in 0..24 {
        assert!(kept(storage, &format!("many/{n}")).await == vec![n; 70_001], "{n}");
    }
}

/// Folders come and go with what is in them.
pub async fn objects_of_one_folder_can_be_kept_and_removed_at_once(storage: &Storage) {
    all_at_once(8, || {
        let storage = Arc::clone(storage);
        async move {
            for n in 0..10 {
                keep(&storage, &format!("busy/{n}/x"), &[b"x"]).await;
                storage.remove(&key(&format!("busy/{n}/x"))).await.unwrap();
            }
        }
    })
    .await;
    assert_eq!(names(storage, "busy", None, 10).await, Vec::<String>::new());
}

/// Each its own.
pub async fn a_signed_url_is_made_for_one_object(storage: &Storage) {
    let minute = Duration::from_mins(1);
    let url = async |name: &str| storage.signed_url(&key(name), a_time(), minute).await.unwrap();
    let (one, another) = (url("signed/one").await, url("signed/another").await);
    assert!(one.contains("signed/one") && another.contains("signed/another"), "{one} {another}");
    assert_ne!(one.replace("signed/one", ""), another.replace("signed/another", ""), "the signatures differ");
}

/// What runs is left alone.
pub async fn an_upload_that_goes_on_is_not_swept_away(storage: &Storage) {
    let mut upload = storage.begin(&key("slow"), "text/plain").await.unwrap();
    upload.write(Bytes::from_static(b"once ")).await.unwrap();
    assert_eq!(storage.remove_unfinished(a_time() - chrono::TimeDelta::days(1)).await.unwrap(), 0);
    upload.write(Bytes::from_static(b"upon")).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(kept(storage, "slow").await, b"once upon");
}

/// Makes a test of every story, of what `$make` gives.
#[macro_export]
macro_rules! object_storage_contract {
    ($make:path) => {
        $crate::stories! {
            $make, object_storage,
            an_object_comes_back_as_it_was_kept,
            a_long_object_comes_back_whole,
            an_empty_object_is_an_object,
            a_part_of_an_object_can_be_read,
            what_is_not_there_is_not_found,
            nobody_sees_an_upload_before_it_is_finished,
            an_upload_that_breaks_off_leaves_nothing,
            an_object_is_replaced_whole,
            who_reads_while_others_replace_reads_one_version,
            a_removed_object_is_gone,
            objects_are_listed_in_the_order_of_their_names,
            a_list_can_be_read_a_page_at_a_time,
            many_objects_kept_at_once_are_all_whole,
            objects_of_one_folder_can_be_kept_and_removed_at_once,
            a_signed_url_is_made_for_one_object,
            an_upload_that_goes_on_is_not_swept_away,
        }
    };
}
