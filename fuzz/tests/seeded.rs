//! The promises of the fuzz targets, held against the seeds and a fixed set of mutations of them: what every compiler
//! and every run of the tests checks: `cargo test --no-default-features --features manifest`.
use std::fs;
use std::path::Path;

#[cfg(feature = "manifest")]
use ingora_fuzz::manifest;
use ingora_fuzz::{annotations, request_head};

/// Numbers without pattern, the same on every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % end.max(1)
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Changes one place: another byte, a piece lost, doubled, or taken from another seed.
fn mutate(data: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    const BYTES: &[u8] = b"\0\r\n\t ./%:;=-'\"{}[]*&!|>#\x7f\xff09azAZ";
    let from = numbers.below(data.len());
    let to = (from + 1 + numbers.below(24)).min(data.len());
    match numbers.below(5) {
        0 if !data.is_empty() => data[from] = BYTES[numbers.below(BYTES.len())],
        1 => data.insert(from, BYTES[numbers.below(BYTES.len())]),
        2 => drop(data.drain(from..to)),
        3 => data.extend_from_within(from..to),
        _ => {
            let other = &others[numbers.below(others.len())];
            let piece = numbers.below(other.len());
            let piece = &other[piece..(piece + 32).min(other.len())];
            drop(data.splice(from..from, piece.iter().copied()));
        }
    }
}

fn hold(target: &str, rounds: usize, check: fn(&[u8])) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| check(seed));
    check(b"");
    let mut numbers = Numbers(1);
    for _ in 0..rounds {
        let mut data = seeds[numbers.below(seeds.len())].clone();
        for _ in 0..=numbers.below(6) {
            mutate(&mut data, &seeds, &mut numbers);
        }
        let told = String::from_utf8_lossy(&data).into_owned();
        let held = std::panic::catch_unwind(|| check(&data));
        assert!(held.is_ok(), "{target} breaks a promise with {told:?}");
    }
}

#[cfg(feature = "manifest")]
#[test]
fn any_manifest_holds_the_promises() {
    hold("manifest", 1_000, manifest::check);
    manifest::remove_folder();
}

#[test]
fn any_request_head_holds_the_promises() {
    hold("request_head", 20_000, request_head::check);
}

#[test]
fn any_annotations_hold_the_promises() {
    hold("annotations", 10_000, annotations::check);
}
