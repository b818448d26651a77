//! The buffer budget for request bodies and replies, bounded over all connections (`http.buffered-bytes`). The bytes of a
//! body are charged from their arrival until their last slice is dropped, and a reply until it was sent. Each tenant has a
//! fair share, so that no tenant takes the whole budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Http;
use crate::error::ApiError;
use crate::scheduler::fair_share;
use crate::tensor::Guarded;

/// Handle to the buffer budget for one holder, usually a tenant.
#[derive(Clone)]
pub struct BufferBudget {
    units: Arc<Semaphore>,
    all: usize,
    bound: u64,
    /// Units that the holder has taken already.
    held: Arc<AtomicUsize>,
}

/// Bytes in one unit of the budget. A body is charged in whole units.
const UNIT: usize = 1024;

impl BufferBudget {
    pub fn new(http: &Http) -> BufferBudget {
        let all = (crate::numbers::to_usize(http.buffered_bytes) / UNIT).min(Semaphore::MAX_PERMITS);
        BufferBudget { units: Arc::new(Semaphore::new(all)), all, bound: http.buffered_bytes, held: Arc::default() }
    }

    /// The same budget for another holder, which has taken `held` units so far.
    pub fn of(&self, held: &Arc<AtomicUsize>) -> BufferBudget {
        BufferBudget { held: held.clone(), ..self.clone() }
    }

    /// Bytes that all holders have taken together.
    pub fn taken(&self) -> usize {
        (self.all - self.units.available_permits()) * UNIT
    }

    /// Charges `bytes` more to the permit. Fails with `TooMuchBuffered` if the budget or the holder's share is used up.
    pub fn take(&self, permit: &mut BufferPermit, bytes: usize) -> Result<(), ApiError> {
        self.take_units(permit, bytes.div_ceil(UNIT))
    }

    /// Charges as much as is missing for the permit to cover `bytes`.
    pub fn grow(&self, permit: &mut BufferPermit, bytes: usize) -> Result<(), ApiError> {
        self.take_units(permit, bytes.div_ceil(UNIT).saturating_sub(permit.units()))
    }

    /// Charges the bytes until the last slice of them is dropped.
    pub fn hold(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Bytes, ApiError> {
        let mut permit = BufferPermit::default();
        self.take(&mut permit, bytes.as_ref().len())?;
        Ok(permit.hold(bytes))
    }

    fn take_units(&self, permit: &mut BufferPermit, units: usize) -> Result<(), ApiError> {
        if units == 0 {
            return Ok(());
        }
        let held = self.held.load(Ordering::Relaxed);
        let free = self.units.available_permits().saturating_sub(units);
        let more = (held + units <= fair_share::of_free(free))
            .then(|| self.units.clone().try_acquire_many_owned(u32::try_from(units).unwrap_or(u32::MAX)));
        let Some(Ok(acquired)) = more else {
            return Err(ApiError::TooMuchBuffered { held: (held * UNIT) as u64, bound: self.bound });
        };
        self.held.fetch_add(units, Ordering::Relaxed);
        match &mut permit.0 {
            Some(units) => units.permit.merge(acquired),
            none => *none = Some(Units { permit: acquired, held: self.held.clone() }),
        }
        Ok(())
    }
}

/// The charge for a body or a reply, returned when it is dropped.
#[derive(Default)]
pub struct BufferPermit(Option<Units>);

struct Units {
    permit: OwnedSemaphorePermit,
    held: Arc<AtomicUsize>,
}

impl Drop for Units {
    fn drop(&mut self) {
        self.held.fetch_sub(self.permit.num_permits(), Ordering::Relaxed);
    }
}

impl BufferPermit {
    fn units(&self) -> usize {
        self.0.as_ref().map_or(0, |units| units.permit.num_permits())
    }

    /// Splits off the part of the charge that is not needed to cover `bytes`.
    pub fn split_beyond(&mut self, bytes: usize) -> BufferPermit {
        let beyond = self.units().saturating_sub(bytes.div_ceil(UNIT));
        BufferPermit(self.0.as_mut().and_then(|units| {
            let permit = units.permit.split(beyond)?;
            Some(Units { permit, held: units.held.clone() })
        }))
    }

    /// Keeps the charge until the last slice of the bytes is dropped.
    pub fn hold(self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        Bytes::from_owner(Guarded { bytes, _guard: self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_mebibytes(mebibytes: u64) -> BufferBudget {
        BufferBudget::new(&Http { buffered_bytes: mebibytes << 20, ..crate::config::Config::default().http })
    }

    /// Takes buffers of 1 KiB until the holder gets no more.
    fn all(budget: &BufferBudget) -> Vec<Bytes> {
        std::iter::from_fn(|| budget.hold(vec![0; UNIT]).ok()).collect()
    }

    #[test]
    fn no_tenant_takes_the_whole_budget() {
        let budget = of_mebibytes(1);
        let (first, second) = (budget.of(&Arc::default()), budget.of(&Arc::default()));
        let greedy = all(&first);
        assert_eq!(greedy.len(), 768);
        assert!(matches!(first.hold(vec![0]), Err(ApiError::TooMuchBuffered { held: 786_432, bound: 1_048_576 })));
        assert_eq!(all(&second).len(), 192);
        assert_eq!(budget.taken(), 786_432);
        drop(greedy);
        assert_eq!(budget.taken(), 0);
        assert_eq!(all(&second).len(), 768);
    }

    #[test]
    fn a_charge_can_be_returned_in_parts() {
        let budget = of_mebibytes(1);
        let mut permit = BufferPermit::default();
        budget.grow(&mut permit, 1500).unwrap();
        budget.grow(&mut permit, 5000).unwrap();
        assert_eq!((budget.taken(), budget.held.load(Ordering::Relaxed)), (5 * UNIT, 5));
        let beyond = permit.split_beyond(2000);
        assert_eq!(budget.taken(), 5 * UNIT);
        drop(beyond);
        assert_eq!((budget.taken(), budget.held.load(Ordering::Relaxed)), (2 * UNIT, 2));
        drop(permit.hold(vec![0; 2000]));
        assert_eq!((budget.taken(), budget.held.load(Ordering::Relaxed)), (0, 0));
    }
}
