//! What each user holds, for quotas.

use foldhash::quality::RandomState;
use hashbrown::HashMap;

use crate::auth::quota_name;

/// Something held, by user. Who holds nothing takes no room; anyone else an entry and the name.
#[derive(Debug, Default)]
pub(crate) struct ByUser<T> {
    held: HashMap<Box<str>, T, RandomState>,
}

impl<T: Copy + Default + PartialEq> ByUser<T> {
    /// What the user of this name holds.
    pub fn of(&self, name: &str) -> T {
        self.held.get(quota_name(name)).copied().unwrap_or_default()
    }

    /// Changes what the user of this name holds.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut T)) {
        let user = quota_name(name);
        let mut held = self.of(user);
        change(&mut held);
        if held == T::default() {
            self.held.remove(user);
        } else if let Some(place) = self.held.get_mut(user) {
            *place = held;
        } else {
            self.held.insert(user.into(), held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_user_count_together_and_who_holds_nothing_takes_no_room() {
        let mut held = ByUser::<u32>::default();
        held.change("12:bob", |count| *count += 2);
        held.change("13:bob", |count| *count -= 1);
        assert_eq!((held.of("bob"), held.of("14:bob"), held.of("alice")), (1, 1, 0));
        held.change("bob", |count| *count -= 1);
        held.change("alice", |_| {});
        assert!(held.held.is_empty());
    }
}
