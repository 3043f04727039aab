//! Stocks: so many are there, and nobody adds any.

use crate::model::{Function, Op, Random, Value};

/// The stocks of a workload; each key is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockPlan {
    /// How many there are at the beginning.
    pub level: i64,
    /// The most that a purchase takes.
    pub amount: i64,
}

impl StockPlan {
    /// Sets up a stock.
    pub(super) fn init(&self, name: Value) -> Op {
        Op::single(Function::Init, name, Value::Int(self.level))
    }

    /// How many are bought.
    pub(super) fn purchase(&self, random: &mut Random) -> Value {
        Value::Int(random.between(1, self.amount.max(1) as u64) as i64)
    }
}
