;; One instruction fills a mebibyte: it must cost as much as its length.

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (drop (memory.grow $memory (i32.const 16)))
  (loop $again
    (memory.fill $memory (i32.const 0x10000) (i32.const 1) (i32.const 0x100000))
    (br $again))
  unreachable)
