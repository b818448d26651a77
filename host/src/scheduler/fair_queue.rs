//! Gives out a bounded number of places, fairly between tenants: a free place goes to the tenant that holds the fewest,
//! and among those to the one that has used the least. Within a tenant, first come, first served. The lock is held for
//! a few instructions, and never across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Places, and who waits for one.
pub struct FairQueue(Mutex<State>);

#[derive(Default)]
struct State {
    free: usize,
    waiting: usize,
    lanes: HashMap<Arc<str>, Lane>,
    /// What the tenant served last had used: one that comes anew begins here, not at zero.
    clock: u64,
}

/// A tenant that holds a place or waits for one.
struct Lane {
    waiters: VecDeque<oneshot::Sender<Place>>,
    holds: usize,
    /// The most that it may hold.
    places: usize,
    used: u64,
}

/// How many places a tenant may hold, and how many of its calls may wait.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub places: usize,
    pub queue: usize,
}

impl Share {
    pub const WITHOUT_BOUND: Share = Share { places: usize::MAX, queue: usize::MAX };
}

/// A place now, a place later, or none.
pub enum Turn {
    Now(Place),
    Later(Wait),
    /// As many of the tenant's calls wait as may.
    TenantQueueFull,
    /// As many calls wait as may, of all tenants together.
    QueueFull,
}

/// The right to go on, given back when it is dropped.
pub struct Place {
    /// `None` once it was given back.
    queue: Option<Arc<FairQueue>>,
    tenant: Arc<str>,
    used: u64,
}

/// A place in the queue, given up when it is dropped.
pub struct Wait {
    queue: Arc<FairQueue>,
    tenant: Arc<str>,
    place: oneshot::Receiver<Place>,
}

impl FairQueue {
    pub fn new(places: usize) -> Arc<FairQueue> {
        Arc::new(FairQueue(Mutex::new(State { free: places, ..State::default() })))
    }

    /// `queue` bounds how many may wait, of all tenants together.
    pub fn turn(self: &Arc<Self>, tenant: &Arc<str>, share: Share, queue: usize) -> Turn {
        let mut state = self.state();
        let State { free, waiting, lanes, clock } = &mut *state;
        let fresh = || Lane { waiters: VecDeque::new(), holds: 0, places: share.places, used: *clock };
        let lane = lanes.entry(tenant.clone()).or_insert_with(fresh);
        lane.places = share.places;
        if *free > 0 && lane.holds < lane.places && lane.waiters.is_empty() {
            *free -= 1;
            lane.holds += 1;
            return Turn::Now(Place { queue: Some(self.clone()), tenant: tenant.clone(), used: 0 });
        }
        if lane.waiters.len() >= share.queue {
            state.forget_idle(tenant);
            return Turn::TenantQueueFull;
        }
        if *waiting >= queue {
            state.forget_idle(tenant);
            return Turn::QueueFull;
        }
        let (waiter, place) = oneshot::channel();
        lane.waiters.push_back(waiter);
        *waiting += 1;
        Turn::Later(Wait { queue: self.clone(), tenant: tenant.clone(), place })
    }

    /// Places that nobody holds.
    pub fn free(&self) -> usize {
        self.state().free
    }

    fn give_back(self: &Arc<Self>, tenant: Arc<str>, used: u64) {
        let mut returned = Some((tenant, used));
        while let Some((tenant, used)) = returned.take() {
            let next = self.state().pass_on(self, &tenant, used);
            // Outside the lock, for what a waiter does when it wakes; one that is gone leaves the place to the next.
            if let Some((waiter, place)) = next
                && let Err(mut place) = waiter.send(place)
            {
                place.queue = None;
                returned = Some((place.tenant.clone(), 0));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pass_on(
        &mut self,
        queue: &Arc<FairQueue>,
        from: &Arc<str>,
        used: u64,
    ) -> Option<(oneshot::Sender<Place>, Place)> {
        self.free += 1;
        if let Some(lane) = self.lanes.get_mut(from) {
            lane.holds -= 1;
            lane.used = lane.used.saturating_add(used);
        }
        let next = self.next(queue);
        self.forget_idle(from);
        next
    }

    fn next(&mut self, queue: &Arc<FairQueue>) -> Option<(oneshot::Sender<Place>, Place)> {
        let can_go = |lane: &Lane| !lane.waiters.is_empty() && lane.holds < lane.places;
        let ready = self.lanes.iter_mut().filter(|(_, lane)| can_go(lane));
        let (tenant, lane) = ready.min_by_key(|(_, lane)| (lane.holds, lane.used))?;
        let waiter = lane.waiters.pop_front()?;
        lane.holds += 1;
        self.clock = self.clock.max(lane.used);
        self.free -= 1;
        self.waiting -= 1;
        Some((waiter, Place { queue: Some(queue.clone()), tenant: tenant.clone(), used: 0 }))
    }

    fn forget_idle(&mut self, tenant: &Arc<str>) {
        if self.lanes.get(tenant).is_some_and(|lane| lane.holds == 0 && lane.waiters.is_empty()) {
            self.lanes.remove(tenant);
        }
    }
}

impl Place {
    /// Counts what was used against the tenant's next turn, in whatever unit all holders of this queue use.
    pub fn use_up(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.give_back(self.tenant.clone(), self.used);
        }
    }
}

impl Future for Wait {
    type Output = Place;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Place> {
        // A waiter stands in its lane until it was given a place or its `Wait` is gone: the sender is never dropped before.
        match std::pin::Pin::new(&mut self.place).poll(context) {
            std::task::Poll::Ready(Ok(place)) => std::task::Poll::Ready(place),
            _ => std::task::Poll::Pending,
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.place.close();
        let mut state = self.queue.state();
        let Some(lane) = state.lanes.get_mut(&self.tenant) else { return };
        let before = lane.waiters.len();
        lane.waiters.retain(|waiter| !waiter.is_closed());
        let gone = before - lane.waiters.len();
        state.waiting -= gone;
        state.forget_idle(&self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { places: 8, queue: 8 };

    fn now(queue: &Arc<FairQueue>, tenant: &str) -> Place {
        match queue.turn(&tenant.into(), SHARE, 100) {
            Turn::Now(place) => place,
            _ => panic!("no place for {tenant}"),
        }
    }

    fn later(queue: &Arc<FairQueue>, tenant: &str) -> Wait {
        match queue.turn(&tenant.into(), SHARE, 100) {
            Turn::Later(wait) => wait,
            _ => panic!("{tenant} does not wait"),
        }
    }

    fn got(wait: &mut Wait) -> Option<Place> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(wait).poll(&mut context) {
            std::task::Poll::Ready(place) => Some(place),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_newcomer_goes_before_a_crowd() {
        let queue = FairQueue::new(2);
        let (first, second) = (now(&queue, "crowd"), now(&queue, "crowd"));
        let mut crowd: Vec<Wait> = (0..5).map(|_| later(&queue, "crowd")).collect();
        let mut newcomer = later(&queue, "newcomer");
        drop(first);
        let newcomers = got(&mut newcomer);
        assert!(newcomers.is_some(), "it holds nothing yet");
        assert!(crowd.iter_mut().all(|wait| got(wait).is_none()));
        drop(second);
        let next = crowd.iter_mut().filter_map(got).collect::<Vec<_>>();
        assert_eq!(next.len(), 1, "the newcomer still has its place");
    }

    #[test]
    fn who_used_least_is_next() {
        let queue = FairQueue::new(1);
        let mut hog = now(&queue, "hog");
        hog.use_up(1000);
        let (mut again, mut modest) = (later(&queue, "hog"), later(&queue, "modest"));
        drop(hog);
        assert!(got(&mut again).is_none());
        drop(got(&mut modest).unwrap());
        assert!(got(&mut again).is_some());
    }

    #[test]
    fn bounds_hold_and_who_gave_up_takes_no_place() {
        let queue = FairQueue::new(1);
        let share = Share { places: 1, queue: 1 };
        let tenant: Arc<str> = "a".into();
        let Turn::Now(place) = queue.turn(&tenant, share, 2) else { panic!() };
        let Turn::Later(wait) = queue.turn(&tenant, share, 2) else { panic!() };
        assert!(matches!(queue.turn(&tenant, share, 2), Turn::TenantQueueFull));
        let Turn::Later(_other) = queue.turn(&"b".into(), share, 2) else { panic!() };
        assert!(matches!(queue.turn(&"c".into(), share, 2), Turn::QueueFull));
        drop(wait);
        let Turn::Later(mut wait) = queue.turn(&tenant, share, 2) else { panic!() };
        drop(_other);
        drop(place);
        drop(got(&mut wait).unwrap());
        let state = queue.state();
        assert!(state.lanes.is_empty(), "who neither holds nor waits is forgotten");
        assert_eq!((state.free, state.waiting), (1, 0));
    }
}
