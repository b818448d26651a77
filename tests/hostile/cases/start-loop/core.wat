;; Loops while it is instantiated, before init. (The filling burns fuel faster than an empty loop, so that it runs out long
;; before time does.)

(start $for_ever)

(func $for_ever
  (loop $again
    (memory.fill $memory (i32.const 0x8000) (i32.const 1) (i32.const 0x8000))
    (br $again)))

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $echo (local.get $inputs)))
