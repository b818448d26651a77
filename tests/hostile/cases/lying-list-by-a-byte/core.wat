;; The data of the tensor, a list of bytes, ends one byte after the end of memory.

(import "bulkhead:plugin/tensors@0.1.0" "[static]tensor.create"
  (func $create (param $datatype i32) (param $shape i32) (param $dimensions i32) (param $data i32) (param $length i32)
    (param $result i32)))

(func $process (param $inputs i32) (param i32 i32 i32) (result i32)
  (call $create (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 0xfff9) (i32.const 8) (i32.const 1032))
  (call $echo (local.get $inputs)))

;; 1024: the shape.
(data (memory $memory) (i32.const 1024) "\08\00\00\00\00\00\00\00")
