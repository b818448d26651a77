;; The honest part of a stage, which completes a case's `core.wat`: memory, allocator, an init that declares the input `x`
;; FP32 [-1] and the output `y` FP32 [-1], and `$echo` for a process that wants to answer. The case has to define
;; `$process`. Offsets from 4096 are given out by the allocator; those from 1024 to 4095 are the case's own.

(memory $memory (export "memory") 1)
(export "cabi_realloc" (func $realloc))
(export "bulkhead:plugin/stage@0.1.0#init" (func $init))
(export "bulkhead:plugin/stage@0.1.0#process" (func $process))

;; Where the next allocation begins. Nothing is ever given back.
(global $free (mut i32) (i32.const 4096))

(func $realloc (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
  (local $place i32)
  (local.set $place (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
  (global.set $free (i32.add (local.get $place) (local.get $size)))
  (local.get $place))

(func $init (param $config i32) (param $config_length i32) (result i32)
  (i32.const 0))

;; 0: result<signature, string>: ok, a list of one input, a list of one output.
(data (memory $memory) (i32.const 0) "\00\00\00\00" "\20\00\00\00\01\00\00\00" "\40\00\00\00\01\00\00\00")
;; 32, 64: tensor-spec: name, fp32 (datatypes count from 0: bool), a list of one dimension.
(data (memory $memory) (i32.const 32) "\60\00\00\00\01\00\00\00" "\0b\00\00\00" "\68\00\00\00\01\00\00\00")
(data (memory $memory) (i32.const 64) "\61\00\00\00\01\00\00\00" "\0b\00\00\00" "\68\00\00\00\01\00\00\00")
;; 96: the names x and y. 104: the dimension -1.
(data (memory $memory) (i32.const 96) "xy" "\00\00\00\00\00\00" "\ff\ff\ff\ff\ff\ff\ff\ff")

;; The result of process: the tensor is `y`.
(func $answer (param $tensor i32) (result i32)
  (i32.store $memory (i32.const 152) (local.get $tensor))
  (i32.const 128))

;; Gives the first input back.
(func $echo (param $inputs i32) (result i32)
  (call $answer (i32.load $memory offset=8 (local.get $inputs))))

;; 128: result<list<named-tensor>, failure>: ok, a list of one. 144: named-tensor: name; the handle is written at 152.
(data (memory $memory) (i32.const 128) "\00\00\00\00" "\90\00\00\00\01\00\00\00" "\00\00\00\00" "\61\00\00\00\01\00\00\00")
