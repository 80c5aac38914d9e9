//! Pipes to and from PostgreSQL's programs. They are made larger than the system makes them, and are read in large pieces: with
//! pages of 4 KiB a program waits for us, and we for it, many thousand times in each second.

use std::{
    io::{self, Read, Write},
    mem,
    os::fd::AsFd,
    process::ChildStdin,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);
/// How much is handed on at a time. Unit: bytes.
pub(crate) const PIECE: usize = 1 << 18;
/// How many pieces may wait for one who is slower.
const WAITING: usize = 16;
/// How much a pipe holds: as much as Linux gives to every user. Unit: bytes.
#[cfg(target_os = "linux")]
const CAPACITY: usize = 1 << 20;
/// How long a pipe of that capacity is left to fill once it was emptied: it takes 250 MiB a second all the same.
const FILLS_FOR: Duration = Duration::from_millis(4);

/// A piece that several threads read.
type Piece = Arc<Vec<u8>>;

/// Makes a pipe larger. Where the system refuses that, it works as it is.
#[cfg(target_os = "linux")]
pub(crate) fn enlarge(pipe: &impl AsFd) {
    rustix::pipe::fcntl_setpipe_size(pipe, CAPACITY).ok();
}

/// A pipe stays as it is.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enlarge(_pipe: &impl AsFd) {}

/// Whether a pipe holds as much as we ask for.
#[cfg(target_os = "linux")]
fn is_large(pipe: &impl AsFd) -> bool {
    rustix::pipe::fcntl_getpipe_size(pipe).is_ok_and(|bytes| bytes >= CAPACITY)
}

/// It holds what the system gives it.
#[cfg(not(target_os = "linux"))]
fn is_large(_pipe: &impl AsFd) -> bool {
    false
}

/// A pipe that is left to fill before it is read again. `pg_dump` writes 4 KiB at a time: a reader that waits for each of them has to be
/// woken each time, which takes `pg_dump` time in which it would compress.
pub(super) struct PacedPipe<R> {
    pipe: R,
    fills_for: Duration,
    was_emptied: bool,
}

impl<R: AsFd> PacedPipe<R> {
    /// Makes the pipe larger. Where the system refuses that it is read as soon as there is something in it.
    pub(super) fn new(pipe: R) -> Self {
        enlarge(&pipe);
        let fills_for = if is_large(&pipe) {
            FILLS_FOR
        } else {
            Duration::ZERO
        };
        Self {
            pipe,
            fills_for,
            was_emptied: false,
        }
    }
}

impl<R: Read> Read for PacedPipe<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if mem::take(&mut self.was_emptied) {
            thread::sleep(self.fills_for);
        }
        let read = self.pipe.read(bytes)?;
        self.was_emptied = (1..bytes.len()).contains(&read);
        Ok(read)
    }
}

/// A queue of pieces that one thread fills and another empties.
pub(super) fn queue() -> (mpsc::SyncSender<Piece>, mpsc::Receiver<Piece>) {
    mpsc::sync_channel(WAITING)
}

/// Reads a piece: a whole one, unless the input ends before. An empty one is the end.
///
/// # Errors
/// The input's.
pub(super) fn read_piece(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut piece, mut filled) = (vec![0; PIECE], 0);
    while filled < PIECE {
        match from.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece)
}

/// Reads to the end and gives each piece to all; gives its `first` bytes. Ends where one takes nothing any more, who says why.
///
/// # Errors
/// The output's.
pub(super) fn hand_on(
    mut output: impl Read,
    first: usize,
    to: &[mpsc::SyncSender<Piece>],
    tell: impl Fn(u64),
) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    let (mut all, mut told) = (0_u64, Instant::now());
    loop {
        let piece = Piece::new(read_piece(&mut output)?);
        if piece.is_empty() {
            return Ok(beginning);
        }
        if all == 0 {
            beginning.extend(piece.iter().take(first));
        }
        all += u64::try_from(piece.len()).unwrap_or_default();
        if to
            .iter()
            .any(|queue| queue.send(Piece::clone(&piece)).is_err())
        {
            return Ok(beginning);
        }
        if told.elapsed() >= TELL_EVERY {
            tell(all);
            told = Instant::now();
        }
    }
}

/// Writes all that comes.
///
/// # Errors
/// The writer's.
pub(super) fn write_all(pieces: &mpsc::Receiver<Piece>, writer: &mut impl Write) -> io::Result<()> {
    for piece in pieces {
        writer.write_all(&piece)?;
    }
    Ok(())
}

/// Gives a program all that comes. One that refuses it says so when it ends; until then the rest is taken from the queue all the same.
pub(super) fn feed_program(pieces: &mpsc::Receiver<Piece>, mut input: Option<ChildStdin>) {
    for piece in pieces {
        if input
            .as_mut()
            .is_some_and(|it| it.write_all(&piece).is_err())
        {
            input = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time, and is interrupted before each.
    struct Slow {
        left: usize,
        is_interrupted: bool,
    }

    impl Read for Slow {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            if self.is_interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let given = self.left.min(bytes.len()).min(1);
            bytes[..given].fill(7);
            self.left -= given;
            Ok(given)
        }
    }

    #[test]
    fn a_piece_is_whole_unless_the_input_ends() {
        let mut slow = Slow {
            left: PIECE + 3,
            is_interrupted: false,
        };
        let mut next = || read_piece(&mut slow).expect("it is read");

        assert_eq!(next(), vec![7; PIECE]);
        assert_eq!(next(), [7; 3]);
        assert_eq!(next(), Vec::<u8>::new());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pipe_is_made_larger_and_what_is_none_stays() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let before = rustix::pipe::fcntl_getpipe_size(&reader).expect("its size");

        enlarge(&writer);
        enlarge(&io::stdin());

        let after = rustix::pipe::fcntl_getpipe_size(&reader).expect("its size");
        assert!(after >= before, "{before}, {after}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_large_pipe_that_was_emptied_is_left_to_fill() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut paced = PacedPipe::new(reader);
        // Where the system gives no larger pipes there is nothing to be left.
        let fills_for = if is_large(&writer) {
            FILLS_FOR
        } else {
            Duration::ZERO
        };
        assert_eq!(paced.fills_for, fills_for);
        let mut bytes = [0; 4];

        writer.write_all(b"123456").expect("there is room");
        assert_eq!(paced.read(&mut bytes).expect("it is read"), 4);
        assert!(!paced.was_emptied, "there is more");
        assert_eq!(paced.read(&mut bytes).expect("it is read"), 2);
        assert!(paced.was_emptied);
        writer.write_all(b"7").expect("there is room");
        drop(writer);
        let began = Instant::now();
        assert_eq!(paced.read(&mut bytes).expect("it is read"), 1);
        assert!(began.elapsed() >= fills_for);
        assert_eq!(bytes[0], b'7');
        assert_eq!(paced.read(&mut bytes).expect("it ends"), 0);
    }

    #[test]
    fn every_piece_goes_to_all_and_how_it_began_is_known() {
        let dump: Vec<u8> = b"PGDMP"
            .iter()
            .copied()
            .chain((0..PIECE).map(|nth| u8::try_from(nth % 251).expect("a byte")))
            .collect();
        let (one, for_one) = queue();
        let (other, for_other) = queue();

        let queues = [one, other];
        let beginning = hand_on(&dump[..], 5, &queues, |_| {}).expect("it is read");
        drop(queues);

        assert_eq!(beginning, b"PGDMP");
        for queue in [for_one, for_other] {
            let pieces: Vec<Piece> = queue.iter().collect();
            assert_eq!(pieces.len(), 2);
            let all: Vec<u8> = pieces.iter().flat_map(|it| it.iter().copied()).collect();
            assert_eq!(all, dump);
        }
    }

    #[test]
    fn nothing_more_is_read_when_the_file_takes_nothing() {
        let (to_file, for_file) = queue();
        let (to_check, for_check) = queue();
        drop(for_file);

        // It has no end.
        let endless = io::repeat(7);
        let queues = [to_file, to_check];
        hand_on(endless, 5, &queues, |_| {}).expect("why is said by the file");
        drop(queues);

        assert_eq!(for_check.iter().count(), 0);
    }
}
