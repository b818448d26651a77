;; A second memory that cannot grow. The accessor through which a snapshot reads it grows it by a page, and traps.

(memory 1 1)

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $echo (local.get $inputs)))
