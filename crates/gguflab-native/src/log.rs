//! llama.cpp's log as lines, and its last words before an abort.

use gguflab_types::event::Level;
use llama_cpp_sys_2 as sys;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where lines of the log go.
pub type Sink = Box<dyn FnMut(Level, &str) + Send>;
/// Where the last words before an abort go.
pub type AbortSink = Box<dyn FnMut(&str) + Send>;

/// Errors of the current call that are kept for its reason.
const KEPT_ERRORS: usize = 4;

struct State {
    sink: Option<Sink>,
    line: String,
    level: Level,
    errors: Vec<String>,
}

static STATE: Mutex<State> =
    Mutex::new(State { sink: None, line: String::new(), level: Level::Information, errors: Vec::new() });
static ABORT_SINK: Mutex<Option<AbortSink>> = Mutex::new(None);
/// Whether a batch is being decoded.
static DECODING: AtomicBool = AtomicBool::new(false);
/// Whether the last line was dropped, and what goes on with it is.
static DROPPED: AtomicBool = AtomicBool::new(false);

/// Takes over the log of llama.cpp and ggml, and the message of `ggml_abort`.
pub fn capture(sink: Sink, abort_sink: AbortSink) {
    if let Ok(mut state) = STATE.lock() {
        state.sink = Some(sink);
    }
    if let Ok(mut abort) = ABORT_SINK.lock() {
        *abort = Some(abort_sink);
    }
    // SAFETY: both callbacks are functions that live as long as the program and use no user data.
    unsafe {
        sys::llama_log_set(Some(on_log), std::ptr::null_mut());
        sys::ggml_set_abort_callback(Some(on_abort));
    }
}

/// While this lives, lines for those who debug llama.cpp are dropped: with CUDA there is one for every token, and passing it on
/// takes as long as a hundredth of the token of a small model.
pub(crate) struct Decoding(());

impl Decoding {
    pub(crate) fn begin() -> Decoding {
        DECODING.store(true, Ordering::Relaxed);
        Decoding(())
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        DECODING.store(false, Ordering::Relaxed);
    }
}

/// Forgets the errors that were logged so far, so that [`errors`] tells those of the next call.
pub(crate) fn clear_errors() {
    if let Ok(mut state) = STATE.lock() {
        state.errors.clear();
    }
}

/// The first errors since [`clear_errors`]: later ones are mostly consequences.
pub(crate) fn errors() -> Vec<String> {
    STATE.lock().map(|state| state.errors.clone()).unwrap_or_default()
}

extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    let drops = match level {
        sys::GGML_LOG_LEVEL_CONT => DROPPED.load(Ordering::Relaxed),
        sys::GGML_LOG_LEVEL_DEBUG => DECODING.load(Ordering::Relaxed),
        _ => false,
    };
    DROPPED.store(drops, Ordering::Relaxed);
    if text.is_null() || drops {
        return;
    }
    // SAFETY: ggml hands over a NUL-terminated text that is valid during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    if let Ok(mut state) = STATE.lock() {
        state.take(level, &text);
    }
}

extern "C" fn on_abort(message: *const c_char) {
    if message.is_null() {
        return;
    }
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let words =
        last_words(text.trim(), &STATE.try_lock().map(|state| state.errors.clone()).unwrap_or_default());
    if let Ok(mut sink) = ABORT_SINK.lock()
        && let Some(sink) = sink.as_mut()
    {
        sink(&words);
    }
}

/// The message of an abort with the errors that led to it: CUDA's backend logs what went wrong (`out of memory`) and then aborts
/// with no more than `CUDA error`.
fn last_words(message: &str, errors: &[String]) -> String {
    let news: Vec<&str> =
        errors.iter().map(String::as_str).filter(|error| !message.contains(error)).collect();
    if news.is_empty() { message.to_string() } else { format!("{message} ({})", news.join("; ")) }
}

impl State {
    /// Puts fragments together to lines; a fragment marked CONT goes on with the level of its line.
    fn take(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.level = level_of(level);
        }
        for part in text.split_inclusive('\n') {
            self.line.push_str(part.trim_end_matches('\n'));
            if part.ends_with('\n') {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // Dots that show the progress of loading are not worth a line.
        if line.trim_matches(['.', ' ']).is_empty() {
            return;
        }
        if self.level == Level::Error && self.errors.len() < KEPT_ERRORS {
            self.errors.push(line.trim().to_string());
        }
        if let Some(sink) = self.sink.as_mut() {
            sink(self.level, &line);
        }
    }
}

fn level_of(level: sys::ggml_log_level) -> Level {
    match level {
        sys::GGML_LOG_LEVEL_ERROR => Level::Error,
        sys::GGML_LOG_LEVEL_WARN => Level::Warning,
        sys::GGML_LOG_LEVEL_DEBUG => Level::Debug,
        _ => Level::Information,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_have_the_reason_in_them() {
        let errors = ["CUDA error: out of memory".to_string(), "current device: 0".to_string()];
        assert_eq!(
            last_words("ggml-cuda.cu:109: CUDA error", &errors),
            "ggml-cuda.cu:109: CUDA error (CUDA error: out of memory; current device: 0)"
        );
        assert_eq!(last_words("out", &["out".to_string()]), "out");
        assert_eq!(last_words("GGML_ASSERT(x) failed", &[]), "GGML_ASSERT(x) failed");
    }
}
