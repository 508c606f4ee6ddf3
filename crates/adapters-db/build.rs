//! Tells cargo that the migrations are part of the binary: `embed_migrations!` alone does not notice a new one.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
