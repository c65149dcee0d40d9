//! Which of the open containers are objects, a bit each.

/// How deep values may be nested: the limit of Go's own parser, which is at the other end.
pub(super) const DEPTH_MAX: usize = 10_000;

/// The open containers; the last one is the innermost.
#[derive(Default)]
pub(super) struct Nesting {
    depth: usize,
    /// The innermost 64.
    objects: u64,
    /// Further out, 64 a word.
    outer: Vec<u64>,
}

impl Nesting {
    pub(super) fn push(&mut self, object: bool) -> Option<()> {
        if self.depth == DEPTH_MAX {
            return None;
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.objects);
        }
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
        Some(())
    }

    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.objects >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.objects = self.outer.pop().unwrap_or_default();
        }
    }

    pub(super) fn is_outside(&self) -> bool {
        self.depth == 0
    }

    pub(super) fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}
