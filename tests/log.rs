//! What this thread logs, at every level, the libraries' own logs included.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};

/// A log that is written until this value is read.
pub(crate) struct Log {
    written: Written,
    _guard: DefaultGuard,
    /// While there is one dispatcher only, tracing asks the thread that first comes by a place in the code whether
    /// anybody is interested in it, and takes its no for everybody's. With two it asks both.
    _second: Dispatch,
}

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Begins; what runs on other threads is not written.
    pub(crate) fn begin() -> Self {
        let second = Dispatch::new(NoSubscriber::new());
        let written = Written::default();
        let writer = written.clone();
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
        Self { written, _guard: set_default(all.finish()), _second: second }
    }

    /// Ends, and returns what was written.
    pub(crate) fn end(self) -> String {
        String::from_utf8(self.written.0.lock().unwrap().clone()).unwrap()
    }
}
