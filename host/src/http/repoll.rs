//! A wrapper that polls a future again if it was woken during its own poll, instead of going through the runtime's queue. A
//! connection wakes itself for every piece of a body that it hands to the body's reader. To the runtime each such wake is
//! one more ready task, for which it wakes another thread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Bound on polls in a row, so that other tasks get their turns.
const ROUNDS: usize = 8;

/// Not being polled: a wake is passed on to the task.
const IDLE: u8 = 0;
/// Being polled, and not woken since the poll began.
const POLLED: u8 = 1;
/// Being polled, and to be polled again.
const WOKEN: u8 = 2;

/// Wraps a future so that a wake during its own poll leads to another poll at once, and rarely to a wake of its task.
pub(super) fn repoll_on_self_wake<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let self_wake = Arc::new(SelfWake::default());
    let waker = Waker::from(self_wake.clone());
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| self_wake.poll(future.as_mut(), &waker, context))
}

/// The waker that the wrapped future gets.
#[derive(Default)]
struct SelfWake {
    state: AtomicU8,
    task: AtomicWaker,
}

impl SelfWake {
    fn poll<F: Future>(&self, mut future: Pin<&mut F>, waker: &Waker, context: &mut Context) -> Poll<F::Output> {
        self.task.register(context.waker());
        for _ in 0..ROUNDS {
            self.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                return Poll::Ready(output);
            }
            if self.state.compare_exchange(POLLED, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Poll::Pending;
            }
        }
        self.state.store(IDLE, Ordering::SeqCst);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for SelfWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst) == Err(IDLE) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts the wakes of a task.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A future that wakes itself `times` times before it is ready.
    fn restless(mut times: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |context| {
            if times == 0 {
                return Poll::Ready(());
            }
            times -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_within_the_bound() {
        for (times, woken) in [(0, 0), (ROUNDS - 1, 0), (ROUNDS, 1), (3 * ROUNDS, 3)] {
            let count = Arc::new(Count::default());
            let waker = Waker::from(count.clone());
            let mut future = Box::pin(repoll_on_self_wake(restless(times)));
            let mut polls = 1;
            while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                assert_eq!(count.0.load(Ordering::SeqCst), polls, "it would never be polled again");
                polls += 1;
            }
            assert_eq!(count.0.load(Ordering::SeqCst), woken, "{times}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn wakes_by_others_are_passed_on() {
        let (questions, mut asked) = tokio::sync::mpsc::channel::<tokio::sync::oneshot::Sender<()>>(1);
        let task = tokio::spawn(repoll_on_self_wake(async move {
            while let Some(answer) = asked.recv().await {
                let _ = answer.send(());
            }
        }));
        for _ in 0..10_000 {
            let (answer, answered) = tokio::sync::oneshot::channel();
            questions.send(answer).await.unwrap();
            answered.await.unwrap();
        }
        drop(questions);
        task.await.unwrap();
    }
}
