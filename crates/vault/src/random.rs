//! The operating system's randomness.

/// `N` unpredictable bytes.
///
/// # Panics
/// Where the operating system has no randomness to give: nothing safe could go on.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// `N` unpredictable bytes as lower-case hexadecimal digits.
pub fn hex<const N: usize>() -> String {
    crate::digest::to_hex(&bytes::<N>())
}
