//! A response body of known length, from a stream of chunks.
//!
//! Why: the length goes out in `Content-Length` before the first byte. When the source fails, ends early or yields
//! more than announced, the only honest answer left is to break the connection: this body then yields an error, hyper
//! closes without completing the message, and no client takes a truncated 200 for a whole one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    /// The source failed.
    #[error("the source of the body failed")]
    Source(#[source] E),
    /// The source ended too early.
    #[error("the body ended {missing_bytes} bytes too early")]
    Short {
        /// What was announced and not sent, in bytes.
        missing_bytes: u64,
    },
    /// The source yielded more than announced.
    #[error("the body is longer than announced")]
    Long,
}

pin_project_lite::pin_project! {
    /// A body of exactly so many bytes.
    #[derive(Debug)]
    pub struct ExactBody<S> {
        #[pin]
        source: S,
        left: u64,
        ended: bool,
    }
}

impl<S> ExactBody<S> {
    /// A body of `length` bytes that `source` yields.
    pub const fn new(source: S, length: u64) -> Self {
        Self { source, left: length, ended: length == 0 }
    }
}

impl<S, E> Body for ExactBody<S>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    type Data = Bytes;
    type Error = BodyError<E>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError<E>>>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let mut source = this.source;
        loop {
            let Poll::Ready(next) = source.as_mut().poll_next(cx) else { return Poll::Pending };
            let error = match next {
                Some(Ok(chunk)) if chunk.is_empty() => continue,
                Some(Ok(chunk)) if chunk.len() as u64 <= *this.left => {
                    *this.left -= chunk.len() as u64;
                    *this.ended = *this.left == 0;
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                Some(Ok(_)) => BodyError::Long,
                Some(Err(error)) => BodyError::Source(error),
                None => BodyError::Short { missing_bytes: *this.left },
            };
            *this.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    fn body(
        chunks: &[&'static str],
        length: u64,
    ) -> ExactBody<impl Stream<Item = Result<Bytes, &'static str>> + use<>> {
        let items: Vec<_> = chunks
            .iter()
            .map(|chunk| if *chunk == "!" { Err("torn") } else { Ok(Bytes::from_static(chunk.as_bytes())) })
            .collect();
        ExactBody::new(stream::iter(items), length)
    }

    #[tokio::test]
    async fn a_body_of_the_announced_length_is_whole() {
        let whole = body(&["ab", "", "c"], 3);
        assert_eq!(whole.size_hint().exact(), Some(3));
        assert_eq!(whole.collect().await.expect("whole").to_bytes(), "abc");
        assert!(body(&[], 0).is_end_stream());
    }

    #[tokio::test]
    async fn a_body_of_another_length_ends_in_an_error() {
        let short = body(&["ab"], 3).collect().await.expect_err("short");
        assert!(matches!(short, BodyError::Short { missing_bytes: 1 }), "{short:?}");
        let long = body(&["ab", "cd"], 3).collect().await.expect_err("long");
        assert!(matches!(long, BodyError::Long), "{long:?}");
        let torn = body(&["ab", "!"], 3).collect().await.expect_err("torn");
        assert!(matches!(torn, BodyError::Source("torn")), "{torn:?}");
    }
}
