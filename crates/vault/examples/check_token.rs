//! What it costs to check an access token on one core.
//!
//! `cargo run --release -p vault --example check_token`. Each line is the best of five rounds. A token costs a
//! hash in the process that issued it, and in any other from the second time on, which is what a client sends
//! for ten minutes; the first time in another process it costs a signature. The bar is 20 µs.

use std::{
    hint::black_box,
    io::{Write as _, stdout},
    process::ExitCode,
    time::Instant,
};

use domain::{
    clock::Clock,
    ids::{SessionId, UserId},
};
use vault::token::TokenKeys;

const TOKENS: usize = 2_000;
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let text = TokenKeys::generate();
    let now = Clock::System.now();
    let Ok(keys) = TokenKeys::parse(&text) else {
        return ExitCode::FAILURE;
    };
    let tokens: Vec<String> = (0..TOKENS)
        .map(|_| keys.issue(UserId::fresh(), SessionId::fresh(), now).0)
        .collect();
    let (mut issued, mut fresh, mut repeated) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        // Read again each round, so that nothing was seen yet.
        let Ok(other) = TokenKeys::parse(&text) else {
            return ExitCode::FAILURE;
        };
        for (keys, best) in [
            (&keys, &mut issued),
            (&other, &mut fresh),
            (&other, &mut repeated),
        ] {
            let start = Instant::now();
            for token in &tokens {
                if black_box(keys.check(black_box(token), now)).is_err() {
                    return ExitCode::FAILURE;
                }
            }
            let micros = start.elapsed().as_secs_f64() * 1e6;
            *best = best.min(micros / f64::from(u32::try_from(TOKENS).unwrap_or(u32::MAX)));
        }
    }
    let said = writeln!(
        stdout(),
        "in the process that issued it         {issued:6.2} µs\n\
         in another process, the first time    {fresh:6.2} µs\n\
         in another process, from then on      {repeated:6.2} µs"
    );
    if said.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
