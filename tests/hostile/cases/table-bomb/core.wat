;; Each growth costs little fuel, and the host much memory.

(table $table 0 funcref)

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (loop $more
    (br_if $more (i32.ne (i32.const -1) (table.grow $table (ref.null func) (i32.const 10000)))))
  unreachable)
