//! The control API of the emulator: what the tests of a consumer may do to DIS.

use crate::check::Step;

pub struct Emulator {
    url: String,
}

impl Emulator {
    pub fn new(url: String) -> Self {
        Self { url }
    }

    pub fn put(&self, path: &str, body: &str) -> Step {
        ureq::put(self.endpoint(path)).send(body)?;
        Ok(())
    }

    pub fn post(&self, path: &str, body: &str) -> Step {
        ureq::post(self.endpoint(path)).send(body)?;
        Ok(())
    }

    pub fn delete(&self, path: &str) -> Step {
        ureq::delete(self.endpoint(path)).call()?;
        Ok(())
    }

    fn endpoint(&self, path: &str) -> String {
        format!("{}/_emulator/{path}", self.url)
    }
}
