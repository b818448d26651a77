//! A bounded number of slots that are shared fairly between tenants: a free slot goes to the tenant that holds the fewest,
//! and among those to the one that has used the least. Within a tenant, first come, first served. The lock is held for a
//! few instructions, and never across an await.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The slots, and the calls that wait for one.
pub(super) struct FairQueue(Mutex<QueueState>);

#[derive(Default)]
struct QueueState {
    slots: usize,
    /// Slots in addition to `slots`, for tenants that hold none.
    for_newcomers: usize,
    /// Slots that are held, of all tenants together.
    held: usize,
    /// Calls in the queue that have begun nothing yet. Calls that go on are not among them, and so make no other call fail.
    waiting: usize,
    tenant_queues: HashMap<Arc<str>, TenantQueue>,
    /// Usage of the tenant that was served last. A new tenant begins with this usage, not with zero.
    clock: u64,
}

/// A tenant that holds a slot or waits for one.
struct TenantQueue {
    waiters: VecDeque<Queued>,
    /// As `waiting` of all tenants.
    waiting: usize,
    holds: usize,
    /// Bound on the slots that it may hold.
    slots: usize,
    used: u64,
}

/// The sending end of a position in the queue.
struct Queued {
    slot: oneshot::Sender<Slot>,
    /// True if it counts among the calls that wait.
    is_new: bool,
}

/// Bounds on the slots that a tenant may hold, and on its calls that may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub slots: usize,
    pub queue: usize,
}

/// A slot, or a position in the queue.
pub(super) enum Turn {
    Granted(Slot),
    Queued(Waiter),
}

/// The queue that has no position left.
#[derive(Debug, PartialEq)]
pub(super) enum Full {
    Tenant,
    /// The queue of all tenants together, while they hold this many slots.
    Host {
        held: usize,
    },
}

/// The right to proceed, returned when it is dropped.
pub(super) struct Slot {
    /// `None` after it was returned.
    queue: Option<Arc<FairQueue>>,
    tenant: Arc<str>,
    used: u64,
}

/// A position in the queue, given up when it is dropped.
pub(super) struct Waiter {
    queue: Arc<FairQueue>,
    tenant: Arc<str>,
    slot: oneshot::Receiver<Slot>,
}

impl FairQueue {
    pub(super) fn new(slots: usize) -> Arc<FairQueue> {
        FairQueue::with_newcomers(slots, 0)
    }

    /// A queue that gives a slot to a tenant that holds none even if all `slots` are held, up to `for_newcomers` times at
    /// once.
    pub(super) fn with_newcomers(slots: usize, for_newcomers: usize) -> Arc<FairQueue> {
        Arc::new(FairQueue(Mutex::new(QueueState { slots, for_newcomers, ..QueueState::default() })))
    }

    /// Takes a slot or a position in the queue. `queue` bounds the calls that wait, of all tenants together.
    pub(super) fn acquire(self: &Arc<Self>, tenant: &Arc<str>, share: Share, queue: usize) -> Result<Turn, Full> {
        let mut state = self.state();
        if state.take(tenant, share.slots) {
            return Ok(Turn::Granted(self.slot(tenant)));
        }
        let full = match state.tenant_queue(tenant).waiting >= share.queue {
            true => Full::Tenant,
            false if state.waiting >= queue => Full::Host { held: state.held },
            false => return Ok(Turn::Queued(self.enqueue(&mut state, tenant, true))),
        };
        state.forget_idle(tenant);
        Err(full)
    }

    /// Takes a slot for a tenant that may hold `slots` of them, or else a position in the queue. It is for work that goes on:
    /// no bound on the calls that wait applies to it, and it does not count within one.
    pub(super) fn enter(self: &Arc<Self>, tenant: &Arc<str>, slots: usize) -> Turn {
        let mut state = self.state();
        if state.take(tenant, slots) {
            return Turn::Granted(self.slot(tenant));
        }
        Turn::Queued(self.enqueue(&mut state, tenant, false))
    }

    /// Takes a slot if one is free, the tenant holds fewer than `slots`, and no call of the tenant waits for it.
    pub(super) fn try_acquire(self: &Arc<Self>, tenant: &Arc<str>, slots: usize) -> Option<Slot> {
        let mut state = self.state();
        if state.take(tenant, slots) {
            return Some(self.slot(tenant));
        }
        state.forget_idle(tenant);
        None
    }

    fn slot(self: &Arc<Self>, tenant: &Arc<str>) -> Slot {
        Slot { queue: Some(self.clone()), tenant: tenant.clone(), used: 0 }
    }

    fn enqueue(self: &Arc<Self>, state: &mut QueueState, tenant: &Arc<str>, is_new: bool) -> Waiter {
        let (sender, slot) = oneshot::channel();
        let tenant_queue = state.tenant_queue(tenant);
        tenant_queue.waiters.push_back(Queued { slot: sender, is_new });
        tenant_queue.waiting += usize::from(is_new);
        state.waiting += usize::from(is_new);
        Waiter { queue: self.clone(), tenant: tenant.clone(), slot }
    }

    /// Number of slots that are free.
    pub(super) fn free(&self) -> usize {
        let state = self.state();
        state.slots.saturating_sub(state.held)
    }

    /// Number of slots that the tenant holds.
    pub(super) fn held_by(&self, tenant: &str) -> usize {
        self.state().tenant_queues.get(tenant).map_or(0, |tenant_queue| tenant_queue.holds)
    }

    fn give_back(self: &Arc<Self>, tenant: Arc<str>, used: u64) {
        let mut returned = Some((tenant, used));
        while let Some((tenant, used)) = returned.take() {
            let next = self.state().pass_on(self, &tenant, used);
            // The slot is sent outside the lock, because that wakes the waiter. A waiter that is gone leaves it to the next
            // one.
            if let Some((waiter, slot)) = next
                && let Err(mut slot) = waiter.send(slot)
            {
                slot.queue = None;
                returned = Some((slot.tenant.clone(), 0));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    /// Takes a slot for a tenant that may hold `slots` of them; false if it has to wait.
    fn take(&mut self, tenant: &Arc<str>, slots: usize) -> bool {
        let bounds = self.bounds();
        let tenant_queue = self.tenant_queue(tenant);
        tenant_queue.slots = slots;
        let taken = bounds.allow(tenant_queue) && tenant_queue.waiters.is_empty();
        if taken {
            tenant_queue.holds += 1;
            self.held += 1;
        }
        taken
    }

    fn tenant_queue(&mut self, tenant: &Arc<str>) -> &mut TenantQueue {
        let used = self.clock;
        let fresh = || TenantQueue { waiters: VecDeque::new(), waiting: 0, holds: 0, slots: 0, used };
        self.tenant_queues.entry(tenant.clone()).or_insert_with(fresh)
    }

    fn pass_on(&mut self, queue: &Arc<FairQueue>, from: &Arc<str>, used: u64) -> Option<(oneshot::Sender<Slot>, Slot)> {
        self.held -= 1;
        if let Some(tenant_queue) = self.tenant_queues.get_mut(from) {
            tenant_queue.holds -= 1;
            tenant_queue.used = tenant_queue.used.saturating_add(used);
        }
        let next = self.next(queue);
        self.forget_idle(from);
        next
    }

    fn next(&mut self, queue: &Arc<FairQueue>) -> Option<(oneshot::Sender<Slot>, Slot)> {
        let bounds = self.bounds();
        let can_go = |tenant_queue: &TenantQueue| !tenant_queue.waiters.is_empty() && bounds.allow(tenant_queue);
        let ready = self.tenant_queues.iter_mut().filter(|(_, tenant_queue)| can_go(tenant_queue));
        let (tenant, tenant_queue) = ready.min_by_key(|(_, tenant_queue)| (tenant_queue.holds, tenant_queue.used))?;
        let Queued { slot: waiter, is_new } = tenant_queue.waiters.pop_front()?;
        tenant_queue.waiting -= usize::from(is_new);
        tenant_queue.holds += 1;
        self.clock = self.clock.max(tenant_queue.used);
        self.held += 1;
        self.waiting -= usize::from(is_new);
        Some((waiter, Slot { queue: Some(queue.clone()), tenant: tenant.clone(), used: 0 }))
    }

    fn bounds(&self) -> Bounds {
        let free = self.held < self.slots;
        Bounds { free, free_for_newcomers: self.held < self.slots + self.for_newcomers }
    }

    fn forget_idle(&mut self, tenant: &Arc<str>) {
        let is_idle = |tenant_queue: &TenantQueue| tenant_queue.holds == 0 && tenant_queue.waiters.is_empty();
        if self.tenant_queues.get(tenant).is_some_and(is_idle) {
            self.tenant_queues.remove(tenant);
        }
    }
}

/// The slots that are free at a moment.
struct Bounds {
    free: bool,
    free_for_newcomers: bool,
}

impl Bounds {
    /// True if the tenant may take one more slot.
    fn allow(&self, tenant_queue: &TenantQueue) -> bool {
        let free = self.free || (tenant_queue.holds == 0 && self.free_for_newcomers);
        free && tenant_queue.holds < tenant_queue.slots
    }
}

impl Slot {
    /// Counts usage against the tenant's next turns, in the unit that all holders of this queue use.
    pub(super) fn use_up(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.give_back(self.tenant.clone(), self.used);
        }
    }
}

impl Future for Waiter {
    type Output = Slot;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Slot> {
        // The sender stays in the tenant's queue until it sends a slot or this `Waiter` is dropped, so it is never dropped
        // before.
        match std::pin::Pin::new(&mut self.slot).poll(context) {
            std::task::Poll::Ready(Ok(slot)) => std::task::Poll::Ready(slot),
            _ => std::task::Poll::Pending,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.slot.close();
        let mut state = self.queue.state();
        let Some(tenant_queue) = state.tenant_queues.get_mut(&self.tenant) else { return };
        tenant_queue.waiters.retain(|waiter| !waiter.slot.is_closed());
        let left = tenant_queue.waiters.iter().filter(|waiter| waiter.is_new).count();
        let before = std::mem::replace(&mut tenant_queue.waiting, left);
        state.waiting -= before - left;
        state.forget_idle(&self.tenant);
    }
}

#[cfg(test)]
mod tests;
