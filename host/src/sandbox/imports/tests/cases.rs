//! A loop for each function that a plugin can import, in the text format. `guest.rs` has the rest of the component.

pub(super) struct Case {
    pub name: &'static str,
    /// Iterations that take some milliseconds.
    pub times: u32,
    /// Instructions before the loop.
    pub prepare: &'static str,
    pub body: &'static str,
}

const fn case(name: &'static str, times: u32, prepare: &'static str, body: &'static str) -> Case {
    Case { name, times, prepare, body }
}

/// A loop without imports: two independent generators of random numbers.
pub(super) const LOOP: Case = case(
    "plain loop",
    10_000_000,
    "(local.set $a (i64.const 1)) (local.set $b (i64.const 2))",
    "(local.set $a (i64.xor (local.get $a) (i64.shl (local.get $a) (i64.const 13))))
     (local.set $b (i64.xor (local.get $b) (i64.shl (local.get $b) (i64.const 13))))
     (local.set $a (i64.xor (local.get $a) (i64.shr_u (local.get $a) (i64.const 7))))
     (local.set $b (i64.xor (local.get $b) (i64.shr_u (local.get $b) (i64.const 7))))",
);

const SMALL: u32 = 20_000;
const FEW: u32 = 20;

pub(super) const ALL: &[Case] = &[
    case("tensor.create of 1 B, drop", SMALL, "", "(call $drop-tensor (call $tensor (i64.const 1)))"),
    case("tensor.create of 4 MiB, drop", FEW, "", "(call $drop-tensor (call $tensor (i64.const 0x400000)))"),
    case("tensor.create of 16 MiB, drop", FEW, "", "(call $drop-tensor (call $tensor (i64.const 0x1000000)))"),
    case(
        "tensor.create of a million empty strings, drop",
        FEW,
        "(call $one (i64.const 1000000))",
        "(call $create (i32.const 13) (i32.const 64) (i32.const 1) (i32.const 0x1000000) (i32.const 4000000) (i32.const 0))
         (call $drop-tensor (call $result))",
    ),
    case(
        "tensor.create refused",
        SMALL,
        "(call $one (i64.const 5))",
        "(call $create (i32.const 1) (i32.const 64) (i32.const 1) (call $large) (i32.const 4) (i32.const 0))",
    ),
    case("tensor.describe", SMALL, TENSOR, "(call $describe (local.get $t) (i32.const 0))"),
    case("tensor.read of 1 B", SMALL, TENSOR, "(call $read (local.get $t) (i64.const 0) (i64.const 1) (i32.const 0))"),
    case("tensor.read of 4 MiB", FEW, TENSOR, "(call $read (local.get $t) (i64.const 0) (i64.const 0x400000) (i32.const 0))"),
    case("tensor.read refused", SMALL, TENSOR, "(call $read (local.get $t) (i64.const 9) (i64.const -1) (i32.const 0))"),
    case(
        "tensor.reshape, drop",
        SMALL,
        TENSOR,
        "(call $reshape (local.get $t) (i32.const 64) (i32.const 1) (i32.const 0)) (call $drop-tensor (call $result))",
    ),
    case(
        "tensor-builder.create of 16 MiB, drop",
        SMALL,
        "(call $one (i64.const 0x1000000))",
        "(call $build (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (call $drop-builder (call $result))",
    ),
    case(
        "tensor-builder.create of 1 MiB, append of 1 B, drop",
        SMALL,
        "(call $one (i64.const 0x100000))",
        "(call $build (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (local.set $t (call $result))
         (call $append (local.get $t) (call $large) (i32.const 1) (i32.const 0)) (call $drop-builder (local.get $t))",
    ),
    case(
        "tensor-builder.create, append of 4 MiB, finish, drop",
        FEW,
        "(call $one (i64.const 0x400000))",
        "(call $build (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (local.set $t (call $result))
         (call $append (local.get $t) (call $large) (i32.const 0x400000) (i32.const 0))
         (call $finish (local.get $t) (i32.const 0)) (call $drop-tensor (call $result))",
    ),
    case(
        "tensor-builder.append of 1 B",
        SMALL,
        "(call $one (i64.const 0x100000)) (call $build (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (local.set $t (call $result))",
        "(call $append (local.get $t) (call $large) (i32.const 1) (i32.const 0))",
    ),
    case("graph.open, drop", SMALL, "", "(call $open (i32.const 130) (i32.const 1) (i32.const 0)) (call $drop-graph (call $result))"),
    case("graph.open refused, with a name of 4 MiB", FEW, "", "(call $open (i32.const 0x100000) (i32.const 0x400000) (i32.const 0))"),
    case("graph.inputs", SMALL, GRAPH, "(call $inputs (local.get $u) (i32.const 0))"),
    case(
        "tensor.create, graph.run, drop",
        SMALL,
        GRAPH,
        "(i32.store (i32.const 200) (call $tensor (i64.const 1)))
         (call $run (local.get $u) (i32.const 192) (i32.const 1) (i32.const 0))
         (call $drop-tensor (i32.load offset=8 (call $result)))",
    ),
    case(
        "tensor.create, emitter.emit",
        SMALL,
        "",
        "(i32.store (i32.const 200) (call $tensor (i64.const 1))) (drop (call $emit (i32.const 192) (i32.const 1)))",
    ),
    case("assets.read of 4 MiB", FEW, "", "(call $asset (i32.const 128) (i32.const 1) (i32.const 0))"),
    case("assets.read refused", SMALL, "", "(call $asset (i32.const 129) (i32.const 1) (i32.const 0))"),
    case("assets.read refused, with a name of 4 MiB", FEW, "", "(call $asset (i32.const 0x100000) (i32.const 0x400000) (i32.const 0))"),
    case("logging.log of 1 B", SMALL, "", "(call $log (i32.const 4) (i32.const 128) (i32.const 1))"),
    case("logging.log of 64 KiB", FEW, "", "(call $log (i32.const 4) (i32.const 0x100000) (i32.const 0x10000))"),
    case("stdout, drop", SMALL, "", "(call $drop-output (call $stdout))"),
    case("stdin, drop", SMALL, "", "(call $drop-input (call $stdin))"),
    case("output-stream.check-write", SMALL, OUTPUT, "(call $check (local.get $t) (i32.const 0))"),
    case("output-stream.write of 1 B", SMALL, OUTPUT, "(call $write (local.get $t) (i32.const 128) (i32.const 1) (i32.const 0))"),
    case("output-stream.write of 64 KiB", FEW, OUTPUT, "(call $write (local.get $t) (i32.const 0x100000) (i32.const 0x10000) (i32.const 0))"),
    case(
        "output-stream.write of 4096 empty lines",
        FEW,
        "(local.set $t (call $stdout)) (memory.fill (i32.const 0x100000) (i32.const 10) (i32.const 4096))",
        "(call $write (local.get $t) (i32.const 0x100000) (i32.const 4096) (i32.const 0))",
    ),
    case("output-stream.write-zeroes of 64 KiB", FEW, OUTPUT, "(call $zeroes (local.get $t) (i64.const 0x10000) (i32.const 0))"),
    case(
        "output-stream.blocking-write-and-flush of 1 B",
        SMALL,
        OUTPUT,
        "(call $write-flush (local.get $t) (i32.const 128) (i32.const 1) (i32.const 0))",
    ),
    case("output-stream.blocking-flush", SMALL, OUTPUT, "(call $flush (local.get $t) (i32.const 0))"),
    case(
        "output-stream.splice",
        SMALL,
        "(local.set $t (call $stdout)) (local.set $u (call $stdin))",
        "(call $splice (local.get $t) (local.get $u) (i64.const -1) (i32.const 0))",
    ),
    case("output-stream.subscribe, drop", SMALL, OUTPUT, "(call $drop-pollable (call $subscribe (local.get $t)))"),
    case("input-stream.read", SMALL, "(local.set $t (call $stdin))", "(call $read-stream (local.get $t) (i64.const -1) (i32.const 0))"),
    case("pollable.ready", SMALL, POLLABLE, "(drop (call $ready (local.get $u)))"),
    case("pollable.block", SMALL, POLLABLE, "(call $block (local.get $u))"),
    case("poll of 1", SMALL, POLLABLE, "(call $poll (i32.const 192) (i32.const 1) (i32.const 0))"),
    case("poll of 10000 times the same", FEW, POLLABLE, "(call $poll (i32.const 0x100000) (i32.const 10000) (i32.const 0))"),
    case("environment.get-environment", SMALL, "", "(call $environment (i32.const 0))"),
    case("terminal-stdout.get-terminal-stdout", SMALL, "", "(call $terminal (i32.const 0))"),
    case("preopens.get-directories", SMALL, "", "(call $directories (i32.const 0))"),
    case("random.get-insecure-random-bytes of 1 B", SMALL, "", "(call $insecure (i64.const 1) (i32.const 0))"),
    case("random.get-insecure-random-bytes of 4 MiB", FEW, "", "(call $insecure (i64.const 0x400000) (i32.const 0))"),
    case("random.get-insecure-random-u64", SMALL, "", "(drop (call $insecure-u64))"),
    case("random.insecure-seed", SMALL, "", "(call $seed (i32.const 0))"),
    case("random.get-random-bytes of 1 B", SMALL, "", "(call $random (i64.const 1) (i32.const 0))"),
    case("random.get-random-bytes of 4 MiB", FEW, "", "(call $random (i64.const 0x400000) (i32.const 0))"),
    case("random.get-random-u64", SMALL, "", "(drop (call $random-u64))"),
    case("wall-clock.now", SMALL, "", "(call $time (i32.const 0))"),
    case("monotonic-clock.now", SMALL, "", "(drop (call $now))"),
    case("monotonic-clock.subscribe-duration, drop", SMALL, "", "(call $drop-pollable (call $timer (i64.const 1)))"),
    case("memory.grow by nothing", 1_000_000, "", "(drop (memory.grow (i32.const 0)))"),
    case("memory.copy of 1 B", 1_000_000, "", "(memory.copy (i32.const 0) (i32.const 64) (i32.const 1))"),
    case("memory.fill of 1 B", 1_000_000, "", "(memory.fill (i32.const 0) (i32.const 64) (i32.const 1))"),
    case("table.grow by nothing", 1_000_000, "", "(drop (table.grow (ref.null func) (i32.const 0)))"),
    case("table.copy of 1", 1_000_000, "", "(table.copy (i32.const 0) (i32.const 64) (i32.const 1))"),
];

/// `$t` is a tensor of 4 MiB, and its shape is at 64.
const TENSOR: &str = "(local.set $t (call $tensor (i64.const 0x400000)))";

/// `$u` is the graph.
const GRAPH: &str = "(call $open (i32.const 130) (i32.const 1) (i32.const 0)) (local.set $u (call $result))";

/// `$t` is the standard output.
const OUTPUT: &str = "(local.set $t (call $stdout))";

/// `$u` is something that is always ready. A list of one of it is at 192, and of very many at 1 MiB.
const POLLABLE: &str = "
    (local.set $t (call $stdout)) (local.set $u (call $subscribe (local.get $t)))
    (i32.store (i32.const 192) (local.get $u))
    (local.set $t (i32.const 0x100000))
    (loop $fill
      (i32.store (local.get $t) (local.get $u))
      (br_if $fill (i32.lt_u (local.tee $t (i32.add (local.get $t) (i32.const 4))) (i32.const 0x180000))))";
