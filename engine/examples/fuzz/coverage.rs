//! Which places in the code an execution reaches, if the build is instrumented (LLVM's `-sanitizer-coverage-level`).
//!
//! Each place has a counter of eight bits, at an address that the instrumented program reports when it starts.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Counters that are compared at once.
const AT_ONCE: usize = 32;

static COUNTERS: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Called once by the instrumented program, before `main`.
#[allow(unsafe_code)]
// SAFETY: only instrumented programs refer to this name, and this is the signature that LLVM documents.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, end: *mut u8) {
    let count = end.addr() - start.addr();
    if count > COUNT.load(Ordering::Relaxed) {
        COUNTERS.store(start, Ordering::Relaxed);
        COUNT.store(count, Ordering::Relaxed);
    }
}

/// Called by it, too; the table tells what source each place has.
#[allow(unsafe_code)]
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_pcs_init(_: *const usize, _: *const usize) {}

/// What was reached so far.
pub struct Coverage {
    /// For each place the classes of counts that it had, one bit each.
    classes: Vec<u8>,
    /// The counts of the last execution.
    counts: Vec<u8>,
}

impl Coverage {
    pub fn new() -> Self {
        let count = COUNT.load(Ordering::Relaxed) / AT_ONCE * AT_ONCE; // the last few do not matter
        Self { classes: vec![0; count], counts: vec![0; count] }
    }

    pub fn places(&self) -> usize {
        self.classes.len()
    }

    pub fn reached(&self) -> usize {
        self.classes.iter().filter(|classes| **classes != 0).count()
    }

    /// Before an execution: counts from 0.
    pub fn start(&mut self) {
        if self.counts.is_empty() {
            return;
        }
        // SAFETY: the counters are a static array of this length, and there is one thread.
        #[allow(unsafe_code)]
        unsafe {
            COUNTERS.load(Ordering::Relaxed).write_bytes(0, self.counts.len());
        }
    }

    /// After an execution: whether a place was reached for the first time, or more often than ever, by powers of two.
    pub fn has_new(&mut self) -> bool {
        if self.counts.is_empty() {
            return false;
        }
        // SAFETY: as in `start`.
        #[allow(unsafe_code)]
        unsafe {
            COUNTERS.load(Ordering::Relaxed).copy_to_nonoverlapping(self.counts.as_mut_ptr(), self.counts.len());
        }
        let mut is_new = false;
        // This program is instrumented itself, so the loops skip what they can at once.
        let zeros = [0; AT_ONCE];
        for (number, counts) in self.counts.as_chunks::<AT_ONCE>().0.iter().enumerate() {
            if *counts != zeros {
                let classes = &mut self.classes[AT_ONCE * number..AT_ONCE * (number + 1)];
                for (count, classes) in counts.iter().zip(classes).filter(|(count, _)| **count != 0) {
                    let class = 1 << count.ilog2();
                    is_new |= *classes & class == 0;
                    *classes |= class;
                }
            }
        }
        is_new
    }
}
