;; A thousand outputs, whose names are all the same 16 MiB of memory: 16 GiB, if the host copied each. They cost the guest
;; next to nothing.

(import "bulkhead:plugin/tensors@0.1.0" "[static]tensor.create"
  (func $create (param $datatype i32) (param $shape i32) (param $dimensions i32) (param $data i32) (param $length i32)
    (param $result i32)))

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (local $output i32)
  (drop (memory.grow $memory (i32.const 257)))
  ;; From 0x10000 on: a thousand times named-tensor: name, handle.
  (local.set $output (i32.const 0x10000))
  (loop $next
    (call $create (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1032))
    (i32.store $memory offset=0 (local.get $output) (i32.const 0x18000))
    (i32.store $memory offset=4 (local.get $output) (i32.const 0x1000000))
    (i32.store $memory offset=8 (local.get $output) (i32.load $memory (i32.const 1036)))
    (local.set $output (i32.add (local.get $output) (i32.const 12)))
    (br_if $next (i32.lt_u (local.get $output) (i32.const 77536))))
  (i32.store $memory offset=4 (i32.const 128) (i32.const 0x10000))
  (i32.store $memory offset=8 (i32.const 128) (i32.const 1000))
  (i32.const 128))

;; 1024: the shape [0]. 1032: result<tensor, string>, with the handle at 1036.
(data (memory $memory) (i32.const 1024) "\00\00\00\00\00\00\00\00")
