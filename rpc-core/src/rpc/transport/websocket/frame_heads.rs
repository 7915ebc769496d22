//! Finds the heads of frames in what the peer of a WebSocket sends (RFC 6455, section 5.2).
//!
//! The library makes room for a whole frame as soon as it has read its head, however little of the frame has come.

/// Longest head of a frame: two bytes, a length of eight, and a mask of four.
const MAX_HEAD: usize = 14;
/// The opcode of a close frame, and the bits of the first byte that have it.
const CLOSE: u8 = 0x8;
const OPCODE: u8 = 0x0f;

/// The heads of the frames of one socket.
#[derive(Debug, Default)]
pub(super) struct FrameHeads {
    head: [u8; MAX_HEAD],
    /// How many bytes of the head are known.
    known: usize,
    /// How many bytes of the payload are still to come.
    payload_left: u64,
}

/// What some bytes of a socket are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heads {
    /// How many bytes of messages the heads among them announce. Control frames are no messages, and short.
    pub(super) announced: u64,
    /// Where a close frame begins among them. What follows is not read.
    pub(super) close_at: Option<usize>,
}

impl FrameHeads {
    /// Reads the next bytes, up to a close frame.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Heads {
        let (length, mut announced) = (bytes.len(), 0_u64);
        loop {
            let skipped = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= skipped as u64;
            let Some((next, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else {
                return Heads { announced, close_at: None };
            };
            if self.known == 0 && next & OPCODE == CLOSE {
                return Heads { announced, close_at: Some(length - rest.len() - 1) };
            }
            bytes = rest;
            if let Some(byte) = self.head.get_mut(self.known) {
                *byte = *next;
                self.known += 1;
            }
            if let Some((is_control, length)) = self.whole_head() {
                self.known = 0;
                self.payload_left = length;
                if !is_control {
                    announced = announced.saturating_add(length);
                }
            }
        }
    }

    /// Returns whether the frame is a control frame, and the length of its payload; `None` as long as the head
    /// continues.
    fn whole_head(&self) -> Option<(bool, u64)> {
        let [first, second, extended @ ..] = &self.head;
        let is_masked = second & 0x80 != 0;
        let (length_bytes, short) = match second & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, u64::from(short)),
        };
        let whole = 2 + length_bytes + if is_masked { 4 } else { 0 };
        if self.known < 2 || self.known < whole {
            return None;
        }
        let extended = extended.iter().take(length_bytes);
        let length = extended.fold(short, |length, byte| (length << 8) | u64::from(*byte));
        Some((first & 0x08 != 0, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame with a mask.
    fn frame(first: u8, length: u64, payload: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match u8::try_from(length) {
            Ok(short @ ..126) => bytes.push(0x80 | short),
            _ => match u16::try_from(length) {
                Ok(length) => {
                    bytes.push(0x80 | 126);
                    bytes.extend(length.to_be_bytes());
                }
                Err(_) => {
                    bytes.push(0x80 | 127);
                    bytes.extend(length.to_be_bytes());
                }
            },
        }
        bytes.extend([0; 4]);
        bytes.extend(vec![0x82; payload]);
        bytes
    }

    #[test]
    fn heads_are_found_however_the_bytes_are_cut() {
        let text = |length: u64| frame(0x81, length, usize::try_from(length).unwrap());
        let bytes = [text(5), frame(0x89, 9, 9), text(0), text(300), text(70_000), frame(0x80, 125, 125)].concat();
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut heads = FrameHeads::default();
            let announced: u64 = bytes.chunks(size).map(|bytes| heads.read(bytes).announced).sum();
            assert_eq!(announced, 5 + 300 + 70_000 + 125, "{size}");
        }
    }

    #[test]
    fn a_length_counts_before_the_payload_comes() {
        let mut heads = FrameHeads::default();
        assert_eq!(heads.read(&frame(0x82, 2_113_536, 0)).announced, 2_113_536);
        assert_eq!(heads.read(&[0x82; 1000]), Heads::default(), "this is payload");
        assert_eq!(FrameHeads::default().read(&frame(0x82, u64::MAX, 100)).announced, u64::MAX);
    }

    #[test]
    fn a_close_frame_is_found_however_the_bytes_are_cut() {
        // Payload that looks like one is none.
        let mut text = frame(0x81, 300, 0);
        text.extend([0x88; 300]);
        let before = [text, frame(0x89, 0, 0)].concat();
        let bytes = [before.clone(), frame(0x88, 2, 2), frame(0x81, 5, 5)].concat();
        for size in [1, 2, 3, 7, 300, bytes.len()] {
            let (mut heads, mut passed) = (FrameHeads::default(), 0);
            for chunk in bytes.chunks(size) {
                match heads.read(chunk).close_at {
                    Some(at) => {
                        passed += at;
                        break;
                    }
                    None => passed += chunk.len(),
                }
            }
            assert_eq!(passed, before.len(), "{size}");
        }
    }
}
