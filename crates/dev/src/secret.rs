//! Passwords for things that live as long as a development database.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// A fresh secret of 192 random bits in hexadecimal digits, safe in a URL as it is.
pub(crate) fn fresh() -> Result<String> {
    let source = Path::new("/dev/urandom");
    let mut halves = [[0_u8; 12]; 2];
    File::open(source)
        .and_then(|mut file| halves.iter_mut().try_for_each(|half| file.read_exact(half)))
        .map_err(Error::file("could not read", source))?;
    let [high, low] = halves.map(|half| half.iter().fold(0_u128, |n, b| n << 8 | u128::from(*b)));
    Ok(format!("{high:024x}{low:024x}"))
}
