use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future whose panics become errors, so that a stage that trips over one session does not stop the daemon.
pub(super) struct Contained<F>(Pin<Box<F>>);

/// Contains the panics of a future. What it borrowed mutably must not be relied on after one.
pub(super) fn contained<F: Future>(future: F) -> Contained<F> {
    Contained(Box::pin(future))
}

impl<F: Future> Future for Contained<F> {
    type Output = Result<F::Output, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(payload) => Poll::Ready(Err(describe(payload.as_ref()))),
        }
    }
}

/// Runs something that may panic.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| describe(payload.as_ref()))
}

/// Only messages fixed at compile time: a formatted one may quote the chat.
fn describe(payload: &(dyn Any + Send)) -> String {
    payload.downcast_ref::<&str>().map_or_else(|| "a panic".to_owned(), |fixed| format!("a panic: {fixed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_that_never_quotes_formatted_text() {
        assert_eq!(contained(async { 7 }).await, Ok(7));
        assert_eq!(
            contained(async { panic!("fixed words") }).await,
            Err::<(), _>("a panic: fixed words".into())
        );
        let secret = String::from("hunter2");
        assert_eq!(contained(async { panic!("at {secret}") }).await, Err::<(), _>("a panic".into()));
    }
}
