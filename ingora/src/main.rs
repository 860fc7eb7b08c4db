//! Ingora.
fn main() {}
