;; Takes random numbers without end: each call is one of the host, which computes the bytes.

(import "wasi:random/insecure@0.2.6" "get-insecure-random-bytes" (func $random (param i64 i32)))

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (loop $again
    ;; All lists get the same place.
    (global.set $free (i32.const 4096))
    (call $random (i64.const 4096) (i32.const 1024))
    br $again)
  unreachable)
