;; A program as wasm32-unknown-unknown makes it.
(module
  (memory (export "memory") 1)
  (func (export "bulkhead:plugin/stage@0.1.0#init") (param i32 i32) (result i32)
    (i32.const 0))
  (func (export "bulkhead:plugin/stage@0.1.0#process") (param i32 i32 i32 i32) (result i32)
    (i32.const 0)))
