//! placeholder
#[derive(Debug, Default)]
pub struct Progress;
impl Progress {
    pub fn phase(&self, _: &str) {}
    pub fn pack_objects(&self, _: u32) {}
    pub fn pack_bytes(&self, _: usize) {}
}
