//! Banks: accounts whose total never changes.

use crate::model::{Function, Op, Random, Value};

/// The banks of a workload; each key is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankPlan {
    /// How many accounts each has, called 0, 1, 2, …
    pub accounts: u32,
    /// What is in each at the beginning.
    pub balance: i64,
    /// The most that a transfer moves.
    pub amount: i64,
    /// Whether a transfer may leave less than nothing behind.
    pub overdraft: bool,
}

impl BankPlan {
    /// Sets up a bank.
    pub(super) fn init(&self, name: Value) -> Op {
        let account = |account: u32| (Value::Int(account.into()), Value::Int(self.balance));
        let balances = Value::Map((0..self.accounts).map(account).collect());
        Op::single(Function::InitBank, name, balances)
    }

    /// What is moved, from where, to where else.
    pub(super) fn transfer(&self, random: &mut Random) -> Value {
        let accounts = u64::from(self.accounts);
        let from = random.below(accounts);
        let to = (from + random.between(1, accounts.saturating_sub(1).max(1))) % accounts.max(1);
        let amount = random.between(1, self.amount.max(1) as u64);
        let entry = |name, number: u64| (Value::text(name), Value::Int(number as i64));
        let mut entries = vec![entry("from", from), entry("to", to), entry("amount", amount)];
        if self.overdraft {
            entries.push((Value::text("overdraft"), Value::Bool(true)));
        }
        Value::Map(entries.into())
    }
}
