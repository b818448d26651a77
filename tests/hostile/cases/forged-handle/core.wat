;; Answers with a tensor that nobody gave to it.

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $answer (i32.const 7777)))
