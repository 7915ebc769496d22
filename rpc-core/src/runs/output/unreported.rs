//! What calls of the model used whose servers never said: an answer that is cancelled just before its end must not be
//! free, and some servers never say at all.

use threadline_schema::runs::Usage;

/// Bytes of text that make a token, about: OpenAI's rule of thumb for English.
const BYTES: usize = 4;

/// A guess at what was used, for the user's account. A run's own usage is what its server says, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    /// Of calls that have ended.
    before: Usage,
    /// Bytes read and written by the call that goes on.
    read: usize,
    written: usize,
}

impl Unreported {
    /// A call begins with so much to read.
    pub(super) fn asks(&mut self, bytes: usize) {
        *self = Self { before: self.so_far(), read: bytes, written: 0 };
    }

    /// The model has written something.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// The server says what the call used: nothing is left to guess.
    pub(super) fn reported(&mut self) {
        (self.read, self.written) = (0, 0);
    }

    /// The guess. Of a call that has written nothing it is nothing: it may never have reached a model.
    pub(super) fn so_far(&self) -> Usage {
        let Self { before, read, written } = *self;
        if written == 0 {
            return before;
        }
        Usage {
            prompt_tokens: before.prompt_tokens + tokens(read),
            completion_tokens: before.completion_tokens + tokens(written),
        }
    }
}

fn tokens(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_server_told_is_guessed() {
        let mut guess = Unreported::default();
        guess.asks(400);
        assert_eq!(guess.so_far(), Usage::default(), "nothing has come back");
        guess.wrote(6);
        assert_eq!(guess.so_far(), Usage { prompt_tokens: 100, completion_tokens: 2 });
        guess.reported();
        assert_eq!(guess.so_far(), Usage::default());
        guess.asks(40);
        guess.wrote(4);
        guess.asks(80);
        assert_eq!(guess.so_far(), Usage { prompt_tokens: 10, completion_tokens: 1 });
        guess.wrote(8);
        assert_eq!(guess.so_far(), Usage { prompt_tokens: 30, completion_tokens: 3 });
    }
}
