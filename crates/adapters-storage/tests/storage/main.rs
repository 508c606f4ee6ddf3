//! The storages through the contract: a folder, and a real S3 server in this process. And what is particular to each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod folder;
mod loopback_s3;
mod s3_server;

mod in_a_folder {
    use crate::folder::an_empty_folder;

    test_support::object_storage_contract!(an_empty_folder);
}

mod in_s3 {
    use crate::s3_server::an_empty_bucket;

    test_support::object_storage_contract!(an_empty_bucket);
}
