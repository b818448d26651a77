//! Room for the bodies of requests and for replies, bounded over all connections (`http.buffered-bytes`): a body counts from
//! a byte's arrival until nobody needs it, a reply until it was sent. No tenant takes the room of all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fair_share;
use crate::config::Http;
use crate::error::ApiError;
use crate::tensor::Guarded;

#[derive(Clone)]
pub struct BufferBudget {
    units: Arc<Semaphore>,
    all: usize,
    bound: u64,
    /// Units that whoever asks has taken already.
    held: Arc<AtomicUsize>,
}

/// Bodies are counted in units of this many bytes.
const UNIT: usize = 1024;

impl BufferBudget {
    pub fn new(http: &Http) -> BufferBudget {
        let all = (http.buffered_bytes as usize / UNIT).min(Semaphore::MAX_PERMITS);
        BufferBudget { units: Arc::new(Semaphore::new(all)), all, bound: http.buffered_bytes, held: Arc::default() }
    }

    /// The same room, for somebody who has taken so many units of it.
    pub fn of(&self, held: &Arc<AtomicUsize>) -> BufferBudget {
        BufferBudget { held: held.clone(), ..self.clone() }
    }

    /// What is taken now by everybody, in bytes.
    pub fn taken(&self) -> usize {
        (self.all - self.units.available_permits()) * UNIT
    }

    pub fn take(&self, taken: &mut BufferPermit, bytes: usize) -> Result<(), ApiError> {
        self.take_units(taken, bytes.div_ceil(UNIT))
    }

    /// Takes what is missing, so that it is enough for so many bytes.
    pub fn grow(&self, taken: &mut BufferPermit, bytes: usize) -> Result<(), ApiError> {
        self.take_units(taken, bytes.div_ceil(UNIT).saturating_sub(taken.units()))
    }

    /// Counts bytes for as long as anyone holds them.
    pub fn hold(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Result<Bytes, ApiError> {
        let mut taken = BufferPermit::default();
        self.take(&mut taken, bytes.as_ref().len())?;
        Ok(taken.hold(bytes))
    }

    fn take_units(&self, taken: &mut BufferPermit, units: usize) -> Result<(), ApiError> {
        if units == 0 {
            return Ok(());
        }
        let held = self.held.load(Ordering::Relaxed);
        let free = self.units.available_permits().saturating_sub(units);
        let more = (held + units <= fair_share::of_free(free))
            .then(|| self.units.clone().try_acquire_many_owned(units as u32));
        let Some(Ok(permit)) = more else {
            return Err(ApiError::TooMuchBuffered { held: (held * UNIT) as u64, bound: self.bound });
        };
        self.held.fetch_add(units, Ordering::Relaxed);
        match &mut taken.0 {
            Some(taken) => taken.permit.merge(permit),
            none => *none = Some(Units { permit, held: self.held.clone() }),
        }
        Ok(())
    }
}

/// What a body takes of the room.
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

    /// What is not needed for so many bytes.
    pub fn split_beyond(&mut self, bytes: usize) -> BufferPermit {
        let beyond = self.units().saturating_sub(bytes.div_ceil(UNIT));
        BufferPermit(self.0.as_mut().and_then(|units| {
            let permit = units.permit.split(beyond)?;
            Some(Units { permit, held: units.held.clone() })
        }))
    }

    /// Counts for as long as anyone holds any of the bytes.
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

    /// As many KiB as the party gets.
    fn all(room: &BufferBudget) -> Vec<Bytes> {
        std::iter::from_fn(|| room.hold(vec![0; UNIT]).ok()).collect()
    }

    #[test]
    fn nobody_takes_the_room_of_all_others() {
        let room = of_mebibytes(1);
        let (first, second) = (room.of(&Arc::default()), room.of(&Arc::default()));
        let greedy = all(&first);
        assert_eq!(greedy.len(), 768);
        assert!(matches!(first.hold(vec![0]), Err(ApiError::TooMuchBuffered { held: 786_432, bound: 1_048_576 })));
        assert_eq!(all(&second).len(), 192);
        assert_eq!(room.taken(), 786_432);
        drop(greedy);
        assert_eq!(room.taken(), 0);
        assert_eq!(all(&second).len(), 768);
    }

    #[test]
    fn what_is_given_back_in_parts_is_counted_in_parts() {
        let room = of_mebibytes(1);
        let mut taken = BufferPermit::default();
        room.grow(&mut taken, 1500).unwrap();
        room.grow(&mut taken, 5000).unwrap();
        assert_eq!((room.taken(), room.held.load(Ordering::Relaxed)), (5 * UNIT, 5));
        let beyond = taken.split_beyond(2000);
        assert_eq!(room.taken(), 5 * UNIT);
        drop(beyond);
        assert_eq!((room.taken(), room.held.load(Ordering::Relaxed)), (2 * UNIT, 2));
        drop(taken.hold(vec![0; 2000]));
        assert_eq!((room.taken(), room.held.load(Ordering::Relaxed)), (0, 0));
    }
}
