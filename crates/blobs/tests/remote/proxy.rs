//! An HTTP/1.1 proxy that breaks what it is told to break.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// It passes.
    Nothing,
    /// It is answered 503 SlowDown and never arrives.
    SlowDown,
    /// It arrives, and the connection is cut instead of the answer.
    CutAnswer,
    /// It never arrives, and is answered 200 with an error document (S3, `CompleteMultipartUpload`).
    ErrorIn200,
    /// The answer's body ends after this many bytes, under its full Content-Length.
    Truncate(usize),
}

type Judge = Arc<Mutex<dyn FnMut(&str) -> Break + Send>>;

/// Starts a proxy to a local port; answers its own port. `judge` sees request lines such as `PUT /bucket/key?partNumber=1`.
pub(crate) async fn start(upstream: u16, judge: impl FnMut(&str) -> Break + Send + 'static) -> u16 {
    let judge: Judge = Arc::new(Mutex::new(judge));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // A client that goes away ends its connection's task with an error; that is its business.
            tokio::spawn(serve(client, upstream, Arc::clone(&judge)));
        }
    });
    port
}

/// One request per connection.
async fn serve(mut client: TcpStream, upstream: u16, judge: Judge) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let length = text.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:").and_then(|value| value.trim().parse().ok())
    });
    while request.len() < head + length.unwrap_or(0) {
        if client.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let fault = (judge.lock().unwrap())(&line);
    let document = |status: &str, code: &str| {
        let body =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>");
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    match fault {
        Break::SlowDown => return client.write_all(document("503 Slow Down", "SlowDown").as_bytes()).await,
        Break::ErrorIn200 => return client.write_all(document("200 OK", "InternalError").as_bytes()).await,
        Break::Nothing | Break::CutAnswer | Break::Truncate(_) => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    let (first, rest) = text.split_once("\r\n").unwrap_or_default();
    server.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).await?;
    server.write_all(&request[head..]).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    match fault {
        Break::CutAnswer => return Ok(()),
        Break::Truncate(bytes) => {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4);
            answer.truncate(head + bytes);
        }
        _ => {}
    }
    client.write_all(&answer).await?;
    client.shutdown().await
}
