//! Shares the model out by owner, measured in tokens.
//!
//! Each owner has an account of the tokens computed for them. Who is served next is the owner whose account is the lowest: the deficit
//! round robin of Shreedhar and Varghese (1996) in the form that Sheng et al. ("Fairness in Serving Large Language Models", 2024) give
//! it for language models, where a request's whole cost is not known when it begins. An owner who was away may come back at most
//! [`CREDIT_TOKENS`] below the others: enough that somebody who asks now and then goes first, and too little to lock anybody out.

use std::collections::HashMap;

use ports::Owner;

/// How far below the others an owner may begin: about a conversation's turn.
const CREDIT_TOKENS: u64 = 2048;
/// Making a token takes about as long as reading two.
pub(super) const NEW_TOKEN_COST: u64 = 2;
/// Accounts of owners without a sequence are dropped beyond this number; dropping one gives its owner at most the credit.
const MAX_IDLE_ACCOUNTS: usize = 4096;

#[derive(Debug, Default)]
struct Account {
    served_tokens: u64,
    /// Sequences in the scheduler.
    sequences: usize,
    /// Of them, those with a slot.
    running: usize,
}

/// The accounts of all owners.
#[derive(Debug, Default)]
pub(super) struct FairShare {
    accounts: HashMap<Owner, Account>,
    /// The lowest account of an active owner, and never less than it once was.
    floor: u64,
}

impl FairShare {
    /// A sequence of this owner came.
    pub(super) fn arrive(&mut self, owner: Owner) {
        self.raise_floor();
        let least = self.floor.saturating_sub(CREDIT_TOKENS);
        let account = self.accounts.entry(owner).or_default();
        if account.sequences == 0 {
            account.served_tokens = account.served_tokens.max(least);
        }
        account.sequences += 1;
    }

    /// A sequence of this owner went, having had a slot or not.
    pub(super) fn leave(&mut self, owner: Owner, was_running: bool) {
        if let Some(account) = self.accounts.get_mut(&owner) {
            account.sequences = account.sequences.saturating_sub(1);
            account.running = account.running.saturating_sub(usize::from(was_running));
        }
        if self.accounts.len() > MAX_IDLE_ACCOUNTS {
            self.raise_floor();
            self.accounts.retain(|_, account| account.sequences > 0);
        }
    }

    /// A sequence of this owner got a slot.
    pub(super) fn begin_running(&mut self, owner: Owner) {
        self.accounts.entry(owner).or_default().running += 1;
    }

    /// So many tokens' worth were computed for this owner.
    pub(super) fn charge(&mut self, owner: Owner, tokens: u64) {
        self.accounts.entry(owner).or_default().served_tokens += tokens;
    }

    /// Sequences of this owner that have a slot.
    pub(super) fn running(&self, owner: Owner) -> usize {
        self.accounts.get(&owner).map_or(0, |account| account.running)
    }

    /// Who has the lower number goes first.
    pub(super) fn served(&self, owner: Owner) -> u64 {
        self.accounts.get(&owner).map_or(0, |account| account.served_tokens)
    }

    fn raise_floor(&mut self) {
        let active = self.accounts.values().filter(|account| account.sequences > 0);
        let lowest = active.map(|account| account.served_tokens).min();
        // While nobody is active, everybody's past counts as past: the highest account becomes the floor.
        let floor = lowest.or_else(|| self.accounts.values().map(|account| account.served_tokens).max());
        self.floor = self.floor.max(floor.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::UserId;
    use uuid::Uuid;

    fn user(number: u128) -> Owner {
        Owner::User(UserId::new(Uuid::from_u128(number)))
    }

    #[test]
    fn who_comes_now_and_then_goes_before_who_was_always_there() {
        let mut share = FairShare::default();
        share.arrive(user(1));
        share.charge(user(1), 100_000);
        share.arrive(user(2));
        assert!(share.served(user(2)) < share.served(user(1)));
        assert_eq!(share.served(user(2)), 100_000 - CREDIT_TOKENS);
    }

    #[test]
    fn coming_and_going_earns_no_new_credit() {
        let mut share = FairShare::default();
        share.arrive(user(1));
        share.charge(user(1), 100_000);
        for _ in 0..10 {
            share.arrive(user(2));
            share.charge(user(2), 500);
            share.leave(user(2), false);
        }
        assert_eq!(share.served(user(2)), 100_000 - CREDIT_TOKENS + 5000);
    }

    #[test]
    fn owners_who_left_do_not_pile_up() {
        let mut share = FairShare::default();
        for number in 0..10_000 {
            share.arrive(user(number));
            share.leave(user(number), false);
        }
        assert!(share.accounts.len() <= MAX_IDLE_ACCOUNTS);
    }
}
