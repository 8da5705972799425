//! The floor under a push: a server that receives, hashes, writes and syncs, and does nothing else.
//!
//! It answers just enough of the upload protocol for the push works of [`super`], so that it can stand beside the
//! registries in the same run: `--against floor=http://127.0.0.1:PORT=PID --only push`. Every body goes to a new file that
//! is synced and kept, as a registry keeps it: the pages of a removed file would take the next body while they are still
//! hot, which no registry has. Not a registry.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use aws_lc_rs::digest::{Context as Hash, SHA256};

/// Bytes hashed and written at once.
const PIECE: usize = 256 * 1024;

/// Arguments of `cargo xtask floor`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:5009")]
    listen: SocketAddr,
    /// Where it writes; on the same disk as the registries' data.
    #[arg(long)]
    dir: PathBuf,
}

/// Serves until it is killed.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.dir)?;
    let listener = TcpListener::bind(args.listen).with_context(|| format!("listening on {}", args.listen))?;
    for stream in listener.incoming() {
        let (stream, dir) = (stream?, args.dir.clone());
        // A client that goes away ends its own thread only.
        std::thread::spawn(move || serve(&stream, &dir));
    }
    Ok(())
}

fn serve(stream: &TcpStream, dir: &Path) -> anyhow::Result<()> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut piece = vec![0; PIECE];
    loop {
        let Some((method, length)) = read_head(&mut reader)? else { return Ok(()) };
        let file = dir.join(FILES.fetch_add(1, Ordering::Relaxed).to_string());
        let digest = store(&mut reader, length, &file, &mut piece)?;
        let answer = if method == "POST" || method == "PATCH" {
            "HTTP/1.1 202 Accepted\r\nLocation: /upload\r\nContent-Length: 0\r\n\r\n".to_owned()
        } else {
            format!(
                "HTTP/1.1 201 Created\r\nDocker-Content-Digest: sha256:{digest}\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let mut writer = stream;
        writer.write_all(answer.as_bytes())?;
    }
}

/// Method and content length of the next request, `None` at the end.
fn read_head(reader: &mut BufReader<&TcpStream>) -> anyhow::Result<Option<(String, u64)>> {
    let (mut line, mut length) = (String::new(), 0);
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let method = line.split(' ').next().unwrap_or_default().to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim();
        if header.is_empty() {
            return Ok(Some((method, length)));
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
}

/// Receives, hashes, writes, syncs; the digest in hexadecimal.
fn store(
    reader: &mut BufReader<&TcpStream>,
    length: u64,
    path: &Path,
    piece: &mut [u8],
) -> anyhow::Result<String> {
    let mut hash = Hash::new(&SHA256);
    let mut left = length;
    let mut file = if length == 0 { None } else { Some(File::create(path)?) };
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let got = reader.read(&mut piece[..want])?;
        anyhow::ensure!(got > 0, "the body ended early");
        hash.update(&piece[..got]);
        if let Some(file) = &mut file {
            file.write_all(&piece[..got])?;
        }
        left -= got as u64;
    }
    if let Some(file) = file {
        file.sync_all()?;
    }
    Ok(data_encoding::HEXLOWER.encode(hash.finish().as_ref()))
}
