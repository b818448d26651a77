use super::*;

const SHARE: Share = Share { slots: 8, queue: 8 };

fn now(queue: &Arc<FairQueue>, tenant: &str) -> Slot {
    match queue.acquire(&tenant.into(), SHARE, 100) {
        Ok(Turn::Granted(slot)) => slot,
        _ => panic!("no slot for {tenant}"),
    }
}

fn later(queue: &Arc<FairQueue>, tenant: &str) -> Waiter {
    match queue.acquire(&tenant.into(), SHARE, 100) {
        Ok(Turn::Queued(wait)) => wait,
        _ => panic!("{tenant} does not wait"),
    }
}

fn got(wait: &mut Waiter) -> Option<Slot> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(wait).poll(&mut context) {
        std::task::Poll::Ready(slot) => Some(slot),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn a_newcomer_goes_before_a_crowd() {
    let queue = FairQueue::new(2);
    let (first, second) = (now(&queue, "crowd"), now(&queue, "crowd"));
    let mut crowd: Vec<Waiter> = (0..5).map(|_| later(&queue, "crowd")).collect();
    let mut newcomer = later(&queue, "newcomer");
    drop(first);
    let newcomers = got(&mut newcomer);
    assert!(newcomers.is_some(), "it holds nothing yet");
    assert!(crowd.iter_mut().all(|wait| got(wait).is_none()));
    drop(second);
    let next = crowd.iter_mut().filter_map(got).collect::<Vec<_>>();
    assert_eq!(next.len(), 1, "the newcomer still has its slot");
}

#[test]
fn a_tenant_that_holds_none_finds_a_slot_among_full_ones() {
    let queue = FairQueue::with_newcomers(2, 2);
    let crowd = [now(&queue, "crowd"), now(&queue, "crowd")];
    let mut more = later(&queue, "crowd");
    let mut first = now(&queue, "newcomer");
    first.use_up(1);
    assert_eq!((queue.free(), queue.held_by("crowd"), queue.held_by("newcomer")), (0, 2, 1));
    // The second slot of a tenant is one of those that all share. The first is, too, once all others are held.
    let mut second = later(&queue, "newcomer");
    let third = now(&queue, "another");
    let mut late = later(&queue, "late");
    drop(first);
    let lates = got(&mut late);
    assert!(lates.is_some() && got(&mut second).is_none() && got(&mut more).is_none());
    drop((third, crowd));
    let both = (got(&mut second), got(&mut more));
    assert!(both.0.is_some() && both.1.is_some());
}

#[test]
fn the_tenant_that_used_least_is_next() {
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
fn without_bounds_a_call_gets_a_slot_or_waits() {
    let queue = FairQueue::new(1);
    let tenant: Arc<str> = "a".into();
    let Turn::Granted(slot) = queue.enter(&tenant, 9) else { panic!() };
    assert!(queue.try_acquire(&tenant, 9).is_none());
    let Turn::Queued(mut wait) = queue.enter(&tenant, 9) else { panic!() };
    drop(slot);
    assert!(queue.try_acquire(&tenant, 9).is_none(), "the slot is on its way to the call that waits");
    drop(got(&mut wait).unwrap());
    drop(wait);
    drop(queue.try_acquire(&tenant, 9).unwrap());
    assert!(queue.state().tenant_queues.is_empty());
}

#[test]
fn work_that_goes_on_makes_no_other_call_fail() {
    let queue = FairQueue::new(1);
    let share = Share { slots: 1, queue: 1 };
    let slot = now(&queue, "a");
    let resumed = [(); 3].map(|()| queue.enter(&"a".into(), 1));
    let Ok(Turn::Queued(own)) = queue.acquire(&"a".into(), share, 2) else { panic!() };
    let Ok(Turn::Queued(other)) = queue.acquire(&"b".into(), share, 2) else { panic!() };
    assert_eq!(queue.acquire(&"c".into(), share, 2).err(), Some(Full::Host { held: 1 }));
    drop((own, resumed));
    assert!(matches!(queue.acquire(&"c".into(), share, 2), Ok(Turn::Queued(_))));
    drop((other, slot));
    let state = queue.state();
    assert_eq!((state.held, state.waiting), (0, 0));
}

#[test]
fn bounds_hold_and_a_dropped_waiter_takes_no_slot() {
    let queue = FairQueue::new(1);
    let share = Share { slots: 1, queue: 1 };
    let tenant: Arc<str> = "a".into();
    let Ok(Turn::Granted(slot)) = queue.acquire(&tenant, share, 2) else { panic!() };
    let Ok(Turn::Queued(wait)) = queue.acquire(&tenant, share, 2) else { panic!() };
    assert!(matches!(queue.acquire(&tenant, share, 2), Err(Full::Tenant)));
    let Ok(Turn::Queued(other)) = queue.acquire(&"b".into(), share, 2) else { panic!() };
    assert!(matches!(queue.acquire(&"c".into(), share, 2), Err(Full::Host { held: 1 })));
    drop(wait);
    let Ok(Turn::Queued(mut wait)) = queue.acquire(&tenant, share, 2) else { panic!() };
    drop(other);
    drop(slot);
    drop(got(&mut wait).unwrap());
    let state = queue.state();
    assert!(state.tenant_queues.is_empty(), "a tenant that neither holds nor waits is forgotten");
    assert_eq!((state.held, state.waiting), (0, 0));
}
