//! The fuel of the host's work for plugins: one table for all functions that a plugin can import. A function charges its
//! cost before it does the work ([`super::host_state::HostState::charge`]).
//!
//! The numbers were measured by the tests of `imports/tests.rs`, which compare the CPU time of a unit of fuel with that of a
//! plain loop. `docs/authors.md` has this table for the authors of plugins.

use wasmtime::OperatorCost;

/// The cost of a function: fuel for each call, and for each unit (a byte, unless the row says otherwise) of the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    pub call: u64,
    pub unit: u64,
}

impl Cost {
    const fn new(call: u64, unit: u64) -> Cost {
        Cost { call, unit }
    }

    pub(crate) fn of(self, units: u64) -> u64 {
        self.call.saturating_add(self.unit.saturating_mul(units))
    }
}

/// `tensor.create`, for each byte of the data.
pub(crate) const TENSOR_CREATE: Cost = Cost::new(4000, 2);
/// `tensor.describe`.
pub(crate) const TENSOR_DESCRIBE: Cost = Cost::new(4000, 0);
/// `tensor.read`, for each byte of the part.
pub(crate) const TENSOR_READ: Cost = Cost::new(4000, 2);
/// `tensor.reshape`.
pub(crate) const TENSOR_RESHAPE: Cost = Cost::new(4000, 0);
/// `tensor-builder.create`, for each byte of the tensor. The bytes are charged here and not when they are appended, because
/// the first append reserves the memory of all of them.
pub(crate) const BUILDER_CREATE: Cost = Cost::new(4000, 2);
/// `tensor-builder.append`.
pub(crate) const BUILDER_APPEND: Cost = Cost::new(3000, 0);
/// `tensor-builder.finish`.
pub(crate) const BUILDER_FINISH: Cost = Cost::new(4000, 0);
/// The end of a handle: of a tensor, a builder or a graph.
pub(crate) const DROP: Cost = Cost::new(2000, 0);
/// A list of named tensors that a plugin hands over: to `graph.run`, to `emitter.emit`, or as its result; for each tensor.
pub(crate) const TAKE_TENSORS: Cost = Cost::new(2000, 4000);
/// The names of such a list, and the text of a plugin's failure.
pub(crate) const TEXT: Cost = Cost::new(0, 4);
/// The outputs of `graph.run`, for each tensor. The run itself costs what the graph's operators cost.
pub(crate) const LEND_TENSORS: Cost = Cost::new(2000, 4000);
/// `graph.open`, for each byte of the name and of the names of all graphs, which are the text of a refusal.
pub(crate) const GRAPH_OPEN: Cost = Cost::new(4000, 4);
/// `graph.inputs` and `graph.outputs`, for each tensor.
pub(crate) const GRAPH_SIGNATURE: Cost = Cost::new(2000, 4000);
/// `assets.read`, for each byte of the path, and of the file, or of the paths of all assets, which are the text of a refusal.
pub(crate) const ASSET_READ: Cost = Cost::new(4000, 4);
/// A line of the log, for each byte.
pub(crate) const LOG: Cost = Cost::new(20_000, 200);
/// Random bytes.
pub(crate) const RANDOM: Cost = Cost::new(2000, 40);
/// `wasi:io/poll` `poll`, for each entry of the list.
pub(crate) const POLL: Cost = Cost::new(4000, 2000);
/// Any other function of WASI.
pub(crate) const WASI: Cost = Cost::new(4000, 0);

/// The fuel of instructions. Most cost one unit; these two call the host.
pub(crate) fn operators() -> OperatorCost {
    OperatorCost { MemoryGrow: u8::MAX, TableGrow: u8::MAX, ..OperatorCost::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table in the document: functions, cost, and the unit.
    const ROWS: [(&str, Cost, &str); 18] = [
        ("`tensor.create`", TENSOR_CREATE, "byte"),
        ("`tensor.describe`", TENSOR_DESCRIBE, ""),
        ("`tensor.read`", TENSOR_READ, "byte"),
        ("`tensor.reshape`", TENSOR_RESHAPE, ""),
        ("`tensor-builder.create`", BUILDER_CREATE, "byte of the tensor"),
        ("`tensor-builder.append`", BUILDER_APPEND, ""),
        ("`tensor-builder.finish`", BUILDER_FINISH, ""),
        ("the end of a tensor, a builder or a graph", DROP, ""),
        ("tensors that the plugin gives: to `graph.run`, `emitter.emit`, or as its result", TAKE_TENSORS, "tensor"),
        ("outputs of `graph.run`", LEND_TENSORS, "tensor"),
        ("names of tensors that the plugin gives, the text of a failure", TEXT, "byte"),
        ("`graph.open`", GRAPH_OPEN, "byte of the name and of the names of all graphs"),
        ("`graph.inputs`, `graph.outputs`", GRAPH_SIGNATURE, "tensor"),
        (
            "`assets.read`",
            ASSET_READ,
            "byte of the path and the file, or, without such a file, of the path and of the paths of all assets",
        ),
        ("`logging.log`, a printed line", LOG, "byte"),
        ("random numbers", RANDOM, "byte"),
        ("`poll` of `wasi:io`", POLL, "entry"),
        ("any other function of WASI", WASI, ""),
    ];

    #[test]
    fn the_document_has_each_cost() {
        let document = include_str!("../../../docs/authors.md");
        for (function, cost, unit) in ROWS {
            let per_unit = if cost.unit == 0 { "–".into() } else { format!("{} for each {unit}", cost.unit) };
            let row = format!("| {function} | {} | {per_unit} |", cost.call);
            assert!(document.contains(&row), "no row {row}");
        }
    }
}
