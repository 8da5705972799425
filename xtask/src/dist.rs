//! `cargo xtask dist`: what is shipped, into `target/dist` – the static binary, a container image, their checksums.
//!
//! The image is an OCI layout that this writes itself: no daemon, no base image, one layer. It is the same bytes for
//! the same binary: entries are sorted, and every time is `SOURCE_DATE_EPOCH` (else 0).

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The user of the image; the number that distroless images use for "nonroot".
const USER: u64 = 65532;

/// What to ship.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rust target; a musl one gives a static binary.
    #[arg(long, default_value = "x86_64-unknown-linux-musl")]
    target: String,
    /// Ship this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// PEM bundle of certificate authorities for the image; without one it trusts only what the configuration names.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Where to put it.
    #[arg(long, default_value = "target/dist")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => build(&args.target)?,
    };
    let content = fs::read(&binary).with_context(|| binary.display().to_string())?;
    let version = version_of(&binary)?;
    let arch = if args.target.starts_with("aarch64") { "arm64" } else { "amd64" };
    fs::create_dir_all(&args.out)?;
    let name = format!("bonded-{version}-linux-{arch}");
    fs::write(args.out.join(&name), &content)?;
    set_executable(&args.out.join(&name))?;
    let digest = image(args, &content, &version, arch)?;
    fs::write(args.out.join("SHA256SUMS"), format!("{}  {name}\n", hex(&content)))?;
    say(&format!("{} ({} bytes)", args.out.join(&name).display(), content.len()));
    say(&format!("oci:{}:{version} ({digest})", args.out.join("image").display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a task speaks to whoever runs it")]
fn say(line: &str) {
    println!("{line}");
}

fn build(target: &str) -> Result<PathBuf> {
    // By name: rustup's proxy sets the toolchain, else a dependency's own toolchain file would choose another.
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked", "-p", "server", "--bin", "bonded", "--target", target]);
    if target.ends_with("-musl") {
        // Only C compilers are needed: SQLite, zstd, xz, AWS-LC and mimalloc are compiled from their sources.
        let key = target.replace('-', "_");
        cargo.env(format!("CC_{key}"), "musl-gcc").env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    }
    ensure!(
        cargo.status()?.success(),
        "the build failed; it needs `rustup target add {target}` and musl-gcc (Debian: musl-tools)"
    );
    Ok(PathBuf::from("target").join(target).join("release/bonded"))
}

fn version_of(binary: &Path) -> Result<String> {
    let output =
        Command::new(binary).arg("--version").output().with_context(|| binary.display().to_string())?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.trim().strip_prefix("bonded ").context("`bonded --version` says something else")?;
    Ok(version.to_owned())
}

fn set_executable(path: &Path) -> Result<()> {
    Ok(fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
    }
    text
}

/// Writes the OCI layout; answers the digest of the manifest.
fn image(args: &Args, binary: &[u8], version: &str, arch: &str) -> Result<String> {
    let dir = args.out.join("image");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(dir.join("blobs/sha256"))?;
    let blob = |media_type: &str, bytes: &[u8]| -> Result<Value> {
        let hex = hex(bytes);
        fs::write(dir.join("blobs/sha256").join(&hex), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() }))
    };
    let authorities = args.ca_bundle.as_ref().map(fs::read).transpose()?;
    let tar = layer(binary, authorities.as_deref())?;
    let mut gz = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    gz.write_all(&tar)?;
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", &gz.finish()?)?;
    let config = json!({
        "architecture": arch,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Entrypoint": ["/bonded"],
            "Cmd": ["serve"],
            "Env": ["BONDED_SERVER__LISTEN=:5000", "BONDED_SERVER__DATA_DIR=/data"],
            "ExposedPorts": { "5000/tcp": {} },
            "Volumes": { "/data": {} },
            "WorkingDir": "/data",
            "Labels": {
                "org.opencontainers.image.title": "Bonded",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&tar))] },
    });
    let config = blob("application/vnd.oci.image.config.v1+json", &serde_json::to_vec(&config)?)?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": manifest_type, "config": config, "layers": [layer] });
    let mut manifest = blob(manifest_type, &serde_json::to_vec(&manifest)?)?;
    let digest = manifest.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(fields) = manifest.as_object_mut() {
        fields.insert("annotations".to_owned(), json!({ "org.opencontainers.image.ref.name": version }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest] });
    fs::write(dir.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(digest)
}

fn layer(binary: &[u8], authorities: Option<&[u8]>) -> Result<Vec<u8>> {
    let epoch =
        std::env::var_os("SOURCE_DATE_EPOCH").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(0);
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, mode: u32, owner: u64, content: Option<&[u8]>| -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(if content.is_some() {
            tar::EntryType::Regular
        } else {
            tar::EntryType::Directory
        });
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(epoch);
        header.set_size(content.map_or(0, <[u8]>::len) as u64);
        tar.append_data(&mut header, path, content.unwrap_or_default()).context("tar")
    };
    add("bonded", 0o755, 0, Some(binary))?;
    add("data/", 0o700, USER, None)?;
    add("etc/", 0o755, 0, None)?;
    let passwd = format!("root:x:0:0::/:/sbin/nologin\nbonded:x:{USER}:{USER}::/data:/sbin/nologin\n");
    add("etc/passwd", 0o644, 0, Some(passwd.as_bytes()))?;
    if let Some(bundle) = authorities {
        for dir in ["etc/ssl/", "etc/ssl/certs/"] {
            add(dir, 0o755, 0, None)?;
        }
        add("etc/ssl/certs/ca-certificates.crt", 0o644, 0, Some(bundle))?;
    }
    add("tmp/", 0o1777, 0, None)?;
    Ok(tar.into_inner()?)
}
