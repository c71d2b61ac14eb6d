//! How many watches there may be: each takes memory for as long as it lasts, and lasts as long as its client wants.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::engine::ApiError;

/// Watches at once. At some 20 KB each, 400 MB.
const WATCHES_MAX: usize = 20_000;
/// Watches of one user at once: no single one can take the place of all others.
const USER_WATCHES_MAX: usize = 10_000;

/// The watches there are. Clones share one count.
#[derive(Clone, Default)]
pub(super) struct Watches {
    count: Arc<Mutex<Count>>,
}

#[derive(Default)]
struct Count {
    total: usize,
    by_user: HashMap<String, usize>,
}

/// One watch among those that there may be. Dropping it makes room.
pub(super) struct Place {
    count: Arc<Mutex<Count>>,
    user: String,
}

impl Watches {
    /// A place for a watch of a user.
    ///
    /// # Errors
    /// When there are too many: of this user, or in all.
    pub(super) fn begin(&self, user: &str) -> Result<Place, ApiError> {
        self.count
            .lock()
            .add(user, WATCHES_MAX, USER_WATCHES_MAX)
            .map_err(ApiError::TooManyRequests)?;
        Ok(Place {
            count: self.count.clone(),
            user: user.to_owned(),
        })
    }
}

impl Count {
    fn add(&mut self, user: &str, max: usize, user_max: usize) -> Result<(), String> {
        let own = self.by_user.get(user).copied().unwrap_or(0);
        if own >= user_max {
            return Err(format!(
                "user {user:?} has {own} watches, which is the limit of one user"
            ));
        }
        if self.total >= max {
            return Err(format!("there are {} watches, which is the server's limit", self.total));
        }
        self.total += 1;
        self.by_user.insert(user.to_owned(), own + 1);
        Ok(())
    }

    fn remove(&mut self, user: &str) {
        self.total = self.total.saturating_sub(1);
        match self.by_user.get_mut(user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                self.by_user.remove(user);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.lock().remove(&self.user);
    }
}

#[cfg(test)]
mod tests;
