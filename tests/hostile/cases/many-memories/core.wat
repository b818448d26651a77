;; Three memories with the honest one; each would hold a slot of the pool.

(memory 1)
(memory 1)

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $echo (local.get $inputs)))
