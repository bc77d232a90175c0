//! Prepares the web client for embedding: copies `web/dist` into the build directory and adds compressed
//! twins (`.br`, `.gz`), so that the server never compresses at run time. Without a built web client the
//! server still compiles and says what is missing.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Text that shrinks; pictures and fonts are compressed already.
const COMPRESSIBLE: [&str; 8] = ["css", "html", "js", "json", "map", "svg", "txt", "wasm"];

/// Below this a compressed twin saves nothing.
const MIN_BYTES: usize = 512;

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("web");
    let dist = manifest.join("../../web/dist");
    fs::create_dir_all(&dist)?;
    println!("cargo::rerun-if-changed={}", dist.display());
    // The most thorough settings take seconds per file, which only a release is worth.
    let thorough = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    copy(&dist, &out, thorough)
}

fn copy(from: &Path, to: &Path, thorough: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            println!("cargo::rerun-if-changed={}", path.display());
            copy(&path, &target, thorough)?;
            continue;
        }
        let content = fs::read(&path)?;
        fs::write(&target, &content)?;
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if content.len() >= MIN_BYTES && COMPRESSIBLE.contains(&extension) {
            fs::write(with_suffix(&target, "br"), brotli(&content, thorough)?)?;
            fs::write(with_suffix(&target, "gz"), gzip(&content, thorough)?)?;
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

fn brotli(content: &[u8], thorough: bool) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let quality = if thorough { 11 } else { 5 };
    let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, quality, 22);
    writer.write_all(content)?;
    writer.flush()?;
    drop(writer);
    Ok(out)
}

fn gzip(content: &[u8], thorough: bool) -> io::Result<Vec<u8>> {
    let level = flate2::Compression::new(if thorough { 9 } else { 6 });
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
    writer.write_all(content)?;
    writer.finish()
}
