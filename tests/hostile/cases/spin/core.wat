;; Slow instructions that cost one unit of fuel each, and wait for one another: time runs out before fuel does.

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (loop $again
    i32.const 1024
    i32.const 1024
    f64.load $memory
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt f64.sqrt
    f64.store $memory
    br $again)
  unreachable)

;; 1024: 2.0.
(data (memory $memory) (i32.const 1024) "\00\00\00\00\00\00\00\40")
