//! The text of the component that repeats a call: its imports, the case's loop, and memory.

use super::cases::Case;

/// Bytes of a large tensor, list or file.
pub(super) const LARGE: u64 = 4 << 20;

/// The interfaces of the contract, with the functions that cases call.
const CONTRACT: &str = r#"
(import "bulkhead:plugin/tensors@0.1.0" (instance $tensors
  (type $d (enum "bool" "uint8" "uint16" "uint32" "uint64" "int8" "int16" "int32" "int64" "fp16" "bf16" "fp32" "fp64" "bytes"))
  (export "datatype" (type $datatype (eq $d)))
  (type $e (record (field "datatype" $datatype) (field "shape" (list u64)) (field "byte-size" u64)))
  (export "description" (type $description (eq $e)))
  (export "tensor" (type $tensor (sub resource)))
  (export "tensor-builder" (type $builder (sub resource)))
  (type $n (record (field "name" string) (field "tensor" (own $tensor))))
  (export "named-tensor" (type $named (eq $n)))
  (type $s (record (field "name" string) (field "datatype" $datatype) (field "shape" (list s64))))
  (export "tensor-spec" (type $spec (eq $s)))
  (export "[static]tensor.create" (func (param "datatype" $datatype) (param "shape" (list u64)) (param "data" (list u8)) (result (result (own $tensor) (error string)))))
  (export "[method]tensor.describe" (func (param "self" (borrow $tensor)) (result $description)))
  (export "[method]tensor.read" (func (param "self" (borrow $tensor)) (param "offset" u64) (param "length" u64) (result (result (list u8) (error string)))))
  (export "[method]tensor.reshape" (func (param "self" (borrow $tensor)) (param "shape" (list u64)) (result (result (own $tensor) (error string)))))
  (export "[static]tensor-builder.create" (func (param "datatype" $datatype) (param "shape" (list u64)) (result (result (own $builder) (error string)))))
  (export "[method]tensor-builder.append" (func (param "self" (borrow $builder)) (param "data" (list u8)) (result (result (error string)))))
  (export "[static]tensor-builder.finish" (func (param "builder" (own $builder)) (result (result (own $tensor) (error string)))))))
(alias export $tensors "tensor" (type $tensor))
(alias export $tensors "tensor-builder" (type $builder))
(alias export $tensors "named-tensor" (type $named))
(alias export $tensors "tensor-spec" (type $spec))
(import "bulkhead:plugin/graphs@0.1.0" (instance $graphs
  (alias outer $root $named (type $n)) (export "named-tensor" (type $named (eq $n)))
  (alias outer $root $spec (type $s)) (export "tensor-spec" (type $spec (eq $s)))
  (export "graph" (type $graph (sub resource)))
  (export "[static]graph.open" (func (param "name" string) (result (result (own $graph) (error string)))))
  (export "[method]graph.inputs" (func (param "self" (borrow $graph)) (result (list $spec))))
  (export "[method]graph.run" (func (param "self" (borrow $graph)) (param "inputs" (list $named)) (result (result (list $named) (error string)))))))
(alias export $graphs "graph" (type $graph))
(import "bulkhead:plugin/emitter@0.1.0" (instance $emitter
  (alias outer $root $named (type $n)) (export "named-tensor" (type $named (eq $n)))
  (export "emit" (func (param "outputs" (list $named)) (result bool)))))
(import "bulkhead:plugin/assets@0.1.0" (instance $assets
  (export "read" (func (param "path" string) (result (result (list u8) (error string)))))))
(import "bulkhead:plugin/logging@0.1.0" (instance $logging
  (type $l (enum "trace" "debug" "info" "warn" "error")) (export "level" (type $level (eq $l)))
  (export "log" (func (param "level" $level) (param "message" string)))))
"#;

/// The interfaces of WASI, with the functions that cases call.
const WASI: &str = r#"
(import "wasi:io/error@0.2.6" (instance $error (export "error" (type (sub resource)))))
(alias export $error "error" (type $io-error))
(import "wasi:io/poll@0.2.6" (instance $poll
  (export "pollable" (type $pollable (sub resource)))
  (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))
  (export "[method]pollable.block" (func (param "self" (borrow $pollable))))
  (export "poll" (func (param "in" (list (borrow $pollable))) (result (list u32))))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:io/streams@0.2.6" (instance $streams
  (alias outer $root $io-error (type $e)) (export "error" (type $error (eq $e)))
  (alias outer $root $pollable (type $p)) (export "pollable" (type $pollable (eq $p)))
  (type $s (variant (case "last-operation-failed" (own $error)) (case "closed")))
  (export "stream-error" (type $failure (eq $s)))
  (export "input-stream" (type $input (sub resource)))
  (export "output-stream" (type $output (sub resource)))
  (export "[method]input-stream.read" (func (param "self" (borrow $input)) (param "len" u64) (result (result (list u8) (error $failure)))))
  (export "[method]output-stream.check-write" (func (param "self" (borrow $output)) (result (result u64 (error $failure)))))
  (export "[method]output-stream.write" (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $failure)))))
  (export "[method]output-stream.write-zeroes" (func (param "self" (borrow $output)) (param "len" u64) (result (result (error $failure)))))
  (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $output)) (param "contents" (list u8)) (result (result (error $failure)))))
  (export "[method]output-stream.blocking-flush" (func (param "self" (borrow $output)) (result (result (error $failure)))))
  (export "[method]output-stream.splice" (func (param "self" (borrow $output)) (param "src" (borrow $input)) (param "len" u64) (result (result u64 (error $failure)))))
  (export "[method]output-stream.subscribe" (func (param "self" (borrow $output)) (result (own $pollable))))))
(alias export $streams "input-stream" (type $input))
(alias export $streams "output-stream" (type $output))
(import "wasi:cli/stdout@0.2.6" (instance $stdout
  (alias outer $root $output (type $o)) (export "output-stream" (type $output (eq $o)))
  (export "get-stdout" (func (result (own $output))))))
(import "wasi:cli/stdin@0.2.6" (instance $stdin
  (alias outer $root $input (type $i)) (export "input-stream" (type $input (eq $i)))
  (export "get-stdin" (func (result (own $input))))))
(import "wasi:cli/environment@0.2.6" (instance $environment
  (export "get-environment" (func (result (list (tuple string string)))))
  (export "get-arguments" (func (result (list string))))))
(import "wasi:cli/terminal-output@0.2.6" (instance $terminal (export "terminal-output" (type (sub resource)))))
(alias export $terminal "terminal-output" (type $terminal-output))
(import "wasi:cli/terminal-stdout@0.2.6" (instance $terminal-stdout
  (alias outer $root $terminal-output (type $t)) (export "terminal-output" (type $terminal-output (eq $t)))
  (export "get-terminal-stdout" (func (result (option (own $terminal-output)))))))
(import "wasi:filesystem/types@0.2.6" (instance $types (export "descriptor" (type (sub resource)))))
(alias export $types "descriptor" (type $descriptor))
(import "wasi:filesystem/preopens@0.2.6" (instance $preopens
  (alias outer $root $descriptor (type $d)) (export "descriptor" (type $descriptor (eq $d)))
  (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
(import "wasi:random/insecure@0.2.6" (instance $insecure
  (export "get-insecure-random-bytes" (func (param "len" u64) (result (list u8))))
  (export "get-insecure-random-u64" (func (result u64)))))
(import "wasi:random/insecure-seed@0.2.6" (instance $insecure-seed
  (export "insecure-seed" (func (result (tuple u64 u64))))))
(import "wasi:random/random@0.2.6" (instance $random
  (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
  (export "get-random-u64" (func (result u64)))))
(import "wasi:clocks/wall-clock@0.2.6" (instance $wall
  (type $d (record (field "seconds" u64) (field "nanoseconds" u32))) (export "datetime" (type $datetime (eq $d)))
  (export "now" (func (result $datetime)))))
(import "wasi:clocks/monotonic-clock@0.2.6" (instance $monotonic
  (alias outer $root $pollable (type $p)) (export "pollable" (type $pollable (eq $p)))
  (export "now" (func (result u64)))
  (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
"#;

/// The functions under the names that loops call them by: name, instance, name in the interface, core type. A core type
/// without an instance is that of the end of a handle, whose type is in the third place.
const FUNCTIONS: [(&str, &str, &str, &str); 39] = [
    ("create", "tensors", "[static]tensor.create", "i32 i32 i32 i32 i32 i32"),
    ("describe", "tensors", "[method]tensor.describe", "i32 i32"),
    ("read", "tensors", "[method]tensor.read", "i32 i64 i64 i32"),
    ("reshape", "tensors", "[method]tensor.reshape", "i32 i32 i32 i32"),
    ("build", "tensors", "[static]tensor-builder.create", "i32 i32 i32 i32"),
    ("append", "tensors", "[method]tensor-builder.append", "i32 i32 i32 i32"),
    ("finish", "tensors", "[static]tensor-builder.finish", "i32 i32"),
    ("open", "graphs", "[static]graph.open", "i32 i32 i32"),
    ("inputs", "graphs", "[method]graph.inputs", "i32 i32"),
    ("run", "graphs", "[method]graph.run", "i32 i32 i32 i32"),
    ("emit", "emitter", "emit", "i32 i32) (result i32"),
    ("asset", "assets", "read", "i32 i32 i32"),
    ("log", "logging", "log", "i32 i32 i32"),
    ("ready", "poll", "[method]pollable.ready", "i32) (result i32"),
    ("block", "poll", "[method]pollable.block", "i32"),
    ("poll", "poll", "poll", "i32 i32 i32"),
    ("read-stream", "streams", "[method]input-stream.read", "i32 i64 i32"),
    ("check", "streams", "[method]output-stream.check-write", "i32 i32"),
    ("write", "streams", "[method]output-stream.write", "i32 i32 i32 i32"),
    ("zeroes", "streams", "[method]output-stream.write-zeroes", "i32 i64 i32"),
    ("write-flush", "streams", "[method]output-stream.blocking-write-and-flush", "i32 i32 i32 i32"),
    ("flush", "streams", "[method]output-stream.blocking-flush", "i32 i32"),
    ("splice", "streams", "[method]output-stream.splice", "i32 i32 i64 i32"),
    ("subscribe", "streams", "[method]output-stream.subscribe", "i32) (result i32"),
    ("stdout", "stdout", "get-stdout", ") (result i32"),
    ("stdin", "stdin", "get-stdin", ") (result i32"),
    ("environment", "environment", "get-environment", "i32"),
    ("terminal", "terminal-stdout", "get-terminal-stdout", "i32"),
    ("directories", "preopens", "get-directories", "i32"),
    ("insecure", "insecure", "get-insecure-random-bytes", "i64 i32"),
    ("insecure-u64", "insecure", "get-insecure-random-u64", ") (result i64"),
    ("seed", "insecure-seed", "insecure-seed", "i32"),
    ("random", "random", "get-random-bytes", "i64 i32"),
    ("random-u64", "random", "get-random-u64", ") (result i64"),
    ("time", "wall", "now", "i32"),
    ("now", "monotonic", "now", ") (result i64"),
    ("timer", "monotonic", "subscribe-duration", "i64) (result i32"),
    ("drop-tensor", "", "tensor", "i32"),
    ("drop-builder", "", "builder", "i32"),
];

const DROPS: [&str; 4] = ["graph", "pollable", "input", "output"];

/// The component of a case. Its memory has results at 0, a shape of one dimension at 64, the names "a", "x", "g" and text
/// from 128 on, a list of one named tensor at 192, and large data behind the first 64 KiB. `realloc` gives the same 16 MiB
/// every time.
pub(super) fn component(case: &Case) -> Vec<u8> {
    let drops = DROPS.map(|resource| (format!("drop-{resource}"), "", resource, "i32"));
    let functions =
        FUNCTIONS.iter().map(|(name, instance, function, core)| ((*name).to_owned(), *instance, *function, *core));
    let (mut lowered, mut exported, mut imported) = (String::new(), String::new(), String::new());
    for (name, instance, function, core) in functions.chain(drops) {
        lowered += &match instance {
            "" => format!("(core func ${name} (canon resource.drop ${function}))\n"),
            _ => format!(
                "(core func ${name} (canon lower (func ${instance} \"{function}\") (memory $libc \"memory\") (realloc (func $libc \"realloc\"))))\n"
            ),
        };
        exported += &format!("(export \"{name}\" (func ${name}))\n");
        imported += &format!("(import \"host\" \"{name}\" (func ${name} (param {core})))\n");
    }
    let Case { prepare, body, .. } = case;
    let text = format!(
        r#"(component $root {CONTRACT} {WASI}
        (core module $memory
          (memory (export "memory") 1024)
          (data (i32.const 128) "axg")
          (data (i32.const 192) "\81\00\00\00\01\00\00\00")
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0x1000000))
        (core instance $libc (instantiate $memory))
        {lowered}
        (core module $main
          (import "libc" "memory" (memory 1)) {imported}
          (func $one (param $size i64) (i64.store (i32.const 64) (local.get $size)))
          (func $result (result i32) (if (i32.load8_u (i32.const 0)) (then unreachable)) (i32.load (i32.const 4)))
          (func $large (result i32) (i32.const 0x10000))
          (func $tensor (param $size i64) (result i32)
            (call $one (local.get $size))
            (call $create (i32.const 1) (i32.const 64) (i32.const 1) (call $large) (i32.wrap_i64 (local.get $size)) (i32.const 0))
            (call $result))
          (table 100 funcref)
          (func (export "run") (param $n i32) (local $t i32) (local $u i32) (local $a i64) (local $b i64)
            {prepare}
            (loop $again
              {body}
              (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
        (core instance $host {exported})
        (core instance $run (instantiate $main (with "libc" (instance $libc)) (with "host" (instance $host))))
        (func (export "run") (param "n" u32) (canon lift (core func $run "run"))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}
