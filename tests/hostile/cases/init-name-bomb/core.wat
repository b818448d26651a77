;; From the end of its instantiation on, init declares a thousand inputs, whose names are all the same 16 MiB of memory:
;; 16 GiB, if the host copied each.

(start $declare)

(func $declare
  (local $input i32)
  (drop (memory.grow $memory (i32.const 257)))
  ;; From 0x10000 on: a thousand times tensor-spec: name, datatype, and no dimension.
  (local.set $input (i32.const 0x10000))
  (loop $next
    (i32.store $memory offset=0 (local.get $input) (i32.const 0x18000))
    (i32.store $memory offset=4 (local.get $input) (i32.const 0x1000000))
    (local.set $input (i32.add (local.get $input) (i32.const 20)))
    (br_if $next (i32.lt_u (local.get $input) (i32.const 85536))))
  (i32.store $memory offset=4 (i32.const 0) (i32.const 0x10000))
  (i32.store $memory offset=8 (i32.const 0) (i32.const 1000)))

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $echo (local.get $inputs)))
