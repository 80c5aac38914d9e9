//! Ports for the programs that are started here.
//!
//! A port that the system offers ("port 0") may be given to an outgoing connection or to another run before the
//! program listens on it, or while the program is started again. Ports from here are below those that systems give
//! by themselves, and no two runs on one machine have the same.

use std::net::{TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// Below what systems give to outgoing connections: Linux from 32768, others from 49152 (RFC 6335, section 6).
const PORTS: Range<u16> = 20_000..32_000;
/// How many ports a run takes at once.
const BLOCK: u16 = 100;

static CLAIMED: Mutex<Claimed> = Mutex::new(Claimed {
    left: 0..0,
    signs: Vec::new(),
});

/// The blocks of this process.
struct Claimed {
    /// What the newest block has left.
    left: Range<u16>,
    /// For each block the UDP port of its first number, held so that other runs leave the block alone. The system
    /// takes it back when this process ends, however it ends.
    signs: Vec<UdpSocket>,
}

/// A port of this machine that nobody listens on, and that no other run is given while this process lives.
///
/// # Errors
///
/// When every port from 20000 to 31999 is taken.
pub fn claim() -> Result<u16> {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(port) = claimed.left.find(|&port| nobody_listens(port)) {
            return Ok(port);
        }
        let (sign, block) = free_block()?;
        claimed.signs.push(sign);
        claimed.left = block;
    }
}

fn free_block() -> Result<(UdpSocket, Range<u16>)> {
    let mut starts = PORTS.step_by(usize::from(BLOCK));
    let free = starts.find_map(|start| {
        let sign = UdpSocket::bind(("127.0.0.1", start)).ok()?;
        Some((sign, start..start + BLOCK))
    });
    free.ok_or_else(|| {
        let (first, end) = (PORTS.start, PORTS.end);
        Error::Needs(format!(
            "no port from {first} to {} is free: stop other runs",
            end - 1
        ))
    })
}

fn nobody_listens(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let many: Vec<u16> = (0..150)
            .map(|_| claim().expect("there are ports"))
            .collect();
        let different: HashSet<&u16> = many.iter().collect();
        assert_eq!(different.len(), many.len());
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_left_alone() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
        let port = taken.local_addr().expect("an address").port();
        assert!(!nobody_listens(port));
        drop(taken);
        // Another test may be given this port for a moment.
        let is_free_again = (0..1_000).any(|_| {
            std::thread::yield_now();
            nobody_listens(port)
        });
        assert!(is_free_again);
    }

    #[test]
    fn a_block_that_another_run_holds_is_left_alone() {
        let (_sign, held) = free_block().expect("there are blocks");
        let (_other, next) = free_block().expect("there are blocks");
        assert_ne!(held, next);
    }
}
