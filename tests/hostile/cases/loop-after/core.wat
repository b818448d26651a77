;; Gives a good answer, and loops when the host says that it has read it. (The filling burns fuel faster than an empty
;; loop, so that it runs out long before time does.)

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $echo (local.get $inputs)))

(func (export "cabi_post_bulkhead:plugin/stage@0.1.0#process") (param $result i32)
  (loop $again
    (memory.fill $memory (i32.const 0x8000) (i32.const 1) (i32.const 0x8000))
    (br $again)))
