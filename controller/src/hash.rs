//! A hash that is the same in every version of every program, unlike those of the standard library.

/// FNV-1a with 64 bits over parts, each with its end.
pub(crate) fn fnv<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flat_map(|part| part.iter().copied().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_eq!(fnv([&b""[..0]]), (0xcbf2_9ce4_8422_2325_u64).wrapping_mul(0x0100_0000_01b3));
        assert_ne!(fnv([&b"ab"[..], b"c"]), fnv([&b"a"[..], b"bc"]));
    }
}
