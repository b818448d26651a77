;; Leaves a mark in every page of a memory larger than what stays mapped between two calls (4 MiB), and gives up where it
;; finds one.

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (local $place i32)
  (drop (memory.grow $memory (i32.const 127)))
  ;; Page by page, at an offset that is the case's own in the first.
  (local.set $place (i32.const 2048))
  (loop $next
    (if (i32.load $memory (local.get $place)) (then unreachable))
    (i32.store $memory (local.get $place) (i32.const 0x5ec2e7))
    (local.set $place (i32.add (local.get $place) (i32.const 0x10000)))
    (br_if $next (i32.lt_u (local.get $place) (i32.const 0x800000))))
  (call $echo (local.get $inputs)))
