//! Turns for work other than calls, such as uploads: a bounded number at once, shared fairly between the tenants and the
//! operator. A request for a turn waits until one is free; the party that holds the fewest is next.

use std::sync::Arc;

use super::fair_queue::{FairQueue, Turn};
use super::permit::HeldSlot;

/// The party that a turn is counted for.
#[derive(Clone, Debug)]
pub enum Party {
    Operator,
    Tenant(Arc<str>),
}

/// A bounded number of turns.
pub struct Turns {
    queue: Arc<FairQueue>,
    turns: usize,
    /// Bound on the turns that one tenant may hold.
    share: usize,
}

/// A turn that was granted, returned when it is dropped. Its time counts against its party's next turns.
pub struct HeldTurn {
    _slot: HeldSlot,
}

/// The operator's name in the queue, which is free because no tenant's name has parentheses.
const OPERATOR: &str = "(operator)";

impl Turns {
    /// Turns of which a tenant may hold all but one, so that one is left for another tenant.
    pub fn all_but_one(turns: usize) -> Turns {
        Turns { queue: FairQueue::new(turns), turns, share: turns.saturating_sub(1).max(1) }
    }

    /// Turns of which a tenant may hold half. There are as many more for tenants that hold none, one for each.
    pub fn with_newcomers(turns: usize) -> Turns {
        Turns { queue: FairQueue::with_newcomers(turns, turns), turns, share: turns.div_ceil(2) }
    }

    /// Waits for a turn. The operator may hold all of them.
    pub async fn take(&self, party: &Party) -> HeldTurn {
        let (name, most) = match party {
            Party::Operator => (OPERATOR.into(), self.turns),
            Party::Tenant(name) => (name.clone(), self.share),
        };
        let slot = match self.queue.enter(&name, most) {
            Turn::Granted(slot) => slot,
            Turn::Queued(wait) => wait.await,
        };
        HeldTurn { _slot: HeldSlot::new(slot) }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn tenant(name: &str) -> Party {
        Party::Tenant(name.into())
    }

    /// Takes turns until the party has to wait.
    fn all(turns: &Turns, party: &Party) -> Vec<HeldTurn> {
        std::iter::from_fn(|| turns.take(party).now_or_never()).collect()
    }

    #[test]
    fn a_tenant_leaves_a_turn_for_another_and_the_operator_may_have_all() {
        let turns = Turns::all_but_one(4);
        let greedy = all(&turns, &tenant("greedy"));
        assert_eq!((greedy.len(), all(&turns, &tenant("other")).len()), (3, 1));
        drop(greedy);
        assert_eq!(all(&turns, &Party::Operator).len(), 4);
        let only = Turns::all_but_one(1);
        assert_eq!(all(&only, &tenant("first")).len(), 1);
    }

    #[test]
    fn tenants_without_a_turn_get_one_even_if_all_are_held() {
        let turns = Turns::with_newcomers(4);
        let held = [all(&turns, &tenant("a")), all(&turns, &tenant("b"))];
        assert_eq!(held.each_ref().map(Vec::len), [2, 2]);
        let newcomers: Vec<_> = (0..5).map(|n| turns.take(&tenant(&format!("n{n}"))).now_or_never()).collect();
        assert_eq!(newcomers.iter().flatten().count(), 4);
    }

    #[test]
    fn the_party_without_a_turn_is_next() {
        let turns = Turns::all_but_one(2);
        let mut held = all(&turns, &Party::Operator);
        let other = tenant("other");
        let mut again = std::pin::pin!(turns.take(&Party::Operator));
        let mut first = std::pin::pin!(turns.take(&other));
        assert!(again.as_mut().now_or_never().is_none() && first.as_mut().now_or_never().is_none());
        held.pop();
        assert!(again.as_mut().now_or_never().is_none() && first.as_mut().now_or_never().is_some());
    }
}
